"""Q/DQ in the graph: it draws what the scale table says, in both ways of writing it, and stands where it may."""

from functools import cache

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgegan.pack.compare import Packed
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import constant_values, opset_of
from edgegan.pack.quantise.candidates import one_term, two_terms
from edgegan.pack.quantise.layers import attributes, find_layers
from edgegan.pack.quantise.table import Affine, LayerScale, ScaleTable
from edgegan.quality import psnr_db
from tests.pack.nets import Net
from tests.pack.quantise import odd

TARGETS = ("openvino", "tensorrt")
PICTURES = odd.pictures(3, seed=4)


@cache
def _made(name, opset=17):
    model = odd.around(odd.ODD[name], opset)
    return model, *odd.opened(model)


def _scale(layer, observed, form="int8", affine=None):
    seen = observed.tensors[layer.source]
    low, high = min(seen.lowest.min(), 0.0), max(seen.highest.max(), 0.0)
    low = low if low < 0 else -0.21 * high  # so that zero is in the middle of the bytes
    changed = affine or Affine()
    ends = [changed.applied(np.full((layer.channels, 1), end)) for end in (low, high)]
    return LayerScale(
        layer.name,
        layer.source,
        form,
        float(np.min(ends)),
        float(np.max(ends)),
        "test",
        layer.transposed,
        changed,
    )


def _even_channels(layer):
    """Factors, and, where no zeros are put in, offsets."""
    random = np.random.default_rng(0)
    add = () if layer.padded else tuple(random.uniform(-0.3, 0.3, layer.channels).tolist())
    return Affine(tuple(random.uniform(0.5, 2, layer.channels).tolist()), add)


def _simulated(model, studio, layer, scale):
    """The layer's output, by numpy but for the convolution itself."""
    values = odd.inside(model, [layer.source], PICTURES)[layer.source].astype(np.float64)
    changed = np.stack([scale.affine.applied(one) for one in values])
    taken = scale.quantised(changed)
    if scale.form == "int8x2":
        step = scale.step / 254
        taken = taken + np.clip(np.rint((changed - taken) / step), -128, 127) * step
    integers = studio.integer_weights(scale)
    shape = [-1 if axis == layer.axis else 1 for axis in range(4)]
    held = {layer.weights: (integers.levels * integers.scales.reshape(shape)).astype(np.float32)}
    held |= {layer.bias: integers.bias} if layer.bias and integers.bias is not None else {}
    made = odd.run_nodes(model, [*reversed(layer.through), layer.name], layer.source, taken, held)
    apart = not layer.bias and integers.bias is not None
    return made + integers.bias.reshape(-1, 1, 1) if apart else made


CASES = (
    *("two readers", "SAME_LOWER", "dilations", "doubled before", "mirrored, then padded"),
    *("transposed 3x3, output padding", "one pixel"),
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", ["int8", "int8x2", "even"])
@pytest.mark.parametrize("name", CASES)
def test_a_layer_gives_what_its_scale_says(name, form, target):
    """But for values at the border of two levels, which float32 may put on either side."""
    model, studio, observed = _made(name)
    for layer in list(studio.layers.values())[1:-1]:
        affine = _even_channels(layer) if form == "even" else None
        scale = _scale(layer, observed, "int8" if form == "even" else form, affine)
        output = next(node.output[0] for node in model.graph.node if node.name == layer.name)
        version = studio.version(ScaleTable((scale,)), target)
        given = odd.inside(version, [output], PICTURES)[output]
        wanted = _simulated(model, studio, layer, scale)
        assert given.shape == wanted.shape
        error = np.abs(given - wanted)
        spread = wanted.std() + 1e-3
        # For TensorRT the range is moved by a float16 number, and so zero by a thirtieth of a level.
        assert np.median(error) < (1e-4 if target == "openvino" else 1e-2) * spread
        assert error.mean() < (2e-3 if target == "openvino" else 1e-2) * spread


@pytest.mark.parametrize("name", [*CASES, "uneven pads", "weights of a Constant", "constant", "dead", "rare"])
def test_both_targets_draw_the_same_picture(name):
    model, studio, observed = _made(name)
    scales = [_scale(layer, observed) for layer in studio.layers.values() if observed.is_finite(layer)]
    table = ScaleTable(tuple(scales))
    drawn = []
    for target in TARGETS:
        version = studio.version(table, target)
        check_contract(version)
        onnx.checker.check_model(version, full_check=True)
        drawn.append([Packed(version).draw(one.pixels) for one in PICTURES])
    likeness = [psnr_db(a, b) for a, b in zip(*drawn, strict=True)]
    even = name in ("dead", "constant", "rare")  # a level more or less on a whole plane
    assert min(likeness) > (28 if even else 40)
    plain = Packed(model)
    errors = [psnr_db(a, plain.draw(one.pixels)) for a, one in zip(drawn[0], PICTURES, strict=True)]
    assert min(errors) > (15 if name == "rare" else 25)


def _first_layer(taken, build=None):
    """A convolution of the picture alone, without padding, to a picture that shows its outputs."""
    net = Net()
    net.finish(net.conv(build(net, "x") if build else "x", 3, 3, 1, pads=[0] * 4), "Identity")
    model = odd.packed(net, odd.ValueRanges(taken, taken))
    studio, observed = odd.opened(model)
    (layer,) = studio.layers.values()
    (scale,) = one_term(layer, odd.weights_of(model)[layer.weights], observed.tensors[layer.source], taken)
    return model, studio, layer, scale


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("taken", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), (-2.1, 2.6)])
def test_the_picture_itself_loses_nothing(taken, target):
    """All that is wrong with the first layer comes of its weights."""
    model, studio, layer, scale = _first_layer(taken)
    values = odd.inside(model, [layer.source], PICTURES)[layer.source]
    integers = studio.integer_weights(scale)
    real = (integers.levels * integers.scales.reshape(-1, 1, 1, 1)).astype(np.float32)
    bias = odd.weights_of(model)[layer.bias]
    wanted = odd.run_nodes(model, [layer.name], layer.source, values, {layer.weights: real})
    output = next(node.output[0] for node in model.graph.node if node.name == layer.name)
    given = odd.inside(studio.version(ScaleTable((scale,)), target), [output], PICTURES)[output]
    error = given - wanted
    assert (error - error.mean(axis=(0, 2, 3), keepdims=True)).std() < 2e-5 * (taken[1] - taken[0])
    assert np.abs(bias).max() > 0


