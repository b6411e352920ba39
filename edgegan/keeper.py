"""Keeps one worker running: starts it, notices when it dies or draws no more, replaces it after a pause."""

import dataclasses
import logging
import selectors
import time
from collections.abc import Callable

from edgegan.config import WorkerSettings
from edgegan.errors import GeneratorError
from edgegan.worker import WorkerTask
from edgegan.worker_process import WorkerProcess

__all__ = ["WorkerKeeper"]

log = logging.getLogger(__name__)

_HEALTHY_S = 10.0
_SLOWEST_FACTOR = 5
"""A generator may take so many times as long as it took for the picture before."""


class WorkerKeeper:
    """Owns the worker that runs now, if one does.

    size: (height, width) that the generator draws. event: is told what changes, for the trace.
    """

    def __init__(
        self,
        task: WorkerTask,
        size: tuple[int, int],
        *,
        lossless: bool,
        settings: WorkerSettings,
        selector: selectors.BaseSelector,
        event: Callable[..., None],
    ) -> None:
        self.worker: WorkerProcess | None = None
        self.deaths = 0
        self._task, self._size, self._lossless = task, size, lossless
        self._settings, self._selector, self._event = settings, selector, event
        self._backoff_s = settings.restart_backoff_seconds
        self._restart_at_ns: int | None = None
        self._infer_ns = 0
        self._shown = 0

    def start(self) -> None:
        """Start the first worker; raises `GeneratorError` if the system cannot."""
        try:
            self._start()
        except OSError as error:
            raise GeneratorError(f"no worker can be started: {error.strerror}", "free some memory") from error

    def drew(self, sequence: int, infer_ns: int) -> None:
        """A picture of the worker was shown."""
        if self.worker is not None:
            self.worker.drawn += 1
            self.worker.progress_ns = time.monotonic_ns()
        self._infer_ns = infer_ns
        self._shown = sequence + 1

    def waits(self) -> None:
        """The worker says that it waits for its camera, so it is not hung."""
        if self.worker is not None:
            self.worker.progress_ns = time.monotonic_ns()

    def lost(self, why: str) -> None:
        """The worker cannot be used any more: end it, and have the next one start after a pause."""
        worker = self.worker
        if worker is None:
            return
        lived_s = (time.monotonic_ns() - worker.started_ns) / 1e9
        if worker.drawn and lived_s > _HEALTHY_S:
            self._backoff_s = self._settings.restart_backoff_seconds
        worker.kill()
        log.error(
            "the worker is gone (%s); the last picture stays, the next worker starts in %g s",
            why,
            self._backoff_s,
        )
        self._event("worker_died", how=why, drawn=worker.drawn, lived_s=round(lived_s, 3))
        self.close(0.0)
        self._pause()

    def tick(self) -> None:
        """Start the next worker when its time has come; end one that draws nothing."""
        now_ns = time.monotonic_ns()
        if self._restart_at_ns is not None and now_ns >= self._restart_at_ns:
            self._restart()
        elif self.worker is not None and now_ns - self.worker.progress_ns > self._patience_s() * 1e9:
            self.lost(f"it has drawn nothing for {self._patience_s():g} s")

    def next_wait_s(self) -> float | None:
        """When `tick` has something to do again; None: nothing is waited for."""
        if self._restart_at_ns is None:
            return None
        return (self._restart_at_ns - time.monotonic_ns()) / 1e9

    def ask_to_stop(self) -> None:
        """Ask the worker to end; does not wait."""
        if self.worker is not None:
            self.worker.ask_to_stop()

    def kill(self) -> None:
        """End the worker at once, from any thread."""
        if self.worker is not None:
            self.worker.kill()

    def close(self, timeout_s: float) -> None:
        """End the worker, and kill it after the time-out. May be called twice."""
        worker, self.worker = self.worker, None
        if worker is None:
            return
        worker.unregister(self._selector)
        worker.ask_to_stop()
        worker.finish(timeout_s)
        worker.close()

    def _start(self) -> None:
        skip = self._shown if self._lossless else 0
        self.worker = WorkerProcess(
            dataclasses.replace(self._task, skip=skip), self._size, lossless=self._lossless
        )
        self.worker.register(self._selector)
        self._event("worker_started", pid=self.worker.pid)

    def _restart(self) -> None:
        self._restart_at_ns = None
        try:
            self._start()
        except OSError as error:
            log.error("no worker can be started: %s", error)
            self._event("worker_not_started", why=str(error))
            self._pause()

    def _pause(self) -> None:
        self.deaths += 1
        self._restart_at_ns = time.monotonic_ns() + int(self._backoff_s * 1e9)
        self._backoff_s = min(self._backoff_s * 2, self._settings.restart_backoff_limit_seconds)

    def _patience_s(self) -> float:
        assert self.worker is not None
        if not self.worker.drawn:
            return self._settings.start_timeout_seconds
        return max(self._settings.frame_timeout_seconds, _SLOWEST_FACTOR * self._infer_ns / 1e9)
