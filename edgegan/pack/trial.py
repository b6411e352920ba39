"""Can the original draw pictures of this size, and how large are its drawings?"""

import re
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgegan.errors import ModelError
from edgegan.pack.check import Interface
from edgegan.pack.graph import copied, dims_of, graphs_in, node_text
from edgegan.pack.reading import Arrays, Reading, on_onnxruntime
from edgegan.pack.size import SIDES

__all__ = ["check_extent", "drawn_shape"]

Size = tuple[int, int]
_MOST_BYTES = 2**31 - 1
_WITHOUT_OPERATORS = (TensorProto.BFLOAT16, TensorProto.DOUBLE)  # ONNX Runtime's CPU lacks Conv for them
_HOLDERS = ("Reshape", "Resize", "Upsample", "Expand", "Slice", "Tile", "ConstantOfShape", "Pad")


def drawn_shape(
    reading: Reading, model: ModelProto, interface: Interface, size: Size, constants: Arrays
) -> list[int | None]:
    """The shape of what the original draws of a picture of `size`: derived, else by drawing a black one.

    Raises `ModelError`, naming the node, if it cannot draw that size, or keeps the size it was exported for.
    """
    check_extent(model, interface, size)
    derived = _shapes(model, interface, size).get(interface.output) or [None]
    if interface.size == size and None not in derived:
        return derived
    try:
        drawn = _drawn(reading, interface, size, constants)
    except ModelError as error:
        if interface.taken.kind not in _WITHOUT_OPERATORS or None in derived:
            raise _cannot(error, model, interface, size) from error
        drawn = derived
    own = (interface.size[0] or size[0], interface.size[1] or size[1])
    if own != size:
        _check_scaled(drawn, model, interface, own, size)
    return drawn


def check_extent(model: ModelProto, interface: Interface, size: Size) -> None:
    """Raise `ModelError` for a tensor of more than 2 GB, before anything tries to make it."""
    shapes = _shapes(model, interface, size)
    for node in model.graph.node:
        for name in node.output:
            dims = shapes.get(name) or []
            if None not in dims and 4 * np.prod([float(d or 0) for d in dims]) > _MOST_BYTES:
                raise ModelError(
                    f"{node_text(node)} makes a tensor {dims}, which is larger than 2 GB",
                    "a generator for a device must need less memory: export it for smaller pictures",
                )


def _drawn(reading: Reading, interface: Interface, size: Size, constants: Arrays) -> list[int | None]:
    kind = helper.tensor_dtype_to_np_dtype(interface.taken.kind)
    shape: list[Any] = interface.taken.shape(*size)
    run = on_onnxruntime(reading, interface.output)
    return list(run({interface.input: np.zeros(shape, kind), **constants}).shape)


def _shapes(model: ModelProto, interface: Interface, size: Size) -> dict[str, list[int | None]]:
    """What can be derived of every tensor's shape, for pictures of `size`."""
    try:
        graph = onnx.shape_inference.infer_shapes(_declared(model, interface, size), data_prop=True).graph
    except Exception:  # whatever its C++ core throws: nothing is derived then
        return {}
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: dims for value in values if (dims := dims_of(value)) is not None}


def _declared(model: ModelProto, interface: Interface, size: Size) -> ModelProto:
    """A copy whose input is declared for pictures of `size`, and which says nothing about other shapes."""
    model = copied(model)
    for graph in graphs_in(model.graph):
        del graph.value_info[:]
    for value in model.graph.input:
        if value.name == interface.input:
            shape = interface.taken.shape(*size)
            value.CopyFrom(helper.make_tensor_value_info(value.name, interface.taken.kind, shape))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model


def _check_scaled(
    drawn: list[int | None], model: ModelProto, interface: Interface, own: Size, size: Size
) -> None:
    """What was drawn must have grown as the picture has; else something keeps the old size."""
    before = _shapes(model, interface, own).get(interface.output) or []
    if None in before or len(before) != 4 or len(drawn) != 4:
        return
    sides = zip(interface.drawn.size_in(before), interface.drawn.size_in(drawn), own, size, strict=True)
    if any((was or 0) * asked != (now or 0) * had for was, now, had, asked in sides):
        raise _cannot(ModelError("it draws another size"), model, interface, size)


def _cannot(error: ModelError, model: ModelProto, interface: Interface, size: Size) -> ModelError:
    asked = f"the model cannot draw pictures of {_text(size)} (height x width)"
    own = (interface.size[0] or size[0], interface.size[1] or size[1])
    holder = _holder(_shapes(model, interface, own), _shapes(model, interface, size), model)
    if own != size and holder is not None:
        return ModelError(
            f"{asked}: {node_text(holder)} holds sizes of {_text(own)}, for which it was exported",
            f"leave --size out, or export the model for {_text(size)} or with a dynamic height and width",
        )
    other = _size_that_fits(model, interface, size)
    mend = f"--size {_text(other)} fits its layers" if other else "export the model for this size"
    why = re.sub("^ONNX Runtime cannot (load|run) the model: ", "", error.message)
    return ModelError(f"{asked}: {why}", mend)


def _holder(
    before: dict[str, list[int | None]], after: dict[str, list[int | None]], model: ModelProto
) -> NodeProto | None:
    """The first node that takes another shape than before, and gives the same."""
    node: NodeProto
    for node in model.graph.node:
        if node.op_type not in _HOLDERS or not node.input or node.input[0] not in after:
            continue
        took, gave = node.input[0], node.output[0]
        given = after.get(gave)
        same = given is not None and given == before.get(gave) and max(d or 0 for d in [*given, 0]) > 1
        if same and after[took] != before.get(took):
            return node
    return None


def _size_that_fits(model: ModelProto, interface: Interface, size: Size) -> Size | None:
    """Both sides rounded up to a multiple of 4, 8, … 256, so that strict shape inference finds no contradiction."""
    for step in (4, 8, 16, 32, 64, 128, 256):
        fitting = (-(-size[0] // step) * step, -(-size[1] // step) * step)
        if fitting != size and max(fitting) in SIDES and _is_consistent(model, interface, fitting):
            return fitting
    return None


def _is_consistent(model: ModelProto, interface: Interface, size: Size) -> bool:
    try:
        onnx.shape_inference.infer_shapes(_declared(model, interface, size), strict_mode=True, data_prop=True)
    except Exception:  # as above
        return False
    return True


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
