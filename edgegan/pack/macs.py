"""How much a generator computes and holds."""

from math import prod

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from edgegan.pack.graph import dims_of

__all__ = ["count_macs", "count_params", "known_shapes", "macs_by_node"]

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_NO_WEIGHTS = {"Resize": (1, 2), "Upsample": (1,), "BatchNormalization": (3, 4), "Clip": (1, 2), "Pad": (2,)}
"""Inputs that are settings or running statistics, not trained weights."""
_PIXELS = ("pixels/before/", "pixels/after/", "planes/")


def count_macs(model: ModelProto) -> int | None:
    """Multiply-accumulates a picture in Conv, ConvTranspose, matrix products and Gemm; None if a shape is unknown."""
    try:
        return sum(macs_by_node(model).values())
    except KeyError:
        return None


def macs_by_node(model: ModelProto) -> dict[str, int]:
    """The same by the name of the node. Raises `KeyError` if a shape is unknown."""
    shapes = known_shapes(model)
    return {
        node.name: _MACS[node.op_type](node, shapes) for node in model.graph.node if node.op_type in _MACS
    }


def known_shapes(model: ModelProto) -> dict[str, list[int]]:
    """The fixed shapes of all tensors of the graph itself, as far as they can be derived."""
    return _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)


def count_params(model: ModelProto) -> int:
    """Trained floats, each tensor once: what nodes read as weights, not as settings or running statistics.

    What an exporter wrote as a weight counts, such as the ones and zeros of a normalisation without gain.
    """
    sizes = {t.name: prod(t.dims) for t in model.graph.initializer if t.data_type in _FLOATS}
    weights = {
        name
        for node in model.graph.node
        if not node.name.lstrip("_").startswith(_PIXELS)
        for index, name in enumerate(node.input)
        if index not in _NO_WEIGHTS.get(node.op_type, ())
    }
    return sum(sizes[name] for name in weights & set(sizes))


_Shapes = dict[str, list[int]]


def _shapes(graph: GraphProto) -> _Shapes:
    """The fixed shapes of all tensors of the graph itself."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [dim for dim in dims_of(value) or [None] if dim is not None]
        if len(dims) == len(dims_of(value) or [None]):
            shapes[value.name] = dims
    return shapes


def _conv(node: NodeProto, shapes: _Shapes) -> int:
    """Each output value costs one kernel: weights are (out, in / group, *kernel)."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _conv_transpose(node: NodeProto, shapes: _Shapes) -> int:
    """Each input value is spread over one kernel: weights are (in, out / group, *kernel)."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matmul(node: NodeProto, shapes: _Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: _Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


_MACS = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "Gemm": _gemm,
}
