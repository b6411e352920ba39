"""The process that owns the screen, the trace and the clock; it outlives every worker.

`run` reads as the order of starting: worker (so that it loads while the rest opens), displays, loop; stopping is the
reverse.
"""

import logging
import selectors
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2

from edgegan import __version__, errors
from edgegan.board import describe_host, process_age_s, yield_to_the_worker
from edgegan.config import Config
from edgegan.display import Display
from edgegan.errors import CameraError, DisplayError, EdgeganError, ExchangeError, GeneratorError, TraceError
from edgegan.exchange import Published
from edgegan.frame import FrameTiming
from edgegan.keeper import WorkerKeeper
from edgegan.plan import Plan, plan_from_config
from edgegan.registry import DISPLAYS, Uri, open_driver, redacted
from edgegan.report.text import counted
from edgegan.signals import Signals
from edgegan.telemetry.statistics import FrameStatistics
from edgegan.telemetry.trace import TraceWriter, run_summary

__all__ = ["Daemon", "run"]

log = logging.getLogger(__name__)

_IDLE_S = 0.25
_DYING_S = 0.2  # between the end of a process's sockets and its own


def run(config: Config) -> dict[str, Any]:
    """Run until the end of the stream, a limit of the configuration, Esc, Ctrl-C, SIGTERM or SIGHUP.

    Returns the summary that `edgegan run --json` prints. Raises what a user must mend (`UserError`) or what ended
    the run (`CameraError`, `DisplayError`, …); the trace is complete in every case.
    """
    plan = plan_from_config(config)
    cv2.setNumThreads(1)  # pictures are scaled beside a generator that needs the cores
    yield_to_the_worker()
    with Signals() as signals, Daemon(plan, signals) as daemon:
        daemon.loop()
    return daemon.summary()


