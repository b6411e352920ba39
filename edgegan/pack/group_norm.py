"""Pass: GroupNormalization of opset 18 to 20, which ONNX has withdrawn, in operators that stayed.

Its gain and bias are per group, those of opset 21 per channel. As long as they are per group, a group is a map
of InstanceNormalization's.
"""

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.graph import (
    PassReport,
    constant_values,
    copied,
    fresh_name,
    graphs_in,
    node_text,
    opset_of,
)

__all__ = ["replace_old_group_norm"]

_WITHDRAWN = range(18, 21)


def replace_old_group_norm(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Write each as Reshape, InstanceNormalization, Reshape. Raises `ModelError` for one without a group count."""
    if opset_of(model) not in _WITHDRAWN:
        return model, PassReport("group norm", "no GroupNormalization of opset 18", changed=False)
    model = copied(model)
    count = sum(_replaced(graph) for graph in graphs_in(model.graph))
    did = f"replaced {count} GroupNormalization of opset 18"
    return model, PassReport("group norm", did, bool(count))


def _replaced(graph: GraphProto) -> int:
    found = [(i, node) for i, node in enumerate(graph.node) if node.op_type == "GroupNormalization"]
    for index, node in reversed(found):
        written = _written(graph, node)
        del graph.node[index]
        for new in reversed(written):
            graph.node.insert(index, new)
    return len(found)


def _written(graph: GraphProto, node: NodeProto) -> list[NodeProto]:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    x, gain, bias = node.input
    values = constant_values(graph)
    groups = attributes.get("num_groups", 0)
    if gain in values and values[gain].shape != (groups,):
        raise ModelError(
            f"{node_text(node)} has {values[gain].size} gains for {groups} groups",
            "opset 18 wants one for each group: export the model with opset_version=21",
        )
    stem = fresh_name(graph, f"{node.output[0]}/groups")
    held = numpy_helper.from_array(np.array([0, groups, -1], np.int64), f"{stem}/shape")
    graph.initializer.append(held)
    epsilon = {"epsilon": attributes.get("epsilon", 1e-5)}
    return [
        helper.make_node("Reshape", [x, held.name], [stem], f"{stem}/apart"),
        helper.make_node(
            "InstanceNormalization", [stem, gain, bias], [f"{stem}/normal"], f"{stem}/norm", **epsilon
        ),
        helper.make_node("Shape", [x], [f"{stem}/whole"], f"{stem}/shape_of"),
        helper.make_node(
            "Reshape", [f"{stem}/normal", f"{stem}/whole"], [node.output[0]], f"{stem}/together"
        ),
    ]
