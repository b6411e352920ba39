"""Whether a version of a generator draws what FP32 draws, judged by pictures that were used for nothing else.

What each figure means stands in `edgegan.quality`; how the demands were chosen in docs/pack.md, "Quality".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgegan.errors import ConfigError, ModelDisagreement, UserError
from edgegan.frame import Pixels
from edgegan.pack.perceptual import StLpips
from edgegan.quality import (
    channel_shift,
    checkerboard_db,
    delta_e,
    flicker_ratio,
    high_frequency_ratio,
    psnr_db,
    ssim,
)
from edgegan.registry import did_you_mean

__all__ = ["GATES", "Gate", "Verdict", "judge"]

_BEST_DB = 99.0  # of equal pictures, as in edgegan.engine.gate: JSON has no infinity
_HIGHEST = {"psnr_db": _BEST_DB, "psnr_worst_db": _BEST_DB, "ssim": 1.0}
_SSIM_SIDE, _CHECKERBOARD_SIDE = 11, 32  # smaller pictures have no such figure

_WORDS = {
    "psnr_db": "the mean PSNR is {} dB",
    "psnr_worst_db": "the worst PSNR is {} dB",
    "ssim": "the mean SSIM is {}",
    "channel_shift_levels": "a channel is off by {} grey levels on average",
    "delta_e": "the mean colour difference (CIEDE2000) is {}",
    "high_frequency_ratio": "fine detail has {} times its energy",
    "checkerboard_db": "a checkerboard stands out by {} dB more",
    "flicker_ratio": "it flickers {} times as much",
}


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Gate:
    """What a version must reach against FP32; None: not demanded. Raises `ConfigError` for what is no number.

    psnr_db, psnr_worst_db, ssim: at least, of the mean, of the worst picture, of the mean.
    channel_shift_levels, delta_e, checkerboard_db: at most, of the mean over pictures.
    high_frequency_ratio: between these two, of the geometric mean. flicker_ratio: at most, of the clip.
    """

    psnr_db: float | None
    psnr_worst_db: float | None
    ssim: float | None
    channel_shift_levels: float | None
    delta_e: float | None
    high_frequency_ratio: tuple[float, float] | None
    checkerboard_db: float | None
    flicker_ratio: float | None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            pair = name == "high_frequency_ratio"
            if value is not None and not (_is_pair(value) if pair else _is_number(value)):
                form = "the lowest and the highest" if pair else "a number"
                raise ConfigError(
                    f"the gate's {name} is {value!r}", f"give {form}, or null to demand nothing"
                )
        for name, most in _HIGHEST.items():
            if (value := getattr(self, name)) is not None and value > most:
                raise ConfigError(f"the gate's {name} is {value:g}", f"nothing has more than {most:g}")

    def changed(self, changes: Mapping[str, Any]) -> "Gate":
        """The same gate with other demands, by field. Raises `ConfigError` for a field that is none."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise ConfigError(f"the gate has no '{name}'", did_you_mean(name, known))
        demands: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
        return replace(self, **demands)

    def why_not(self, figures: Mapping[str, Any]) -> str:
        """In words, each demand that the figures of a `Verdict` do not meet; empty if they pass.

        A figure that is None (no clip, pictures too small) is not held against them; NaN is.
        """
        return "; ".join(filter(None, (_complaint(figures, *bound) for bound in self._bounds())))

    def _bounds(self) -> list[tuple[str, float | None, float | None]]:
        """Of each figure, the least and the most."""
        lowest, highest = self.high_frequency_ratio or (None, None)
        return [
            ("psnr_db", self.psnr_db, None),
            ("psnr_worst_db", self.psnr_worst_db, None),
            ("ssim", self.ssim, None),
            ("channel_shift_levels", None, self.channel_shift_levels),
            ("delta_e", None, self.delta_e),
            ("high_frequency_ratio", lowest, highest),
            ("checkerboard_db", None, self.checkerboard_db),
            ("flicker_ratio", None, self.flicker_ratio),
        ]


GATES: Mapping[str, Gate] = {
    "fp16": Gate(50.0, 45.0, 0.995, 0.25, 0.3, (0.98, 1.02), 1.0, 1.03),
    "int8": Gate(42.0, 36.0, 0.99, 1.0, 0.8, (0.96, 1.04), 2.5, 1.25),
}
"""By precision; a recipe may change them."""


@dataclass(frozen=True)
class Verdict:
    """What pictures say about a version; all of it can be written as JSON.

    figures: `pictures` (their count) and `worst_picture` (the name of that with the lowest PSNR); of psnr_db, ssim,
        st_lpips, channel_shift_levels, delta_e, high_frequency_ratio and checkerboard_db the mean (of a ratio the
        geometric one), the picture than which 5 % are worse (psnr_p5_db, channel_shift_p95_levels, …) and the worst
        (psnr_worst_db, …); `worst` has the name of the worst picture in each; flicker_ratio of the clip. None where
        there is no such figure.
    pictures: of each its `name` and figures, and `channel_shift`, signed, as [blue, green, red].
    why_not: empty if the gate is passed.
    """

    figures: dict[str, Any]
    pictures: list[dict[str, Any]]
    why_not: str

    @property
    def passed(self) -> bool:
        """True if the gate has nothing against it."""
        return not self.why_not


