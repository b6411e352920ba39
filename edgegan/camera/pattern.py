"""A moving test picture as a camera: `pattern://?size=640x480&rate=30`. Needs no hardware.

Each picture carries its own sequence number and time of capture in its pixels, so that whoever films or
records the far end can tell which picture arrived, and how late. `read_stamp` gets them back from a picture
that was scaled, cropped to a square, framed with bars, blurred a little or compressed, as long as a cell
keeps about 2 pixels.

The stamp: a black border, in it a white frame, in it 3 rows of 30 square cells, white for 1, read line by
line: 01, sequence (32 bits), time of capture in 0.1 ms (40), CRC-16/XMODEM of these nine bytes. It is 34 x 7
cells large, a cell is 1/42 of the picture's shorter side, and it stands at the bottom of the central square.
"""

import binascii
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.clock import Schedule, check_rate, sleep_until
from edgegan.errors import CameraTimeout
from edgegan.frame import Frame, Pixels, read_only
from edgegan.framing import check_size
from edgegan.registry import Size

__all__ = ["PatternCamera", "PatternStamp", "read_stamp"]

STAMP_TICK_NS = 100_000
_ROWS, _COLUMNS = 3, 30
_CELLS_PER_SIDE = 42
_LEAD = "01"
_SIZE = Size((480, 640))


@dataclass(frozen=True)
class PatternStamp:
    """What a picture says about itself.

    captured_ns: rounded down to 0.1 ms; starts anew after 3.4 years.
    """

    sequence: int
    captured_ns: int


class PatternCamera:
    """Coloured waves that drift, and a ball in front of them, with the stamp on top.

    `pace='real'`: a picture every 1 / rate seconds; those that nobody fetched in time are skipped and counted
    in `sequence`. `pace='max'`: one for each read. size is (height, width).
    """

    def __init__(
        self,
        path: str = "",
        *,
        size: Size = _SIZE,
        rate: float = 30.0,
        pace: Literal["real", "max"] = "real",
    ) -> None:
        check_rate("a test pattern", rate)
        check_size("a test pattern", size, least=2 * _CELLS_PER_SIDE)
        self.live = pace == "real"
        self.rate_hertz: float | None = rate
        self.description = f"test pattern, {size[1]} x {size[0]}, {rate:g} pictures a second"
        self._size, self._index, self._schedule = size, 0, Schedule(rate)
        self._waves = _waves(size)

    def read(self, timeout_s: float) -> Frame:
        """Next picture; at `real`, waits until it is due."""
        captured_ns = time.monotonic_ns()
        if self.live:
            deadline_ns = captured_ns + round(timeout_s * 1e9)
            self._index = self._schedule.newest(self._index)
            captured_ns = self._schedule.due_ns(self._index)
            sleep_until(min(captured_ns, deadline_ns))
            if captured_ns > deadline_ns:
                raise CameraTimeout(
                    f"no picture was due within {timeout_s:g} s", "wait longer or raise the rate"
                )
        frame = Frame(read_only(self._drawn(captured_ns)), self._index, captured_ns)
        self._index += 1
        return frame

    def skip(self, count: int) -> None:
        """Leave out `count` pictures: the next one is drawn as if they had been."""
        self._index += count

    def close(self) -> None:
        """Nothing to let go of."""

    def _drawn(self, captured_ns: int) -> Pixels:
        height, width = self._size
        phase = self._index % (8 * 30) / (8 * 30)  # 8 seconds at 30 pictures a second
        left = round(phase * width)
        pixels: Pixels = self._waves[:, left : left + width].copy()
        turn = 2 * math.pi * phase
        ball = (round(width * (0.5 - 0.3 * math.cos(turn))), round(height * (0.4 + 0.2 * math.sin(2 * turn))))
        cv2.circle(pixels, ball, min(self._size) // 9, (40, 210, 250), cv2.FILLED, cv2.LINE_AA)
        _draw_stamp(pixels, PatternStamp(self._index, captured_ns))
        return pixels


def read_stamp(pixels: Pixels) -> PatternStamp | None:
    """The stamp in a picture of any size (uint8 (H, W, 3)), or None where it is missing or illegible."""
    _, bright = cv2.threshold(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), 127, 255, cv2.THRESH_BINARY)
    outlines = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    boxes = [cv2.boundingRect(outline) for outline in outlines]
    wide = sorted((box for box in boxes if 2 * box[3] < box[2] > _COLUMNS), key=lambda box: -box[2])
    return next((stamp for box in wide[:8] if (stamp := _stamp_from_box(pixels, box))), None)


def _stamp_from_box(pixels: Pixels, box: Sequence[int]) -> PatternStamp | None:
    """Read the cells of a white frame whose bounding box is (left, top, width, height)."""
    left, top, width, height = box
    inside = cv2.cvtColor(pixels[top : top + height, left : left + width], cv2.COLOR_BGR2GRAY)
    # Three samples a cell each way; the middle one is clear of its neighbours.
    samples = cv2.resize(inside, (3 * (_COLUMNS + 2), 3 * (_ROWS + 2)), interpolation=cv2.INTER_AREA)
    cells = samples[4:-3:3, 4:-3:3] > 127
    bits = "".join("01"[int(cell)] for cell in cells.ravel())
    value = int(bits[len(_LEAD) :], 2).to_bytes(11, "big")
    if not bits.startswith(_LEAD) or binascii.crc_hqx(value[:9], 0) != int.from_bytes(value[9:], "big"):
        return None
    return PatternStamp(int.from_bytes(value[:4], "big"), int.from_bytes(value[4:9], "big") * STAMP_TICK_NS)


def _draw_stamp(pixels: Pixels, stamp: PatternStamp) -> None:
    height, width = pixels.shape[:2]
    side = min(height, width)
    cell = side // _CELLS_PER_SIDE
    picture = np.zeros((_ROWS + 4, _COLUMNS + 4), np.uint8)
    picture[1:-1, 1:-1] = 255
    picture[2:-2, 2:-2] = 255 * _cells_from_stamp(stamp)
    drawn = picture.repeat(cell, axis=0).repeat(cell, axis=1)[:, :, np.newaxis]
    bottom, left = (height + side) // 2, (width - drawn.shape[1]) // 2
    pixels[bottom - drawn.shape[0] : bottom, left : left + drawn.shape[1]] = drawn


def _cells_from_stamp(stamp: PatternStamp) -> npt.NDArray[np.uint8]:
    """uint8 (3, 30), 1 for white."""
    sequence = (stamp.sequence % 2**32).to_bytes(4, "big")
    value = sequence + (stamp.captured_ns // STAMP_TICK_NS % 2**40).to_bytes(5, "big")
    value += binascii.crc_hqx(value, 0).to_bytes(2, "big")
    bits = _LEAD + "".join(f"{byte:08b}" for byte in value)
    return np.array([int(bit) for bit in bits], np.uint8).reshape(_ROWS, _COLUMNS)


def _waves(size: tuple[int, int]) -> Pixels:
    """The background twice side by side, uint8 (H, 2 W, 3): any W columns of it are a moment of its drift."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = 2 * np.pi * x / width, 2 * np.pi * y / height
    phases = (np.sin(x + np.sin(y)), np.sin(2 * x - y + 2.1), np.sin(x + 2 * y + np.cos(3 * x) + 4.2))
    once = np.stack([110 + 70 * phase for phase in phases], axis=-1).astype(np.uint8)
    return np.concatenate([once, once], axis=1)
