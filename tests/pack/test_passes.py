"""Each pass alone: what it did is in its report, and its argument stays as it was."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgegan.errors import ModelError
from edgegan.pack.batch_statistics import take_batch_statistics
from edgegan.pack.bytes import floats_for_bytes
from edgegan.pack.check import PLANES, Form
from edgegan.pack.dropout import remove_dropout
from edgegan.pack.graph import dims_of, nodes_in, tensor_names
from edgegan.pack.group_norm import replace_old_group_norm
from edgegan.pack.names import name_nodes
from edgegan.pack.order import sort_nodes
from edgegan.pack.outputs import keep_output
from edgegan.pack.planes import add_planes
from edgegan.pack.reading import session
from edgegan.pack.weights import dequantise_weights
from edgegan.pack.widen import widen
from tests.pack import exports

SIZE = (exports.H, exports.W)
GREY = Form(channels=1)


def _planes(model):
    return add_planes(model, Form(channels_last=True), Form(channels_last=True), SIZE)


@pytest.mark.parametrize(
    ("run", "model", "did"),
    [
        (lambda m: keep_output(m, "y"), exports.outputs("features"), "dropped the outputs 'code' and .* 1 unused"),
        (lambda m: keep_output(m, "y"), exports.plain(), "one output, nothing unused"),
        (lambda m: take_batch_statistics(m, True), exports.unet(), "InstanceNormalization of 6 Batch"),
        (lambda m: take_batch_statistics(m, False), exports.plain(), "no BatchNormalization in training mode"),
        (lambda m: remove_dropout(m, True), exports.unet(), "removed 3 Dropout, 3 of them in training mode"),
        (lambda m: remove_dropout(m, False), exports.eval_dropout(11), "removed 1 Dropout$"),
        (lambda m: remove_dropout(m, False), exports.plain(), "no Dropout"),
        (dequantise_weights, exports.few_bit_weights(), "floats of 1 quantised weights"),
        (dequantise_weights, exports.plain(), "no quantised weights"),
        (widen, exports.half_inside(), "float32 of float16"),
        (widen, exports.plain(kind=TensorProto.DOUBLE), "float32 of double"),
        (widen, exports.plain(), "float32 already"),
        (floats_for_bytes, exports.of_bytes(exports.LAST), "takes floats for bytes and draws floats for bytes"),
        (floats_for_bytes, exports.plain(), "no bytes"),
        (name_nodes, exports.named("nameless"), "named 9 nodes"),
        (sort_nodes, exports.unsorted(), "sorted the nodes"),
        (sort_nodes, exports.plain(), "in order already"),
        (name_nodes, exports.plain(), "named 0 nodes"),
        (replace_old_group_norm, exports.group_norm("operator 18"), "replaced 1 GroupNormalization"),
        (replace_old_group_norm, exports.group_norm("operator 21"), "no GroupNormalization of opset 18"),
        (_planes, exports.tensorflow(exports.LAST), r"takes RGB \[1, H, W, C\] and draws RGB \[1, H, W, C\]"),
        (lambda m: add_planes(m, PLANES, PLANES, SIZE), exports.plain(), "RGB planes already"),
        (lambda m: add_planes(m, GREY, PLANES, SIZE), exports.channels(1, 3), "takes grey$"),
    ],
)  # fmt: skip
def test_a_pass_says_what_it_did_and_leaves_its_argument(run, model, did):
    before = model.SerializeToString(deterministic=True)
    changed, report = run(model)
    assert model.SerializeToString(deterministic=True) == before
    assert re.search(did, report.did), report
    assert report.changed is not did.startswith(
        ("no ", "one ", "float32 already", "named 0", "RGB planes", "in order")
    )
    onnx.checker.check_model(changed)


def test_widening_reaches_branches_and_constants():
    """Else a type would not fit where a branch hands its result on."""
    value = helper.make_tensor_value_info("branch", TensorProto.FLOAT16, [1, 3, 8, 8])
    half = helper.make_node(
        "Constant", [], ["half"], value=helper.make_tensor("v", TensorProto.FLOAT16, [], [0.5])
    )
    branch = helper.make_graph([half, helper.make_node("Mul", ["x", "half"], ["branch"])], "b", [], [value])
    net = exports.Net(17, exports.HALF)
    net.finish(net.add("If", net.hold(True, bool), then_branch=branch, else_branch=branch))
    model = net.model([1, 3, 8, 8])
    onnx.checker.check_model(model, full_check=True)
    onnx.checker.check_model(widen(model)[0], full_check=True)
    assert str(widen(model)[0]).count("data_type: 10") == 0


def test_a_flag_of_training_that_is_computed_is_refused():
    net = exports.Net()
    dark = net.add("Less", net.add("ReduceMean", "x", keepdims=0), net.hold(0.0))
    net.finish(net.add("Dropout", "x", "", dark, name="drop"))
    with pytest.raises(ModelError, match="whether Dropout 'drop' is in training mode is computed"):
        remove_dropout(net.model(exports.PLANES), True)


def test_a_dropout_of_ratio_0_may_be_in_training_mode():
    net = exports.Net()
    net.finish(net.add("Dropout", "x", net.hold(0.0), net.hold(True, bool)))
    assert remove_dropout(net.model(exports.PLANES), False)[1].did == "removed 1 Dropout"


def test_batch_statistics_of_single_numbers_are_refused():
    net = exports.Net()
    flat = net.add("Flatten", "x")
    running = net.hold([0.0] * 4608), net.hold([1.0] * 4608)
    gain, bias = net.gain_and_bias(4608)
    a = net.add("BatchNormalization", flat, gain, bias, *running, outputs=3, name="bn", training_mode=1)
    net.finish(net.add("Reshape", a, net.hold(exports.PLANES)))
    with pytest.raises(ModelError, match="'bn' normalises single numbers"):
        take_batch_statistics(net.model(exports.PLANES), True)


def test_planes_declare_what_is_drawn():
    changed, _ = add_planes(exports.channels(3, 1), PLANES, GREY, SIZE)
    assert dims_of(changed.graph.output[0]) == [1, 3, *SIZE]


def test_what_only_another_output_needed_is_gone():
    kept, _ = keep_output(exports.outputs("two"), "coarse")
    assert [value.name for value in kept.graph.output] == ["coarse"]
    assert {node.op_type for node in nodes_in(kept.graph)} == {"Conv", "Tanh"}
    assert len(kept.graph.initializer) == 4
    assert "mask" not in tensor_names(kept.graph)


def test_what_a_branch_captures_is_kept():
    model = exports.looping()
    assert len(keep_output(model, "y")[0].graph.initializer) == len(model.graph.initializer)


def test_per_channel_gains_in_opset_18_are_refused():
    net = exports.Net(18)
    gain, bias = net.gain_and_bias(8)
    a = net.add("GroupNormalization", net.conv("x", 3, 8), gain, bias, name="gn", num_groups=2)
    net.finish(net.conv(a, 8, 3))
    with pytest.raises(ModelError, match=r"'gn' has 8 gains for 2 groups.*opset_version=21"):
        replace_old_group_norm(net.model(exports.PLANES))


def test_a_circle_is_refused():
    net = exports.Net()
    net.add("Add", "x", "b", outputs=["a"], name="first")
    net.add("Tanh", "a", outputs=["b"])
    net.finish("b")
    with pytest.raises(ModelError, match="Add 'first' needs its own result: the graph has a circle"):
        sort_nodes(net.model(exports.PLANES))


def test_bytes_that_are_drawn_are_cut_off_and_not_rounded():
    model = exports.of_bytes(exports.PLANES)
    pixels = np.random.default_rng(0).integers(0, 256, exports.PLANES, np.uint8)
    drawn = session(model.SerializeToString(), "bytes").run(None, {"x": pixels})[0]
    changed, _ = floats_for_bytes(model)
    floats = session(changed.SerializeToString(), "floats").run(None, {"x": pixels.astype(np.float32)})[0]
    np.testing.assert_array_equal(floats, drawn)