def judge(
    draw: Callable[[Pixels], Pixels],
    pictures: Sequence[Pixels],
    expected: Sequence[Pixels],
    *,
    names: Sequence[str],
    clip: Sequence[Pixels] = (),
    clip_expected: Sequence[Pixels] = (),
    perceptual: Path | None = None,
    gate: Gate,
    progress: Callable[[str, float], None] | None = None,
) -> Verdict:
    """Draw all pictures, and the clip in its order, and compare with what FP32 draws of them.

    draw: from uint8 (H, W, 3) BGR to the same; it may give the same array each time. names: one for each picture.
    clip: two frames or more, or no figure for flicker. perceptual: an ST-LPIPS model (`edgegan.pack.perceptual`).
    progress: is called with (what is done now, share of the whole 0..1).
    Raises `UserError` if there is no picture, `ModelDisagreement` for a drawing of another shape or type than
    expected, `ModelError` for an ST-LPIPS model that is none.
    """
    if not len(pictures):
        raise UserError("there is no picture to judge by", "give more photos")
    tell, steps = progress or (lambda what, share: None), len(pictures) + len(clip)
    distance = StLpips(perceptual) if perceptual is not None else None
    rows: list[dict[str, Any]] = []
    drawn_clip: list[Pixels] = []
    for number, (pixels, wanted, name) in enumerate(zip(pictures, expected, names, strict=True)):
        tell(f"judging {name}", number / steps)
        rows.append({"name": name, **_compared(_drawn(draw, pixels, wanted), wanted, distance)})
    for number, (pixels, wanted) in enumerate(zip(clip, clip_expected, strict=True), len(pictures)):
        tell("judging the clip", number / steps)
        drawn_clip.append(_drawn(draw, pixels, wanted).copy())
    flicker = flicker_ratio(drawn_clip, clip_expected) if len(drawn_clip) > 1 else None
    figures = _rounded({**_figures(rows), "flicker_ratio": flicker})
    return Verdict(figures, _rounded(rows), gate.why_not(figures))


def _drawn(draw: Callable[[Pixels], Pixels], pixels: Pixels, wanted: Pixels) -> Pixels:
    drawn = draw(pixels)
    if drawn.shape != wanted.shape or drawn.dtype != np.uint8:
        raise ModelDisagreement(
            f"it draws {drawn.dtype} {drawn.shape}, FP32 draws {wanted.dtype} {wanted.shape}",
            "nothing was written; please report this model",
        )
    return drawn


def _compared(drawn: Pixels, wanted: Pixels, distance: StLpips | None) -> dict[str, Any]:
    """The figures of one picture."""
    side, shift = min(wanted.shape[:2]), channel_shift(drawn, wanted)
    return {
        "psnr_db": min(psnr_db(drawn, wanted), _BEST_DB),
        "ssim": ssim(drawn, wanted) if side >= _SSIM_SIDE else None,
        "st_lpips": distance(drawn, wanted) if distance else None,
        "channel_shift_levels": shift.largest_levels,
        "channel_shift": [shift.blue, shift.green, shift.red],
        "delta_e": delta_e(drawn, wanted),
        "high_frequency_ratio": high_frequency_ratio(drawn, wanted),
        "checkerboard_db": checkerboard_db(drawn, wanted) if side >= _CHECKERBOARD_SIDE else None,
    }


@dataclass(frozen=True)
class _Figure:
    """Of every picture, to be put together. badness: larger is worse."""

    name: str
    unit: str
    tail: str
    badness: Callable[[float], float]
    ratio: bool = False

    def over(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Mean, 5th percentile, worst."""
        values = sorted(
            (r[self.key] for r in rows if r[self.key] is not None), key=self.badness, reverse=True
        )
        keys = (self.key, f"{self.name}_{self.tail}{self.unit}", f"{self.name}_worst{self.unit}")
        if not values:
            return dict.fromkeys(keys)
        tail = values[int(0.05 * (len(values) - 1))]  # numpy.percentile(…, 5, method="lower")
        return dict(zip(keys, (self._mean(values), tail, values[0]), strict=True))

    def worst(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """The name of the worst picture."""
        having = [row for row in rows if row[self.key] is not None]
        return max(having, key=lambda row: self.badness(row[self.key]))["name"] if having else None

    @property
    def key(self) -> str:
        return self.name + self.unit

    def _mean(self, values: Sequence[float]) -> float:
        if self.ratio:
            return math.exp(math.fsum(map(math.log, values)) / len(values))
        return math.fsum(values) / len(values)


_FIGURES = (
    _Figure("psnr", "_db", "p5", lambda db: -db),
    _Figure("ssim", "", "p5", lambda likeness: -likeness),
    _Figure("st_lpips", "", "p95", float),
    _Figure("channel_shift", "_levels", "p95", float),
    _Figure("delta_e", "", "p95", float),
    _Figure("high_frequency", "_ratio", "p95", lambda ratio: abs(math.log(ratio)), ratio=True),
    _Figure("checkerboard", "_db", "p95", float),
)


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worst = {figure.key: figure.worst(rows) for figure in _FIGURES}
    figures: dict[str, Any] = {"pictures": len(rows), "worst_picture": worst["psnr_db"]}
    for figure in _FIGURES:
        figures |= figure.over(rows)
    return {**figures, "worst": worst}


def _complaint(figures: Mapping[str, Any], key: str, least: float | None, most: float | None) -> str:
    found = figures[key]
    if found is None or ((least is None or found >= least) and (most is None or found <= most)):
        return ""
    if least is not None and most is not None:
        demanded = f"{least:g} to {most:g}"
    else:
        demanded = f"at most {most:g}" if least is None else f"at least {least:g}"
    text = f"{_WORDS[key].format(f'{found:g}')}, {demanded} is demanded"
    worst = figures["worst"].get(key.replace("_worst", ""))
    return f"{text} (worst: {worst})" if worst else text


def _rounded(value: Any) -> Any:
    """Every number in it to four digits behind the point, which is finer than any demand."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return round(value, 4) if isinstance(value, float) else value
