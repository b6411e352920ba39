"""Which convolutions can be quantised, and where their input may be."""

import numpy as np
import onnx
import pytest

from edgegan.pack.quantise.layers import find_layers, whole_macs
from tests.pack.nets import Net
from tests.pack.quantise import odd


def _middle(name, opset=17):
    """The layers between the first and the last convolution."""
    return find_layers(odd.around(odd.ODD[name], opset))[1:-1]


@pytest.mark.parametrize("name", odd.ODD)
def test_the_odd_nets_are_valid(name):
    onnx.checker.check_model(odd.around(odd.ODD[name]), full_check=True)


def test_every_convolution_is_found_with_what_it_costs():
    model = odd.around(odd.ODD["plain"])
    first, middle, last = find_layers(model)
    assert [layer.op for layer in (first, middle, last)] == ["Conv"] * 3
    assert [layer.macs for layer in (first, middle, last)] == [
        16 * 24 * 9 * 24, 16 * 24 * 9 * 64, 16 * 24 * 9 * 24,
    ]  # fmt: skip
    assert whole_macs(model) == 16 * 24 * 9 * (24 + 64 + 24)
    assert (middle.channels, middle.read, middle.written) == (8, 16 * 24 * 8, 16 * 24 * 8)
    assert [layer.takes_pixels for layer in (first, middle, last)] == [True, False, False]
    assert (middle.axis, middle.transposed, middle.through) == (0, False, ())


def test_a_transposed_convolution_has_its_output_channels_along_the_second_axis():
    _, up = _middle("transposed")
    assert (up.op, up.axis, up.transposed) == ("ConvTranspose", 1, True)
    assert up.padded, "it puts zeros in between"
    assert up.macs == 8 * 12 * 8 * 8 * 16


PADS = {
    "plain": (1, 1, 1, 1),
    "1x1": (0, 0, 0, 0),
    "uneven pads": (1, 2, 2, 1),
    "SAME_UPPER": (1, 1, 2, 2),
    "SAME_LOWER": (2, 2, 1, 1),
    "SAME_UPPER, strides": (0, 0, 1, 1),
    "VALID": (0, 0, 0, 0),
    "dilations": (2, 3, 2, 3),
    "mirrored": (0, 0, 0, 0),
}


@pytest.mark.parametrize("name", PADS)
def test_zeros_around_it_are_known_also_where_the_runtime_chooses_them(name):
    layer = _middle(name)[0]
    assert layer.pads == PADS[name]
    assert layer.padded is any(PADS[name])


@pytest.mark.parametrize("name", ["mirrored", "edges repeated", "doubled before"])
def test_quantising_may_come_before_what_copies_values(name):
    layer = _middle(name)[0]
    first = find_layers(odd.around(odd.ODD[name]))[0]
    assert len(layer.through) == 1
    assert layer.input != layer.source
    assert (layer.read, first.written) == (16 * 24 * 8, 16 * 24 * 8), "the source is the smaller tensor"


def test_two_copies_are_both_passed_the_last_one_first():
    def build(net, x):
        pads = net.hold([0, 0, 1, 1, 0, 0, 1, 1])
        padded = net.add("Pad", net.doubled(x), pads, mode="reflect")
        return net.conv(padded, 8, 8, pads=[0] * 4, strides=[2, 2])

    (layer,) = find_layers(odd.around(build))[1:-1]
    assert [name.partition("_")[0] for name in layer.through] == ["Pad", "Resize"]


@pytest.mark.parametrize(
    "build",
    [
        lambda net, x: net.add("Pad", x, net.hold([0, 0, 1, 1, 0, 0, 1, 1])),
        lambda net, x: net.add("Relu", x),
        lambda net, x: net.doubled(x, "linear"),
    ],
    ids=["zeros", "Relu", "linear"],
)
def test_what_makes_new_values_is_not_passed(build):
    model = odd.around(
        lambda net, x: net.conv(build(net, x), 8, 8, strides=[2, 2], pads=[0] * 4), size=(16, 16)
    )
    layer = find_layers(model)[1]
    assert (layer.through, layer.source) == ((), layer.input)


def test_depthwise_and_grouped_ones_are_left_alone():
    def build(net, x):
        depthwise = net.add("Conv", x, net.weight(8, 1, 3, 3), pads=[1] * 4, group=8)
        return net.add("Conv", depthwise, net.weight(8, 4, 3, 3), pads=[1] * 4, group=2)

    model = odd.around(build)
    assert len(find_layers(model)) == 2
    assert whole_macs(model) == 16 * 24 * 9 * (24 + 8 + 32 + 24), "but their MACs count"


def test_weights_that_are_computed_are_left_alone():
    def build(net, x):
        style = net.add("Sigmoid", net.hold(np.ones((8, 8, 3, 3))))
        return net.add("Conv", x, style, pads=[1] * 4)

    assert len(find_layers(odd.around(build))) == 2


def test_weights_of_a_constant_node_count_as_constant():
    assert len(_middle("weights of a Constant")) == 1


def test_one_that_has_space_folded_into_a_batch_is_left_alone():
    def batched(net, x):
        folded = net.add("Reshape", x, net.hold([2, 8, 8, 24]))
        return net.add("Reshape", net.conv(folded, 8, 8), net.hold([1, 8, 16, 24]))

    assert len(find_layers(odd.around(batched))) == 2


def test_a_convolution_of_one_dimension_is_left_alone():
    def build(net, x):
        line = net.add("Reshape", x, net.hold([1, 8, 16 * 24]))
        line = net.add("Conv", line, net.weight(8, 8, 3), pads=[1, 1])
        return net.add("Reshape", line, net.hold([1, 8, 16, 24]))

    assert len(find_layers(odd.around(build))) == 2


def test_shared_weights_and_a_shared_input_make_two_layers():
    first, second = _middle("shared weights")
    assert first.weights == second.weights
    assert first.name != second.name
    first, second = _middle("two readers")
    assert first.source == second.source


def test_a_constant_in_its_output_is_without_effect_where_a_norm_alone_reads_it():
    def read_twice(net, x):
        made = net.conv(x, 8, 8)
        return net.add("Add", net.norm(made, 8), made)

    assert [layer.normalised for layer in _middle("normalised")] == [True]
    assert [layer.normalised for layer in find_layers(odd.around(read_twice))] == [False] * 3


def test_only_the_picture_itself_has_256_values():
    net = Net()
    net.finish(net.conv(net.add("Relu", "x"), 3, 3))
    assert [layer.takes_pixels for layer in find_layers(odd.packed(net))] == [False]
    net = Net()
    net.finish(
        net.conv(net.add("Pad", "x", net.hold([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), 3, 3, pads=[0] * 4)
    )
    assert [layer.takes_pixels for layer in find_layers(odd.packed(net))] == [True]
    net = Net()
    net.finish(odd.transposed(net, "x", 3, 3, 3, pads=[1] * 4))
    assert [layer.takes_pixels for layer in find_layers(odd.packed(net))] == [False], "255 levels"


def test_copies_of_channels_are_not_passed():
    def build(net, x):
        four = net.add("Relu", net.conv(x, 8, 4))
        return net.conv(net.add("Pad", four, net.hold([0, 2, 0, 0, 0, 2, 0, 0]), mode="reflect"), 8, 8)

    (layer,) = find_layers(odd.around(build))[2:-1]
    assert (layer.through, layer.source, layer.channels) == ((), layer.input, 8)
