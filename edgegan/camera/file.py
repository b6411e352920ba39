"""A clip or a folder of pictures as a camera: `file://clip.mp4`, `file://photos/`. Needs no hardware."""

import time
from typing import Literal

from edgegan.clock import Schedule, check_rate, sleep_until
from edgegan.errors import CameraError, CameraTimeout, EndOfStream
from edgegan.frame import Frame, Pixels, read_only
from edgegan.framing import Framing, check_size
from edgegan.recorded import open_source
from edgegan.registry import Size

__all__ = ["FileCamera"]

_CATCH_UP_NS = 500_000_000
"""Reading past stale pictures may take this long; then the clip's own clock is put back instead."""


class FileCamera:
    """Gives a file's pictures as a camera would (`pace='real'`) or one by one on demand (`pace='max'`).

    At `real`, picture k is due at start + k / rate, which is its `captured_ns`; pictures that nobody fetched
    in time are skipped and counted in `sequence`. At `max` none is skipped, and `captured_ns` is the instant
    of reading.

    rate: pictures a second (default: the clip's own; 25 for pictures).
    size: (height, width) to scale to; what hangs over is cropped.
    """

    def __init__(
        self,
        path: str,
        *,
        pace: Literal["real", "max"] = "real",
        loop: bool = False,
        rate: float | None = None,
        size: Size | None = None,
    ) -> None:
        if rate is not None:
            check_rate("a file camera", rate)
        if size is not None:
            check_size("a camera's picture", size)
        self._source = open_source(path)
        self._loop = loop
        self._framing = Framing(size) if size else None
        self._pixels: Pixels | None = None
        self._index = 0
        self.live = pace == "real"
        self.rate_hertz: float | None = rate or self._source.rate_hertz
        self._schedule = Schedule(rate or self._source.rate_hertz)
        self.description = f"{self._source.description}, {self.rate_hertz:g} pictures a second"

    def read(self, timeout_s: float) -> Frame:
        """Next picture: at `real`, waits until it is due, and drops those that are due no more."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        if self.live:
            self._drop_stale()
        if self._pixels is None:
            self._pixels = self._decode()
        captured_ns = self._schedule.due_ns(self._index) if self.live else time.monotonic_ns()
        if captured_ns > deadline_ns:
            sleep_until(deadline_ns)
            raise CameraTimeout(f"no picture was due within {timeout_s:g} s", "wait longer or raise the rate")
        sleep_until(captured_ns)
        frame = Frame(read_only(self._pixels), self._index, captured_ns)
        self._pixels, self._index = None, self._index + 1
        return frame

    def skip(self, count: int) -> None:
        """Leave out `count` pictures without converting them; of a loop, whole rounds are only counted."""
        target = self._index + count
        begun: int | None = None
        while self._index < target:
            if self._pixels is not None or self._source.skip():
                self._pixels, self._index = None, self._index + 1
            elif not self._loop:
                return
            else:
                self._rewind()
                if begun is not None:
                    self._index = target - (target - self._index) % self._length(self._index - begun)
                begun = self._index

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _drop_stale(self) -> None:
        newest, give_up_ns = self._schedule.newest(self._index), time.monotonic_ns() + _CATCH_UP_NS
        while self._index < newest:
            if time.monotonic_ns() > give_up_ns:
                self._schedule.postpone(self._index)
                return
            if self._pixels is None and not self._source.skip():
                self._rewind()
                continue
            self._pixels, self._index = None, self._index + 1

    def _decode(self) -> Pixels:
        pixels = self._source.next()
        if pixels is None:
            self._rewind()
            pixels = self._source.next()
        if pixels is None:
            raise self._unrepeatable()
        return self._framing(pixels) if self._framing else pixels

    def _length(self, counted: int) -> int:
        if not counted:
            raise self._unrepeatable()
        return counted

    def _unrepeatable(self) -> CameraError:
        return CameraError(f"{self._source.name} cannot be read a second time", "convert it to MP4")

    def _rewind(self) -> None:
        self._source.check_complete()
        if not self._loop:
            raise EndOfStream(
                f"there are no more pictures in {self._source.name}", "add loop=1 to play it for ever"
            )
        self._source.rewind()
