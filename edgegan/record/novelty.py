"""Whether a picture shows anything that was not there before."""

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.frame import Pixels
from edgegan.framing import shrink

__all__ = ["Novelty"]

_SIDE = 32
_LEVELS = 8
_CELLS = _SIDE * _SIDE // 50
_REMEMBERED = 500


class Novelty:
    """Remembers the last 500 pictures, 32 x 32 grey cells of each.

    Two pictures are alike if fewer than 2 % of their cells differ by 8 grey levels of 255 or more: noise of the sensor
    is averaged away in a cell, a hand at arm's length is not.
    """

    def __init__(self) -> None:
        self._seen: npt.NDArray[np.int16] = np.empty((_REMEMBERED, _SIDE, _SIDE), np.int16)
        self._count = 0

    @property
    def full(self) -> bool:
        """Whether another picture would take the place of the first."""
        return self._count >= _REMEMBERED

    def is_new(self, pixels: Pixels) -> bool:
        """Whether none of the remembered pictures is like `pixels`, uint8 (H, W, 3)."""
        seen = self._seen[: min(self._count, _REMEMBERED)]
        differing = (np.abs(seen - _cells(pixels)) >= _LEVELS).sum(axis=(1, 2))
        return not (differing < _CELLS).any()

    def remember(self, pixels: Pixels) -> None:
        """From now on a picture like this one is nothing new."""
        self._seen[self._count % _REMEMBERED] = _cells(pixels)
        self._count += 1


def _cells(pixels: Pixels) -> npt.NDArray[np.int16]:
    small = np.empty((_SIDE, _SIDE, 3), np.uint8)
    shrink(pixels, small)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.int16)
