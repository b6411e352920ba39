"""Weights in INT8: the scale of each output channel, and which way each weight is rounded.

Rounding each weight to the nearest level is not best: the inputs of a convolution are alike from pixel to pixel,
so errors can be made to cancel. Source: Frantar, Ashkboos, Hoefler, Alistarh, GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers, 2023 (weights in order of their inputs' variance, the error
of each passed on to those that follow, by the inverse of the covariance).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegan.pack.quantise.table import Floats

__all__ = ["MOST_TAPS", "Moments", "rounded", "weight_scales"]

MOST_TAPS = 4608
"""A covariance of more inputs than that is neither gathered nor inverted: a minute, and 170 MB."""
_DAMPING = 0.003
_NOTHING = 1e-6
"""Weights that are so much smaller than the largest of the layer are none: rounded to zero, they are not missed."""
_BLOCK = 64
_TOP = 127


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of what each weight of a kernel meets: (taps,) and (taps, taps).

    covariance: None where there are more than `MOST_TAPS`. The taps are those of the weights (out, in, *kernel)
    without `out`, flattened.
    """

    mean: Floats
    covariance: npt.NDArray[np.float32] | None


def weight_scales(weights: Floats) -> Floats:
    """What one of 127 levels is worth, for each row of (out, taps); of a row of zeros, what it is worth in the largest.

    A tiny scale would be more than float16 can hold, and make all weights of the layer float32 there.
    """
    largest = np.abs(weights).max(axis=1)
    instead = max(float(largest.max()), 1e-12)
    return np.asarray(np.where(largest > _NOTHING * instead, largest, instead) / _TOP)


def rounded(
    weights: Floats, scales: Floats, covariance: npt.NDArray[np.floating] | None
) -> npt.NDArray[np.int8]:
    """Levels -127..127 for the rows of (out, taps), with least error in what the convolution gives.

    covariance: (taps, taps) of its inputs; None, or not finite: each weight goes to its nearest level.
    """
    if covariance is None or not np.isfinite(covariance).all():
        return np.asarray(np.clip(np.rint(weights / scales[:, None]), -_TOP, _TOP), np.int8)
    order = np.argsort(-np.diag(covariance), kind="stable")
    inverse = _inverse_factor(covariance[np.ix_(order, order)])
    left, levels = weights[:, order].copy(), np.zeros(weights.shape)
    for start in range(0, weights.shape[1], _BLOCK):
        end = min(start + _BLOCK, weights.shape[1])
        errors = _round_block(left[:, start:end], levels[:, start:end], scales, inverse[start:end, start:end])
        left[:, end:] -= errors @ inverse[start:end, end:]
    result = np.empty_like(levels)
    result[:, order] = levels
    return np.asarray(result, np.int8)


def _round_block(left: Floats, levels: Floats, scales: Floats, inverse: Floats) -> Floats:
    """Round column by column, in place; returns what the columns behind this block are owed."""
    errors = np.empty_like(left)
    for tap in range(left.shape[1]):
        levels[:, tap] = np.clip(np.rint(left[:, tap] / scales), -_TOP, _TOP)
        errors[:, tap] = (left[:, tap] - levels[:, tap] * scales) / inverse[tap, tap]
        left[:, tap + 1 :] -= np.outer(errors[:, tap], inverse[tap, tap + 1 :])
    return errors


def _inverse_factor(covariance: npt.NDArray[np.floating]) -> Floats:
    """The upper Cholesky factor of the inverse of the covariance, a little damped.

    Inputs that hardly vary have a covariance that is the noise of float32 alone; of that, only the variances count.
    """
    damped = covariance.astype(np.float64)
    mean = float(np.mean(np.diag(damped)))
    damped[np.diag_indices_from(damped)] += max(_DAMPING * mean, 1e-12)
    try:
        return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)
    except np.linalg.LinAlgError:
        return np.diag(1 / np.sqrt(np.maximum(np.diag(damped), 1e-12)))
