"""The pictures on which a packed model is compared with its original."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgegan.errors import BundleError, CameraError, UserError
from edgegan.frame import Pixels
from edgegan.framing import Framing
from edgegan.recorded import open_source
from edgegan.resources import resource

__all__ = ["COUNT", "Pictures", "comparison_pictures"]

COUNT = 5
_CLIP = "engines/clip/paint_demo.mp4"


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size, uint8 (H, W, 3) BGR, and where they come from in words."""

    source: str
    pictures: tuple[Pixels, ...]


def comparison_pictures(path: Path | None, size: tuple[int, int]) -> Pictures:
    """Five pictures of `size` (height, width), cropped and scaled, evenly out of a folder or a clip.

    path: None for the shipped clip, or drawn pictures where an installation lacks that. Where a folder holds
    fewer than five, drawn ones fill up. Raises `UserError` if `path` holds no picture at all.
    """
    if path is None:
        try:
            path, name = resource(_CLIP), "the shipped clip"
        except BundleError:
            return Pictures("drawn pictures", tuple(_drawn(size, COUNT)))
    else:
        name = path.name
    found = [Framing(size)(pixels) for pixels in _read(path)]
    if not found:
        raise UserError(
            f"'{path}' holds no picture that OpenCV can read", "name a folder of photos or a video file"
        )
    drawn = _drawn(size, COUNT - len(found))
    source = f"{len(found)} of {name}" + (f" and {len(drawn)} drawn" if drawn else "")
    return Pictures(source, (*found, *drawn))


def _read(path: Path) -> Iterator[Pixels]:
    """Read from the start: seeking goes by time, and misses in a clip of variable frame rate."""
    with closing(open_source(str(path))) as source:
        wanted = {index * max(source.length, COUNT) // COUNT for index in range(COUNT)}
        for index in range(max(wanted) + 1):
            if index not in wanted:
                source.skip()
                continue
            with suppress(CameraError):  # a picture that cannot be read is left out
                pixels = source.next()
                if pixels is not None:
                    yield pixels


def _drawn(size: tuple[int, int], count: int) -> list[Pixels]:
    """Smooth colours with discs, each the same on every machine."""
    return [_drawn_one(size, np.random.default_rng(seed)) for seed in range(count)]


def _drawn_one(size: tuple[int, int], random: np.random.Generator) -> Pixels:
    corners = random.integers(0, 256, (3, 3, 3), np.uint8)
    pixels = np.ascontiguousarray(cv2.resize(corners, size[::-1], interpolation=cv2.INTER_CUBIC))
    for _ in range(8):
        centre = (int(random.integers(size[1])), int(random.integers(size[0])))
        radius = int(random.integers(2, max(3, min(size) // 4)))
        cv2.circle(
            pixels, centre, radius, [int(c) for c in random.integers(0, 256, 3)], cv2.FILLED, cv2.LINE_AA
        )
    return np.asarray(pixels, np.uint8)
