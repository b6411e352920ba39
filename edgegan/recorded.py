"""Pictures in a clip or in a folder, one after the other, without a clock.

Decoding takes one thread (0.8 ms a picture at 640 x 272); two spent a third more CPU time for nothing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edgegan.errors import CameraError, ConfigError
from edgegan.frame import Pixels

__all__ = ["PICTURE_SUFFIXES", "Source", "open_source"]

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

# cv2's FFmpeg prints on stderr by itself; it reads this when the first clip is opened. -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Source(Protocol):
    """Pictures in their order."""

    rate_hertz: float
    length: int
    """How many pictures there are, as far as is known: a clip's container errs, or says 0."""
    name: str
    description: str

    @property
    def latest(self) -> str:
        """What the picture is called that was last given or left out."""

    def next(self) -> Pixels | None:
        """The next picture, uint8 (H, W, 3) BGR; None after the last."""

    def skip(self) -> bool:
        """Leave out the next picture, as cheaply as can be; False after the last."""

    def check_complete(self) -> None:
        """Raise `CameraError` if what was given so far is not all that was promised."""

    def rewind(self) -> None:
        """Begin again."""

    def close(self) -> None:
        """Let go of the file."""


def open_source(path: str) -> Source:
    """A clip, a folder of pictures or one picture; `ConfigError` where there is none."""
    try:
        files = _files(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~name where nobody is called so
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot read '{path}': {why}", "check the path and its permissions") from None
    if isinstance(files, list):
        return Pictures(path, files)
    return Pictures(path, [files]) if _is_picture(files) else Clip(files)


def _files(path: str) -> Path | list[Path]:
    """One file that may be read, or the pictures of a folder."""
    file = Path(path).expanduser()
    if not path or not file.exists():
        raise ConfigError(
            f"there are no pictures at '{path}': no such clip or folder",
            "check the path; file:///x starts at the root",
        )
    if file.is_dir():
        return sorted((p for p in file.iterdir() if _is_picture(p) and p.is_file()), key=_natural)
    if not file.is_file():  # opening a pipe would wait for its other end
        raise ConfigError(
            f"'{path}' is no file, but a device or a pipe", "name a clip, a picture or a folder"
        )
    file.open("rb").close()
    return file


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")


def _natural(file: Path) -> list[str | int]:
    """`9.png` before `10.png`."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", file.name)]


class Pictures:
    """Picture files; one that is not decoded is not read either."""

    rate_hertz = 25.0

    def __init__(self, path: str, files: list[Path]) -> None:
        if not files:
            raise ConfigError(
                f"folder '{path}' holds no pictures", f"put {', '.join(sorted(PICTURE_SUFFIXES))} files there"
            )
        self._files, self._position, self.length = files, 0, len(files)
        self.name = self.description = f"{len(files)} picture{'s' * (len(files) > 1)} of '{path}'"

    @property
    def latest(self) -> str:
        return self._files[self._position - 1].name

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
            f"cannot read the picture '{file}': {error.strerror}",
            "check that it is still there, and its permissions",
        ) from None
    pixels = None
    with _quiet(), suppress(cv2.error):  # raised for pictures beyond OpenCV's limits
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise CameraError(
            f"'{file}' is no picture that OpenCV reads", "remove it or save it anew as PNG or JPEG"
        )
    return np.asarray(pixels, np.uint8)


class Clip:
    """A video file, through OpenCV's FFmpeg."""

    def __init__(self, file: Path) -> None:
        self._file = file.resolve()
        self._capture = self._opened()
        self.name, self._decoded, self._last_ms = f"clip '{file}'", 0, 0.0
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hertz = rate if 0 < rate <= 1000 else Pictures.rate_hertz
        self._promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.length = max(0, int(self._promised))
        width, height = (
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        self.description = f"{self.name}, {width} x {height}"

    @property
    def latest(self) -> str:
        return f"frame {self._decoded}"

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
        if not self._file.exists():
            raise CameraError(
                f"{self.name} is gone: it was there when it was opened",
                "put it back; a file may not be moved or removed while it plays",
            )
        try:
            self._capture = self._opened()
        except ConfigError as error:
            raise CameraError(error.message, error.mend) from None
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
