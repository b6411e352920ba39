"""What every pass needs to know about an ONNX graph."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from edgegan.errors import ModelError

__all__ = [
    "PassReport",
    "constant_values",
    "copied",
    "described",
    "dims_of",
    "nodes_in",
    "producer_of",
    "rename_tensor",
    "tensor_names",
]


@dataclass(frozen=True)
class PassReport:
    """What a pass did, in words; `changed` is False if the model is as it was."""

    name: str
    did: str
    changed: bool = True


def copied(model: ModelProto) -> ModelProto:
    """A deep copy, for a pass to change."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def dims_of(value: ValueInfoProto) -> list[int | None] | None:
    """The dimensions of a tensor, None for each that is not fixed; None if not even their number is known."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]


def described(value: ValueInfoProto) -> str:
    """`'style' float32 [1, 26]`, for messages; `?` is a dimension that is not fixed."""
    number = value.type.tensor_type.elem_type
    names = {**{v: k.lower() for k, v in TensorProto.DataType.items()}, TensorProto.FLOAT: "float32"}
    kind = names.get(number, f"type {number}")
    dims = dims_of(value)
    shape = "of unknown shape" if dims is None else "[" + ", ".join(str(d or "?") for d in dims) + "]"
    return f"'{value.name}' {kind} {shape}"


def nodes_in(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, also those inside of If, Loop and Scan."""
    for node in graph.node:
        yield node
        for inner in _graphs_of(node):
            yield from nodes_in(inner)


def producer_of(graph: GraphProto, tensor: str) -> NodeProto:
    """The node that makes `tensor`. Raises `ModelError` if none does."""
    node: NodeProto
    for node in graph.node:
        if tensor in node.output:
            return node
    raise ModelError(f"no node makes the tensor '{tensor}'", "the model is damaged: export it again")


def constant_values(graph: GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    """The values of all initialisers and Constant nodes of the graph itself, by name."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name.startswith("value"):
            value = helper.get_attribute_value(node.attribute[0])
            is_tensor = isinstance(value, TensorProto)
            values[node.output[0]] = numpy_helper.to_array(value) if is_tensor else np.asarray(value)
    return values


def tensor_names(graph: GraphProto) -> set[str]:
    """The names of all tensors, also of those inside of If, Loop and Scan."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    for node in nodes_in(graph):
        names.update(node.input, node.output)
    return names


def rename_tensor(graph: GraphProto, old: str, new: str) -> None:
    """Rename a tensor everywhere, in place."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new if value.name == old else value.name
    for node in nodes_in(graph):
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
