import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgegan.pack.bounds import output_bounds


def graph(*steps):
    """A chain of (operator, constants…, attributes)."""
    nodes, held, tensor = [], [], "x"
    for number, (operator, *constants) in enumerate(steps):
        attributes = constants.pop() if constants and isinstance(constants[-1], dict) else {}
        names = [f"k{number}_{index}" if value is not None else "" for index, value in enumerate(constants)]
        held += [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for value, name in zip(constants, names, strict=True)
            if value is not None
        ]
        nodes.append(helper.make_node(operator, [tensor, *names], [f"t{number}"], f"n{number}", **attributes))
        tensor = f"t{number}"
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    drawn = helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [1, 3, 8, 8])
    return helper.make_graph(nodes, "chain", [picture], [drawn], held)


TANH = ("Tanh",)
CROPS = {"coordinate_transformation_mode": "tf_crop_and_resize"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([TANH], (-1, 1)),
        ([("Sigmoid",)], (0, 1)),
        ([("HardSigmoid",)], (0, 1)),
        ([("Softsign",)], (-1, 1)),
        ([("Clip", 0, 255)], (0, 255)),
        ([("Relu",), ("Min", 1)], (0, 1)),
        ([("Clip", 0, None), ("Clip", None, 1)], (0, 1)),
        ([("Relu",), ("Mul", 2), ("Min", 1)], (0, 1)),
        ([("Max", 0), ("Min", 255)], (0, 255)),
        ([TANH, ("Mul", 127.5), ("Add", 127.5)], (0, 255)),
        ([TANH, ("Add", 1), ("Div", 2)], (0, 1)),
        ([TANH, ("Sub", -1), ("Mul", 0.5)], (0, 1)),
        ([("Sigmoid",), ("Neg",), ("Add", 1)], (0, 1)),
        ([TANH, ("Mul", np.full((1, 3, 1, 1), 127.5)), ("Add", np.full(1, 127.5))], (0, 255)),
        ([TANH, ("Clip", 0, 5)], (0, 1)),
        ([("Clip", -1, 1), ("Identity",), ("Cast", {"to": TensorProto.FLOAT16})], (-1, 1)),
        ([TANH, ("Transpose", {"perm": [0, 2, 3, 1]})], (-1, 1)),
        ([TANH, ("Resize", None, np.array([1, 1, 2, 2]), {"mode": "linear"})], (-1, 1)),
        ([TANH, ("Pad", np.zeros(8), {"mode": "reflect"})], (-1, 1)),
        ([TANH, ("Mul", 150), ("Add", 127.5)], (-22.5, 277.5)),
    ],
)
def test_bounds_come_from_the_last_bounded_node_and_what_scales_it(steps, expected):
    bounds = output_bounds(graph(*steps))
    assert bounds is not None
    assert (bounds.low, bounds.high) == expected
    assert bounds.as_is == (steps[-1][0] not in ("Mul", "Add", "Sub", "Div", "Neg"))


@pytest.mark.parametrize(
    "steps",
    [
        [("Conv", np.zeros((3, 3, 1, 1)))],
        [("Relu",)],
        [("Clip", 0, None)],
        [("Relu",), ("Mul", 2)],
        [TANH, ("Mul", np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1))],
        [TANH, ("Conv", np.zeros((3, 3, 1, 1)))],
        [TANH, ("Resize", None, np.array([1, 1, 2, 2]), {"mode": "cubic"})],
        [TANH, ("Pad", np.zeros(8))],
        [TANH, ("Resize", np.zeros(8), np.ones(4), {"mode": "linear", **CROPS})],  # draws beyond the border
        [TANH, ("Mul", 0)],
        [TANH, ("Cast", {"to": TensorProto.UINT8})],
        [TANH, ("Div", 0)],
    ],
)
def test_what_is_not_bounded_on_both_sides_or_by_channel_is_not_bounded(steps):
    assert output_bounds(graph(*steps)) is None


@pytest.mark.parametrize("step", [("Identity",), ("Neg",), ("Clip", -2, 2)])
def test_a_chain_may_be_longer_than_the_stack(step):
    bounds = output_bounds(graph(TANH, *[step] * 3000))
    assert (bounds.low, bounds.high) == (-1, 1)
    assert output_bounds(graph(*[step] * 3000)) == (None if step[0] != "Clip" else output_bounds(graph(step)))


def test_the_node_is_named():
    assert output_bounds(graph(TANH, ("Mul", 2))).node == "Tanh 'n0'"
    assert output_bounds(graph(TANH, ("Clip", -1, 1))).node == "Tanh 'n0'", "a Clip that changes nothing"
    assert output_bounds(graph(TANH, ("Clip", 0, 1))).node == "Clip 'n1'"


def test_parts_are_put_together():
    one = graph(TANH, ("Slice",), ("Identity",))
    one.node[2].CopyFrom(helper.make_node("Concat", ["t0", "t1"], ["t2"], axis=1))
    assert (output_bounds(one).low, output_bounds(one).high) == (-1, 1)
    one.node[2].input[1] = "x"
    assert output_bounds(one) is None


def test_constants_behind_other_nodes_are_seen():
    one = graph(TANH, ("Mul", 127.5), ("Add", 127.5))
    constant = helper.make_node("Constant", [], ["c"], value_float=127.5)
    one.node.insert(0, helper.make_node("Cast", ["c"], ["k"], to=TensorProto.FLOAT))
    one.node.insert(0, constant)
    for node in one.node[-2:]:
        node.input[1] = "k"
    assert (output_bounds(one).low, output_bounds(one).high) == (0, 255)
    one.node[-1].input.reverse()
    assert output_bounds(one).high == 255
    one.node[-2].input[1] = "x"
    assert output_bounds(one) is None
