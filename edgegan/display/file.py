"""Pictures into a video or a folder: `file://out.mp4` (H.264, plays in browsers), `file://frames/` (PNG)."""

from contextlib import suppress
from pathlib import Path
from time import monotonic_ns
from typing import Literal, Protocol

import cv2

from edgegan.clock import check_rate
from edgegan.display.scaling import Fit, Scaler
from edgegan.errors import ConfigError, DisplayError
from edgegan.frame import Pixels
from edgegan.registry import Size
from edgegan.video import Video, refusal

__all__ = ["FileDisplay"]

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


class FileDisplay:
    """Writes every picture that it is shown.

    size: (height, width) of the result (default: the first picture's); others are scaled to it by `fit`.
    rate: pictures a second; without it each keeps its own time of capture (variable frame rate).
    crf, preset: quality and effort, in x264's words. `rate`, `crf` and `preset` matter to videos alone.
    """

    poll_interval_s: float | None = None

    def __init__(
        self,
        path: str,
        *,
        size: Size | None = None,
        rate: float | None = None,
        fit: Fit = "contain",
        crf: int = 20,
        preset: Preset = "veryfast",
    ) -> None:
        if not path.endswith("/") and Path(path).suffix.lower() != ".mp4":
            raise ConfigError(
                f"'{path}' is neither a video nor a folder", "name it out.mp4, or out/ for pictures"
            )
        if not 0 <= crf <= 51:
            raise ConfigError(f"there is no video of crf {crf}", "use crf 0 to 51")
        if rate is not None:
            check_rate("a video", rate)
        target = _target(path)
        options = {"crf": str(crf), "preset": preset}
        self._sink: _Sink = _Folder(target) if path.endswith("/") else Video(target, rate, options)
        self._size, self._fit = size, fit
        self._scaler: Scaler | None = None
        self.description = str(target)

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        """Write one picture; the instant at which that was done."""
        if self._scaler is None:
            height, width = self._size or pixels.shape[:2]
            self._scaler = Scaler((height, width), self._fit)
        self._sink.write(self._scaler(pixels), captured_ns)
        return monotonic_ns()

    def poll(self) -> bool:
        """Nobody can close it."""
        return True

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._sink.close()


def _target(path: str) -> Path:
    with refusal(Path(path), ConfigError):
        target = Path(path).expanduser()
        is_folder, has_parent = target.is_dir(), target.parent.is_dir()
    if is_folder and not path.endswith("/"):
        raise ConfigError(f"'{path}' is a folder", f"write '{path}/' for pictures, or name a file in it")
    if not has_parent:
        raise ConfigError(f"there is no folder '{target.parent}' for '{path}'", "make it, or check the path")
    return target


class _Sink(Protocol):
    def write(self, pixels: Pixels, captured_ns: int) -> None: ...
    def close(self) -> None: ...


class _Folder:
    """00000001.png, 00000002.png and so on, each complete under its name. Without a picture, no folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count, self._made = folder, 0, False
        with refusal(folder, ConfigError):
            with suppress(FileExistsError):
                folder.mkdir()
                self._made = True
            filled = any(folder.iterdir())
        if filled:
            raise ConfigError(
                f"the folder '{folder}' is not empty", "name another, or empty it: runs would mix"
            )
        try:
            with refusal(folder, ConfigError):
                (folder / ".part").touch()
                (folder / ".part").unlink()
        except ConfigError:
            self.close()
            raise

    def write(self, pixels: Pixels, captured_ns: int) -> None:
        self._count += 1
        part = self._folder / ".part"
        with refusal(self._folder, DisplayError):
            try:
                part.write_bytes(cv2.imencode(".png", pixels, _PNG)[1].tobytes())
                part.replace(self._folder / f"{self._count:08d}.png")
            except OSError:
                part.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        if self._made:
            with suppress(OSError):  # it is not empty
                self._folder.rmdir()
