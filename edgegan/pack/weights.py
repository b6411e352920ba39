"""Pass: weights that are stored in few bits become floats again."""

from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from edgegan.pack.graph import PassReport, constant_values, copied, drop_unused, graphs_in, node_text
from edgegan.pack.reading import run_session, session

__all__ = ["dequantise_weights"]


def dequantise_weights(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Compute every DequantizeLinear of constants. What is quantised while it runs is left to be refused."""
    model = copied(model)
    count = sum(_dequantised(model, graph) for graph in graphs_in(model.graph))
    if count:
        drop_unused(model.graph)
    did = f"made floats of {count} quantised weights" if count else "no quantised weights"
    return model, PassReport("weights", did, bool(count))


def _dequantised(model: ModelProto, graph: GraphProto) -> int:
    if not any(node.op_type == "DequantizeLinear" for node in graph.node):
        return 0
    values = constant_values(graph)
    found = [n for n in graph.node if n.op_type == "DequantizeLinear" and set(n.input) - {""} <= set(values)]
    for node in found:
        graph.initializer.append(_value_of(node, model, values))
        graph.node.remove(node)
    return len(found)


def _value_of(node: NodeProto, model: ModelProto, values: dict[str, Any]) -> TensorProto:
    """As ONNX Runtime computes it."""
    feeds = {name: values[name] for name in node.input if name}
    held = [numpy_helper.from_array(array, name) for name, array in feeds.items()]
    scale = onnx.helper.np_dtype_to_tensor_dtype(values[node.input[1]].dtype)
    result = onnx.helper.make_tensor_value_info(node.output[0], scale, None)
    graph = onnx.helper.make_graph([node], "weight", [], [result], held)
    single = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=max(model.ir_version, 4)
    )
    opened = session(single.SerializeToString(), node_text(node))
    return numpy_helper.from_array(run_session(opened, {}, node.output[0]), node.output[0])
