"""Which range of a tensor the 256 levels should cover: candidates, and what each would cost on its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegan.pack.quantise.table import Affine, Floats, LayerScale

__all__ = [
    "METHODS",
    "TensorStatistics",
    "affines",
    "candidate_ranges",
    "entropy_range",
    "squared_error_range",
]

_SHRINKS = np.linspace(1.0, 0.3, 36)
_PERCENTILE = 99.99
_BINS = 2048
_LEVELS = 128
_STRENGTHS = (1.0, 0.5)


@dataclass(frozen=True)
class TensorStatistics:
    """What a tensor holds on the calibration set.

    lowest, highest: by channel, of all values. samples: (channels, n), drawn at random.
    """

    lowest: Floats
    highest: Floats
    samples: npt.NDArray[np.float32]


def affines(statistics: TensorStatistics, may_shift: bool) -> Iterator[Affine]:
    """Nothing; scaling channels alike, fully and half; and, if it is exact, moving their middles to zero as well.

    may_shift: False where the convolution pads with zeros, which must stay zeros.
    """
    yield Affine()
    low, high = statistics.lowest, statistics.highest
    width = np.maximum(high - low, 1e-6 * max(float((high - low).max()), 1e-12))
    reach = np.maximum(np.maximum(-low, high), 1e-6 * max(float(np.abs([low, high]).max()), 1e-12))
    for strength in _STRENGTHS:
        yield Affine(_even(reach, strength))
    if may_shift:
        multiply = _even(width, 1.0)
        middle = (low + high) / 2
        add = (-middle * np.array(multiply)).astype(np.float16).astype(np.float64)
        yield Affine(multiply, tuple(add.tolist()))


def _even(width: Floats, strength: float) -> tuple[float, ...]:
    """Exact in float16, so that what the weights are divided by is what the input is multiplied with."""
    multiply = (width / np.median(width)) ** -strength
    return tuple(np.clip(multiply, 1 / 256, 256).astype(np.float16).astype(np.float64).tolist())


def candidate_ranges(statistics: TensorStatistics, affine: Affine) -> dict[str, tuple[float, float]]:
    """(low, high) after `affine` by method; zero is always inside."""
    ends = np.concatenate(
        [affine.applied(statistics.lowest[:, None]), affine.applied(statistics.highest[:, None])]
    )
    whole = min(float(ends.min()), 0.0), max(float(ends.max()), 0.0)
    values = affine.applied(statistics.samples.astype(np.float64)).ravel()
    return {name: method(values, whole) for name, method in METHODS.items()}


def min_max_range(values: Floats, whole: tuple[float, float]) -> tuple[float, float]:
    """All that was ever seen."""
    return whole


def percentile_range(values: Floats, whole: tuple[float, float]) -> tuple[float, float]:
    """All but one value in 10,000 at either end that has values."""
    low, high = np.percentile(values, [100 - _PERCENTILE, _PERCENTILE])
    return max(min(float(low), 0.0), whole[0]), min(max(float(high), 0.0), whole[1])


def squared_error_range(values: Floats, whole: tuple[float, float]) -> tuple[float, float]:
    """The range, shrunk to at least 0.3, with the least mean squared error of the values."""
    return _best(whole, lambda low, high: _squared_error(values, low, high))


def entropy_range(values: Floats, whole: tuple[float, float]) -> tuple[float, float]:
    """The range whose quantised histogram diverges least from the true one (Kullback and Leibler).

    Source: Migacz, 8-bit Inference with TensorRT, GTC 2017; 2048 bins, 128 levels. The bin of zero, where ReLU
    puts half of all values, is left out: zero is exact in any range.
    """
    counts, edges = np.histogram(values[values != 0], _BINS, whole if whole[0] < whole[1] else (-1.0, 1.0))
    return _best(whole, lambda low, high: _divergence(counts.astype(np.float64), edges, low, high))


METHODS: Mapping[str, Callable[[Floats, tuple[float, float]], tuple[float, float]]] = {
    "min-max": min_max_range,
    f"percentile {_PERCENTILE:g}": percentile_range,
    "entropy": entropy_range,
    "squared error": squared_error_range,
}


def _best(whole: tuple[float, float], cost: Callable[[float, float], float]) -> tuple[float, float]:
    ranges = [(float(whole[0] * shrink), float(whole[1] * shrink)) for shrink in _SHRINKS]
    return min(ranges, key=lambda one: cost(*one))


def _squared_error(values: Floats, low: float, high: float) -> float:
    scale = LayerScale("", "", "int8", low, high, "")
    return float(np.mean(np.square(scale.quantised(values) - values)))


def _divergence(counts: Floats, edges: Floats, low: float, high: float) -> float:
    """Of the histogram inside of low..high, its ends holding what lies outside, from itself in 128 levels."""
    centres = (edges[:-1] + edges[1:]) / 2
    inside = (centres >= low) & (centres <= high)
    if np.count_nonzero(inside) < _LEVELS:
        return np.inf
    true = counts[inside].copy()
    true[0] += counts[centres < low].sum()
    true[-1] += counts[centres > high].sum()
    level = np.minimum(np.arange(true.size) * _LEVELS // true.size, _LEVELS - 1)
    filled = (counts[inside] > 0).astype(np.float64)
    sums = np.bincount(level, counts[inside], _LEVELS)
    spread = np.maximum(np.bincount(level, filled, _LEVELS), 1)
    coarse = (sums / spread)[level] * filled
    p, q = true / max(true.sum(), 1e-30), coarse / max(coarse.sum(), 1e-30)
    both = p > 0
    return float(np.sum(p[both] * np.log(p[both] / np.maximum(q[both], 1e-9))))
