"""The trace of a run: one SQLite file that any SQLite tool opens.

- `frames`: one row for each shown frame. Times are nanoseconds; `captured_ns` counts from the start of the trace,
  the rest are durations of stages, so a row takes about 30 bytes and ten million rows about 300 MB. The view
  `frame_times` has end-to-end latency and absolute CLOCK_MONOTONIC times.
- `summaries`: one row for each minute: counts and a histogram per stage. A summary of ten million frames reads
  these few thousand rows and the frames of the last unfinished minute.
- `events`: what changed: worker started, worker died, first frame, …
- `description`: what ran, where, with which configuration.

Rows are collected in memory and written by a thread of their own in one transaction every `flush_seconds`,
written through to the medium. A power cut costs at most what was not flushed; SQLite's write-ahead log, beside
the file while the run lasts, makes sure that the rest stays readable. When the run ends the log is folded in and
one file is left.
"""

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgegan.errors import TraceError, UserError, user_error_from_os_error
from edgegan.frame import FrameTiming
from edgegan.telemetry.statistics import MEASURES, FrameStatistics, Histogram

__all__ = ["TraceWriter", "open_trace", "read_description", "read_events", "run_summary", "summarise"]

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
_APPLICATION_ID = 0x45475452  # "EGTR"
_MINUTE_NS = 60 * 10**9
_STAGES = MEASURES[1:]

