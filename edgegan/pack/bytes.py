"""Pass: a generator that takes or draws bytes by itself takes and draws floats from 0 to 255 instead.

The pixel nodes convert bytes, and nothing else may. What moves numbers without reading them may stand between
the picture and the Cast. A Cast to uint8 drops what is behind the point: that becomes Clip and Floor.
"""

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.graph import PassReport, copied, fresh_name, names_read, node_text, producer_of, quoted

__all__ = ["floats_for_bytes"]

_MOVERS = (
    *(
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "SpaceToDepth",
    ),
    *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
)
_MEND = "export the model with float pictures"


def floats_for_bytes(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Make uint8 pictures float32. Raises `ModelError`, naming the node that needs bytes."""
    model = copied(model)
    graph, did = model.graph, []
    if graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8:
        _feed_floats(graph)
        did.append("takes floats for bytes")
    if graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8:
        _draw_floats(graph)
        did.append("draws floats for bytes")
    if did:
        del graph.value_info[:]
    return model, PassReport("bytes", " and ".join(did) or "no bytes", bool(did))


def _feed_floats(graph: GraphProto) -> None:
    graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    moved = {graph.input[0].name}
    for node in graph.node:
        if not moved & names_read(node):
            continue
        if node.op_type in _MOVERS and node.input[0] in moved:
            moved.update(node.output)
        elif node.op_type != "Cast":
            raise ModelError(f"{node_text(node)} reads the bytes of {quoted(graph.input[0].name)}", _MEND)


def _draw_floats(graph: GraphProto) -> None:
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    wanted = [graph.output[0].name]
    while wanted:
        node = producer_of(graph, wanted.pop())
        if node.op_type in _MOVERS:
            wanted += node.input if node.op_type == "Concat" else node.input[:1]
        elif node.op_type == "Cast":
            _floor(graph, node)
        else:
            raise ModelError(f"{node_text(node)} makes the bytes of {quoted(graph.output[0].name)}", _MEND)


def _floor(graph: GraphProto, cast: NodeProto) -> None:
    """Cast to uint8 becomes Cast to float, Clip, Floor."""
    index = list(graph.node).index(cast)
    stem, result = fresh_name(graph, f"{cast.output[0]}/floats"), cast.output[0]
    bounds = [f"{stem}/black", f"{stem}/white"]
    for name, value in zip(bounds, (0, 255), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    attribute = next(a for a in cast.attribute if a.name == "to")
    attribute.i, cast.output[0] = TensorProto.FLOAT, stem
    clip = helper.make_node("Clip", [stem, *bounds], [f"{stem}/clipped"], f"{stem}/Clip")
    floor = helper.make_node("Floor", [f"{stem}/clipped"], [result], f"{stem}/Floor")
    graph.node.insert(index + 1, clip)
    graph.node.insert(index + 2, floor)
