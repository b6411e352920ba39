"""Weights that are no numbers are found before they spoil a picture."""

from collections.abc import Iterator

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.check import FLOATS
from edgegan.pack.graph import graphs_in, quoted

__all__ = ["check_finite"]

_WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "InstanceNormalization")
_MEND = "its training has diverged, or it was converted wrongly: export it again"


def check_finite(model: ModelProto) -> None:
    """Raise `ModelError`, naming the tensor, for NaN anywhere, or infinity in what is multiplied with."""
    for graph in graphs_in(model.graph):
        weights = {name for node in graph.node if node.op_type in _WEIGHTED for name in node.input}
        for name, tensor in _tensors(graph):
            if tensor.data_type not in FLOATS:
                continue
            values = numpy_helper.to_array(tensor).astype(np.float64, copy=False)
            if np.isnan(values).any():
                raise ModelError(f"the weight {quoted(name)} holds NaN", _MEND)
            if name in weights and np.isinf(values).any():
                raise ModelError(f"the weight {quoted(name)} holds an infinite number", _MEND)


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], a.t) for a in node.attribute if a.HasField("t"))
