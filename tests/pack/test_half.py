"""FP16 as a pass: what becomes float16, what stays in float32, and what that does to a picture."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from edgegan.errors import ModelError
from edgegan.framing import Framing
from edgegan.pack import load_recipe, pack_model
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import PassReport, constant_values, opset_of
from edgegan.pack.half import half, kinds_of
from edgegan.pack.half_ends import fit_ends
from edgegan.pack.half_executed import as_executed_in_half
from edgegan.pack.pixels import add_pixels
from edgegan.pack.ranges import ValueRanges
from edgegan.quality import max_difference, psnr_db
from tests.pack import exports
from tests.pack.nets import FLOAT, HALF, Net

RECIPES = Path(__file__).parents[2] / "engines/recipes"
SIGNED = ValueRanges((-1, 1), (-1, 1))
BYTES = ValueRanges((0, 255), (0, 255))
LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def _packed(model, ranges=SIGNED):
    return add_pixels(model, ranges)[0]


def _net(build, opset=17, ranges=SIGNED):
    """Pixels, a convolution to 8 channels, what `build` adds to that, a convolution back."""
    net = Net(opset)
    net.finish(net.conv(build(net, net.conv("x", 3, 8)), 8, 3))
    return _packed(net.model(exports.PLANES), ranges)


def _picture(shape=(exports.H, exports.W)):
    return np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)


def _session(model, level="all", file=""):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 4, LEVELS[level]
    options.optimized_model_filepath = str(file)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _draw(model, picture, level="all"):
    return _session(model, level).run(None, {"input": picture[None]})[0][0]


def _psnr(model, halved):
    return psnr_db(_draw(model, _picture()), _draw(as_executed_in_half(halved), _picture()))


def _type_into(model, operator, place=0):
    """Element types of one input of each such node."""
    kinds = kinds_of(model)
    return {kinds[node.input[place]] for node in model.graph.node if node.op_type == operator}


def _node(model, name):
    return next(node for node in model.graph.node if node.name == name)


# -- What becomes float16, and what not


def test_convolutions_compute_in_float16_and_normalisation_in_float32():
    halved, report = half(_packed(exports.plain()))
    onnx.checker.check_model(halved, full_check=True)
    for place in range(3):
        assert _type_into(halved, "Conv", place) == {HALF}
        assert _type_into(halved, "InstanceNormalization", place) == {FLOAT}
    assert _type_into(halved, "Relu") == _type_into(halved, "Resize") == {HALF}
    assert _type_into(halved, "Resize", 2) == {FLOAT}, "scales have no float16"
    assert "reductions (2)" in report.did
    assert report.changed


def test_the_pixels_keep_their_contract_and_their_precision():
    halved, report = half(_packed(exports.plain()))
    check_contract(halved)
    assert kinds_of(halved)["pixels/taken"] == FLOAT
    assert _type_into(halved, "Tanh") == _type_into(halved, "Round") == {FLOAT}
    assert "pixels (12)" in report.did, report.did


def test_one_cast_serves_all_who_read_a_tensor():
    def fork(net, x):
        y = net.norm(x, 8)
        return net.add("Add", net.conv(y, 8, 8), net.conv(y, 8, 8))

    halved, _ = half(_net(fork))
    sources = [node.input[0] for node in halved.graph.node if node.op_type == "Cast"]
    assert (
        len(sources) == len(set(sources)) == 6
    )  # bytes in and out, into and out of float16, around the norm


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_the_opset_stays_and_so_do_the_names(opset):
    model = _packed(exports.plain(opset))
    halved, _ = half(model)
    assert opset_of(halved) == opset
    assert [n.name for n in halved.graph.node if n.op_type != "Cast"] == [
        n.name for n in model.graph.node if n.op_type != "Cast"
    ]
    onnx.checker.check_model(halved, full_check=True)
    assert max_difference(_draw(model, _picture()), _draw(as_executed_in_half(halved), _picture())) <= 1


def _spelled(net, x, square):
    """(x - mean) / sqrt(mean((x - mean)²) + 1e-5)"""
    centred = net.add("Sub", x, net.add("ReduceMean", x, axes=[2, 3], name="mean"), name="centred")
    squared = (
        net.add("Pow", centred, net.hold(2.0), name="squared")
        if square == "Pow"
        else net.add("Mul", centred, centred, name="squared")
    )
    variance = net.add("ReduceMean", squared, axes=[2, 3], name="variance")
    deviation = net.add("Sqrt", net.add("Add", variance, net.hold(1e-5), name="eps"), name="deviation")
    return net.add("Relu", net.add("Div", centred, deviation, name="normal"), name="after")


@pytest.mark.parametrize("square", ["Pow", "Mul"])
def test_a_normalisation_in_single_steps_is_float32_from_the_mean_to_the_quotient(square):
    halved, _ = half(_net(lambda net, x: _spelled(net, x, square)))
    kinds = kinds_of(halved)
    for name in ("mean", "centred", "squared", "variance", "eps", "deviation", "normal"):
        assert kinds[_node(halved, name).output[0]] == FLOAT, name
    assert kinds[_node(halved, "after").output[0]] == HALF


@pytest.mark.parametrize("operator", ["Softmax", "GlobalAveragePool", "Exp", "LpNormalization"])
def test_sums_over_many_and_powers_are_float32(operator):
    def build(net, x):
        return net.add("Mul", x, net.add(operator, x, name="it"))

    halved, _ = half(_net(build))
    assert _type_into(halved, operator) == {FLOAT}
    assert _type_into(halved, "Conv") == {HALF}


def test_group_normalisation_as_pytorch_writes_it():
    model = _packed(exports.group_norm("InstanceNormalization"))
    halved, _ = half(model)
    assert _type_into(halved, "InstanceNormalization") == {FLOAT}
    assert max_difference(_draw(model, _picture()), _draw(as_executed_in_half(halved), _picture())) <= 1


# -- Constants


@pytest.mark.parametrize("value", [1e6, 1e-9])
def test_a_constant_that_float16_cannot_hold_keeps_its_operator_in_float32(value):
    halved, report = half(
        _net(lambda net, x: net.add("Relu", net.add("Max", x, net.hold(value, name="big"), name="held")))
    )
    assert _type_into(halved, "Max", 1) == {FLOAT}
    assert f"Max 'held' for its constant big {value:.3g}" in report.did


def test_a_bias_that_vanishes_does_not():
    """Beside a normalisation training leaves biases of 1e-10."""

    def build(net, x):
        weight, bias = net.weight(8, 8, 3, 3), net.hold(np.full(8, 1e-10))
        return net.norm(net.add("Conv", x, weight, bias, pads=[1] * 4), 8)

    assert "constant" not in half(_net(build))[1].did


def test_a_constant_read_in_both_types_has_both():
    def build(net, x):
        gain = net.hold(np.linspace(0.5, 1.5, 8), name="gain")
        y = net.add("InstanceNormalization", x, gain, gain)
        return net.add("Conv", y, net.weight(8, 8, 1, 1), gain, name="conv")

    halved, _ = half(_net(build))
    values = constant_values(halved.graph)
    assert (values["gain"].dtype, values["gain/float16"].dtype) == (np.float32, np.float16)
    assert _node(halved, "conv").input[2] == "gain/float16"


def test_constant_nodes_are_converted_too():
    def build(net, x):
        y = net.add("Mul", x, net.add("Constant", outputs=["factor"], value_float=0.3))
        return net.add("Max", y, net.add("Constant", outputs=["floor"], value_floats=[0.1]))

    halved, _ = half(_net(build))
    values = constant_values(halved.graph)
    assert values["factor"].dtype == values["floor"].dtype == np.float16
    onnx.checker.check_model(halved, full_check=True)


# -- The ends


def test_the_input_is_exact_in_float16_and_the_picture_stays():
    model = _packed(exports.plain())
    fitted, report = fit_ends(model)
    assert "pixels scaled by 0.0078125" in report.did
    taken = helper.make_tensor_value_info("pixels/taken", FLOAT, None)
    fitted.graph.output.append(taken)
    levels = np.arange(32 * 48 * 3).reshape(1, 32, 48, 3).astype(np.uint8)
    values = _session(fitted).run(["pixels/taken"], {"input": levels})[0]
    assert np.array_equal(values.astype(np.float16), values)
    assert len(np.unique(values)) == 256
    assert max_difference(_draw(model, _picture()), _draw(fit_ends(model)[0], _picture())) <= 1


def test_the_scale_stays_where_something_else_reads_the_input():
    net = Net()
    net.finish(net.add("Add", net.conv("x", 3, 3), "x"))
    assert not fit_ends(_packed(net.model(exports.PLANES)))[1].changed


@pytest.mark.parametrize("bias", [True, False])
def test_a_last_layer_that_draws_0_to_255_draws_around_0(bias, monkeypatch):
    net = Net(rounded=True)
    weight = net.hold(np.random.default_rng(5).uniform(0, 0.31, (3, 3, 1, 1)))
    more = [net.hold([3.3, 0.02, 15.1])] if bias else []
    net.add("Conv", "x", weight, *more, outputs=["y"], name="last")
    model = _packed(net.model(exports.PLANES), BYTES)
    halved, report = half(model)
    assert "draws around 0 instead of 127.5" in report.did
    check_contract(halved)
    assert _error_of_drawn(model, halved) <= 0.0315
    monkeypatch.setattr("edgegan.pack.half.fit_ends", lambda m: (m, PassReport("ends", "", False)))
    assert _error_of_drawn(model, half(model)[0]) > 0.05


def _error_of_drawn(model, halved):
    """In grey levels, before they are rounded; steps of float16 are 1/16 below 128, 1/8 above."""
    drawn = []
    for each in (model, as_executed_in_half(halved)):
        del each.graph.value_info[:]
        each.graph.output.append(helper.make_tensor_value_info("pixels/drawn", FLOAT, None))
        drawn.append(_session(each).run(["pixels/drawn"], {"input": _picture()[None]})[0])
        each.graph.output.pop()
    return np.abs(drawn[0] - drawn[1]).max()


def test_the_first_layer_of_bytes_that_are_normalised_next_is_float32():
    net = Net()
    net.finish(net.conv(net.norm(net.conv("x", 3, 8), 8), 8, 3))
    model = net.model(exports.PLANES)
    kinds = [_type_into(half(_packed(model, ranges))[0], "Conv") for ranges in (BYTES, SIGNED)]
    assert kinds == [{FLOAT, HALF}, {HALF}]


# -- Q/DQ


def _quantised(scale=0.02):
    net = Net()
    x = net.add("Relu", net.conv("x", 3, 8))
    s, zero = net.hold(0.05, name="s"), net.hold(np.int8(0), np.int8, "zero")
    q = net.add("QuantizeLinear", x, s, zero, name="q")
    d = net.add("DequantizeLinear", q, s, zero, name="d")
    weight = net.hold(np.random.default_rng(1).integers(-127, 128, (8, 8, 3, 3)), np.int8)
    scales, zeros = net.hold(np.array([scale] + [0.02] * 7), name="scales"), net.hold(np.zeros(8), np.int8)
    w = net.add("DequantizeLinear", weight, scales, zeros, name="dw", axis=0)
    y = net.add("Conv", d, w, net.weight(8), pads=[1] * 4, name="c8")
    mean = net.add("ReduceMean", y, axes=[2, 3], name="mean")
    net.finish(net.conv(net.add("Sub", y, mean), 8, 3))
    return _packed(net.model(exports.PLANES))


def test_scales_of_qdq_are_float16_in_opset_19():
    model = _quantised()
    halved, report = half(model)
    onnx.checker.check_model(halved, full_check=True)
    assert (opset_of(model), opset_of(halved), halved.ir_version) == (17, 19, 9)
    assert "opset 17 raised to 19" in report.did
    assert _type_into(halved, "QuantizeLinear", 1) == _type_into(halved, "DequantizeLinear", 1) == {HALF}
    assert all(node.name for node in halved.graph.node)
    names = [n.name for n in halved.graph.node if n.op_type not in ("Cast", "Constant")]
    assert names == [n.name for n in model.graph.node if n.op_type != "Cast"]
    assert _psnr(model, halved) > 45


def test_a_scale_too_small_for_float16_stays_float32():
    halved, report = half(_quantised(scale=3e-6))
    assert "DequantizeLinear 'dw' for its constant scales 3e-06" in report.did
    assert _type_into(halved, "Conv", 1) == {HALF}


# -- What is refused, and what is left alone


@pytest.mark.parametrize("make", [lambda: exports.branching(False), exports.looping])
def test_graphs_inside_are_refused(make):
    with pytest.raises(ModelError, match=r"has a graph inside, which cannot become float16"):
        half(_packed(make()))


def test_a_node_to_keep_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="no node 'nowhere'"):
        half(_packed(exports.plain()), keep=["nowhere"])


def test_a_node_can_be_kept_in_float32():
    model = _packed(exports.plain())
    name = [n.name for n in model.graph.node if n.op_type == "Conv"][1]
    halved, report = half(model, keep=[name])
    assert kinds_of(halved)[_node(halved, name).output[0]] == FLOAT
    assert "asked for (1)" in report.did


def test_the_argument_stays_and_the_result_is_the_same_each_time():
    model = _packed(exports.plain())
    before = model.SerializeToString(deterministic=True)
    first, second = (half(model)[0].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString(deterministic=True) == before
    again, report = half(onnx.load_model_from_string(first))
    assert (again.SerializeToString(deterministic=True), report.changed) == (first, False)


# -- Judging on a CPU


@pytest.mark.parametrize("level", LEVELS)
def test_onnx_runtime_keeps_the_roundings_of_what_is_judged(tmp_path, level):
    halved, _ = half(_net(lambda net, x: net.add("LeakyRelu", net.conv(x, 8, 8))))
    judged = as_executed_in_half(halved)
    pairs = sum(node.op_type == "Cast" and node.attribute[0].i == HALF for node in judged.graph.node)
    _session(judged, level, tmp_path / "judged.onnx")
    kept = onnx.load(tmp_path / "judged.onnx").graph.node
    assert sum(node.op_type == "Cast" and node.attribute[0].i == HALF for node in kept) == pairs >= 5


@pytest.mark.parametrize("level", LEVELS)
def test_every_operator_of_float16_is_rounded(level):
    """Against numpy, step by step: 1 x 1 convolutions of one weight each."""
    net = Net()
    held = [net.hold(np.diag([v] * 3).reshape(3, 3, 1, 1)) for v in (1 / 3, 1 / 7)]
    a = net.add("Conv", "x", held[0])
    net.add("Conv", net.add("Softplus", a), held[1], outputs=["y"])
    halved, _ = half(_packed(net.model(exports.PLANES), BYTES))
    judged = as_executed_in_half(halved)
    judged.graph.output.append(helper.make_tensor_value_info(a, FLOAT, None))
    picture = _picture()
    found = _session(judged, level).run([a], {"input": picture[None]})[0]
    planes = picture[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    expected = (planes * np.float32(np.float16(1 / 3))).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)


def test_numbers_beyond_float16_become_infinite_where_they_would():
    halved, _ = half(_net(lambda net, x: net.add("Mul", net.add("Mul", x, net.hold(6e4)), net.hold(3e4))))
    judged = as_executed_in_half(halved)
    product = (
        [node for node in judged.graph.node if node.op_type == "Mul"][2].output[0].removesuffix("/exact")
    )
    judged.graph.output.append(helper.make_tensor_value_info(product, FLOAT, None))
    assert np.isinf(_session(judged).run([product], {"input": _picture()[None]})[0]).any()


# -- Real generators


@pytest.mark.parametrize("name", ["multistyle26_cin", "pix2pix_unet128_emoji"])
def test_a_real_generator_draws_the_same_in_float16(models, name, tmp_path):
    _, options = load_recipe(RECIPES / f"{name}.yaml")
    pack_model(models / "generators" / f"{name}.onnx", tmp_path / "b", options)
    model = onnx.load(tmp_path / "b" / "model_fp32.onnx")
    halved, _ = half(model)
    judged = _session(as_executed_in_half(halved))
    size = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:3]
    paths = sorted((models / "photos-eval").glob("*.jpg"))[::6]
    pictures = [Framing(tuple(size))(cv2.imread(str(path))) for path in paths]
    drawn = [(_draw(model, p), judged.run(None, {"input": p[None]})[0][0]) for p in pictures]
    found = [psnr_db(a, b) for a, b in drawn]
    assert min(found) >= 57
    assert np.mean(found) >= 60
