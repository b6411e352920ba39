"""Pass: float16 (and bfloat16, and double) becomes float32, the precision in which a bundle begins."""

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

from edgegan.pack.graph import PassReport, copied, graphs_in

__all__ = ["widen"]

_OTHERS: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "double",
}
_KIND_ATTRIBUTES = ("to", "dtype", "output_dtype")


def widen(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Make every tensor float32 that is of another float, in the graph and in its branches."""
    model = copied(model)
    found: set[int] = set()
    for graph in graphs_in(model.graph):
        _widen_values(graph, found)
        for node in graph.node:
            _widen_attributes(node, found)
    if not found:
        return model, PassReport("widen", "float32 already", changed=False)
    return model, PassReport("widen", f"made float32 of {' and '.join(_OTHERS[k] for k in sorted(found))}")


def _widen_values(graph: GraphProto, found: set[int]) -> None:
    del graph.value_info[:]
    for tensor in graph.initializer:
        _widen_tensor(tensor, found)
    for value in (*graph.input, *graph.output):
        _widen_type(value.type, found)


def _widen_type(kind: TypeProto, found: set[int]) -> None:
    which = kind.WhichOneof("value")
    if which == "tensor_type" and kind.tensor_type.elem_type in _OTHERS:
        found.add(kind.tensor_type.elem_type)
        kind.tensor_type.elem_type = TensorProto.FLOAT
    elif which in ("sequence_type", "optional_type"):
        _widen_type(getattr(kind, which).elem_type, found)


def _widen_tensor(tensor: TensorProto, found: set[int]) -> None:
    if tensor.data_type in _OTHERS:
        found.add(tensor.data_type)
        array = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _widen_attributes(node: NodeProto, found: set[int]) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            _widen_tensor(attribute.t, found)
        elif attribute.name in _KIND_ATTRIBUTES and attribute.i in _OTHERS:
            found.add(attribute.i)
            attribute.i = TensorProto.FLOAT
