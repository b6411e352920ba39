"""The process that owns the screen, the trace and the clock; it outlives every worker.

It loads nothing that can crash or hang in native code. `run` reads as the order of starting: worker (so that it
loads while the rest opens), trace, displays, loop; stopping is the reverse.
"""

import logging
import os
import selectors
import signal
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import cv2

from edgegan import __version__, errors
from edgegan.bundle import Bundle
from edgegan.config import Config
from edgegan.display import Display
from edgegan.errors import CameraError, ConfigError, DisplayError, EdgeganError, TraceError
from edgegan.exchange import Published
from edgegan.frame import FrameTiming
from edgegan.registry import DISPLAYS, GENERATORS, Uri, open_driver, options_of
from edgegan.resources import resource, shipped_bundle
from edgegan.telemetry.statistics import FrameStatistics
from edgegan.telemetry.trace import TraceWriter, run_summary
from edgegan.worker import WorkerTask
from edgegan.worker_process import WorkerProcess

__all__ = ["Daemon", "Plan", "plan_from_config", "run"]

log = logging.getLogger(__name__)

_SHIPPED_CLIP = "engines/clip/paint_demo.mp4"
_HEALTHY_S = 10.0
_IDLE_S = 0.25


@dataclass(frozen=True)
class Plan:
    """What a configuration means, after looking at the files it names.

    size: (height, width) of the pictures that the worker draws. lossless: every frame of a file is drawn.
    """

    task: WorkerTask
    size: tuple[int, int]
    lossless: bool
    displays: tuple[Uri, ...]
    config: Config


def run(config: Config) -> dict[str, Any]:
    """Run until the end of the stream, a limit of the configuration, Esc, Ctrl-C or SIGTERM.

    Returns the summary that `edgegan run --json` prints. Raises what a user must mend (`UserError`) or what ended
    the run (`CameraError`, `DisplayError`, …); the trace is complete in every case.
    """
    plan = plan_from_config(config)
    cv2.setNumThreads(1)  # pictures are scaled beside a generator that needs the cores
    with _Signals() as signals, Daemon(plan, signals) as daemon:
        daemon.loop()
    return daemon.summary()


def plan_from_config(config: Config) -> Plan:
    """Check the files and URIs that a configuration names; raises `UserError`."""
    camera = config.camera or f"file://{quote(str(resource(_SHIPPED_CLIP)))}?loop=1"
    bundle = "" if config.generator else str(config.bundle or shipped_bundle())
    task = WorkerTask(camera, config.generator, bundle, config.runtime, config.precision, config.threads)
    displays = tuple(Uri.parse(text) for text in config.displays)
    lossless = Uri.parse(camera).options.get("pace") == "max"
    return Plan(task, _drawn_size(config.generator, bundle), lossless, displays, config)


def _drawn_size(generator: str, bundle: str) -> tuple[int, int]:
    if not generator:
        return Bundle.open(Path(bundle)).output_size
    uri = Uri.parse(generator)
    if uri.scheme != "passthrough":  # the daemon must not load a runtime to learn a size
        raise ConfigError(
            f"the generator '{generator}' needs a model",
            "give its bundle with --bundle and --runtime " + uri.scheme,
        )
    return options_of("generator", GENERATORS, uri)["size"]  # type: ignore[no-any-return]


