"""Pass, for OpenVINO: InstanceNormalization of a few channels, written out.

OpenVINO is as slow with a normalisation of three channels as with one of sixteen (docs/pack.md). The shipped generator
normalises the picture that it takes and the one that it draws: in INT8, that is a quarter of its time.
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
        nodes.extend(_written(model, node))
        written += 1
    replace_nodes(graph, nodes)
    return model, PassReport(
        "norms", f"{written} InstanceNormalization of few channels written out", written > 0
    )


def _written(model: ModelProto, node: NodeProto) -> list[NodeProto]:
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
        return made("ReduceMean", [of], part, axes=[2, 3], keepdims=1)

    axes = constant("axes", np.array([2, 3])) if opset_of(model) >= _AXES_ARE_INPUTS else ""
    epsilon = constant("epsilon", np.array(attributes(node).get("epsilon", 1e-5), np.float32))
    shape = constant("shape", np.array([1, -1, 1, 1]))
    return [
        mean(value, "mean"),
        made("Sub", [value, name("mean")], "difference"),
        made("Mul", [name("difference"), name("difference")], "square"),
        mean(name("square"), "variance"),
        made("Add", [name("variance"), epsilon], "spread"),
        made("Sqrt", [name("spread")], "deviation"),
        made("Reshape", [gain, shape], "gain"),
        made("Reshape", [bias, shape], "bias"),
        made("Div", [name("gain"), name("deviation")], "factor"),
        made("Mul", [name("difference"), name("factor")], "scaled"),
        helper.make_node("Add", [name("scaled"), name("bias")], [node.output[0]], node.name),
    ]
