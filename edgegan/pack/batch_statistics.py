"""Pass: BatchNormalization in training mode becomes InstanceNormalization.

In training mode it normalises with mean and (biased) variance of what it is given, over batch, height and width.
pix2pix is run so. For one picture that is what InstanceNormalization does, which every runtime has, with the
same epsilon; for a map of one pixel both give the bias.
"""

import onnx
from onnx import AttributeProto, ModelProto, NodeProto

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.dropout import training_dropouts
from edgegan.pack.graph import PassReport, copied, dims_of, names_read, node_text, nodes_in, opset_of

__all__ = ["check_asked_for", "take_batch_statistics", "training_norms"]

_FIRST_WITH_MODE = 14
_KEEP_MODE = "export with torch.onnx.export(…, dynamo=False, training=TrainingMode.TRAINING), which keeps it"
_EVAL = "export the model after model.eval()"


def check_asked_for(model: ModelProto) -> None:
    """Raise `ConfigError` unless a node is in training mode."""
    if not training_norms(model) and not training_dropouts(model):
        raise ConfigError(
            "the model has no BatchNormalization and no Dropout in training mode",
            f"leave --batch-statistics out, or {_KEEP_MODE}",
        )


def take_batch_statistics(model: ModelProto, allowed: bool) -> tuple[ModelProto, PassReport]:
    """Turn every BatchNormalization in training mode into InstanceNormalization.

    Raises `ModelError`, naming the node: one is in training mode and that is not `allowed`; its running
    statistics are read; it normalises single numbers.
    """
    found = training_norms(model)
    if found and not allowed:
        raise ModelError(
            f"{node_text(found[0])} is in training mode: it normalises with the statistics of each picture",
            f"{_EVAL}, or keep them with --batch-statistics",
        )
    if not found:
        return model, PassReport("batch statistics", "no BatchNormalization in training mode", changed=False)
    ranks = _ranks(model)
    model = copied(model)
    for node in training_norms(model):
        _check(node, model, ranks)
        _made_instance_normalisation(node)
    return model, PassReport(
        "batch statistics", f"made InstanceNormalization of {len(found)} BatchNormalization in training mode"
    )


def training_norms(model: ModelProto) -> list[NodeProto]:
    """BatchNormalization in training mode: an attribute says so; before opset 14 more than one output does."""
    before = opset_of(model) < _FIRST_WITH_MODE
    return [
        node
        for node in nodes_in(model.graph)
        if node.op_type == "BatchNormalization" and (any(node.output[1:]) if before else _has_mode(node))
    ]


def _has_mode(node: NodeProto) -> bool:
    return any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)


def _ranks(model: ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {v.name: len(dims_of(v) or []) for v in (*graph.value_info, *graph.input, *graph.output)}


def _check(node: NodeProto, model: ModelProto, ranks: dict[str, int]) -> None:
    read = {name for other in nodes_in(model.graph) for name in names_read(other)}
    read |= {value.name for value in model.graph.output}
    if read.intersection(filter(None, node.output[1:])):
        raise ModelError(f"the running statistics of {node_text(node)} are read elsewhere", _EVAL)
    if ranks.get(node.input[0]) == 2:
        raise ModelError(f"{node_text(node)} normalises single numbers, of which one has no spread", _EVAL)


def _made_instance_normalisation(node: NodeProto) -> None:
    node.op_type = "InstanceNormalization"
    del node.input[3:], node.output[1:]
    kept: list[AttributeProto] = [a for a in node.attribute if a.name == "epsilon"]
    epsilons = [AttributeProto.FromString(attribute.SerializeToString()) for attribute in kept]
    del node.attribute[:]
    node.attribute.extend(epsilons)
