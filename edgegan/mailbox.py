"""Where the camera's thread leaves frames and the generator's takes them.

Newest wins: there is room for one frame; one that was not taken in time is replaced and counted. With `lossless`,
which is how a file is read on demand, there is room for a few and the putter waits: it is woken once for several
frames, because waking a sleeping core costs the taker some 0.05 ms each time. The producer's error travels the same
way and is raised by `take`.

Two locks serve as gates that one thread opens for the other.
"""

import threading
from collections import deque
from contextlib import suppress

from edgegan.errors import CameraTimeout
from edgegan.frame import Frame

__all__ = ["Mailbox"]

_AHEAD = 8  # frames that a file is read ahead
_REFILL_AT = 1


class Mailbox:
    """Holds one frame, or a few if lossless. One thread puts, one takes."""

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        self._guard = threading.Lock()
        self._something = _Gate(open_now=False)
        self._room = _Gate(open_now=True)
        self._frames: deque[Frame] = deque()
        self._error: BaseException | None = None
        self._closed = False
        self.dropped = 0

    def put(self, frame: Frame) -> bool:
        """Leave a frame; False once the mailbox is closed. Waits only if lossless."""
        if self._lossless:
            self._room.wait(-1)
        with self._guard:
            if self._closed:
                self._room.open()
                return False
            if not self._lossless and self._frames:
                self._frames.clear()
                self.dropped += 1
            self._frames.append(frame)
            if len(self._frames) < _AHEAD:
                self._room.open()
            self._something.open()
        return True

    def fail(self, error: BaseException) -> None:
        """Leave the error that ended the producer. Frames already left are taken first."""
        with self._guard:
            self._error = error
            self._something.open()

    def take(self, timeout_s: float) -> Frame:
        """The oldest frame there is; raises the producer's error, or `CameraTimeout` if nothing came in time."""
        if not self._something.wait(timeout_s):
            raise CameraTimeout(f"no frame came within {timeout_s:g} s")
        with self._guard:
            if not self._frames:
                self._something.open()
                assert self._error is not None
                raise self._error
            frame = self._frames.popleft()
            if self._frames or self._error is not None:
                self._something.open()
            if len(self._frames) <= _REFILL_AT:
                self._room.open()
        return frame

    def close(self) -> None:
        """Let a waiting producer go."""
        with self._guard:
            self._closed = True
            self._room.open()


class _Gate:
    """Lets one waiter through each time it was opened; opening it twice is opening it once."""

    def __init__(self, *, open_now: bool) -> None:
        self._lock = threading.Lock()
        if not open_now:
            self._lock.acquire()

    def open(self) -> None:
        with suppress(RuntimeError):  # it is open already
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Pass, or False after the time-out (-1: none)."""
        return self._lock.acquire(timeout=timeout_s)
