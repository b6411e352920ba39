"""Each rule of the pixel contract, broken once."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.contract import check_contract
from edgegan.pack.pixels import add_pixels
from edgegan.pack.ranges import ValueRanges


@pytest.fixture
def packed(make):
    return add_pixels(make(), ValueRanges((-1, 1), (-1, 1)))[0]


def _node(model, name):
    return next(node for node in model.graph.node if node.name == name)


def test_a_packed_model_keeps_it(packed):
    check_contract(packed)


def _second_reader(model):
    model.graph.node.append(
        helper.make_node("Cast", ["input"], ["more"], "second_cast", to=TensorProto.FLOAT)
    )


def _transpose_of_bytes(model):
    _node(model, "pixels/before/Cast").input[0] = "turned"
    model.graph.node.insert(
        0, helper.make_node("Transpose", ["input"], ["turned"], "turn", perm=[0, 1, 2, 3])
    )


def _no_round(model):
    _node(model, "pixels/after/Round").op_type = "Floor"


def _no_clip(model):
    _node(model, "pixels/after/Clip").op_type = "Max"


def _clip_too_wide(model):
    bound = next(t for t in model.graph.initializer if t.name == "pixels/after/Clip/constant_1")
    bound.CopyFrom(helper.make_tensor(bound.name, TensorProto.FLOAT, [], [256.0]))


def _wrong_transpose(model):
    _node(model, "pixels/after/Transpose").attribute[0].CopyFrom(helper.make_attribute("perm", [0, 3, 2, 1]))


def _round_after_clip(model):
    a, b = _node(model, "pixels/after/Round"), _node(model, "pixels/after/Clip")
    a.op_type, b.op_type = "Clip", "Round"
    a.input.extend(b.input[1:])
    del b.input[1:]


def _more_bytes(model):
    model.graph.node.append(helper.make_node("Cast", ["a"], ["b8"], "to_bytes", to=TensorProto.UINT8))


def _float_output(model):
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _another_name(model):
    model.graph.input[0].name = "picture"


def _dynamic(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "h"


def _clip_read_twice(model):
    model.graph.node.append(helper.make_node("Neg", ["pixels/after/Clip"], ["more"], "peek"))


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (_second_reader, "'second_cast' reads 'input'"),
        (_transpose_of_bytes, "Transpose 'turn' reads 'input'"),
        (_no_round, "Floor 'pixels/after/Round' makes"),
        (_no_clip, "Max 'pixels/after/Clip' makes"),
        (_clip_too_wide, r"'pixels/after/Clip' must clip to 0..255, has \[0.0, 256.0\]"),
        (_wrong_transpose, r"'pixels/after/Transpose' must have perm \[0, 2, 3, 1\]"),
        (_round_after_clip, "Round 'pixels/after/Clip' makes"),
        (_more_bytes, "Cast 'to_bytes' touches 'b8'"),
        (_float_output, r"'output' float32 .* is not uint8"),
        (_another_name, "must have one input"),
        (_dynamic, r"'input' uint8 \[1, \?, 24, 3\] is not uint8 \[1, H, W, 3\]"),
        (_clip_read_twice, "'pixels/after/Clip', on the way to the output, is read elsewhere"),
    ],
)
def test_a_broken_rule_is_named(packed, breaks, says):
    breaks(packed)
    with pytest.raises(ModelError, match=says):
        check_contract(packed)


def _levels_for_products(model):
    """Bytes as ONNX Runtime's INT8 wants them: quantised, turned, one more row, gathered, multiplied."""
    held = {
        "step": np.float32(0.1),
        "zero": np.uint8(3),
        "places": np.array([16 * 24, 4], np.int64),
        "outside": np.full((1, 4), 3, np.uint8),
        "indices": np.zeros((1, 2), np.int32),
        "taps": np.array([1, 8], np.int64),
        "weights": np.ones((8, 2), np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in held.items())
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    steps = [
        ("QuantizeLinear", ["b", "step", "zero"], "levels", {}),
        ("Transpose", ["levels"], "turned", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["turned", "places"], "rows", {}),
        ("Concat", ["rows", "outside"], "more_rows", {"axis": 0}),
        ("Gather", ["more_rows", "indices"], "gathered", {"axis": 0}),
        ("Reshape", ["gathered", "taps"], "laid", {}),
        (
            "MatMulIntegerToFloat",
            ["laid", "weights", "step", "step", "zero"],
            "product",
            {"domain": "com.microsoft"},
        ),
    ]
    model.graph.node.extend(helper.make_node(op, i, [o], o, **given) for op, i, o, given in steps)


def test_bytes_on_the_way_to_an_integer_product_keep_it(packed):
    _levels_for_products(packed)
    check_contract(packed)


@pytest.mark.parametrize(
    ("op", "reads", "given"),
    [
        ("Cast", "gathered", {"to": TensorProto.FLOAT}),
        ("Transpose", "turned", {"perm": [0, 3, 1, 2]}),
        ("Identity", "levels", {}),
    ],
)
def test_others_that_read_these_bytes_break_it(packed, op, reads, given):
    _levels_for_products(packed)
    packed.graph.node.append(helper.make_node(op, [reads], ["other"], "reader", **given))
    with pytest.raises(ModelError, match=f"{op} 'reader' touches '"):
        check_contract(packed)


def test_bytes_that_nothing_quantised_break_it_also_before_a_product(packed):
    _levels_for_products(packed)
    node = _node(packed, "levels")
    node.op_type = "Cast"
    del node.input[1:]
    node.attribute.append(helper.make_attribute("to", TensorProto.UINT8))
    with pytest.raises(ModelError, match="Cast 'levels' touches 'levels'"):
        check_contract(packed)
