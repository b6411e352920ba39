"""Pass: every node has a name, and no two the same, as runtimes want it."""

from collections import Counter

from onnx import ModelProto

from edgegan.pack.graph import PassReport, copied, nodes_in

__all__ = ["name_nodes", "shared_names"]


def name_nodes(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Name what has no name, or shares one, by its first output."""
    model = copied(model)
    shared = shared_names(model)
    taken = {node.name for node in nodes_in(model.graph)}
    changed = [node for node in nodes_in(model.graph) if not node.name or node.name in shared]
    for node in changed:
        name = next(filter(None, node.output), node.op_type)
        while name in taken:
            name += "_"
        node.name = name
        taken.add(name)
    return model, PassReport("names", f"named {len(changed)} nodes", bool(changed))


def shared_names(model: ModelProto) -> set[str]:
    """Names that several nodes have."""
    counts = Counter(node.name for node in nodes_in(model.graph))
    return {name for name, count in counts.items() if name and count > 1}
