"""The pixel nodes alone, around a generator that changes nothing, give numpy's pixels exactly."""

import itertools

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper

from edgegan.pack.compare import Packed, pixels_from_values, values_from_pixels
from edgegan.pack.pixels import add_pixels
from edgegan.pack.ranges import ValueRanges

UNIT, SIGNED, BYTES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)


def _around(nodes, ranges, shape=(1, 3, 16, 24), names=("x", "y"), constants=()):
    """A packed model of a few nodes; 17 is the opset."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], list(constants))
    return add_pixels(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), ranges
    )


def _identity(ranges):
    return _around([helper.make_node("Identity", ["x"], ["y"])], ranges)[0]


def _times(factor, ranges):
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [1, 3, 1, 1], factor)
    return _around([helper.make_node("Mul", ["x", "factor"], ["y"])], ranges, constants=[constant])[0]


@pytest.mark.parametrize("values", [UNIT, SIGNED, BYTES, (-0.5, 3.25)])
def test_every_byte_comes_back(values):
    pixels = np.arange(16 * 24 * 3, dtype=np.uint32).astype(np.uint8).reshape(16, 24, 3)
    packed = Packed(_identity(ValueRanges(values, values)))
    np.testing.assert_array_equal(packed.draw(pixels), pixels)


def test_the_generator_sees_red_first(photo):
    blackened = Packed(_times([1, 0, 0], ValueRanges(UNIT, UNIT))).draw(photo)
    np.testing.assert_array_equal(blackened[..., 2], photo[..., 2])  # red, the last of BGR
    assert not blackened[..., :2].any()


@pytest.mark.parametrize(
    ("factor", "level", "drawn"),
    [(2.0, 200, 255), (-1.0, 200, 0), (0.5, 3, 2), (0.5, 5, 2), (0.5, 7, 4), (0.49, 5, 2), (0.51, 5, 3)],
)
def test_clips_and_rounds_to_the_nearest_even(factor, level, drawn):
    pixels = np.full((16, 24, 3), level, np.uint8)
    packed = Packed(_times([factor] * 3, ValueRanges(BYTES, BYTES)))
    assert set(packed.draw(pixels).flat) == {drawn}


def test_a_range_of_bytes_needs_no_arithmetic():
    operators = [node.op_type for node in _identity(ValueRanges(BYTES, BYTES)).graph.node]
    assert operators == [
        *("Cast", "Transpose", "Gather", "Identity"),
        *("Gather", "Round", "Clip", "Transpose", "Cast"),
    ]


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_names_of_the_generator_may_be_any(where):
    """Also those that the packed model needs itself, inside or the wrong way round."""
    chain = {
        "outside": ("output", "pixels/x", "a", "b", "input"),
        "inside": ("x", "input", "output", "pixels/taken", "y"),
    }[where]
    nodes = [helper.make_node("Neg", [a], [b]) for a, b in itertools.pairwise(chain)]
    model, _ = _around(nodes, ValueRanges(SIGNED, SIGNED), names=(chain[0], chain[-1]))
    onnx.checker.check_model(model, full_check=True)
    pixels = np.full((16, 24, 3), 7, np.uint8)
    np.testing.assert_array_equal(Packed(model).draw(pixels), pixels)


def test_what_branches_read_is_renamed_too(photo):
    """If captures the picture by name."""
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3, 16, 24])
    branch = helper.make_graph([helper.make_node("Identity", ["input"], ["z"])], "branch", [], [value])
    truth = helper.make_tensor("truth", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["truth"], ["output"], then_branch=branch, else_branch=branch)
    model, _ = _around([node], ValueRanges(UNIT, UNIT), names=("input", "output"), constants=[truth])
    np.testing.assert_array_equal(Packed(model).draw(photo), photo)


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 21])
def test_every_opset_agrees_with_numpy(make, photo, opset):
    generator = make(opset=opset)
    packed, report = add_pixels(generator, ValueRanges(SIGNED, SIGNED))
    onnx.checker.check_model(packed, full_check=True)
    float_model = onnx.reference.ReferenceEvaluator(generator)
    drawn = float_model.run(None, {"input": values_from_pixels(photo, SIGNED)})[0]
    expected = pixels_from_values(drawn, SIGNED)
    assert np.abs(Packed(packed).draw(photo).astype(int) - expected).max() <= 1
    assert "-1 to 1" in report.did


def test_the_output_may_be_larger_than_the_input(photo):
    twice = helper.make_tensor("twice", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Resize", ["x", "", "twice"], ["y"], mode="nearest")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 24])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "h", "w"])],
            [twice],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    packed, _ = add_pixels(model, ValueRanges(BYTES, BYTES))
    drawn = Packed(packed).draw(photo)
    assert drawn.shape == (32, 48, 3)
    np.testing.assert_array_equal(drawn[::2, ::2], photo)


def test_names_of_nodes_may_be_any_too(photo):
    nodes = [helper.make_node("Identity", ["x"], ["y"], name="pixels/before/Cast")]
    model, _ = _around(nodes, ValueRanges(BYTES, BYTES))
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(Packed(model).draw(photo), photo)
