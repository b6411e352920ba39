"""Each rule of the pixel contract, broken once."""

import pytest
from onnx import TensorProto, helper

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
