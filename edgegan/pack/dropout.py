"""Pass: Dropout goes. In training mode it draws at random, which only the one who asks for it can give up."""

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto

from edgegan.errors import ModelError
from edgegan.pack.graph import PassReport, constant_values, copied, graphs_in, node_text, nodes_in, opset_of

__all__ = ["remove_dropout", "training_dropouts"]

_FIRST_WITH_MODE = 12


def remove_dropout(model: ModelProto, allowed: bool) -> tuple[ModelProto, PassReport]:
    """Let every Dropout hand on what it is given.

    allowed: also one in training mode. Raises `ModelError`, naming it, where there is one and that is not so.
    """
    training = training_dropouts(model)
    if training and not allowed:
        raise ModelError(
            f"{node_text(training[0])} is in training mode: it draws something else each time",
            "export the model after model.eval(), or leave Dropout out with --batch-statistics",
        )
    model = copied(model)
    removed = [_made_identity(node) for node in nodes_in(model.graph) if node.op_type == "Dropout"]
    did = f"removed {len(removed)} Dropout" if removed else "no Dropout"
    if training:
        did += f", {len(training)} of them in training mode"
    return model, PassReport("dropout", did, bool(removed))


def training_dropouts(model: ModelProto) -> list[NodeProto]:
    """Those that draw at random; before opset 12 none does. Raises `ModelError` if that is computed."""
    if opset_of(model) < _FIRST_WITH_MODE:
        return []
    values = _values_in(model.graph)
    return [
        node for node in nodes_in(model.graph) if node.op_type == "Dropout" and _is_training(node, values)
    ]


def _values_in(graph: GraphProto) -> dict[str, np.ndarray]:
    return {name: value for inner in graphs_in(graph) for name, value in constant_values(inner).items()}


def _is_training(node: NodeProto, values: dict[str, np.ndarray]) -> bool:
    """Inputs are data, ratio (default 0.5), training mode (default false)."""
    ratio, mode = ([*node.input, "", ""])[1:3]
    if not mode or (ratio in values and not values[ratio].any()):
        return False
    if mode not in values:
        raise ModelError(
            f"whether {node_text(node)} is in training mode is computed in '{mode}'",
            "export the model after model.eval()",
        )
    return bool(values[mode].any())


def _made_identity(node: NodeProto) -> NodeProto:
    if any(node.output[1:]):
        del node.output[1:]  # the mask, which the checks find missing if anything reads it
    node.op_type = "Identity"
    del node.input[1:], node.attribute[:]
    return node