_CLOSE_TIMEOUT_S = 10.0
_CACHE_KIB = 256
"""Rows are only appended; SQLite's own 2 MB would fill, page by page, over the first half hour."""
_SCHEMA = (
    "CREATE TABLE description (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    f"""CREATE TABLE frames (
        id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, dropped INTEGER NOT NULL, captured_ns INTEGER NOT NULL,
        {", ".join(f"{stage}_ns INTEGER NOT NULL" for stage in _STAGES)})""",
    f"""CREATE TABLE summaries (
        start_ns INTEGER PRIMARY KEY, last_frame_id INTEGER NOT NULL, frames INTEGER NOT NULL,
        dropped INTEGER NOT NULL, first_displayed_ns INTEGER, last_displayed_ns INTEGER,
        {", ".join(f"{measure}_histogram TEXT NOT NULL" for measure in MEASURES)})""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, kind TEXT NOT NULL, details TEXT NOT NULL)""",
    f"""CREATE VIEW frame_times AS
        SELECT id, sequence, dropped,
            captured_ns + (SELECT CAST(value AS INTEGER) FROM description WHERE key = 'start_monotonic_ns')
                AS captured_monotonic_ns,
            {", ".join(f"{stage}_ns / 1e6 AS {stage}_ms" for stage in _STAGES)},
            ({" + ".join(f"{stage}_ns" for stage in _STAGES)}) / 1e6 AS end_to_end_ms
        FROM frames""",
)


class TraceWriter:
    """Writes one trace. The calls of the frame path only append to a list; all else is done by a thread.

    path: a file that does not exist yet, or an older trace, which is replaced once `begin` is called.
    Raises `UserError` if the path cannot be a trace. A failure later (a full card) is logged once, kept in
    `failure`, and never raised into the frame path.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], *, flush_seconds: float = 2.0) -> None:
        _check_target(path)
        self.path = path
        self.failure: str | None = None
        self.start_ns = time.monotonic_ns()
        self._description = {**description, "start_unix_ns": time.time_ns()}
        self._flush_seconds = flush_seconds
        self._frames: list[tuple[FrameTiming, int]] = []
        self._events: list[tuple[int, str, str]] = []
        self._minute = FrameStatistics()
        self._minute_start_ns = 0
        self._written = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)

    def begin(self) -> None:
        """There is something worth keeping: from now on the file is written. Does not wait; may be called again."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def frame(self, timing: FrameTiming, dropped: int) -> None:
        """Note a shown frame and how many were dropped before it. Never waits."""
        self._frames.append((timing, dropped))

    @property
    def waiting(self) -> int:
        """Frames that were noted and are not yet being written."""
        return len(self._frames)

    def event(self, kind: str, **details: Any) -> None:
        """Note that something changed, now. Never waits."""
        self._events.append((time.monotonic_ns() - self.start_ns, kind, json.dumps(details, default=str)))

    def close(self) -> None:
        """Write what is left, fold the log in, leave one file; none if nothing had begun. May be called twice."""
        self._stop.set()
        if self._thread.ident is None:
            return
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            self._fail(f"the medium did not take the last rows within {_CLOSE_TIMEOUT_S:g} s")

    def _run(self) -> None:
        try:
            with contextlib.closing(self._create()) as database, _locked(self.path):
                while not self._stop.wait(self._flush_seconds):
                    self._flush(database)
                self._flush(database)
                with _transaction(database):
                    self._write_summary(database)
                database.execute("PRAGMA journal_mode = DELETE")
        except Exception as error:  # whatever it is, the picture stays on the screen
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        self.failure = why
        self._frames, self._events = _Nowhere(), _Nowhere()
        log.error("the trace '%s' ends here: %s; the run goes on without it", self.path, why)

    def _create(self) -> sqlite3.Connection:
        for leftover in (self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
            leftover.unlink(missing_ok=True)
        database = sqlite3.connect(self.path, isolation_level=None)
        database.executescript(f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA journal_mode = WAL;")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        rows = {**self._description, "format_version": FORMAT_VERSION, "start_monotonic_ns": self.start_ns}
        with _transaction(database):
            for statement in _SCHEMA:
                database.execute(statement)
            database.executemany("INSERT INTO description VALUES (?, ?)", _texts(rows))
        return database

    def _flush(self, database: sqlite3.Connection) -> None:
        frames, self._frames = self._frames, []
        events, self._events = self._events, []
        if not (frames or events):
            return
        with _transaction(database):
            database.executemany("INSERT INTO events (at_ns, kind, details) VALUES (?, ?, ?)", events)
            for timing, dropped in frames:
                self._write_frame(database, timing, dropped)

    def _write_frame(self, database: sqlite3.Connection, timing: FrameTiming, dropped: int) -> None:
        displayed_ns = timing.displayed_ns - self.start_ns
        if displayed_ns >= self._minute_start_ns + _MINUTE_NS:
            self._write_summary(database)
            self._minute_start_ns = displayed_ns // _MINUTE_NS * _MINUTE_NS
        self._written += 1
        self._minute.add(timing, dropped)
        captured_ns = timing.captured_ns - self.start_ns
        row = (self._written, timing.sequence, dropped, captured_ns, *timing.stages_ns().values())
        database.execute("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _write_summary(self, database: sqlite3.Connection) -> None:
        minute, self._minute = self._minute, FrameStatistics()
        if not minute.frames:
            return
        counts = (self._minute_start_ns, self._written, minute.frames, minute.dropped)
        times = (minute.first_displayed_ns, minute.last_displayed_ns)
        histograms = [minute.histograms[name].to_json() for name in MEASURES]
        places = ", ".join("?" * (len(counts) + len(times) + len(histograms)))
        database.execute(
            f"INSERT OR REPLACE INTO summaries VALUES ({places})", (*counts, *times, *histograms)
        )


class _Nowhere(list[Any]):
    """Takes and forgets: where frames go once the trace has failed."""

    def append(self, item: Any) -> None:
        pass


def summarise(path: Path) -> dict[str, Any]:
    """The summary of a trace, also of one that a power cut or a kill ended.

    Returns the keys of `edgegan trace summary --json`. Raises `UserError` if the file is no trace and
    `TraceError` if it is damaged.
    """
    with open_trace(path) as database:
        statistics = _read_statistics(database)
        events = _events(database)
        summary = run_summary(
            statistics,
            first_frame_s=next(
                (e["since_process_start_s"] for e in events if e["kind"] == "first_frame"), None
            ),
            worker_restarts=sum(e["kind"] == "worker_died" for e in events),
        )
        return {**summary, "trace": str(path)}


def read_events(path: Path) -> list[dict[str, Any]]:
    """All events of a trace, oldest first: `kind`, `at_s` (seconds since its start) and each event's own keys."""
    with open_trace(path) as database:
        return _events(database)


def run_summary(
    statistics: FrameStatistics, *, first_frame_s: float | None, worker_restarts: int
) -> dict[str, Any]:
    """What `run --json` and `trace summary --json` print.

    Nothing falls back to anything yet and nothing measures power: these keys are empty, as scripts expect them.
    """
    histograms = statistics.histograms
    throughput = statistics.throughput_hertz()
    return {
        "frames": statistics.frames,
        "dropped": statistics.dropped,
        "throughput_hz": None if throughput is None else round(throughput, 3),
        "end_to_end_ms": histograms["end_to_end"].percentiles_ms(),
        "stages_ms": {stage: histograms[stage].percentiles_ms() for stage in _STAGES},
        "first_frame_s": first_frame_s,
        "worker_restarts": worker_restarts,
        "fallbacks": [],
        "power_watts": None,
        "energy_joules_per_frame": None,
    }


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _texts(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in rows.items()]


