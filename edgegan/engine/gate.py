"""Whether what a candidate draws is good enough, against what the FP32 model draws on ONNX Runtime."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgegan.errors import GeneratorError
from edgegan.frame import Pixels
from edgegan.quality import max_difference, psnr_db, ssim

__all__ = ["GATES", "Gate", "check_reference", "gate_pictures", "judged", "why_not"]

_BEST_DB = 99.0
"""Stands for equal pictures, whose ratio is infinite, which JSON cannot say."""


@dataclass(frozen=True)
class Gate:
    """What the worst picture must reach."""

    psnr_db: float
    ssim: float


GATES: Mapping[str, Gate] = {
    "fp32": Gate(45.0, 0.99),
    "bf16": Gate(30.0, 0.95),
    "int8": Gate(30.0, 0.95),
    "int8_bf16": Gate(30.0, 0.95),
}
"""By precision. FP32 differs by the order of additions alone; docs/runtimes.md has what was measured.

`pack` has judged INT8 on many pictures by a stricter gate; here it is shown that this device computes it so."""


def gate_pictures(reference: Pixels) -> list[Pixels]:
    """The bundle's reference picture, mirrored, darkened, and turned upside down and blurred."""
    dark = np.asarray(np.rint(255 * (reference / 255.0) ** 2), np.uint8)
    soft = np.ascontiguousarray(cv2.GaussianBlur(reference, (0, 0), 3)[::-1])
    return [reference, np.ascontiguousarray(reference[:, ::-1]), dark, np.asarray(soft, np.uint8)]


def judged(drawn: Sequence[Pixels], expected: Sequence[Pixels]) -> dict[str, float]:
    """psnr_db and ssim on average, psnr_worst_db, ssim_worst, and max_grey_levels; equal pictures have 99 dB."""
    pairs = list(zip(drawn, expected, strict=True))
    ratios = [min(psnr_db(a, b), _BEST_DB) for a, b in pairs]
    likeness = [ssim(a, b) if min(a.shape[:2]) > 10 else math.nan for a, b in pairs]
    likeness = [value for value in likeness if not math.isnan(value)] or [1.0]  # too small to have one
    return {
        "psnr_db": round(sum(ratios) / len(ratios), 2),
        "psnr_worst_db": round(min(ratios), 2),
        "ssim": round(sum(likeness) / len(likeness), 4),
        "ssim_worst": round(min(likeness), 4),
        "max_grey_levels": max(max_difference(a, b) for a, b in pairs),
    }


def why_not(precision: str, quality: Mapping[str, float]) -> str:
    """In words, why pictures of this quality are refused; empty if they pass."""
    gate = GATES[precision]
    if quality["psnr_worst_db"] < gate.psnr_db:
        return f"its worst picture has {quality['psnr_worst_db']:g} dB, {gate.psnr_db:g} are demanded of {precision}"
    if quality["ssim_worst"] < gate.ssim:
        return (
            f"its worst picture has SSIM {quality['ssim_worst']:g}, {gate.ssim:g} is demanded of {precision}"
        )
    return ""


def check_reference(precision: str, drawn: Pixels, expected: Pixels) -> None:
    """Raise `GeneratorError` if what was drawn is not the bundle's reference picture."""
    if why := why_not(precision, judged([drawn], [expected])):
        raise GeneratorError(f"it does not draw the reference picture: {why}")