class Daemon:
    """Shows what workers draw, starts and replaces them, and writes the trace."""

    def __init__(self, plan: Plan, signals: "_Signals") -> None:
        self._plan = plan
        self._config = plan.config
        self._worker: WorkerProcess | None = None
        self._signals = signals
        self._statistics = FrameStatistics()
        self._events: list[dict[str, Any]] = []
        self._start_ns = time.monotonic_ns()
        self._last_sequence: int | None = None
        self._backoff_s = self._config.worker.restart_backoff_seconds
        self._restart_at_ns: int | None = None
        self._ended: str | None = None
        self._failure: EdgeganError | None = None
        self._worker_failure: EdgeganError | None = None
        self._trace: TraceWriter | None = None
        self._displays: list[Display] = []

    def __enter__(self) -> "Daemon":
        """Open everything; on failure nothing stays open and nothing is left behind."""
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._selector.register(self._signals, selectors.EVENT_READ, "signal")
            stack.callback(self._finish_worker)
            self._start_worker()
            self._trace = self._open_trace()
            stack.callback(self._close_trace)
            try:
                self._open_displays()
            except EdgeganError:
                self._discard_trace()
                raise
            stack.callback(self._close_displays)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._event("stopped", why=self._ended or "failure")
        if self._worker is not None:
            self._worker.ask_to_stop()  # it ends while the displays and the trace are closed
        self._stack.close()

    def loop(self) -> None:
        """Show frames until something ends the run."""
        while self._ended is None:
            for key, _ in self._selector.select(self._next_wait_s()):
                self._handle(key.data)
            self._restart_if_due()
            self._check_start()
            self._check_limits()
            self._poll_displays()
        log.info("ended: %s", self._ended)

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
        return {**run_summary(self._statistics, self._events), "ended": self._ended}

    # What wakes the loop

    def _handle(self, what: str) -> None:
        if what == "frame":
            self._show_next()
        elif what == "message":
            self._read_messages()
        elif what == "death":
            self._worker_died()
        elif what == "signal":
            self._ended = self._signals.received() or self._ended

    def _next_wait_s(self) -> float:
        waits = [_IDLE_S, *(d.poll_interval_s for d in self._displays if d.poll_interval_s is not None)]
        now_ns = time.monotonic_ns()
        if self._restart_at_ns is not None:
            waits.append((self._restart_at_ns - now_ns) / 1e9)
        if self._config.seconds is not None:
            waits.append(self._config.seconds - (now_ns - self._start_ns) / 1e9)
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

    def _poll_displays(self) -> None:
        for display in self._displays:
            if display.poll_interval_s is not None and not display.poll():
                self._ended = self._ended or "the window was closed"

    # Frames

    def _show_next(self) -> None:
        if self._worker is None:
            return
        published = self._worker.reader.take()
        if published is None:
            return
        display_start_ns = time.monotonic_ns()
        displayed_ns = self._show(published)
        if not self._worker.reader.intact(published):
            log.warning("picture %d was torn by a dying worker", published.sequence)
            return
        self._worker.reader.release()
        self._worker.drawn += 1
        self._record(published, display_start_ns, displayed_ns)

    def _show(self, published: Published) -> int:
        displayed_ns = 0
        for display in list(self._displays):
            try:
                displayed_ns = display.show(published.pixels, published.captured_ns)
            except DisplayError as error:
                self._display_failed(display, error)
        return displayed_ns or time.monotonic_ns()

    def _display_failed(self, display: Display, error: DisplayError) -> None:
        log.error("display %s: %s", display.description, error)
        self._event("display_failed", display=display.description, why=error.message)
        self._displays.remove(display)
        display.close()
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
        if not self._statistics.frames:
            self._event("first_frame", since_process_start_s=round(process_age_s(), 3))
        self._statistics.add(timing, dropped)
        if self._trace is not None:
            self._trace.frame(timing, dropped)

    # Workers

    def _read_messages(self) -> None:
        for message in self._worker.messages() if self._worker else []:
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.pop("event")
        if kind == "ended":
            self._drain()
            self._ended = "the end of the stream"
        elif kind == "failed":
            self._worker_failed(message)
        else:
            if kind == "generator_loaded" and self._worker is not None:
                self._worker.loaded = True
            log.info("%s: %s", kind.replace("_", " "), ", ".join(f"{k} {v}" for k, v in message.items()))
            self._event(kind, **message)

    def _drain(self) -> None:
        """Show what the worker drew before it ended."""
        while self._worker is not None and not self._worker.reader.drained:
            self._show_next()

    def _worker_failed(self, message: dict[str, Any]) -> None:
        """A worker said why it cannot go on. A user's mistake, or a file's damage, will not go away by itself."""
        self._event("worker_failed", **message)
        kind = getattr(errors, message["error"], EdgeganError)
        self._worker_failure = kind(message["message"], message["mend"])
        if self._is_final(self._worker_failure):
            self._drain()
            self._failure = self._worker_failure
            self._ended = "the worker cannot work"
        else:
            log.error("worker: %s", self._worker_failure)

    def _is_final(self, error: EdgeganError) -> bool:
        """True for what another worker would meet again: a user's mistake, a damaged file."""
        if error.exit_code == 2:
            return not self._statistics.frames
        return isinstance(error, CameraError) and Uri.parse(self._plan.task.camera).scheme == "file"

    def _worker_died(self) -> None:
        """Keep the last picture on the screen, say why, start another worker after a pause."""
        worker = self._worker
        if worker is None or self._ended is not None:
            return
        self._read_messages()
        if self._ended is not None:
            return
        how = worker.death() or "it closed its end"
        lived_s = (time.monotonic_ns() - worker.started_ns) / 1e9
        if worker.drawn and lived_s > _HEALTHY_S:
            self._backoff_s = self._config.worker.restart_backoff_seconds
        log.error(
            "the worker died (%s); the last picture stays, the next worker starts in %g s",
            how,
            self._backoff_s,
        )
        self._event("worker_died", how=how, drawn=worker.drawn, lived_s=round(lived_s, 3))
        self._finish_worker()
        self._restart_at_ns = time.monotonic_ns() + int(self._backoff_s * 1e9)
        self._backoff_s = min(self._backoff_s * 2, self._config.worker.restart_backoff_limit_seconds)

    def _restart_if_due(self) -> None:
        if (
            self._restart_at_ns is None
            or time.monotonic_ns() < self._restart_at_ns
            or self._ended is not None
        ):
            return
        self._restart_at_ns = None
        self._start_worker()

    def _check_start(self) -> None:
        """Kill a worker that has not loaded its generator in time; its death starts the next one."""
        worker, limit_s = self._worker, self._config.worker.start_timeout_seconds
        if worker is None or worker.loaded or time.monotonic_ns() - worker.started_ns < limit_s * 1e9:
            return
        log.error("the worker has not loaded its generator within %g s and is killed", limit_s)
        worker.kill()

    def _start_worker(self) -> None:
        self._last_sequence = None
        self._worker = WorkerProcess(self._plan.task, self._plan.size, lossless=self._plan.lossless)
        self._worker.register(self._selector)
        self._event("worker_started", pid=self._worker.pid)

    def _finish_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.unregister(self._selector)
        worker.ask_to_stop()
        worker.finish(self._config.worker.stop_timeout_seconds)
        worker.close()

    # Trace and displays

    def _open_trace(self) -> TraceWriter | None:
        if not self._config.trace.file:
            return None
        description = {
            "edgegan_version": __version__,
            "config": self._config.model_dump_json(),
            "camera": self._plan.task.camera,
            "bundle": self._plan.task.bundle,
            "generator": self._plan.task.generator,
            "host": describe_host(),
        }
        return TraceWriter(
            Path(self._config.trace.file), description, flush_seconds=self._config.trace.flush_seconds
        )

    def _event(self, kind: str, **details: Any) -> None:
        at_s = round((time.monotonic_ns() - self._start_ns) / 1e9, 3)
        self._events.append({**details, "kind": kind, "at_s": at_s})
        if self._trace is not None:
            self._trace.event(kind, **details)

    def _discard_trace(self) -> None:
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.discard()

    def _open_displays(self) -> None:
        try:
            for uri in self._plan.displays:
                self._displays.append(open_driver("display", DISPLAYS, uri))
        except EdgeganError:
            self._close_displays()
            raise

    def _close_trace(self) -> None:
        if self._trace is not None:
            self._trace.close()

    def _close_displays(self) -> None:
        while self._displays:
            display = self._displays.pop()
            try:
                display.close()
            except EdgeganError as error:
                log.error("display %s: %s", display.description, error)
                self._failure = self._failure or error


class _Signals:
    """Ctrl-C and SIGTERM as something that a selector can wait for. Outside the main thread it never fires."""

    def __enter__(self) -> "_Signals":
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._name = ""
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous:
            signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        return self._read.fileno()

    def received(self) -> str:
        """Why the run ends, in words; empty if it was some other signal of this process."""
        self._read.recv(64)
        return f"{self._name} was received" if self._name else ""

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name


def process_age_s() -> float:
    """Seconds since this process was started, by the kernel's record (proc(5), field 22 of stat, in clock ticks)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def describe_host() -> dict[str, Any]:
    """What this machine is: for the trace's description."""
    system = os.uname()
    return {
        "machine": system.machine,
        "kernel": system.release,
        "cpus": os.cpu_count(),
        "model": _board_model(),
    }


def _board_model() -> str | None:
    try:
        return Path("/proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return None