def _check_target(path: Path) -> None:
    """Raise `UserError` if a trace cannot be written there, or would destroy something else."""
    try:
        exists = path.exists()
        if exists and (not path.is_file() or (path.stat().st_size and not _is_trace(path))):
            raise UserError(f"'{path}' exists and is no trace", "give the trace another path")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UserError(
                f"the trace '{path}' cannot be written",
                "give a path in a folder that exists and can be written to",
            )
        if exists:
            with _locked(path):
                pass
    except OSError as error:
        raise user_error_from_os_error(error, f"the trace '{path}' cannot be written") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file against other runs. The kernel lets go of it when this process ends, however it ends."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run is writing the trace '{path}'", "give this one another path"
            ) from None
        yield


def _is_trace(path: Path) -> bool:
    # The application's number lies at offset 68 of a SQLite file (https://www.sqlite.org/fileformat.html).
    with path.open("rb") as file:
        head = file.read(72)
    return head.startswith(b"SQLite format 3\0") and int.from_bytes(head[68:72], "big") == _APPLICATION_ID


@contextlib.contextmanager
def open_trace(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a trace, closed at the end. Raises `UserError` if it is no trace, `TraceError` if damaged."""
    mend = "give the file that `edgegan run --trace FILE` wrote"
    try:
        if not path.exists():
            raise UserError(f"there is no trace '{path}'", mend)
        if not path.is_file():  # reading from a pipe would wait for its other end
            raise UserError(f"'{path}' is no file but a folder, a pipe or a device", mend)
        if not _is_trace(path):
            raise UserError(f"'{path}' is no trace of edgegan", mend)
        with contextlib.closing(sqlite3.connect(path)) as database:
            _check_version(path, read_description(database))
            yield database
    except UserError:
        raise
    except OSError as error:
        raise user_error_from_os_error(error, f"the trace '{path}' cannot be read") from error
    except (sqlite3.Error, ValueError, LookupError, TypeError, OverflowError) as error:
        raise TraceError(
            f"the trace '{path}' is damaged: {error}", "read it with `sqlite3 FILE .recover`"
        ) from error


def _check_version(path: Path, description: Mapping[str, str]) -> None:
    version = int(description.get("format_version", 0))
    if version > FORMAT_VERSION:
        raise UserError(
            f"the trace '{path}' has format {version}",
            f"this edgegan reads up to {FORMAT_VERSION}: update it",
        )


def read_description(database: sqlite3.Connection) -> dict[str, str]:
    """What ran, where and when: the texts of the table `description` by their keys."""
    return dict(database.execute("SELECT key, value FROM description"))


def _events(database: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = database.execute("SELECT at_ns, kind, details FROM events ORDER BY id")
    return [
        {**json.loads(details), "kind": kind, "at_s": round(at_ns / 1e9, 3)} for at_ns, kind, details in rows
    ]


def _read_statistics(database: sqlite3.Connection) -> FrameStatistics:
    statistics, summarised = FrameStatistics(), 0
    for last_id, *columns in database.execute(
        "SELECT last_frame_id, frames, dropped, first_displayed_ns, last_displayed_ns, "
        + ", ".join(f"{measure}_histogram" for measure in MEASURES)
        + " FROM summaries ORDER BY start_ns"
    ):
        statistics.merge(_minute(columns))
        summarised = last_id
    statistics.merge(_unsummarised(database, summarised))
    return statistics


def _minute(columns: list[Any]) -> FrameStatistics:
    minute = FrameStatistics()
    minute.frames, minute.dropped, minute.first_displayed_ns, minute.last_displayed_ns = columns[:4]
    minute.histograms = {
        name: Histogram.from_json(text) for name, text in zip(MEASURES, columns[4:], strict=True)
    }
    return minute


def _unsummarised(database: sqlite3.Connection, after_id: int) -> FrameStatistics:
    start_ns = int(read_description(database)["start_monotonic_ns"])
    statistics = FrameStatistics()
    stages = ", ".join(f"{stage}_ns" for stage in _STAGES)
    rows = database.execute(
        f"SELECT sequence, dropped, captured_ns, {stages} FROM frames WHERE id > ?", (after_id,)
    )
    for sequence, dropped, captured_ns, *durations in rows:
        times = [captured_ns + start_ns]
        for duration in durations:
            times.append(times[-1] + duration)
        statistics.add(FrameTiming(sequence, *times), dropped)
    return statistics
