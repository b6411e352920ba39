"""The values that travel from a camera to a display. All times are CLOCK_MONOTONIC nanoseconds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Frame", "FrameTiming", "Pixels"]

Pixels = npt.NDArray[np.uint8]
"""uint8 (H, W, 3), blue-green-red, C-contiguous."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a camera.

    pixels: uint8 (H, W, 3) BGR. The receiver owns them for reading; nobody writes to them any more.
    sequence: counts every picture that the camera took, also those that were dropped later, from 0 up.
        A gap between two frames is therefore the number of dropped ones.
    captured_ns: the instant of capture as the driver knows it best (buffer time stamp, else arrival).
    """

    pixels: Pixels
    sequence: int
    captured_ns: int


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """When each stage of a shown frame began and ended (CLOCK_MONOTONIC, nanoseconds)."""

    sequence: int
    captured_ns: int
    infer_start_ns: int
    infer_end_ns: int
    display_start_ns: int
    displayed_ns: int

    def stages_ns(self) -> dict[str, int]:
        """Duration of each stage; they add up to `end_to_end_ns`."""
        return {
            "capture": self.infer_start_ns - self.captured_ns,
            "infer": self.infer_end_ns - self.infer_start_ns,
            "handover": self.display_start_ns - self.infer_end_ns,
            "display": self.displayed_ns - self.display_start_ns,
        }

    @property
    def end_to_end_ns(self) -> int:
        """Captured to displayed."""
        return self.displayed_ns - self.captured_ns


def read_only(pixels: npt.NDArray[Any]) -> Pixels:
    """The same pixels, marked read-only (no copy)."""
    pixels.flags.writeable = False
    return pixels