def test_zeros_around_a_picture_stay_zeros_for_tensorrt():
    """Its bytes begin at zero, so all of the range is moved; the edge would be off by half of it."""
    net = Net()
    net.finish(net.conv("x", 3, 3), "Identity")
    model = odd.packed(net, odd.BYTES)
    studio, observed = odd.opened(model)
    (layer,) = studio.layers.values()
    (scale,) = one_term(layer, odd.weights_of(model)[layer.weights], observed.tensors[layer.source], (0, 255))
    version = studio.version(ScaleTable((scale,)), "tensorrt")
    for one in PICTURES:
        drawn, wanted = Packed(version).draw(one.pixels).astype(int), Packed(model).draw(one.pixels)
        assert np.abs(drawn - wanted).max() <= 4
    (conv,) = [node for node in version.graph.node if node.op_type == "Conv"]
    assert "pads" not in attributes(conv)
    assert [node.op_type for node in version.graph.node].count("Pad") == 1


@pytest.mark.parametrize("target", TARGETS)
def test_two_terms_are_nearly_the_float_model(target):
    """Weights apart, which are rounded as before."""
    model, studio, observed = _made("plain")
    layer = list(studio.layers.values())[1]
    output = next(node.output[0] for node in model.graph.node if node.name == layer.name)
    errors = []
    for scale in (_scale(layer, observed), two_terms(layer, observed.tensors[layer.source])):
        integers = studio.integer_weights(scale)
        held = {layer.weights: (integers.levels * integers.scales.reshape(-1, 1, 1, 1)).astype(np.float32)}
        values = odd.inside(model, [layer.source], PICTURES)[layer.source]
        wanted = odd.run_nodes(model, [layer.name], layer.source, values, held | {layer.bias: integers.bias})
        given = odd.inside(studio.version(ScaleTable((scale,)), target), [output], PICTURES)[output]
        errors.append(float(np.abs(given - wanted).mean()))
    assert errors[1] < errors[0] / 50, "though its range is three times as wide"


# -- Where it stands


def _by_output(model):
    return {name: node for node in model.graph.node for name in node.output}


def _everything(name, target, opset=17, form="int8"):
    model, studio, observed = _made(name, opset)
    table = ScaleTable(tuple(_scale(layer, observed, form) for layer in studio.layers.values()))
    return model, studio.version(table, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", ["int8", "int8x2"])
@pytest.mark.parametrize("name", ["plain", "mirrored", "transposed", "normalised", "two readers"])
def test_it_stands_before_convolutions_and_nowhere_else(name, form, target):
    _, version = _everything(name, target, form=form)
    makers = _by_output(version)
    readers = {}
    for node in version.graph.node:
        for taken in node.input:
            readers.setdefault(taken, []).append(node)
    for node in version.graph.node:
        if node.op_type == "QuantizeLinear":
            assert [one.op_type for one in readers[node.output[0]]] == ["DequantizeLinear"]
        if node.op_type == "DequantizeLinear":
            assert {one.op_type for one in readers[node.output[0]]} <= {
                "Conv",
                "ConvTranspose",
                "Pad",
                "Resize",
                "Sub",
            }
        if node.op_type == "InstanceNormalization":
            assert makers[node.input[0]].op_type in ("Conv", "ConvTranspose", "Add")
        if node.op_type in ("Conv", "ConvTranspose"):
            after = {one.op_type for one in readers[node.output[0]]}
            assert "QuantizeLinear" not in after, "nothing is quantised behind a convolution"
            assert makers[node.input[1]].op_type == "DequantizeLinear"
    assert version.graph.output[0].name == "output"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["plain", "transposed"])