class Daemon:
    """Shows what workers draw, and writes the trace."""

    def __init__(self, plan: Plan, signals: Signals) -> None:
        self._plan, self._config, self._signals = plan, plan.config, signals
        self._statistics = FrameStatistics()
        self._start_ns = time.monotonic_ns()
        self._last_sequence: int | None = None
        self._first_frame_s: float | None = None
        self._ended: str | None = None
        self._failure: EdgeganError | None = None
        self._worker_failure: EdgeganError | None = None
        self._displays: list[Display] = []
        self._trace = self._new_trace()
        self._selector = selectors.DefaultSelector()
        self._keeper = WorkerKeeper(
            plan.task,
            plan.size,
            lossless=plan.lossless,
            settings=plan.config.worker,
            selector=self._selector,
            event=self._worker_changed,
        )

    def __enter__(self) -> "Daemon":
        """Open everything; on failure nothing stays open and nothing is left behind."""
        self._event("started")
        with ExitStack() as stack:
            stack.enter_context(self._selector)
            self._selector.register(self._signals, selectors.EVENT_READ, "signal")
            self._signals.in_emergency += [self._keeper.kill, self._close_trace]
            stack.callback(lambda: self._keeper.close(self._config.worker.stop_timeout_seconds))
            self._keeper.start()
            stack.callback(self._close_displays)
            for uri in self._plan.displays:
                self._displays.append(open_driver("display", DISPLAYS, uri))
            stack.callback(self._close_trace)  # first, for a long video takes its time
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._event("stopped", why=self._ended or "failure")
        self._keeper.ask_to_stop()  # the worker ends while the trace and the displays are closed
        self._stack.close()

    def loop(self) -> None:
        """Show frames until something ends the run."""
        while self._ended is None:
            for key, _ in self._selector.select(self._next_wait_s()):
                self._handle(key.data)
            if self._ended is None:
                self._keeper.tick()
            self._check_limits()
            self._poll_displays()
        if self._failure is None:  # else its own words follow
            log.info("ended: %s", self._ended)
        self._hint_at_every_frame()

    def _hint_at_every_frame(self) -> None:
        """Who has a file painted into a file wants all of it, and may not know that a live source drops frames."""
        uris = [Uri.parse(self._plan.task.camera), *self._plan.displays]
        if self._statistics.dropped and all(uri.scheme == "file" for uri in uris) and self._config.camera:
            log.warning(
                "%d pictures were dropped to keep the pace of '%s'; with its option pace=max every one is drawn",
                self._statistics.dropped,
                uris[0].path,
            )

    def summary(self) -> dict[str, Any]:
        """What `edgegan run --json` prints; raises the failure that ended the run, if one did."""
        if self._failure is None and not self._statistics.frames:
            self._failure = self._worker_failure
        if self._failure is not None:
            raise self._failure
        if self._trace is not None and self._trace.failure is not None:
            raise TraceError(
                f"the trace '{self._trace.path}' is incomplete: {self._trace.failure}",
                "what was written before is readable; free some space, or give --trace another place",
            )
        summary = run_summary(
            self._statistics, first_frame_s=self._first_frame_s, worker_restarts=self._keeper.deaths
        )
        return {**summary, "ended": self._ended}

    # What wakes the loop

    def _handle(self, what: str) -> None:
        if what == "signal":
            self._ended = self._signals.received()
        elif what == "frame":
            self._show_next()
        else:
            self._read_messages()
            if what == "death" or (self._keeper.worker is not None and self._keeper.worker.hung_up):
                self._worker_died()

    def _next_wait_s(self) -> float:
        waits = [_IDLE_S, *(d.poll_interval_s for d in self._displays if d.poll_interval_s is not None)]
        restart_s = self._keeper.next_wait_s()
        if restart_s is not None:
            waits.append(restart_s)
        if self._config.seconds is not None:
            waits.append(self._config.seconds - (time.monotonic_ns() - self._start_ns) / 1e9)
        return max(0.0, min(waits))

    def _check_limits(self) -> None:
        if self._ended is not None:
            return
        if self._config.frames is not None and self._statistics.frames >= self._config.frames:
            self._ended = f"{self._config.frames} frames were shown"
        elif (
            self._config.seconds is not None
            and time.monotonic_ns() - self._start_ns >= self._config.seconds * 1e9
        ):
            self._ended = f"{self._config.seconds:g} s are over"
            if not self._statistics.frames and self._worker_failure is None:
                self._worker_failure = GeneratorError(
                    f"no picture was drawn within {self._config.seconds:g} s", "give it more seconds"
                )

    def _poll_displays(self) -> None:
        for display in list(self._displays):
            try:
                if display.poll_interval_s is not None and not display.poll():
                    self._ended = self._ended or "the window was closed"
            except DisplayError as error:
                self._display_failed(display, error)

    # Frames

    def _show_next(self) -> None:
        worker = self._keeper.worker
        if worker is None:
            return
        try:
            published = worker.reader.take()
        except (ExchangeError, LookupError) as error:  # a dying worker can write anything
            self._keeper.lost(f"it left nonsense in the shared memory: {error}")
            return
        if published is None:
            return
        display_start_ns = time.monotonic_ns()
        displayed_ns = self._show(published)
        if not worker.reader.intact(published):
            log.warning("picture %d was torn by a dying worker", published.sequence)
            return
        worker.reader.release()
        self._keeper.drew(published.sequence, published.infer_end_ns - published.infer_start_ns)
        if displayed_ns is not None:
            self._record(published, display_start_ns, displayed_ns)

    def _show(self, published: Published) -> int | None:
        """Show a picture on every display; the instant at which it was visible on the first that took it."""
        displayed_ns: int | None = None
        for display in list(self._displays):
            try:
                shown_ns = display.show(published.pixels, published.captured_ns)
                displayed_ns = displayed_ns or shown_ns
            except DisplayError as error:
                self._display_failed(display, error)
        return displayed_ns

    def _display_failed(self, display: Display, error: DisplayError) -> None:
        log.error("display %s: %s", display.description, error)
        self._event("display_failed", display=display.description, why=error.message)
        self._displays.remove(display)
        self._close_display(display)
        self._failure = error
        if not self._displays:
            self._ended = "no display is left"

    def _record(self, published: Published, display_start_ns: int, displayed_ns: int) -> None:
        timing = FrameTiming(
            published.sequence,
            published.captured_ns,
            published.infer_start_ns,
            published.infer_end_ns,
            display_start_ns,
            displayed_ns,
        )
        dropped = 0 if self._last_sequence is None else max(0, published.sequence - self._last_sequence - 1)
        self._last_sequence = published.sequence
        if self._first_frame_s is None:
            self._first_frame_s = round(process_age_s(), 3)
            self._event("first_frame", since_process_start_s=self._first_frame_s)
        self._statistics.add(timing, dropped)
        if self._trace is not None:
            self._trace.begin()
            self._trace.frame(timing, dropped)

    # Workers

    def _read_messages(self) -> None:
        worker = self._keeper.worker
        if worker is None:
            return
        try:
            for message in worker.messages():
                self._hear(message)
        except (ValueError, LookupError, TypeError) as error:  # a dying worker can say anything
            self._keeper.lost(f"it talks nonsense: {error}")

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.pop("event")
        if kind == "ended":
            self._drain()
            self._ended = "the end of the stream"
        elif kind == "failed":
            self._worker_failed(message)
        elif kind == "camera_waits":
            self._keeper.waits()
        else:
            level = logging.WARNING if kind == "camera_silent" else logging.INFO
            log.log(level, "%s", _in_words(kind, message))
            self._event(kind, **message)

    def _drain(self) -> None:
        """Show what the worker drew before it ended."""
        while self._keeper.worker is not None and not self._keeper.worker.reader.drained:
            self._show_next()

    def _worker_failed(self, message: dict[str, Any]) -> None:
        """A worker said why it cannot go on. A user's mistake, or a file's damage, will not go away by itself."""
        self._event("worker_failed", **message)
        kind = getattr(errors, message["error"], GeneratorError)
        self._worker_failure = kind(message["message"], message["mend"])
        if self._is_final(self._worker_failure):
            self._drain()
            self._failure = self._worker_failure
            self._ended = "the worker cannot work"
        else:
            log.error("worker: %s", self._worker_failure)

    def _is_final(self, error: EdgeganError) -> bool:
        """True for what another worker would meet again: a user's mistake, a damaged file.

        Before the first picture, also a camera that is not there: whoever starts a run wants to know.
        """
        if isinstance(error, CameraError) and not self._statistics.frames:
            return True
        if isinstance(error, CameraError) or not self._statistics.frames:
            return error.exit_code == 2 or Uri.parse(self._plan.task.camera).scheme == "file"
        return False

    def _worker_died(self) -> None:
        """Keep the last picture on the screen, say why, have another worker started."""
        worker = self._keeper.worker
        if worker is None or self._ended is not None:
            return
        self._keeper.lost(worker.death(_DYING_S) or "it closed its end")

    def _worker_changed(self, kind: str, **details: Any) -> None:
        """What the keeper tells: a worker started, died or hung."""
        self._event(kind, **details)
        if kind != "worker_died":
            return
        if self._trace is not None:
            self._trace.begin()
        if not self._plan.lossless:
            self._last_sequence = None  # the next worker's camera counts from 0 again
        if not self._statistics.frames and self._worker_failure is None:
            self._worker_failure = GeneratorError(
                f"the worker died before its first picture: {details['how']}", "see the log"
            )

    # Trace and displays

    def _new_trace(self) -> TraceWriter | None:
        if not self._config.trace.file:
            return None
        camera = redacted(self._plan.task.camera)
        description = {
            "edgegan_version": __version__,
            "config": self._config.model_copy(
                update={"camera": redacted(self._config.camera)}
            ).model_dump_json(),
            "camera": camera,
            "bundle": self._plan.task.bundle,
            "generator": self._plan.task.generator,
            "host": describe_host(),
        }
        path, flush_seconds = Path(self._config.trace.file), self._config.trace.flush_seconds
        return TraceWriter(path, description, flush_seconds=flush_seconds)

    def _event(self, kind: str, **details: Any) -> None:
        if self._trace is not None:
            self._trace.event(kind, **details)

    def _close_trace(self) -> None:
        if self._trace is not None:
            self._trace.close()

    def _close_displays(self) -> None:
        while self._displays:
            self._close_display(self._displays.pop())

    def _close_display(self, display: Display) -> None:
        try:
            display.close()
        except EdgeganError as error:
            log.error("display %s: %s", display.description, error)
            self._failure = self._failure or error


def _in_words(kind: str, told: dict[str, Any]) -> str:
    """What a worker tells as whoever looks after the installation reads it; the trace has all of it."""
    if kind == "generator_loaded":
        whose = f"{told['bundle']}, by " if told.get("bundle") else ""
        drawn_by = " ".join(str(told[key]) for key in ("runtime", "version", "precision") if told.get(key))
        threads = told.get("threads")
        on = f" on {counted(threads, 'thread')}" if isinstance(threads, int) else ""
        return f"generator loaded: {whose}{drawn_by}{on}"
    if kind == "camera_opened":
        return f"camera opened: {told['description']}"
    if kind == "camera_silent":
        return f"the camera has given nothing for {told['for_s']:g} s; the last picture stays"
    if kind == "camera_back":
        return f"the camera is back, after {told['after_s']:g} s"
    return ", ".join([kind.replace("_", " "), *(f"{key} {value}" for key, value in told.items())])
