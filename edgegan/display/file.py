"""Pictures into a video or a folder: `file://out.mp4` (H.264, plays in browsers), `file://frames/` (PNG).

A video grows as `out.mp4.part`, in fragments, so that whatever kills the process leaves a file that plays up
to its last second; closing turns it into an `out.mp4` that starts to play before it has been loaded.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from time import monotonic_ns
from typing import Any, Literal, Protocol

import av
import cv2
import numpy as np

from edgegan.display.scaling import Fit, Scaler
from edgegan.errors import ConfigError, DisplayError, EdgeganError
from edgegan.frame import Pixels
from edgegan.registry import Size

__all__ = ["FileDisplay"]

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

_TICKS_PER_SECOND = 90_000
_BT601, _LIMITED = 6, 1  # AVCOL_SPC_SMPTE170M and AVCOL_RANGE_MPEG: what OpenCV makes of BGR
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_FASTSTART = {"movflags": "faststart"}
_X264 = {"tune": "zerolatency", "g": "30", "threads": "1"}
"""No look-ahead and one thread: little memory, and the cores are the generator's (docs/displays.md)."""
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
        if not 0 <= crf <= 51 or (rate is not None and not 0 < rate <= 1000):
            raise ConfigError(
                f"there is no video of crf {crf} and rate {rate}", "use crf 0 to 51, rate up to 1000"
            )
        target = Path(path).expanduser()
        if target.is_dir() and not path.endswith("/"):
            raise ConfigError(f"'{path}' is a folder", f"write '{path}/' for pictures, or name a file in it")
        if not target.parent.is_dir():
            raise ConfigError(
                f"there is no folder '{target.parent}' for '{path}'", "make it, or check the path"
            )
        options = {**_X264, "crf": str(crf), "preset": preset}
        self._sink: _Sink = _Folder(target) if path.endswith("/") else _Video(target, rate, options)
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


class _Sink(Protocol):
    def write(self, pixels: Pixels, captured_ns: int) -> None: ...
    def close(self) -> None: ...


class _Folder:
    """00000001.png, 00000002.png and so on, each complete under its name."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        with _refusal(folder, ConfigError):
            folder.mkdir(exist_ok=True)
            filled = any(folder.iterdir())
        if filled:
            raise ConfigError(
                f"the folder '{folder}' is not empty", "name another, or empty it: runs would mix"
            )
        with _refusal(folder, ConfigError):
            (folder / ".part").touch()
            (folder / ".part").unlink()

    def write(self, pixels: Pixels, captured_ns: int) -> None:
        self._count += 1
        part = self._folder / ".part"
        with _refusal(self._folder, DisplayError):
            try:
                part.write_bytes(cv2.imencode(".png", pixels, _PNG)[1].tobytes())
                part.replace(self._folder / f"{self._count:08d}.png")
            except OSError:
                part.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        pass


class _Video:
    """H.264 in MP4."""

    def __init__(self, file: Path, rate: float | None, options: dict[str, str]) -> None:
        self._final, self._part = file, file.with_name(file.name + ".part")
        self._rate, self._options = rate, options
        self._stream: Any = None
        self._broken = False
        self._count, self._start_ns, self._last_pts = 0, 0, -1
        with _refusal(file, ConfigError):
            self._part.open("wb").close()  # PyAV opens it with the first picture only
            self._container: Any = av.open(str(self._part), "w", format="mp4", options=_FRAGMENTS)

    def write(self, pixels: Pixels, captured_ns: int) -> None:
        height, width = pixels.shape[:2]
        even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        with _refusal(self._final, DisplayError):
            if self._stream is None:
                self._start_ns, self._stream = captured_ns, self._encoder(*even.shape[:2])
            yuv = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
            frame.pts, frame.time_base = self._next_pts(captured_ns), Fraction(1, _TICKS_PER_SECOND)
            self._broken = True  # unless the next line returns
            self._container.mux(self._stream.encode(frame))
            self._broken = False

    def close(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        if self._broken:
            with suppress(OSError):
                container.close()
            return
        with _refusal(self._final, DisplayError):
            if self._stream is not None:
                container.mux(self._stream.encode())
            container.close()
            if self._stream is not None:
                self._publish()
            self._part.unlink()

    def _encoder(self, height: int, width: int) -> Any:
        stream = self._container.add_stream(
            "libx264", rate=Fraction(self._rate or 30).limit_denominator(1001)
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_SECOND)
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED
        stream.options = self._options
        return stream

    def _next_pts(self, captured_ns: int) -> int:
        """Presentation time in ticks; it only ever grows, as MP4 demands."""
        since_start_s = (
            (captured_ns - self._start_ns) / 1e9 if self._rate is None else self._count / self._rate
        )
        self._count += 1
        self._last_pts = max(self._last_pts + 1, round(since_start_s * _TICKS_PER_SECOND))
        return self._last_pts

    def _publish(self) -> None:
        """Copy the fragments into one piece, its index in front, and name it once it is on the disk."""
        whole = self._final.with_name(self._final.name + ".whole")
        try:
            with (
                av.open(str(self._part)) as source,
                av.open(str(whole), "w", format="mp4", options=_FASTSTART) as result,
            ):
                fragments = source.streams.video[0]
                stream = result.add_stream_from_template(fragments)
                for packet in source.demux(fragments):
                    if packet.dts is not None:
                        packet.stream = stream
                        result.mux(packet)
            with whole.open("rb") as file:
                os.fsync(file.fileno())
            whole.replace(self._final)
        except OSError:
            whole.unlink(missing_ok=True)
            raise


@contextmanager
def _refusal(path: Path, kind: type[EdgeganError]) -> Iterator[None]:
    """Turn the file system's or the encoder's refusal into an error of `kind`."""
    try:
        yield
    except (OSError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        mend = (
            "free some space; what was written so far stays there as .part"
            if full
            else "check the path, its permissions and the options"
        )
        raise kind(f"cannot write '{path}': {why}", mend) from error