def test_weights_are_int8_with_scales_along_the_output_channels(name, target):
    _, version = _everything(name, target)
    makers, held = _by_output(version), constant_values(version.graph)
    seen = []
    for node in version.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            weights = makers[node.input[1]]
            axis = attributes(weights)["axis"]
            levels, scales, zeros = (held[taken] for taken in weights.input)
            assert (levels.dtype, zeros.dtype) == (np.int8, np.int8)
            assert axis == (1 if node.op_type == "ConvTranspose" else 0)
            assert len(scales) == levels.shape[axis]
            assert not zeros.any()
            seen.append(node.op_type)
    assert ("ConvTranspose" in seen) is (name == "transposed")


def test_openvino_takes_bytes_and_tensorrt_int8_around_zero():
    for target, kind in zip(TARGETS, (np.uint8, np.int8), strict=True):
        _, version = _everything("plain", target)
        held = constant_values(version.graph)
        zeros = [held[node.input[2]] for node in version.graph.node if node.op_type == "QuantizeLinear"]
        assert [zero.dtype for zero in zeros] == [kind] * 3
        assert any(zero != 0 for zero in zeros) is (target == "openvino")
        assert all(zero.shape == () for zero in zeros), "one scale for the tensor"


def test_a_transposed_convolution_has_no_zero_point_for_either():
    for target in TARGETS:
        _, version = _everything("transposed", target)
        makers, held = _by_output(version), constant_values(version.graph)
        (node,) = [node for node in version.graph.node if node.op_type == "ConvTranspose"]
        zero = held[makers[node.input[0]].input[2]]
        assert (zero.dtype, zero.item()) == (np.int8, 0)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_the_opset_stays(opset):
    for target in TARGETS:
        model, version = _everything("transposed", target, opset)
        assert opset_of(version) == opset == opset_of(model)
        onnx.checker.check_model(version, full_check=True)


def test_layers_in_float_stay_as_they_are():
    model, studio, observed = _made("plain")
    layers = list(studio.layers.values())
    scales = [
        _scale(layer, observed, form) for layer, form in zip(layers, ("float", "int8", "float"), strict=True)
    ]
    version = studio.version(ScaleTable(tuple(scales)))
    plain = {node.name: node.SerializeToString() for node in model.graph.node}
    for node in version.graph.node:
        if node.name in (layers[0].name, layers[2].name):
            assert node.SerializeToString() == plain[node.name]
    assert sum(node.op_type == "QuantizeLinear" for node in version.graph.node) == 1
    nothing = studio.version(ScaleTable(tuple(scales[::2])))
    assert [n.SerializeToString() for n in nothing.graph.node] == [
        n.SerializeToString() for n in model.graph.node
    ]


def test_float_weights_that_nobody_reads_any_more_are_gone():
    model, version = _everything("plain", "openvino")
    for layer in find_layers(model):
        assert layer.weights not in constant_values(version.graph)
    assert version.ByteSize() < model.ByteSize() + 9_000


def test_names_of_the_model_are_kept_apart_from_those_that_are_made():
    """Slashes, umlauts, and names that look like the pass's own."""

    def build(net, x):
        weights = net.hold(np.random.default_rng(5).normal(0, 0.1, (8, 8, 3, 3)))
        made = net.add("Conv", x, weights, outputs=["größe/Ü 1"], name="/down/größe.0/Conv", pads=[1] * 4)
        again = net.add("Relu", made, outputs=["größe/Ü 1/first"], name="/down/größe.0/Conv/second")
        return net.add("Conv", again, weights, outputs=["größe/Ü 1/second"], name="x/first", pads=[1] * 4)

    model = odd.around(build)
    studio, observed = odd.opened(model)
    for target in TARGETS:
        table = ScaleTable(tuple(_scale(layer, observed, "int8x2") for layer in studio.layers.values()))
        version = studio.version(table, target)
        onnx.checker.check_model(version, full_check=True)
        one = PICTURES[0].pixels
        assert psnr_db(Packed(version).draw(one), Packed(model).draw(one)) > 38


def test_bytes_outside_of_q_and_dq_break_the_contract():
    _, version = _everything("plain", "openvino")
    version.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.uint8), "bytes"))
    version.graph.node.append(onnx.helper.make_node("Identity", ["bytes"], ["more bytes"], "stray"))
    assert version.graph.initializer[-1].data_type == TensorProto.UINT8
    with pytest.raises(Exception, match="stray"):
        check_contract(version)
