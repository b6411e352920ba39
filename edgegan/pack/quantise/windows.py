"""Where the kernel of a convolution looks, as places in the tensor that is quantised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import opset_of
from edgegan.pack.quantise.layers import Layer, attributes
from edgegan.pack.reading import run_session, session

__all__ = ["OUTSIDE", "Constants", "Windows", "windows_of"]

OUTSIDE = -1
"""A place in the zeros around the picture."""

Constants = Mapping[str, npt.NDArray[np.generic]]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """What each output of a convolution is made of, in a source of `height` x `width`.

    rows: (rows drawn, taps down), the row of the source that each tap meets, or `OUTSIDE`.
    columns: (columns drawn, taps across), likewise.
    """

    height: int
    width: int
    rows: _Places
    columns: _Places

    @property
    def is_pointwise(self) -> bool:
        """Whether each output is made of the one value at its own place."""
        return np.array_equal(self.rows, _counted(self.height)) and np.array_equal(
            self.columns, _counted(self.width)
        )

    @property
    def has_outside(self) -> bool:
        """Whether a kernel reaches into the zeros around the picture."""
        return bool((self.rows == OUTSIDE).any() or (self.columns == OUTSIDE).any())


def windows_of(
    model: ModelProto, layer: Layer, constants: Constants, shapes: Mapping[str, Sequence[int]]
) -> Windows | None:
    """Of a Conv, seen through the nodes between its input and its source; None if that cannot be told.

    constants: the values of the model's initialisers and constants. shapes: of its tensors.
    """
    nodes = {node.name: node for node in model.graph.node}
    node, copying = nodes[layer.name], [nodes[name] for name in reversed(layer.through)]
    source, kernel = shapes[layer.source], shapes[layer.weights][2:]
    if any(name not in constants for one in copying for name in one.input[1:] if name):
        return None
    lines = _through(model, layer, copying, constants, source)
    if lines is None:
        return None
    drawn, given = shapes[node.output[0]][2:], attributes(node)
    met = [_met(side, line, drawn[side], kernel[side], given) for side, line in enumerate(lines)]
    return Windows(source[2], source[3], met[0], met[1])


def _counted(count: int) -> _Places:
    return np.arange(count)[:, None]


def _through(
    model: ModelProto,
    layer: Layer,
    copying: Sequence[NodeProto],
    constants: Constants,
    shape: Sequence[int],
) -> tuple[_Places, _Places] | None:
    """For each row and each column of what the convolution reads, that of the source; None: they do not suffice."""
    channels, height, width = shape[1:]
    if not copying:
        return np.arange(height), np.arange(width)
    places = np.arange(channels * height * width, dtype=np.int32).reshape(1, channels, height, width)
    graph = _graph_of(copying, layer, constants, shape)
    alone = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset_of(model))], ir_version=model.ir_version
    )
    opened = session(alone.SerializeToString(), f"what lies before {layer.name}")
    copied = run_session(opened, {layer.source: places}, layer.input)[0].astype(np.int64)
    rows, columns = copied[0, :, 0] // width, copied[0, 0] % width
    offsets = np.arange(channels)[:, None, None] * height * width
    expected = offsets + rows[:, None] * width + columns
    return (rows, columns) if np.array_equal(copied, expected) else None


def _graph_of(
    copying: Sequence[NodeProto], layer: Layer, constants: Constants, shape: Sequence[int]
) -> GraphProto:
    read = {name for node in copying for name in node.input[1:] if name}
    return helper.make_graph(
        copying,
        "copying",
        [helper.make_tensor_value_info(layer.source, TensorProto.INT32, shape)],
        [helper.make_tensor_value_info(layer.input, TensorProto.INT32, None)],
        [numpy_helper.from_array(np.asarray(constants[name]), name) for name in sorted(read)],
    )


def _met(side: int, line: _Places, drawn: int, taps: int, given: Mapping[str, Any]) -> _Places:
    """(drawn, taps): where each tap falls on a line of places, or `OUTSIDE`."""
    stride, gap = _of(given, "strides", side, 1), _of(given, "dilations", side, 1)
    reach = (drawn - 1) * stride + (taps - 1) * gap + 1
    before = _before(given, side, reach - len(line))
    places = np.arange(drawn)[:, None] * stride + np.arange(taps) * gap - before
    inside = (places >= 0) & (places < len(line))
    return np.asarray(np.where(inside, line[np.clip(places, 0, len(line) - 1)], OUTSIDE))


def _before(given: Mapping[str, Any], side: int, lacking: int) -> int:
    """How many zeros lie before the first place. Source: auto_pad of ONNX's operator Conv."""
    kind = given.get("auto_pad", b"NOTSET")
    if kind == b"NOTSET":
        return _of(given, "pads", side, 0)
    upper = max(lacking, 0) // 2
    return {b"SAME_UPPER": upper, b"SAME_LOWER": max(lacking, 0) - upper}.get(kind, 0)


def _of(given: Mapping[str, Any], name: str, side: int, default: int) -> int:
    return int(given[name][side]) if name in given else default
