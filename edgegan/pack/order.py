"""Pass: every node stands behind those whose results it reads, as ONNX wants it and some converters forget."""

from onnx import GraphProto, ModelProto, NodeProto

from edgegan.errors import ModelError
from edgegan.pack.graph import PassReport, copied, graphs_in, names_read, node_text, replace_nodes

__all__ = ["sort_nodes"]


def sort_nodes(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Sort the nodes of the graph and of its branches; those in order stay. Raises `ModelError` for a circle."""
    if not any(_is_unsorted(graph) for graph in graphs_in(model.graph)):
        return model, PassReport("order", "in order already", changed=False)
    model = copied(model)
    for graph in list(graphs_in(model.graph)):
        if _is_unsorted(graph):
            replace_nodes(graph, _sorted(graph))
    return model, PassReport("order", "sorted the nodes")


def _is_unsorted(graph: GraphProto) -> bool:
    missing = _made_in(graph)
    for node in graph.node:
        if missing & names_read(node):
            return True
        missing -= set(node.output)
    return False


def _made_in(graph: GraphProto) -> set[str]:
    return {name for node in graph.node for name in node.output if name}


def _sorted(graph: GraphProto) -> list[NodeProto]:
    missing, waiting, done = _made_in(graph), list(graph.node), []
    while waiting:
        ready = next((node for node in waiting if not missing & names_read(node)), None)
        if ready is None:
            raise ModelError(
                f"{node_text(waiting[0])} needs its own result: the graph has a circle", "export it again"
            )
        waiting.remove(ready)
        missing -= set(ready.output)
        done.append(ready)
    return done
