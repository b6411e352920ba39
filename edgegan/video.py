"""A video that grows as `out.mp4.part`, in fragments, and becomes `out.mp4` when it is closed.

A small one is copied into one piece then, with its index in front; a large one keeps its fragments, so that
closing does not depend on how long it ran.

So whatever kills the process leaves a file that plays up to its last second, and what is whole starts to play
before it has been loaded.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from edgegan.errors import ConfigError, DisplayError, EdgeganError
from edgegan.frame import Pixels

__all__ = ["Video", "refusal"]

_TICKS_PER_SECOND = 90_000
_BT601, _LIMITED = 6, 1  # AVCOL_SPC_SMPTE170M and AVCOL_RANGE_MPEG: what OpenCV makes of BGR
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_FASTSTART = {"movflags": "faststart"}
_KEYFRAME_DISTANCE = 30
_X264 = {"tune": "zerolatency", "g": str(_KEYFRAME_DISTANCE), "threads": "1"}
"""No look-ahead and one thread: little memory, and the cores are the generator's (docs/displays.md)."""

_COPIED_BYTES = 16 * 2**20
"""What an SD card (20 MB/s) takes in the second within which everything ends."""
_FAILURES = (OSError, ValueError, RuntimeError, MemoryError, av.error.FFmpegError, cv2.error)
"""PyAV's errors are OSErrors and ValueErrors only where FFmpeg's reason has an errno."""


class Video:
    """H.264 in MP4, written picture by picture.

    rate: pictures a second, or None for the times of capture. options: x264's own.
    Raises `ConfigError` where no file can be made, and `DisplayError` once it cannot go on.
    """

    def __init__(self, file: Path, rate: float | None, options: dict[str, str]) -> None:
        self._final, self._part = file, file.with_name(file.name + ".part")
        self._rate, self._options = rate, {**_X264, **options}
        self._stream: Any = None
        self._broken = False
        self._count, self._start_ns, self._last_pts = 0, 0, -1
        with refusal(file, ConfigError):
            self._part.open("wb").close()  # PyAV opens it with the first picture only
            self._container: Any = av.open(str(self._part), "w", format="mp4", options=_FRAGMENTS)

    def write(self, pixels: Pixels, captured_ns: int) -> None:
        """Add a picture, uint8 (H, W, 3), always of the same size; an odd side gets one more line."""
        height, width = pixels.shape[:2]
        self._count += 1
        with refusal(self._final, DisplayError, self._kept()):
            even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            if self._stream is None:
                self._start_ns, self._stream = captured_ns, self._encoder(*even.shape[:2])
            yuv = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
            frame.pts, frame.time_base = self._next_pts(captured_ns), Fraction(1, _TICKS_PER_SECOND)
            self._broken = True  # unless the next line returns
            self._container.mux(self._stream.encode(frame))
            self._broken = False

    def close(self) -> None:
        """Finish the file and give it its name; without a picture there is none. May be called twice."""
        container, self._container = self._container, None
        if container is None:
            return
        if self._broken:
            with suppress(*_FAILURES):
                container.close()
            if self._kept() is None:
                self._part.unlink(missing_ok=True)
            return
        with refusal(self._final, DisplayError, self._kept()):
            if self._stream is not None:
                container.mux(self._stream.encode())
            container.close()
        with refusal(self._final, DisplayError, self._part):
            if self._stream is None:
                self._part.unlink()
            elif self._part.stat().st_size > _COPIED_BYTES:
                _sync(self._part)
                self._part.replace(self._final)
            else:
                self._publish()
                self._part.unlink()

    def _kept(self) -> Path | None:
        """Where the pictures are that were recorded so far: the first fragment ends at the second key frame."""
        return self._part if self._count > _KEYFRAME_DISTANCE else None

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
            (captured_ns - self._start_ns) / 1e9 if self._rate is None else (self._count - 1) / self._rate
        )
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
            _sync(whole)
            whole.replace(self._final)
        except _FAILURES:
            whole.unlink(missing_ok=True)
            raise


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


@contextmanager
def refusal(path: Path, kind: type[EdgeganError], kept: Path | None = None) -> Iterator[None]:
    """Turn the file system's or the encoder's refusal into an error of `kind`.

    kept: the file, if any, that holds what was recorded so far.
    """
    try:
        yield
    except _FAILURES as error:
        code = getattr(error, "errno", None)
        full = isinstance(error, OSError) and code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        mend = "free some space" if full else "check the path, its permissions and the options"
        if kept:
            mend += (
                f"; what was recorded so far is kept in '{kept}', which plays once it is named {path.name}"
            )
        elif full:
            mend += "; what was written before is still there"
        raise kind(f"cannot write '{path}': {why}", mend) from error
