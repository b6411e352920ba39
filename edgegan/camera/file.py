"""A clip or a folder of pictures as a camera: `file://clip.mp4`, `file://photos/`. Needs no hardware.

Decoding takes one thread (0.8 ms a picture at 640 x 272); two spent a third more CPU time for nothing.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from edgegan.clock import Schedule, sleep_until
from edgegan.errors import CameraError, CameraTimeout, ConfigError, EndOfStream
from edgegan.frame import Frame, Pixels, read_only
from edgegan.framing import Framing
from edgegan.registry import Size

__all__ = ["FileCamera"]

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_CATCH_UP_NS = 500_000_000
"""Reading past stale pictures may take this long; then the clip's own clock is put back instead."""

# cv2's FFmpeg prints on stderr by itself; it reads this when the first clip is opened. -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


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
        if rate is not None and not 0 < rate <= 1000:
            raise ConfigError(f"a camera cannot give {rate:g} pictures a second", "use a rate of up to 1000")
        self._source = _open(path)
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
            raise CameraError(f"{self._source.name} cannot be read a second time", "convert it to MP4")
        return self._framing(pixels) if self._framing else pixels

    def _rewind(self) -> None:
        self._source.check_complete()
        if not self._loop:
            raise EndOfStream(
                f"there are no more pictures in {self._source.name}", "add loop=1 to play it for ever"
            )
        self._source.rewind()


class _Source(Protocol):
    """Pictures in their order."""

    rate_hertz: float
    name: str
    description: str

    def next(self) -> Pixels | None: ...
    def skip(self) -> bool: ...
    def check_complete(self) -> None: ...
    def rewind(self) -> None: ...
    def close(self) -> None: ...


def _open(path: str) -> _Source:
    file = Path(path).expanduser()
    if not path or not file.exists():
        raise ConfigError(
            f"there is no clip or folder '{path}'", "check the path; file:///x starts at the root"
        )
    if file.is_dir():
        return _Pictures(path, sorted((p for p in file.iterdir() if _is_picture(p)), key=_natural))
    return _Pictures(path, [file]) if _is_picture(file) else _Clip(file)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")


def _natural(file: Path) -> list[str | int]:
    """`9.png` before `10.png`."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", file.name)]


class _Pictures:
    """Picture files; one that is not decoded is not read either."""

    rate_hertz = 25.0

    def __init__(self, path: str, files: list[Path]) -> None:
        if not files:
            raise ConfigError(
                f"folder '{path}' holds no pictures", f"put {', '.join(sorted(PICTURE_SUFFIXES))} files there"
            )
        self._files, self._position = files, 0
        self.name = self.description = f"{len(files)} picture{'s' * (len(files) > 1)} of '{path}'"

    def next(self) -> Pixels | None:
        return _picture_from_file(self._files[self._position - 1]) if self.skip() else None

    def skip(self) -> bool:
        if self._position == len(self._files):
            return False
        self._position += 1
        return True

    def check_complete(self) -> None:
        pass

    def rewind(self) -> None:
        self._position = 0

    def close(self) -> None:
        pass


def _picture_from_file(file: Path) -> Pixels:
    try:
        data = np.fromfile(file, np.uint8)
    except OSError as error:
        raise CameraError(
            f"cannot read the picture '{file}': {error.strerror}", "check its permissions"
        ) from None
    with _quiet():
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise CameraError(
            f"'{file}' is no picture that OpenCV reads", "remove it or save it anew as PNG or JPEG"
        )
    return np.asarray(pixels, np.uint8)


class _Clip:
    """A video file, through OpenCV's FFmpeg."""

    def __init__(self, file: Path) -> None:
        self._file = file.resolve()
        self._capture = self._opened()
        self.name, self._decoded, self._last_ms = f"clip '{file}'", 0, 0.0
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hertz = rate if 0 < rate <= 1000 else _Pictures.rate_hertz
        self._promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        width, height = (
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        self.description = f"{self.name}, {width} x {height}"

    def next(self) -> Pixels | None:
        return np.asarray(self._capture.retrieve()[1], np.uint8) if self.skip() else None

    def skip(self) -> bool:
        """Decode the next picture, but spare its conversion to BGR."""
        if not self._capture.grab():
            return False
        self._decoded += 1
        self._last_ms = max(self._last_ms, self._capture.get(cv2.CAP_PROP_POS_MSEC))
        return True

    def check_complete(self) -> None:
        """Raise `CameraError` if the clip ended long before its container said it would.

        By number and by time: an AVI may promise twice its pictures at twice their rate, and pictures may stand
        anywhere in time. Containers' estimates err by a second (sound that goes on), hence the tolerance.
        """
        promised_s, got_s = self._promised / self.rate_hertz, self._last_ms / 1000 + 1 / self.rate_hertz
        too_short = promised_s - got_s > max(min(1.0, 0.4 * promised_s), 0.05 * promised_s)
        if 0 < self._decoded < 0.95 * self._promised and too_short:
            raise CameraError(
                f"{self.name} breaks off after {self._decoded} of about {self._promised:.0f} pictures",
                "it is damaged or was not copied whole: copy or convert it anew",
            )

    def rewind(self) -> None:
        """Open anew (5 ms): seeking to the start is refused by some containers."""
        self._capture.release()
        self._capture = self._opened()
        self._decoded, self._last_ms = 0, 0.0

    def close(self) -> None:
        self._capture.release()

    def _opened(self) -> cv2.VideoCapture:
        with _quiet():
            # CAP_PROP_N_THREADS came with OpenCV 4.7.
            threads = [cv2.CAP_PROP_N_THREADS, 1] if hasattr(cv2, "CAP_PROP_N_THREADS") else []
            capture = cv2.VideoCapture(str(self._file), cv2.CAP_FFMPEG, threads)
        if not capture.isOpened():
            raise ConfigError(
                f"'{self._file}' is no clip that OpenCV reads: it is damaged, or of another kind",
                "copy it anew, or convert it: ffmpeg -i INPUT -pix_fmt yuv420p clip.mp4",
            )
        return capture


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV's own warnings off: the error that is raised says it better."""
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # 4.x, 5.x
    level = logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)
