"""Pass, for OpenVINO: InstanceNormalization of a few channels, written out.

OpenVINO lays a tensor of three channels out pixel by pixel, and then works on three numbers at a time (docs/pack.md).
The shipped generator normalises the picture that it takes and the one that it draws: in INT8, that is a third of its
time. A tensor of three axes is laid out channel by channel, and so is what follows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgegan.pack.graph import PassReport, copied, opset_of, replace_nodes
from edgegan.pack.macs import known_shapes
from edgegan.pack.quantise.layers import attributes

__all__ = ["write_out_norms"]

_MOST_CHANNELS = 4
_AXES_ARE_INPUTS = 18
"""The opset from which ReduceMean takes its axes as an input."""


def write_out_norms(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """(x - mean) * (gain / sqrt(variance + epsilon)) + bias, for each picture and channel."""
    model = copied(model)
    graph, shapes = model.graph, known_shapes(model)
    nodes: list[NodeProto] = []
    written = 0
    for node in graph.node:
        shape = shapes.get(node.input[0], []) if node.op_type == "InstanceNormalization" else []
        if len(shape) != 4 or shape[1] > _MOST_CHANNELS:
            nodes.append(node)
            continue
        nodes.extend(_written(model, node, shape))
        written += 1
    replace_nodes(graph, nodes)
    return model, PassReport(
        "norms", f"{written} InstanceNormalization of few channels written out", written > 0
    )


def _written(model: ModelProto, node: NodeProto, shape: list[int]) -> list[NodeProto]:
    value, gain, bias = node.input

    def name(part: str) -> str:
        return f"norm/{node.name}/{part}"

    def constant(part: str, array: npt.NDArray[Any]) -> str:
        model.graph.initializer.append(numpy_helper.from_array(array, name(part)))
        return name(part)

    def made(op: str, inputs: list[str], part: str, **given: Any) -> NodeProto:
        return helper.make_node(op, inputs, [name(part)], name(part), **given)

    def mean(of: str, part: str) -> NodeProto:
        if opset_of(model) >= _AXES_ARE_INPUTS:
            return made("ReduceMean", [of, axes], part, keepdims=1)
        return made("ReduceMean", [of], part, axes=[2], keepdims=1)

    axes = constant("axes", np.array([2])) if opset_of(model) >= _AXES_ARE_INPUTS else ""
    epsilon = constant("epsilon", np.array(attributes(node).get("epsilon", 1e-5), np.float32))
    flat = constant("flat", np.array([shape[0], shape[1], shape[2] * shape[3]]))
    by_channel, whole = constant("by_channel", np.array([1, -1, 1])), constant("whole", np.array(shape))
    return [
        made("Reshape", [value, flat], "values"),
        mean(name("values"), "mean"),
        made("Sub", [name("values"), name("mean")], "difference"),
        made("Mul", [name("difference"), name("difference")], "square"),
        mean(name("square"), "variance"),
        made("Add", [name("variance"), epsilon], "spread"),
        made("Sqrt", [name("spread")], "deviation"),
        made("Reshape", [gain, by_channel], "gain"),
        made("Reshape", [bias, by_channel], "bias"),
        made("Div", [name("gain"), name("deviation")], "factor"),
        made("Mul", [name("difference"), name("factor")], "scaled"),
        made("Add", [name("scaled"), name("bias")], "normalised"),
        helper.make_node("Reshape", [name("normalised"), whole], [node.output[0]], node.name),
    ]
