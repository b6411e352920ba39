"""Ctrl-C, SIGTERM and SIGHUP as something that a selector can wait for, and an end also where nobody listens."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Signals"]

log = logging.getLogger(__name__)

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 1.0
_DISK_PATIENCE_S = 30.0  # a worn SD card stalls for seconds
_LOOK_S = 0.05


class Signals:
    """Readable once one of the signals came; `received` then says which.

    A main thread that is stuck in a screen's driver never gets there. So a thread hears the signal first and, if it
    was not taken up within a second, or the person insists with a second one, does what `in_emergency` lists and
    ends the process. It waits longer for a disk (`writing`). Outside the main thread no signal ever comes.
    """

    def __init__(self) -> None:
        self.in_emergency: list[Callable[[], None]] = []
        self._previous: dict[int, Any] = {}
        self._taken_up = threading.Event()
        self._writing = False
        self._written_s = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Signals":
        self._heard, self._told = socket.socketpair()  # written by the interpreter's own signal handler
        self._read, self._write = socket.socketpair()  # what the main thread waits for
        self._told.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
            self._previous = {number: signal.signal(number, lambda *_: None) for number in _NUMBERS}
            self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous:
            signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._told.close()  # ends the thread
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)
        for end in (self._heard, self._read, self._write):
            end.close()

    def fileno(self) -> int:
        """For a selector."""
        return self._read.fileno()

    def received(self) -> str:
        """Why the run ends, in words."""
        self._taken_up.set()
        return f"{signal.Signals(self._read.recv(1)[0]).name} was received"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """In here the main thread waits for a disk; that is no hang before half a minute is over."""
        self._writing = True
        try:
            yield
        finally:
            self._written_s, self._writing = time.monotonic(), False

    def _listen(self) -> None:
        first_s = self._next()
        if first_s is None:
            return
        if self._is_taken_up(first_s):
            again_s = self._next()
            while again_s is not None and again_s - first_s <= _PATIENCE_S:
                again_s = self._next()
            if again_s is None:
                return
        self._end_at_once()

    def _is_taken_up(self, heard_s: float) -> bool:
        while not self._taken_up.wait(_LOOK_S):
            now_s = time.monotonic()
            idle_s = 0.0 if self._writing else now_s - max(heard_s, self._written_s)
            if idle_s > _PATIENCE_S or now_s - heard_s > _DISK_PATIENCE_S:
                return False
        return True

    def _next(self) -> float | None:
        """Wait for one of our signals; its time, or None once the run is over."""
        while byte := self._heard.recv(1):
            if byte[0] in _NUMBERS:
                with suppress(OSError):
                    self._write.send(byte)
                return time.monotonic()
        return None

    def _end_at_once(self) -> None:
        silent = "the disk" if self._writing else "the screen, a camera or its driver"
        log.critical("%s does not answer: ending without it", silent)
        for action in self.in_emergency:
            with suppress(Exception):
                action()
        os._exit(1)
