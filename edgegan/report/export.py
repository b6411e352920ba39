"""A trace as tables that spreadsheets and pandas open: `run.csv`, a row a frame, and beside it `run.events.csv`.

Comma, point, one heading line. Times are the trace's integers with a point set into them, so that
nothing is rounded: seconds have nine decimals, milliseconds six.
"""

import csv
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgegan.errors import UserError, user_error_from_os_error
from edgegan.files import beside, put_in_place, remove, sync
from edgegan.telemetry.statistics import MEASURES
from edgegan.telemetry.trace import open_trace, read_description

__all__ = ["csv_paths", "export_csv", "remove_export"]

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
_Row = Sequence[object]

_STAGES = MEASURES[1:]
_FRAMES = (
    "sequence",
    "dropped",
    "captured_s",
    "captured_utc",
    *(f"{s}_ms" for s in _STAGES),
    "end_to_end_ms",
)
_EVENTS = ("at_s", "at_utc", "kind", "details")
_ROWS_OF_A_SPREADSHEET = 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TELL_EVERY = 10_000


def csv_paths(trace: Path, output: Path | None) -> tuple[Path, Path]:
    """Where frames and events go: `output` (default: the trace's name with .csv), and .events.csv beside it."""
    name = trace.stem if trace.suffix == ".trace" else trace.name  # run.v1 and run.v2 are two traces
    frames = output or trace.parent / f"{name}.csv"
    if not frames.name:
        raise UserError(f"'{frames}' is a folder", "name a file in it")
    stem = frames.name[:-4] if frames.name.lower().endswith(".csv") else frames.name
    return frames, frames.with_name(stem + ".events.csv")


def export_csv(trace: Path, output: Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Write the frames and the events of a trace as two CSV files, row by row: memory does not grow with it.

    Returns what `edgegan trace export --json` prints: `frames` and `events`, how many rows; `files`, their paths.
    Raises what `summarise` raises, and `UserError` where the files cannot be written or would replace something
    that is no such export. Then neither file is written.
    """
    paths = csv_paths(trace, output)
    with open_trace(trace) as database:
        for path, heading in zip(paths, (_FRAMES, _EVENTS), strict=True):
            _check_target(path, heading)
        try:
            with _beside(*paths) as (frames_part, events_part):
                database.execute("BEGIN")  # both tables as they are now, also while a run goes on
                clock = _clock(database)
                frames = _write(frames_part, _FRAMES, _frames(database, clock, progress))
                events = _write(events_part, _EVENTS, _events(database, clock))
        except OSError as error:
            raise user_error_from_os_error(error, f"cannot write '{paths[0]}'") from error
    if frames >= _ROWS_OF_A_SPREADSHEET:
        log.warning("Excel and LibreOffice show the first %d rows only", _ROWS_OF_A_SPREADSHEET)
    files = {"frames": str(paths[0]), "events": str(paths[1])}
    return {"trace": str(trace), "format": "csv", "frames": frames, "events": events, "files": files}


def remove_export(trace: Path) -> list[Path]:
    """Remove the tables that an export of this trace wrote beside it, for a new trace takes its place; says which."""
    removed = []
    for path, heading in zip(csv_paths(trace, None), (_FRAMES, _EVENTS), strict=True):
        with suppress(UserError):
            _check_target(path, heading)
            if path.exists():
                remove(path)
                removed.append(path)
    return removed


@contextmanager
def _beside(*paths: Path) -> Iterator[list[Path]]:
    """Names to write to; if no error comes they take the place of `paths`, else nothing is left of them."""
    targets = [path.resolve() for path in paths]  # a link stays a link
    parts = [beside(target) for target in targets]
    try:
        yield parts
        for part, target in zip(parts, targets, strict=True):
            put_in_place(part, target)
    finally:
        for part in parts:
            remove(part)


def _check_target(path: Path, heading: Sequence[str]) -> None:
    """Raise `UserError` if the export would destroy something else."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"'{path}' is no file but a folder, a pipe or a device", "give -o another path")
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                first = file.readline(1000)
            if first.strip() != ",".join(heading).encode():
                raise UserError(
                    f"'{path}' is there already and is no such export",
                    "move it away, or give -o another path",
                )
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write '{path}'") from error


def _write(path: Path, heading: _Row, rows: Iterable[_Row]) -> int:
    """The number of rows that were written."""
    count = 0
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heading)
        for row in rows:
            writer.writerow(row)
            count += 1
        file.flush()
        sync(file.fileno())
    return count


def _clock(database: sqlite3.Connection) -> int:
    """Unix time of the trace's start, in ns."""
    return int(read_description(database)["start_unix_ns"])


def _frames(database: sqlite3.Connection, start_unix_ns: int, progress: Progress | None) -> Iterator[_Row]:
    (total,) = database.execute("SELECT coalesce(max(id), 0) FROM frames").fetchone()
    columns = ", ".join(("id", "sequence", "dropped", "captured_ns", *(f"{stage}_ns" for stage in _STAGES)))
    for number, sequence, dropped, captured_ns, *stages in database.execute(
        f"SELECT {columns} FROM frames ORDER BY id"
    ):
        if progress is not None and number % _TELL_EVERY == 0:
            progress("writing frames", number / total)
        times_ms = (_decimal(ns, 6) for ns in (*stages, sum(stages)))
        when = (_decimal(captured_ns, 9), _utc(start_unix_ns + captured_ns))
        yield int(sequence), int(dropped), *when, *times_ms


def _events(database: sqlite3.Connection, start_unix_ns: int) -> Iterator[_Row]:
    for at_ns, kind, details in database.execute("SELECT at_ns, kind, details FROM events ORDER BY id"):
        yield _decimal(at_ns, 9), _utc(start_unix_ns + at_ns), kind, details


def _decimal(value: int, decimals: int) -> str:
    """An integer with the point set `decimals` places from its end: 12345678, 6 is 12.345678."""
    digits = f"{abs(value):0{decimals + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def _utc(unix_ns: int) -> str:
    """`2026-03-01 12:00:00.123`: what spreadsheets take for a time; they know no more than milliseconds."""
    seconds, rest_ns = divmod(unix_ns, 10**9)
    return f"{_utc_second(seconds)}.{rest_ns // 10**6:03d}"


@lru_cache(maxsize=16)
def _utc_second(unix_s: int) -> str:
    return (_EPOCH + timedelta(seconds=unix_s)).strftime("%Y-%m-%d %H:%M:%S")
