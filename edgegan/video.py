"""A video that grows as `out.mp4.part`, in fragments, and becomes `out.mp4` when it is closed.

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
_X264 = {"tune": "zerolatency", "g": "30", "threads": "1"}
"""No look-ahead and one thread: little memory, and the cores are the generator's (docs/displays.md)."""


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
        even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        with refusal(self._final, DisplayError):
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
            with suppress(OSError):
                container.close()
            return
        with refusal(self._final, DisplayError):
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
def refusal(path: Path, kind: type[EdgeganError]) -> Iterator[None]:
    """Turn the file system's or the encoder's refusal into an error of `kind`."""
    try:
        yield
    except (OSError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        mend = (
            "free some space; what was written before is still there"
            if full
            else "check the path, its permissions and the options"
        )
        raise kind(f"cannot write '{path}': {why}", mend) from error
