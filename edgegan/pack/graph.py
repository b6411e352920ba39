"""What every pass needs to know about an ONNX graph."""

from collections.abc import Iterator, Sequence
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
    "drop_unused",
    "fresh_name",
    "graphs_in",
    "names_read",
    "node_text",
    "nodes_in",
    "opset_of",
    "producer_of",
    "quoted",
    "rename_tensor",
    "replace_nodes",
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
    return f"{quoted(value.name)} {kind} {shape}"


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators; 0 if the model names none."""
    return max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=0)


def node_text(node: NodeProto) -> str:
    """`Conv 'first'`, for messages; a node without a name goes by its first output."""
    return f"{node.op_type} {quoted(node.name or next(filter(None, node.output), ''))}"


def quoted(name: str) -> str:
    """A name in quotes, on one line whatever it holds."""
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in name) + "'"


def nodes_in(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, also those inside of If, Loop and Scan."""
    for inner in graphs_in(graph):
        yield from inner.node


def graphs_in(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph itself, and those inside of If, Loop and Scan."""
    yield graph
    for node in graph.node:
        for inner in _graphs_of(node):
            yield from graphs_in(inner)


def names_read(node: NodeProto) -> set[str]:
    """All tensors that a node reads, also those that its branches or its body capture."""
    inner = {name for graph in _graphs_of(node) for each in nodes_in(graph) for name in each.input}
    results = {value.name for graph in _graphs_of(node) for value in graph.output}
    return (inner | results | set(node.input)) - {""}


def drop_unused(graph: GraphProto) -> int:
    """Take out, in place, the nodes and initialisers that no output needs; returns how many nodes."""
    wanted, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= names_read(node)
    dropped = len(graph.node) - len(kept)
    held = [tensor for tensor in graph.initializer if tensor.name in wanted]
    if dropped:
        replace_nodes(graph, kept[::-1])
    if len(held) < len(graph.initializer):
        held = [TensorProto.FromString(tensor.SerializeToString()) for tensor in held]
        del graph.initializer[:]
        graph.initializer.extend(held)
    return dropped


def replace_nodes(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    """Let the graph have these nodes, in place; they may be its own."""
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def fresh_name(graph: GraphProto, stem: str) -> str:
    """`stem`, or that with underscores before it if a tensor is called so."""
    names = tensor_names(graph)
    while stem in names:
        stem = "_" + stem
    return stem


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
    names: set[str] = set()
    for inner in graphs_in(graph):
        names.update(value.name for value in (*inner.input, *inner.output, *inner.initializer))
        for node in inner.node:
            names.update(node.input, node.output)
    return names


def rename_tensor(graph: GraphProto, old: str, new: str) -> None:
    """Rename a tensor everywhere, in place."""
    for inner in graphs_in(graph):
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
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
