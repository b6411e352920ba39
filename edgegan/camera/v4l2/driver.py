"""The camera driver `v4l2`: negotiates, streams, and gives the newest picture."""

import ctypes
import errno
import logging
import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import cv2
import numpy as np

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.controls import Controls, Wishes
from edgegan.camera.v4l2.kernel import Device, LinuxSystem, System
from edgegan.camera.v4l2.modes import FORMATS, Wish, agree
from edgegan.camera.v4l2.nodes import check_node, describe, error_from_os_error, first_camera
from edgegan.clock import check_rate
from edgegan.errors import CameraError, CameraTimeout
from edgegan.frame import Frame, Pixels, read_only
from edgegan.framing import check_size
from edgegan.registry import Size, path_from_text

__all__ = ["V4l2Camera"]

log = logging.getLogger(__name__)

_BUFFERS = 3  # one is being filled, one waits, one is being read
_SETTLE_NS = 2_000_000_000
_SILENT_S = 10.0
"""A camera that gives nothing for so long (or for ten periods) is opened anew: most then work again."""
_OLDEST_STAMP_NS = 10_000_000_000  # an older one is a driver's mistake
_END_OF_JPEG = b"\xff\xd9"
_SIZE = Size((480, 640))


class V4l2Camera:
    """A webcam, a capture stick, or whatever else /dev/videoN gives pictures.

    path: of the device; empty takes the first camera. system: the machine.
    size, rate, format: what is asked for; `modes` says how that is matched with what the camera offers.
    exposure (`auto`, `lock`, milliseconds), white_balance (`auto`, `lock`, kelvin), flicker: see `controls`.
    Raises `ConfigError`, or `CameraError` where there is no camera, it is in use, or may not be opened.
    """

    def __init__(
        self,
        path: str = "",
        system: System | None = None,
        *,
        size: Size = _SIZE,
        rate: float = 30.0,
        format: Literal["auto", "mjpg", "yuyv"] = "auto",  # noqa: A002, the option's name
        exposure: Literal["auto", "lock"] | float | None = None,
        white_balance: Literal["auto", "lock"] | int | None = None,
        flicker: Literal["off", 50, 60, "auto"] | None = None,
    ) -> None:
        check_rate("a camera", rate)
        check_size("a camera's picture", size)
        self._wishes = Wishes(exposure, white_balance, flicker)
        self._wishes.check()
        self.live = True
        self.damaged = 0
        self._system: System = system or LinuxSystem()
        self._path = str(path_from_text(path)) if path else first_camera(self._system)
        self._numbers, self._last_ns = _Numbers(), 0
        self._silent_since_ns = time.monotonic_ns()
        self._lock_at_ns: int | None = None
        with self._explained("open"):
            self._device = self._system.open(self._path)
        try:
            self._open(Wish(size, rate, format))
        except BaseException:
            self.close()
            raise

    def _open(self, wish: Wish) -> None:
        with self._explained("open"):
            node = describe(self._path, self._device)
        check_node(self._system, node)
        with self._explained("be set up"):
            mode, self._pix = agree(self._device, wish)
            self._controls = Controls(self._device)
            self._controls.prepare(self._wishes)
            self._stream = _Stream(self._device)
        self.rate_hertz, self._mode = mode.rate_hertz, mode
        self.description = f"{node.card} ({self._path}), {mode}; asked for {wish}"
        log.info("%s", self.description)
        self._silence_s = max(_SILENT_S, 10 / (mode.rate_hertz or 30.0))

    def read(self, timeout_s: float) -> Frame:
        """The newest picture; damaged ones are left out and counted, in `damaged` and as gaps in `sequence`."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        while True:
            with self._explained("be read"):
                frame = self._next(deadline_ns)
            if frame is not None:
                return frame
            if time.monotonic_ns() >= deadline_ns:
                self._check_silence()
                raise CameraTimeout(
                    f"'{self._path}' gave no picture within {timeout_s:g} s", "check its cable"
                )

    def skip(self, count: int) -> None:
        """Time moves a camera on by itself."""

    def close(self) -> None:
        """Stop streaming and let go of the device."""
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
        self._device.close()

    def _next(self, deadline_ns: int) -> Frame | None:
        """The newest picture that is whole; None if none came before the deadline, or if it was damaged."""
        buffer = self._stream.newest(deadline_ns)
        if buffer is None:
            return None
        arrived_ns = time.monotonic_ns()
        try:
            pixels = None if buffer.flags & kernel.BUFFER_ERROR else self._decoded(buffer)
        finally:
            self._stream.give_back(buffer)
        sequence = self._numbers.sequence(buffer.sequence, given=pixels is not None)
        self._silent_since_ns = arrived_ns
        self._lock_when_settled(arrived_ns)
        if pixels is None:
            self._count_damaged()
            return None
        return Frame(read_only(pixels), sequence, self._captured_ns(buffer, arrived_ns))

    def _decoded(self, buffer: kernel.Buffer) -> Pixels | None:
        """uint8 (H, W, 3) in memory of its own, or None if the picture is damaged."""
        data = self._stream.data(buffer)
        if FORMATS[self._mode.fourcc] == "yuyv":
            return self._decoded_yuyv(data)
        # Cut off by a full USB bus, a JPEG would still be decoded, in part, and libjpeg would complain on stderr.
        # Behind its end a driver may leave zeros.
        if data[:2].tobytes() != b"\xff\xd8" or data.tobytes().rstrip(b"\0")[-2:] != _END_OF_JPEG:
            return None
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return None if pixels is None else np.asarray(pixels, np.uint8)

    def _decoded_yuyv(self, data: Pixels) -> Pixels | None:
        height, width = self._mode.height, self._mode.width
        stride = max(self._pix.bytesperline, 2 * width)
        if data.size < (height - 1) * stride + 2 * width:
            return None
        lines = np.lib.stride_tricks.as_strided(data, (height, width, 2), (stride, 2, 1))
        return np.asarray(cv2.cvtColor(lines, cv2.COLOR_YUV2BGR_YUYV), np.uint8)

    def _captured_ns(self, buffer: kernel.Buffer, arrived_ns: int) -> int:
        """The driver's stamp where it is of CLOCK_MONOTONIC and can be true, else the arrival."""
        stamp_ns = buffer.timestamp.seconds * 1_000_000_000 + buffer.timestamp.microseconds * 1000
        ours = buffer.flags & kernel.BUFFER_CLOCK_MASK == kernel.BUFFER_CLOCK_MONOTONIC
        if not ours or not arrived_ns - _OLDEST_STAMP_NS < stamp_ns <= arrived_ns:
            stamp_ns = arrived_ns
        self._last_ns = max(stamp_ns, self._last_ns + 1)
        return self._last_ns

    def _lock_when_settled(self, now_ns: int) -> None:
        if not self._wishes.lock_later:
            return
        if self._lock_at_ns is None:
            self._lock_at_ns = now_ns + _SETTLE_NS
        elif now_ns >= self._lock_at_ns:
            log.info("holding %s", self._controls.lock(self._wishes) or "nothing")
            self._wishes = Wishes()

    def _count_damaged(self) -> None:
        self.damaged += 1
        if self.damaged & (self.damaged - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            log.warning("%d damaged pictures so far from '%s' are left out", self.damaged, self._path)

    def _check_silence(self) -> None:
        silent_s = (time.monotonic_ns() - self._silent_since_ns) / 1e9
        if silent_s > self._silence_s:
            raise CameraError(
                f"'{self._path}' has given no picture for {silent_s:.0f} s",
                "check its cable and its power; unplug it and plug it in again",
            )

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """The kernel's refusals as errors that say what to do."""
        try:
            yield
        except CameraError:
            raise
        except OSError as error:
            raise error_from_os_error(self._system, self._path, error, doing) from error


class _Stream:
    """The buffers of a streaming device; raises `OSError`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        request = kernel.RequestBuffers(count=_BUFFERS, type=kernel.CAPTURE, memory=kernel.MMAP)
        device.ioctl(kernel.REQBUFS, request)
        if request.count < 2:
            raise OSError(errno.ENOMEM, "the kernel has no memory for its buffers")
        self._maps = [self._mapped(index) for index in range(request.count)]
        for index in range(request.count):
            device.ioctl(kernel.QBUF, _buffer(index))
        device.ioctl(kernel.STREAMON, ctypes.c_int32(kernel.CAPTURE))

    def newest(self, deadline_ns: int) -> kernel.Buffer | None:
        """The buffer that was filled last. It stays out until `give_back`.

        Where every buffer was full, the driver had none to fill any more: the newest is old, and the next is awaited.
        """
        full = self._filled()
        if len(full) == len(self._maps):
            for buffer in full:
                self.give_back(buffer)
            full = []
        while not full:
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0 or not self._device.wait(left_ns / 1e9):
                return None
            full = self._filled()
        for buffer in full[:-1]:
            self.give_back(buffer)
        return full[-1]

    def data(self, buffer: kernel.Buffer) -> Pixels:
        """A view of what is in a buffer, uint8 (bytes,)."""
        memory = self._maps[buffer.index]
        return np.frombuffer(memory, np.uint8, min(buffer.bytesused, len(memory)))

    def give_back(self, buffer: kernel.Buffer) -> None:
        """Let the driver fill it again; what `data` gave is no longer to be read."""
        self._device.ioctl(kernel.QBUF, _buffer(buffer.index))

    def close(self) -> None:
        """Stop. May be called twice."""
        if not self._maps:
            return
        with suppress(OSError):  # unplugged
            self._device.ioctl(kernel.STREAMOFF, ctypes.c_int32(kernel.CAPTURE))
        while self._maps:
            with suppress(BufferError):  # a view of it is still alive; it is unmapped with that
                self._maps.pop().close()

    def _filled(self) -> list[kernel.Buffer]:
        """Every buffer that is full by now, the oldest first."""
        full: list[kernel.Buffer] = []
        while len(full) < len(self._maps):
            buffer = _buffer(0)
            try:
                self._device.ioctl(kernel.DQBUF, buffer)
            except BlockingIOError:
                break
            full.append(buffer)
        return full

    def _mapped(self, index: int) -> mmap.mmap:
        buffer = _buffer(index)
        self._device.ioctl(kernel.QUERYBUF, buffer)
        return self._device.map(buffer.length, buffer.m.offset)


def _buffer(index: int) -> kernel.Buffer:
    return kernel.Buffer(index=index, type=kernel.CAPTURE, memory=kernel.MMAP)


class _Numbers:
    """A driver's 32-bit buffer numbers, as a sequence that begins with 0 at the first picture that was given."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._sequence = 0
        self._given = False

    def sequence(self, number: int, *, given: bool) -> int:
        """given: false for a picture that is left out, so that it is a gap (before the first one it is nothing)."""
        step = 1 if self._last is None else (number - self._last) % 2**32
        if not 0 < step < 2**31:
            step = 1  # a driver that does not count, or began anew
        if self._given:
            self._sequence += step
        self._last, self._given = number, self._given or given
        return self._sequence
