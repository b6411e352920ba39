"""What is known of the quality of a bundle's precisions against FP32: the values that the page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgegan.frame import Pixels

__all__ = ["FrontierPoint", "LayerRow", "QualityReport", "Version"]


@dataclass(frozen=True)
class LayerRow:
    """One convolution and how it is computed.

    op: ONNX's name. form: "int8", "int8 x2" (activations as the sum of two int8 terms) or "float".
    macs: of one picture. method: how the range was found. low, high: the range of its activations, in the
    tensor's own unit; not finite: none. alone_db: PSNR of the picture if this layer alone is quantised, None
    where it was not measured. why: the reason of the form, plain text.
    """

    name: str
    op: str
    form: str
    macs: int
    method: str
    low: float
    high: float
    alone_db: float | None
    why: str


@dataclass(frozen=True)
class FrontierPoint:
    """What the search found at one share of INT8. int8_share: 0..1. cost: estimated, FP32 is 1."""

    int8_share: float
    psnr_db: float
    psnr_worst_db: float
    cost: float
    chosen: bool


@dataclass(frozen=True)
class Version:
    """One precision against FP32.

    figures: psnr_db, psnr_p5_db, psnr_worst_db, ssim, ssim_p5, ssim_worst, st_lpips, channel_shift_levels,
        delta_e, high_frequency_ratio, checkerboard_db, flicker_ratio, pictures; None or absent: not measured.
    gate: thresholds by the same names; a pair is (lowest, highest).
    why_not: what kept it out of the bundle; "" if it passed.
    per_picture: `name`, `psnr_db` and more of each picture that judged.
    drawn: the report's shown pictures as this version draws them, in their order.
    macs_int8_share: 0..1. layers, frontier: empty where there are none.
    """

    precision: str
    figures: Mapping[str, Any]
    gate: Mapping[str, Any]
    why_not: str
    per_picture: Sequence[Mapping[str, Any]]
    drawn: Sequence[Pixels]
    bytes: int
    macs_int8_share: float
    layers: Sequence[LayerRow]
    frontier: Sequence[FrontierPoint]


@dataclass(frozen=True)
class QualityReport:
    """All that the page tells.

    shown: name, input, what FP32 draws, of the pictures to look at. sets: facts about the pictures that
    calibrated, searched and judged, by name. made_by: program and version. left_out: precision and reason of each
    that no picture was drawn with.
    """

    name: str
    shown: Sequence[tuple[str, Pixels, Pixels]]
    sets: Mapping[str, Any]
    versions: Sequence[Version]
    made_by: str
    left_out: Sequence[tuple[str, str]] = ()
