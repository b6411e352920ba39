"""Which numbers a generator takes and gives for black and white: what follows from what was found.

`edgegan.pack.probing` finds it. The thresholds here and what they rest on are in docs/pack.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "USUAL",
    "InputChoice",
    "Likeness",
    "Range",
    "Spread",
    "ValueRanges",
    "choose_input",
    "range_text",
    "usual_range",
]

Range = tuple[float, float]
"""(black, white)."""

USUAL: tuple[Range, ...] = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5))
"""The ranges that a probe tries. The first is taken where they cannot be told apart."""

_ROUNDING_SHARE, _SAME_SHARE = 1e-3, 1e-2
_MOST_OVERSHOOT, _MOST_STRAY_OVERSHOOT = 0.1, 0.25
_MOST_UNUSED = 0.35
_LEAST_LIKENESS, _LEAST_LEAD, _LEAST_LEAD_IF_USUAL = 0.6, 0.1, 0.05
_CONTRADICTING = ((0.6, 0.12), (0.3, 0.2))  # (likeness, lead): what is less like a photo must lead by more
_FLAT_GREY_LEVELS = 8.0
_SATURATED_RATIO = 0.9
_BY_TANH: Range = (-1.0, 1.0)


@dataclass(frozen=True)
class ValueRanges:
    """(black, white) of the input and the output; `assumptions` says in words what was guessed."""

    input: Range
    output: Range
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spread:
    """How the values of drawings lie: 0.1, 1, 50, 99 and 99.9 % of them are below these."""

    MEANING = "0.1, 1, 50, 99 and 99.9 % of the values lie below"

    p0_1: float
    p1: float
    p50: float
    p99: float
    p99_9: float

    @classmethod
    def of(cls, drawings: Iterable[npt.NDArray[Any]]) -> "Spread":
        """Values that are not finite make all of it not a number."""
        values = np.concatenate([drawing.ravel() for drawing in drawings])
        finite = np.isfinite(values).all()
        return cls(*map(float, np.percentile(values, (0.1, 1, 50, 99, 99.9)) if finite else [np.nan] * 5))

    def range(self) -> Range | None:
        """The usual range that these values fill, and hardly exceed; None if none does, or several."""
        fitting = [usual for usual in USUAL if self._fits(usual)]
        # A pale drawing of -1..1 looks like -0.5..0.5, which is rare, so the latter makes doubts only.
        return fitting[0] if len(fitting) == 1 and fitting[0] != (-0.5, 0.5) else None

    def is_like(self, other: "Spread") -> bool:
        """Is any difference below a hundredth of the span?"""
        differences = (abs(one - two) for one, two in zip(astuple(self), astuple(other), strict=True))
        return bool(max(differences) <= _SAME_SHARE * (self.p99 - self.p1))

    def _fits(self, usual: Range) -> bool:
        black, white = usual
        low, high, lowest, highest = (
            (value - black) / (white - black) for value in (self.p1, self.p99, self.p0_1, self.p99_9)
        )
        filled = all(-_MOST_OVERSHOOT <= end <= _MOST_UNUSED for end in (low, 1 - high))
        return filled and min(lowest, 1 - highest) >= -_MOST_STRAY_OVERSHOOT

    def __str__(self) -> str:
        return ", ".join(f"{value:.3g}" for value in astuple(self))


@dataclass(frozen=True)
class Likeness:
    """What a generator makes of photos in one input range, over all of them.

    ssim: mean structural similarity of photo and drawing, -1..1. contrast: mean standard deviation of a
    drawing, grey levels. saturated_ratio: share of values within two grey levels of 0 or 255.
    """

    ssim: float
    contrast: float
    saturated_ratio: float

    @property
    def empty(self) -> bool:
        """There is no picture to see."""
        return self.contrast < _FLAT_GREY_LEVELS or self.saturated_ratio > _SATURATED_RATIO


@dataclass(frozen=True)
class InputChoice:
    """The input's range, None if it must be asked for; `why` in words."""

    range: Range | None
    why: str


def usual_range(low: float, high: float) -> Range | None:
    """The usual range with these ends, but for rounding; None if there is none."""
    tolerance = _ROUNDING_SHARE * (high - low)
    for usual in USUAL:
        if abs(usual[0] - low) <= tolerance and abs(usual[1] - high) <= tolerance:
            return usual
    return None


def choose_input(
    found: Mapping[Range, Likeness], others: Mapping[str, Likeness], bounded: Range | None
) -> InputChoice:
    """Which of several input ranges is right, where they give different drawings.

    found: by usual range. others: by words, scalings that no range expresses; they can only raise doubts.
    bounded: the output's range where a node of the model bounds it; the input's is usually the same.
    """
    best = max(found, key=lambda one: found[one].ssim)
    rivals = [found[one].ssim for one in found if one != best] + [other.ssim for other in others.values()]
    lead = found[best].ssim - max(rivals)
    least_lead = _LEAST_LEAD_IF_USUAL if best == bounded else _LEAST_LEAD
    if found[best].ssim >= _LEAST_LIKENESS and lead >= least_lead and not found[best].empty:
        return InputChoice(best, f"with it the drawings are most like the photos ({_scores(found, others)})")
    if bounded == _BY_TANH and not _contradicted(bounded, found, others):
        scores = _scores(found, others)
        return InputChoice(
            bounded, f"as is usual with such an output; nothing drawn contradicts it ({scores})"
        )
    return InputChoice(None, _scores(found, others))


def range_text(values: Range) -> str:
    """`-1 to 1`."""
    return f"{values[0]:g} to {values[1]:g}"


def _contradicted(expected: Range, found: Mapping[Range, Likeness], others: Mapping[str, Likeness]) -> bool:
    """Is another scaling clearly better, or does the expected one draw nothing where another draws?"""
    rivals = [
        one for one in (*found.values(), *others.values()) if one is not found[expected] and not one.empty
    ]
    if not rivals or found[expected].empty:
        return bool(rivals)
    best = max(rival.ssim for rival in rivals)
    lead = best - found[expected].ssim
    return any(best >= least and lead >= least_lead for least, least_lead in _CONTRADICTING)


def _scores(found: Mapping[Range, Likeness], others: Mapping[str, Likeness]) -> str:
    named = {range_text(one): likeness for one, likeness in found.items()} | dict(others)
    return "similarity: " + ", ".join(f"{name} {one.ssim:.2f}" for name, one in named.items())
