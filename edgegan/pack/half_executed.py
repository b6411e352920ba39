"""What float16 does to a picture, shown on a CPU that computes in float32.

ONNX Runtime's CPU computes a float16 model in float32 from end to end, at every level of optimisation: it widens
the weights and rounds nothing in between. A Cast to float16 and back that stands in a float32 model it keeps,
from version 1.17 on. So here each rounding is such a pair. (OpenVINO is no judge: it drops the pairs.)
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import copied, replace_nodes, tensor_names
from edgegan.pack.half import kinds_of

__all__ = ["as_executed_in_half"]

_EXACT = (
    *(
        "Abs",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Max",
        "MaxPool",
        "Min",
        "Neg",
    ),
    *(
        "Pad",
        "Relu",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ),
)
"""Their results are among their inputs, which are rounded already."""


def as_executed_in_half(model: ModelProto) -> ModelProto:
    """A float32 model that rounds to float16 after every operator that `model`, a result of `half`, has in float16.

    Weights are float16 values. Sums inside of an operator, as a convolution's, stay in float32, as they do in
    TensorRT; a runtime that fuses operators rounds less often than this. Numbers beyond 65504 become infinite.
    The result takes and gives what `model` does, and the names of its nodes and tensors stay.
    """
    kinds = kinds_of(model)
    halves = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
    model = copied(model)
    taken = tensor_names(model.graph)
    nodes = [new for node in model.graph.node for new in _executed(node, halves, taken)]
    replace_nodes(model.graph, nodes)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(_widened(tensor))
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def _executed(node: NodeProto, halves: set[str], taken: set[str]) -> Iterator[NodeProto]:
    """The node in float32, and a rounding behind each result that was float16."""
    node = NodeProto.FromString(node.SerializeToString())
    for attribute in node.attribute:
        if attribute.HasField("t"):
            attribute.t.CopyFrom(_widened(attribute.t))
        elif attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
    pairs = []
    for index, name in enumerate(node.output):
        if name in halves and node.op_type not in (*_EXACT, "Constant"):
            node.output[index] = _fresh(name + "/exact", taken)
            pairs += _rounding(node.output[index], name, _fresh(name + "/rounded", taken))
    yield node
    yield from pairs


def _rounding(exact: str, result: str, between: str) -> list[NodeProto]:
    return [
        helper.make_node("Cast", [exact], [between], between, to=TensorProto.FLOAT16),
        helper.make_node("Cast", [between], [result], between + "/back", to=TensorProto.FLOAT),
    ]


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name = "_" + name
    taken.add(name)
    return name


def _widened(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
