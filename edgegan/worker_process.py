"""The daemon's side of a worker: start it, hear it, stop it, clean up after it."""

import dataclasses
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from edgegan.exchange import Reader
from edgegan.worker import LOG_LEVEL, MESSAGE_BYTES, WorkerTask

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A running worker with its exchange. Starts in the constructor; `close` leaves nothing behind.

    task: what to do; its handles are filled in here. size: (height, width) that the generator draws.
    lossless: the camera is a file read on demand, so no picture may be replaced.
    """

    def __init__(self, task: WorkerTask, size: tuple[int, int], *, lossless: bool) -> None:
        self.started_ns = time.monotonic_ns()
        self.drawn = 0
        self.loaded = False
        self.reader = Reader(size, lossless=lossless)
        self._control, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = self.reader.handles.fds()
        with child:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgegan.worker", str(child.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, LOG_LEVEL: logging.getLevelName(logging.getLogger().getEffectiveLevel())},
                pass_fds=(child.fileno(), *fds),
                start_new_session=True,  # Ctrl-C in a terminal is the daemon's to handle
            )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._control.setblocking(False)
        self._control.send(dataclasses.replace(task, handles=fds).to_json().encode())
        self._closed = False

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
        """The messages that have come since the last call."""
        messages = []
        while True:
            try:
                data = self._control.recv(MESSAGE_BYTES)
            except (BlockingIOError, ConnectionResetError):
                break
            if not data:
                break
            messages.append(json.loads(data))
        return messages

    def death(self) -> str | None:
        """How the process ended, in words; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        if status < 0:
            return f"it was killed by {signal.Signals(-status).name}"
        return f"it ended with exit code {status}"

    def ask_to_stop(self) -> None:
        """Ask it to stop; does not wait."""
        try:
            self._control.send(b'{"do": "stop"}')
        except OSError:
            pass  # it is dying already

    def finish(self, timeout_s: float) -> None:
        """Wait until it has ended; after the time-out kill it."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Reap the process and free the shared memory. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._process.poll() is None:
            self.kill()
        self._control.close()
        os.close(self._pidfd)
        self.reader.close()
