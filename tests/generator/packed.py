"""Packed models with random weights, for tests and benchmarks: uint8 (1, H, W, 3) BGR in and out."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["inverter", "painter", "row_counter"]


def inverter(height: int = 16, width: int = 24) -> bytes:
    """Draws 255 minus what it sees, so that a test knows what must come out."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "seen"], ["inverted"]),
        helper.make_node("Cast", ["inverted"], ["drawn"], to=TensorProto.UINT8),
    ]
    return _model(nodes, {"white": np.float32(255)}, height, width)


def row_counter() -> bytes:
    """16 x 24, draws what it sees. On the way it lays the bytes out in rows as long as the brightest byte says.

    So it works on a picture of 4s, and fails on one of 255s, whose rows do not divide the picture.
    """
    nodes = [
        helper.make_node("Cast", ["pixels"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["seen"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["length"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["length", "one"], ["row"]),
        helper.make_node("Concat", ["rest", "row"], ["rows"], axis=0),
        helper.make_node("Reshape", ["seen", "rows"], ["laid_out"]),
        helper.make_node("Abs", ["laid_out"], ["still_laid_out"]),  # or the two layouts would become one
        helper.make_node("Reshape", ["still_laid_out", "picture"], ["back"]),
        helper.make_node("Cast", ["back"], ["drawn"], to=TensorProto.UINT8),
    ]
    held = {"one": np.array([1]), "rest": np.array([-1]), "picture": np.array([1, 16, 24, 3])}
    return _model(nodes, held, 16, 24)


def painter(channels: int = 8, blocks: int = 1, height: int = 256, width: int = 256) -> bytes:
    """A small encoder, residual blocks and decoder; cost grows with the square of `channels`."""
    random = np.random.default_rng(0)
    held: dict[str, np.ndarray] = {"twice": np.array([1, 1, 2, 2], np.float32), "full": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["seen"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["planes", "full"], ["x"]),
    ]

    def convolution(source: str, inputs: int, outputs: int, stride: int = 1) -> str:
        name = f"conv{len(nodes)}"
        scale = (2 / (9 * inputs)) ** 0.5
        held[f"{name}_weight"] = random.normal(0, scale, (outputs, inputs, 3, 3)).astype(np.float32)
        nodes.append(
            helper.make_node("Conv", [source, f"{name}_weight"], [name], pads=[1] * 4, strides=[stride] * 2)
        )
        nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"]))
        return f"{name}_relu"

    def larger(source: str) -> str:
        nodes.append(helper.make_node("Resize", [source, "", "twice"], [f"{source}_up"], mode="nearest"))
        return f"{source}_up"

    widths = (3, channels, 2 * channels, 4 * channels)
    deep = "x"
    for inputs, outputs in pairwise(widths):
        deep = convolution(deep, inputs, outputs, stride=2)
    for block in range(blocks):
        nodes.append(
            helper.make_node("Add", [deep, convolution(deep, widths[3], widths[3])], [f"block{block}"])
        )
        deep = f"block{block}"
    for inputs, outputs in pairwise(widths[::-1]):
        deep = convolution(larger(deep), inputs, outputs)
    nodes += [
        helper.make_node("Tanh", [deep], ["y"]),
        helper.make_node("Mul", ["y", "full"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["interleaved"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["interleaved"], ["drawn"], to=TensorProto.UINT8),
    ]
    return _model(nodes, held, height, width)


def _model(
    nodes: list[onnx.NodeProto], held: Mapping[str, np.generic | np.ndarray], height: int, width: int
) -> bytes:
    shape = [1, height, width, 3]
    graph = helper.make_graph(
        nodes,
        "packed",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("drawn", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
