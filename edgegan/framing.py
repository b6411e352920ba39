"""Crop, scale and turn a camera's picture to the size that a generator wants.

Scaling down must average areas, or thin lines flicker. OpenCV's INTER_AREA is fast only at a factor of two
(640 x 480 to 256 x 256: 1.2 ms; 1920 x 1080: 5 ms), so `shrink` halves as often as it can and leaves the
rest to INTER_LINEAR: 0.45 and 1.3 ms, within 42 to 55 dB of INTER_AREA (tests/test_framing.py).
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import cv2
import numpy as np

from edgegan.errors import ConfigError
from edgegan.frame import Pixels
from edgegan.registry import Uri, options_from_uri

__all__ = ["Framing", "centre", "check_size", "fitted", "shrink", "split_framing"]

_LONGEST_SIDE = 4096

_OPTIONS = ("crop", "rotate", "mirror")
_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Framing:
    """Makes pictures of `size` (height, width) out of pictures of any size.

    crop: `cover` fills the size and cuts off what hangs over; `contain` keeps all and adds black bars.
    rotate: degrees clockwise. mirror: left and right change places, after the rotation.
    """

    size: tuple[int, int]
    _: KW_ONLY
    crop: Literal["cover", "contain"] = "cover"
    rotate: Literal[0, 90, 180, 270] = 0
    mirror: bool = False

    def __call__(self, pixels: Pixels, out: Pixels | None = None) -> Pixels:
        """uint8 (h, w, 3) to uint8 (H, W, 3), C-contiguous: `out` where given, else a new array."""
        if out is None:
            out = np.empty((*self.size, 3), np.uint8)
        upright = out if not (self.rotate or self.mirror) else self._upright()
        if self.crop == "cover":
            height, width = fitted(upright.shape[:2], pixels.shape[:2])
            shrink(centre(pixels, height, width), upright)
        else:
            height, width = fitted(pixels.shape[:2], upright.shape[:2])
            if (height, width) != upright.shape[:2]:
                upright[:] = 0
            shrink(pixels, centre(upright, height, width))
        if self.rotate:
            cv2.rotate(upright, _ROTATIONS[self.rotate], dst=out)
        if self.mirror:
            cv2.flip(out if self.rotate else upright, 1, dst=out)
        return out

    def _upright(self) -> Pixels:
        """Room for the picture as the camera sees it."""
        height, width = self.size if self.rotate in (0, 180) else self.size[::-1]
        return np.empty((height, width, 3), np.uint8)


def check_size(what: str, size: tuple[int, int], least: int = 1) -> None:
    """Raise `ConfigError` unless both sides of `size` (height, width) lie within `least` to 4096 pixels."""
    if not least <= min(size) <= max(size) <= _LONGEST_SIDE:
        raise ConfigError(
            f"{what} cannot be {size[1]}x{size[0]}",
            f"use a size from {least}x{least} to {_LONGEST_SIDE}x{_LONGEST_SIDE}",
        )


def split_framing(uri: Uri) -> tuple[Uri, dict[str, Any]]:
    """Take `crop`, `rotate` and `mirror` out of a camera's URI.

    The driver's own URI, and keyword arguments for `Framing`. Raises `ConfigError` for a wrong value.
    """
    ours = uri.without(*(name for name in uri.options if name not in _OPTIONS))
    return uri.without(*_OPTIONS), options_from_uri("camera", Framing, ours)


def fitted(inner: tuple[int, ...], outer: tuple[int, ...]) -> tuple[int, int]:
    """The largest (height, width) with the proportions of `inner` that fits into `outer`."""
    scale = min(outer[0] / inner[0], outer[1] / inner[1])
    return max(1, round(inner[0] * scale)), max(1, round(inner[1] * scale))


def shrink(pixels: Pixels, out: Pixels) -> None:
    """Scale `pixels` into `out` (any view of uint8 pixels), averaging areas; also scales up, linearly."""
    height, width = out.shape[:2]
    while min(pixels.shape[0] / height, pixels.shape[1] / width) >= 3:
        pixels = _halved(pixels)
    if min(pixels.shape[0] / height, pixels.shape[1] / width) >= 1.5:
        if pixels.shape[:2] != (2 * height, 2 * width):
            pixels = _resized(pixels, 2 * height, 2 * width, cv2.INTER_LINEAR)
        cv2.resize(pixels, (width, height), dst=out, interpolation=cv2.INTER_AREA)
    else:
        cv2.resize(pixels, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)


def _halved(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    return _resized(pixels[: 2 * height, : 2 * width], height, width, cv2.INTER_AREA)


def _resized(pixels: Pixels, height: int, width: int, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def centre(pixels: Pixels, height: int, width: int) -> Pixels:
    """A view of the middle of `pixels`."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
