"""Pass: whatever the form of its pictures, a float32 generator takes and draws [1, 3, H, W], RGB.

Grey is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601, as JPEG, Pillow and OpenCV have it).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from edgegan.pack.check import PLANES, Form
from edgegan.pack.graph import PassReport, copied, dims_of, fresh_name, rename_tensor

__all__ = ["GREY_OF_RGB", "add_planes"]

GREY_OF_RGB = (0.299, 0.587, 0.114)
_Step = tuple[str, list[npt.NDArray[Any]], dict[str, Any]]


def add_planes(
    model: ModelProto, taken: Form, drawn: Form, drawn_size: tuple[int, int]
) -> tuple[ModelProto, PassReport]:
    """Put Transposes, and conversions from and to grey, around a model whose pictures are not RGB planes.

    model: float32, of fixed size, one picture at a time; taken, drawn: the forms its file has; drawn_size:
    (height, width) of what it draws, which the result declares.
    """
    before, after = _before(taken), _after(drawn)
    model = copied(model)
    if before:
        _prepend(model.graph, taken, before)
    if after:
        _append(model.graph, after)
    output = model.graph.output[0]
    output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, PLANES.shape(*drawn_size)))
    if not before and not after:
        return model, PassReport("planes", "RGB planes already", changed=False)
    sides = [("takes", taken, before), ("draws", drawn, after)]
    return model, PassReport("planes", " and ".join(f"{v} {_text(form)}" for v, form, n in sides if n))


def _before(form: Form) -> list[_Step]:
    weights = np.array(GREY_OF_RGB, np.float32).reshape(1, 3, 1, 1)
    grey: list[_Step] = [("Conv", [weights], {})] if form.channels == 1 else []
    whole: list[_Step] = [("Round", [], {})] if grey and form.kind == TensorProto.UINT8 else []
    return grey + whole + ([("Transpose", [], {"perm": [0, 2, 3, 1]})] if form.channels_last else [])


def _after(form: Form) -> list[_Step]:
    turned: list[_Step] = [("Transpose", [], {"perm": [0, 3, 1, 2]})] if form.channels_last else []
    return turned + ([("Gather", [np.zeros(3, np.int64)], {"axis": 1})] if form.channels == 1 else [])


def _prepend(graph: GraphProto, form: Form, steps: list[_Step]) -> None:
    picture = graph.input[0]
    dims = dims_of(picture) or [None] * 4
    height, width = form.size_in(dims)
    name, inner = picture.name, fresh_name(graph, "planes/taken")
    rename_tensor(graph, name, inner)
    picture.CopyFrom(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, PLANES.shape(height or "h", width or "w"))
    )
    nodes = _chain(graph, name, inner, steps)
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)


def _append(graph: GraphProto, steps: list[_Step]) -> None:
    name, inner = graph.output[0].name, fresh_name(graph, "planes/drawn")
    rename_tensor(graph, name, inner)
    graph.node.extend(_chain(graph, inner, name, steps))
    graph.output[0].name = name


def _chain(graph: GraphProto, source: str, target: str, steps: list[_Step]) -> list[Any]:
    """Nodes that make `target` of `source`; their constants go into the graph."""
    nodes = []
    for index, (operator, constants, attributes) in enumerate(steps):
        result = target if index == len(steps) - 1 else fresh_name(graph, f"planes/{target}/{operator}")
        held = [fresh_name(graph, f"planes/{target}/{operator}/{n}") for n in range(len(constants))]
        graph.initializer.extend(map(numpy_helper.from_array, constants, held))
        nodes.append(helper.make_node(operator, [source, *held], [result], result, **attributes))
        source = result
    return nodes


def _text(form: Form) -> str:
    return ("grey" if form.channels == 1 else "RGB") + (" [1, H, W, C]" if form.channels_last else "")
