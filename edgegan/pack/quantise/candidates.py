"""The ways of quantising one layer that are worth drawing with."""

from collections.abc import Iterator

import numpy as np

from edgegan.pack.quantise.layers import Layer
from edgegan.pack.quantise.ranges import TensorStatistics, affines, candidate_ranges
from edgegan.pack.quantise.table import Affine, Floats, LayerScale

__all__ = ["one_term", "two_terms"]

_MORE_THAN_ONE = float(np.nextafter(np.float32(1), np.float32(2)))
"""Bytes that are values already need no quantising: OpenVINO 2026.4 drops it, and the convolution runs in float."""
_ROOM = 3.0
"""Two terms have 65,280 levels: so much more than was ever seen costs them nothing."""


def one_term(
    layer: Layer, weights: Floats, statistics: TensorStatistics, taken: tuple[float, float]
) -> list[LayerScale]:
    """One range for each method, with the change to the input that suits it best, the likeliest first.

    The likeliest has the least error in what the convolution gives, if the errors of all its inputs are
    independent. What a range does to the picture is another matter, and is measured.
    taken: what black and white are to the generator; its input has 256 values, which are kept exactly.
    """
    if layer.takes_pixels:
        return [_exact(layer, taken)]
    best: dict[str, tuple[float, LayerScale]] = {}
    for affine in affines(statistics, not layer.padded):
        energy = _energy(weights, layer, affine)
        values = affine.applied(statistics.samples.astype(np.float64))
        for method, (low, high) in candidate_ranges(statistics, affine).items():
            scale = LayerScale(layer.name, layer.source, "int8", low, high, method, layer.transposed, affine)
            error = np.mean(np.square(scale.quantised(values) - values), axis=1) @ energy
            if method not in best or error < best[method][0]:
                best[method] = float(error), scale
    return list(_different(scale for _, scale in sorted(best.values(), key=lambda one: one[0])))


def two_terms(layer: Layer, statistics: TensorStatistics) -> LayerScale:
    """All that was ever seen, and some room, around zero: what that costs is one bit of 16.

    To move the range there, float16 would have to hold the second term's 16 bits, which it cannot.
    """
    low, high = min(float(statistics.lowest.min()), 0.0), max(float(statistics.highest.max()), 0.0)
    return LayerScale(layer.name, layer.source, "int8x2", _ROOM * low, _ROOM * high, "min-max", True)


def _exact(layer: Layer, taken: tuple[float, float]) -> LayerScale:
    """Each of the 256 values on a level of its own; moved by less than half a level, so that zero is one too."""
    black, white = taken
    step = (white - black) / 255
    level = round(black / step)
    if not -255 <= level <= 0:  # zero, which paddings have, is none of the 256 levels between black and white
        return LayerScale(layer.name, layer.source, "int8", min(black, 0.0), max(white, 0.0), "min-max")
    add = level * step - black
    step = _MORE_THAN_ONE if step == 1 and level == 0 else step
    affine = Affine(add=(add,) * layer.channels) if abs(add) > 1e-6 * step else Affine()
    return LayerScale(
        layer.name,
        layer.source,
        "int8",
        level * step,
        (level + 255) * step,
        "exact",
        affine=affine,
    )


def _energy(weights: Floats, layer: Layer, affine: Affine) -> Floats:
    """By input channel, how much the square of an error there grows in the convolution, on all outputs."""
    channels = np.moveaxis(weights, 0 if layer.transposed else 1, 0)
    energy = np.square(channels.reshape(len(channels), -1)).sum(axis=1)
    return np.asarray(energy / np.square(affine.multiply) if affine.multiply else energy)


def _different(scales: Iterator[LayerScale]) -> Iterator[LayerScale]:
    """Without those that are almost another."""
    kept: list[LayerScale] = []
    for scale in scales:
        if not any(one.affine == scale.affine and abs(one.step / scale.step - 1) < 0.02 for one in kept):
            kept.append(scale)
            yield scale
