"""Nodes that lay what a kernel sees side by side, so that a matrix product is the convolution.

Padding, strides, dilations, and the nodes that copy values alone are all in the indices of one or two Gathers. Indices
are sums of a vector for the rows and one for the columns, which ONNX Runtime adds once, when it loads the model:
written out they would be larger than the weights.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from edgegan.pack.quantise.making import Making
from edgegan.pack.quantise.windows import OUTSIDE, Windows

__all__ = ["lay_out"]

_AT_ONCE = 128
"""With fewer channels, taps across are gathered first, and lines of these then: fewer and longer copies."""


def lay_out(making: Making, rows: str, name: str, windows: Windows, channels: int, zero: int) -> str:
    """The name of uint8 (rows drawn * columns drawn, taps down * taps across * channels).

    rows: of uint8 (height * width, channels). name: before the names of what is made. zero: the level of zero.
    """
    if windows.is_pointwise:
        return rows
    if windows.has_outside:
        outside = making.constant(f"{name}/outside", np.full((1, channels), zero, np.uint8))
        rows = making.add("Concat", [rows, outside], f"{name}/with_outside", axis=0)
    down, across = windows.rows.shape[1], windows.columns.shape[1]
    in_two = channels < _AT_ONCE and down > 1
    gathered = (_gathered_twice if in_two else _gathered)(making, rows, name, windows, channels)
    places = len(windows.rows) * len(windows.columns)
    return _reshaped(making, gathered, f"{name}/laid", places, down * across * channels)


def _gathered(making: Making, rows: str, name: str, windows: Windows, channels: int) -> str:
    """(rows drawn, columns drawn, taps down, taps across, channels)."""
    down, across = _starts(windows, windows.rows), _columns(windows)
    indices = _sums(making, down[:, None, :, None], across[None, :, None, :], _most(windows))
    return making.add("Gather", [rows, indices], f"{name}/gathered", axis=0)


def _gathered_twice(making: Making, rows: str, name: str, windows: Windows, channels: int) -> str:
    """(rows drawn, columns drawn, taps down, taps across * channels)."""
    lines, which = np.unique(windows.rows, return_inverse=True)
    drawn, across = windows.columns.shape
    starts = _starts(windows, lines)
    indices = _sums(making, starts[:, None, None], _columns(windows)[None], _most(windows))
    gathered = making.add("Gather", [rows, indices], f"{name}/across", axis=0)
    gathered = _reshaped(making, gathered, f"{name}/lines", len(lines) * drawn, across * channels)
    which = which.reshape(windows.rows.shape) * drawn
    indices = _sums(making, which[:, None], np.arange(drawn)[None, :, None], len(lines) * drawn)
    return making.add("Gather", [gathered, indices], f"{name}/gathered", axis=0)


def _most(windows: Windows) -> int:
    """The last row: of zeros, if there is one."""
    return windows.height * windows.width


def _starts(windows: Windows, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.asarray(np.where(rows == OUTSIDE, _most(windows), rows * windows.width))


def _columns(windows: Windows) -> npt.NDArray[np.int64]:
    return np.asarray(np.where(windows.columns == OUTSIDE, _most(windows), windows.columns))


def _sums(making: Making, down: npt.NDArray[np.int64], across: npt.NDArray[np.int64], most: int) -> str:
    """Indices, none above `most`: one for all layers that have the same."""
    parts = [np.ascontiguousarray(part, np.int32) for part in (down, across)]
    said = repr((most, *(part.shape for part in parts))).encode()
    digest = hashlib.sha256(said + b"".join(part.tobytes() for part in parts)).hexdigest()[:12]
    name = f"int8/indices/{digest}"
    inputs = [
        making.constant(f"{name}/{side}", part) for side, part in zip(("down", "across"), parts, strict=True)
    ]
    if int(parts[0].max()) + int(parts[1].max()) <= most:
        return making.add("Add", inputs, name)
    bounded = making.constant(f"{name}/most", np.int32(most))
    return making.add("Min", [making.add("Add", inputs, f"{name}/sum"), bounded], name)


def _reshaped(making: Making, value: str, name: str, *sizes: int) -> str:
    shape = making.constant(f"{name}/shape", np.array(sizes, np.int64))
    return making.add("Reshape", [value, shape], name)
