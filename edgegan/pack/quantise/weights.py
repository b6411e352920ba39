"""The weights of a layer as INT8, with a bias that makes up for what rounding does to the mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from edgegan.pack.quantise.layers import Layer, attributes
from edgegan.pack.quantise.rounding import Moments, rounded, weight_scales
from edgegan.pack.quantise.table import Affine, Floats

__all__ = ["IntegerWeights", "integer_weights"]


@dataclass(frozen=True)
class IntegerWeights:
    """levels: int8, of the weights' own shape. scales: float32, by output channel. bias: float32; None: none."""

    levels: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None


def integer_weights(
    node: NodeProto,
    layer: Layer,
    weights: Floats,
    bias: Floats | None,
    affine: Affine,
    moments: Moments | None,
) -> IntegerWeights:
    """Weights for an input of x * multiply + add: divided by `multiply`, and the bias without `add`.

    moments: of the input before `affine`; without a covariance every weight goes to its nearest level.
    """
    channel_axis = 0 if layer.transposed else 1
    multiply = np.array(affine.multiply) if affine.multiply else np.ones(weights.shape[channel_axis])
    add = np.array(affine.add) if affine.add else np.zeros(weights.shape[channel_axis])
    shape = [-1 if axis == channel_axis else 1 for axis in range(4)]
    even = weights / multiply.reshape(shape)
    rows = np.moveaxis(even, layer.axis, 0)
    scales = weight_scales(rows.reshape(len(rows), -1)).astype(np.float32)
    levels = np.zeros(weights.shape, np.int8)
    shift = np.zeros(len(rows))
    for taps, at in _taps(node, layer, weights.shape):
        part = _rows(even, at, layer)
        of_tap = np.repeat(multiply, len(taps) // len(multiply))
        covariance = _covariance(layer, moments, taps)
        made = rounded(
            part,
            scales.astype(np.float64),
            None if covariance is None else covariance * np.outer(of_tap, of_tap),
        )
        _put_rows(levels, made, at, layer)
        error = made * scales[:, None].astype(np.float64) - part
        if moments is not None and not layer.transposed:
            shift += error @ (moments.mean[taps] * of_tap)
        shift += part @ np.repeat(add, len(taps) // len(add)) if not layer.transposed else 0
        shift += error @ np.repeat(add, len(taps) // len(add)) if not layer.transposed else 0
    return IntegerWeights(levels, scales, _bias(bias, shift, layer, bool(affine.add)))


def _covariance(layer: Layer, moments: Moments | None, taps: npt.NDArray[np.intp]) -> Floats | None:
    """What errors of the weights meet: without the mean, of which a bias takes the error away.

    The phases of a transposed convolution share one bias, and each would have another error: there the mean counts.
    """
    if moments is None or moments.covariance is None:
        return None
    covariance = moments.covariance[np.ix_(taps, taps)]
    mean = moments.mean[taps]
    return np.asarray(covariance + np.outer(mean, mean) if layer.transposed else covariance, np.float64)


def _bias(bias: Floats | None, shift: Floats, layer: Layer, must: bool) -> npt.NDArray[np.float32] | None:
    """A constant means nothing to what InstanceNormalization normalises, so no bias is made for that alone."""
    if bias is None and (layer.normalised or layer.transposed) and not must:
        return None
    return np.asarray((0 if bias is None else bias) - shift, np.float32)


_Place = tuple[slice, slice]


def _taps(
    node: NodeProto, layer: Layer, shape: Sequence[int]
) -> Iterator[tuple[npt.NDArray[np.intp], _Place]]:
    """Weights that meet in one output: which taps of the moments they are, and where they lie in the kernel.

    All of a convolution's; of a transposed one, those of each phase: every `stride`th of the kernel, the first
    of which meets the nearest input.
    """
    if not layer.transposed:
        count = int(np.prod(shape[1:]))
        yield np.arange(count), (slice(None), slice(None))
        return
    down, right = attributes(node).get("strides", [1, 1])
    reach = -(-shape[2] // down), -(-shape[3] // right)
    numbers = np.arange(shape[0] * reach[0] * reach[1]).reshape(shape[0], *reach)
    for y in range(min(down, shape[2])):
        for x in range(min(right, shape[3])):
            place = slice(y, None, down), slice(x, None, right)
            height, width = len(range(y, shape[2], down)), len(range(x, shape[3], right))
            yield numbers[:, :height, :width].ravel(), place


def _rows(weights: Floats, at: _Place, layer: Layer) -> Floats:
    """(out, taps) of a part of the kernel."""
    part = np.moveaxis(weights[(slice(None), slice(None), at[0], at[1])], layer.axis, 0)
    return part.reshape(len(part), -1)


def _put_rows(levels: npt.NDArray[np.int8], rows: npt.NDArray[np.int8], at: _Place, layer: Layer) -> None:
    part = np.moveaxis(levels, layer.axis, 0)[(slice(None), slice(None), at[0], at[1])]
    part[...] = rows.reshape(part.shape)
