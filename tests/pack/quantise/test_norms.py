"""InstanceNormalization of a few channels, written out: it draws what it drew."""

import numpy as np
import onnx
import pytest

from edgegan.pack.compare import Packed
from edgegan.pack.graph import opset_of
from edgegan.pack.quantise.norms import write_out_norms
from tests.pack.nets import Net
from tests.pack.quantise import odd

PICTURES = odd.pictures(3)


def _net(channels=(3, 8), opset=17, epsilon=0.3, ranges=odd.SIGNED):
    """A normalisation of the picture, and one of 8 channels; a large epsilon, so that it must be taken over."""
    net = Net(opset)
    x = net.add("InstanceNormalization", "x", *net.gain_and_bias(3), epsilon=epsilon, name="a/norm")
    made = net.conv(x, 3, channels[1])
    net.finish(net.conv(net.add("Relu", net.norm(made, channels[1])), channels[1], 3))
    return odd.packed(net, ranges)


def _kinds(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_it_is_the_same_normalisation(opset):
    model = _net(opset=opset)
    written, report = write_out_norms(model)
    assert (report.name, report.changed) == ("norms", True)
    assert "1 InstanceNormalization" in report.did
    assert _kinds(written).count("InstanceNormalization") == 1
    assert _kinds(written).count("ReduceMean") == 2
    assert opset_of(written) == opset
    onnx.checker.check_model(written, full_check=True)
    names = [node.output[0] for node in model.graph.node if node.op_type == "InstanceNormalization"]
    for name in names:
        given, wanted = (odd.inside(one, [name], PICTURES)[name] for one in (written, model))
        np.testing.assert_allclose(given, wanted, atol=2e-5)


def test_large_values_keep_their_spread():
    """Bytes: the mean of squares less the square of the mean would lose it."""
    model = _net(epsilon=1e-5, ranges=odd.BYTES)
    (name,) = [node.output[0] for node in model.graph.node if node.name == "a/norm"]
    given, wanted = (odd.inside(one, [name], PICTURES)[name] for one in (write_out_norms(model)[0], model))
    np.testing.assert_allclose(given, wanted, atol=1e-4)


def test_an_even_picture_is_not_divided_by_zero():
    model = _net(epsilon=1e-5)
    grey = np.full((odd.H, odd.W, 3), 128, np.uint8)
    difference = Packed(model).draw(grey).astype(int) - Packed(write_out_norms(model)[0]).draw(grey)
    assert np.abs(difference).max() <= 1


def test_epsilon_that_is_not_given_is_its_default():
    net = Net()
    net.finish(net.conv(net.norm("x", 3), 3, 3))
    model = odd.packed(net)
    grey = np.full((odd.H, odd.W, 3), 100, np.uint8)
    grey[0, 0] = 101
    difference = Packed(model).draw(grey).astype(int) - Packed(write_out_norms(model)[0]).draw(grey)
    assert np.abs(difference).max() <= 1


def test_many_channels_stay():
    model = _net(channels=(3, 5))
    assert _kinds(write_out_norms(model)[0]).count("InstanceNormalization") == 1
    assert _kinds(write_out_norms(_net(channels=(3, 4)))[0]).count("InstanceNormalization") == 0


def test_where_there_is_none_nothing_changes():
    model = odd.around(odd.ODD["plain"])
    written, report = write_out_norms(model)
    assert not report.changed
    assert written.SerializeToString() == model.SerializeToString()


def test_a_gain_that_is_computed_is_taken_as_it_is():
    """As a generator of many styles has it."""
    net = Net()
    gain = net.add("Mul", net.hold(np.array([0.5, 1.0, 2.0])), net.hold(np.float32(1.5)))
    net.finish(
        net.conv(net.add("InstanceNormalization", "x", gain, net.hold(np.array([0.1, 0.2, 0.3]))), 3, 3)
    )
    model = odd.packed(net)
    for one in PICTURES:
        difference = Packed(model).draw(one.pixels).astype(int) - Packed(write_out_norms(model)[0]).draw(
            one.pixels
        )
        assert np.abs(difference).max() <= 1
