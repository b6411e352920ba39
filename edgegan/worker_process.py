"""The daemon's side of a worker: start it, hear it, stop it, clean up after it."""

import dataclasses
import json
import logging
import os
import selectors
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import Any

from edgegan.exchange import Reader
from edgegan.process import how_it_ended, start
from edgegan.worker import LOG_LEVEL, MESSAGE_BYTES, WorkerTask

__all__ = ["WorkerProcess"]

_KILL_TIMEOUT_S = 2.0


class WorkerProcess:
    """A running worker with its exchange. Starts in the constructor; `close` leaves nothing behind.

    task: what to do; its handles are filled in here. size: (height, width) that the generator draws.
    lossless: the camera is a file read on demand, so no picture may be replaced.
    Raises `OSError` if the system has no memory or process to give.
    """

    def __init__(self, task: WorkerTask, size: tuple[int, int], *, lossless: bool) -> None:
        self.started_ns = time.monotonic_ns()
        self.progress_ns = self.started_ns
        self.drawn = 0
        self.hung_up = False
        with ExitStack() as stack:
            self.reader = stack.enter_context(Reader(size, lossless=lossless))
            self._control, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(self._control)
            with child:
                self._process = _start(child.fileno(), self.reader.handles.fds())
            stack.callback(self.kill)
            self._pidfd = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self._pidfd)
            self._control.setblocking(False)
            with suppress(BrokenPipeError, ConnectionResetError):  # dead already: the pidfd will tell
                message = dataclasses.replace(task, handles=self.reader.handles.fds()).to_json()
                self._control.send(message.encode())
            self._stack = stack.pop_all()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def register(self, selector: selectors.BaseSelector) -> None:
        """Wake the selector when a picture is there, a message came, or the process died."""
        selector.register(self.reader, selectors.EVENT_READ, "frame")
        selector.register(self._control, selectors.EVENT_READ, "message")
        selector.register(self._pidfd, selectors.EVENT_READ, "death")

    def unregister(self, selector: selectors.BaseSelector) -> None:
        """Undo `register`."""
        for file in (self.reader, self._control, self._pidfd):
            selector.unregister(file)

    def messages(self) -> list[dict[str, Any]]:
        """The messages that have come since the last call; `hung_up` becomes true once no more can come."""
        messages = []
        while not self.hung_up:
            try:
                data = self._control.recv(MESSAGE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if data:
                messages.append(json.loads(data))
            else:
                self.hung_up = True
        return messages

    def death(self, timeout_s: float = 0.0) -> str | None:
        """How the process ended, in words; None if it still runs after the time-out."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return how_it_ended(status)

    def ask_to_stop(self) -> None:
        """Ask it to stop; does not wait."""
        with suppress(OSError):  # it is dying already
            self._control.send(b'{"do": "stop"}')

    def finish(self, timeout_s: float) -> None:
        """Wait until it has ended; after the time-out kill it."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once. One that the kernel cannot end (a hung driver) is left to be reaped later."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_TIMEOUT_S)

    def close(self) -> None:
        """Reap the process and free the shared memory. May be called twice."""
        self._stack.close()


def _start(control_fd: int, exchange_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    level = logging.getLevelName(logging.getLogger().getEffectiveLevel())
    return start("edgegan.worker", control_fd, exchange_fds, {LOG_LEVEL: level})
