"""Pass: uint8 (1, H, W, 3) BGR in and out.

    input uint8 NHWC BGR ─ Cast ─ Transpose ─ Gather 2,1,0 ─ Mul ─ Add ─ generator
    generator ─ Mul ─ Add ─ Gather 2,1,0 ─ Round ─ Clip 0..255 ─ Transpose ─ Cast ─ output uint8 NHWC

Mul and Add are left out where they would change nothing (a range of 0..255). Other spellings were timed on
ONNX Runtime 1.32 (docs/pack.md): colours by Split and Concat or by a negative Slice, a 1 x 1 convolution for
colours and scale, and Gather on NHWC are slower; colours folded into the first and last convolution are
within noise of this, and the weights would no longer be the author's.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import PassReport, copied, dims_of, rename_tensor, tensor_names
from edgegan.pack.ranges import Range, ValueRanges
from edgegan.pack.size import output_size

__all__ = ["INPUT", "OUTPUT", "PIXELS_FROM_PLANES", "PLANES_FROM_PIXELS", "add_pixels"]

INPUT, OUTPUT = "input", "output"
PLANES_FROM_PIXELS, PIXELS_FROM_PLANES = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class _Step:
    """A node with one predecessor; `constants` are its further inputs."""

    operator: str
    constants: tuple[npt.NDArray[Any] | np.generic, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


def add_pixels(model: ModelProto, ranges: ValueRanges) -> tuple[ModelProto, PassReport]:
    """Put the pixel contract around a float32 [1, 3, H, W] RGB generator of fixed size.

    Raises `ModelError` if the size of what it draws cannot be derived.
    """
    drawn = output_size(model)
    model = copied(model)
    graph = model.graph
    dims = dims_of(graph.input[0]) or []
    prefix, taken, drawing = _make_room(graph)
    generator = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    _append(graph, prefix + "before", INPUT, taken, _values_from_pixels(ranges.input))
    graph.node.extend(generator)
    _append(graph, prefix + "after", drawing, OUTPUT, _pixels_from_values(ranges.output))
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, *dims[2:], 3]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, [1, *drawn, 3]))
    did = f"uint8 BGR in (as {_text(ranges.input)}) and out (from {_text(ranges.output)})"
    return onnx.shape_inference.infer_shapes(model), PassReport("pixels", did)


def _make_room(graph: GraphProto) -> tuple[str, str, str]:
    """Free the names `input` and `output`: (prefix nobody uses, what the generator takes, what it draws)."""
    names = tensor_names(graph) | {node.name for node in graph.node}
    prefix = "pixels/"
    while any(name.startswith(prefix) for name in names):
        prefix = "_" + prefix
    taken, drawing = prefix + "taken", prefix + "drawn"
    rename_tensor(graph, graph.input[0].name, taken)
    rename_tensor(graph, graph.output[0].name, drawing)
    for name in (INPUT, OUTPUT):
        rename_tensor(graph, name, prefix + "was_" + name)
    return prefix, taken, drawing


def _values_from_pixels(values: Range) -> list[_Step]:
    black, white = values
    return [
        _Step("Cast", attributes={"to": TensorProto.FLOAT}),
        _Step("Transpose", attributes={"perm": PLANES_FROM_PIXELS}),
        _swap_red_and_blue(),
        *_affine((white - black) / 255, black),
    ]


def _pixels_from_values(values: Range) -> list[_Step]:
    black, white = values
    scale = 255 / (white - black)
    return [
        *_affine(scale, -black * scale),
        _swap_red_and_blue(),
        _Step("Round"),
        _Step("Clip", (np.float32(0), np.float32(255))),
        _Step("Transpose", attributes={"perm": PIXELS_FROM_PLANES}),
        _Step("Cast", attributes={"to": TensorProto.UINT8}),
    ]


def _swap_red_and_blue() -> _Step:
    return _Step("Gather", (np.array([2, 1, 0], np.int64),), {"axis": 1})


def _affine(scale: float, offset: float) -> list[_Step]:
    multiply = [_Step("Mul", (np.float32(scale),))] if scale != 1 else []
    return multiply + ([_Step("Add", (np.float32(offset),))] if offset != 0 else [])


def _append(graph: GraphProto, prefix: str, source: str, target: str, steps: list[_Step]) -> None:
    """Append a chain of nodes that makes the tensor `target` of the tensor `source`."""
    for index, step in enumerate(steps):
        name = f"{prefix}/{step.operator}"
        result = target if index == len(steps) - 1 else name
        held = [
            numpy_helper.from_array(np.asarray(value), f"{name}/constant_{number}")
            for number, value in enumerate(step.constants)
        ]
        graph.initializer.extend(held)
        inputs = [source, *(tensor.name for tensor in held)]
        graph.node.append(helper.make_node(step.operator, inputs, [result], name, **step.attributes))
        source = result


def _text(values: Range) -> str:
    return f"{values[0]:g} to {values[1]:g}"
