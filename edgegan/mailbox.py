"""One slot between two threads: the camera puts, the generator takes.

Newest wins: a frame that was not taken in time is replaced and counted. With `lossless` the putter waits instead,
which is how a file is read on demand. The producer's error travels the same way and is raised by `take`.
"""

import threading
from collections.abc import Callable

from edgegan.errors import CameraTimeout
from edgegan.frame import Frame

__all__ = ["Mailbox"]


class Mailbox:
    """Holds at most one frame. One thread puts, one takes."""

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._error: BaseException | None = None
        self._closed = False
        self.dropped = 0

    def put(self, frame: Frame) -> bool:
        """Leave a frame; False once the mailbox is closed. Waits only if lossless."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
            elif self._frame is not None:
                self.dropped += 1
            if self._closed:
                return False
            self._frame = frame
            self._changed.notify_all()
            return True

    def fail(self, error: BaseException) -> None:
        """Leave the error that ended the producer. A frame already left is taken first."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Frame:
        """The frame left last; raises the producer's error, or `CameraTimeout` if nothing came in time."""
        with self._changed:
            ready: Callable[[], bool] = lambda: self._frame is not None or self._error is not None  # noqa: E731
            if not self._changed.wait_for(ready, timeout_s):
                raise CameraTimeout(f"no frame came within {timeout_s:g} s")
            if self._frame is None:
                assert self._error is not None
                raise self._error
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Let a waiting producer go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
