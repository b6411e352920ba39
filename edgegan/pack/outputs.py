"""Pass: of several outputs the picture stays, and what only the others needed goes."""

from onnx import ModelProto, ValueInfoProto

from edgegan.pack.graph import PassReport, copied, drop_unused, quoted

__all__ = ["keep_output"]


def keep_output(model: ModelProto, name: str) -> tuple[ModelProto, PassReport]:
    """Keep the one output called `name`, and the nodes and weights that it needs."""
    model = copied(model)
    outputs: dict[str, ValueInfoProto] = {value.name: value for value in model.graph.output}
    kept = ValueInfoProto()
    kept.CopyFrom(outputs.pop(name))
    del model.graph.output[:]
    model.graph.output.append(kept)
    dropped = drop_unused(model.graph)
    did = [f"dropped the outputs {', '.join(map(quoted, outputs))}"] if outputs else []
    did += [f"dropped {dropped} unused nodes"] if dropped else []
    return model, PassReport("outputs", " and ".join(did) or "one output, nothing unused", bool(did))
