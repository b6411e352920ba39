"""A trace as CSV: every figure as the database has it, whole or not at all."""

import csv
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgegan.errors import EdgeganError, TraceError, UserError
from edgegan.frame import FrameTiming
from edgegan.report.export import csv_paths, export_csv
from edgegan.telemetry.trace import TraceWriter, summarise

STAGES = ("capture", "infer", "handover", "display")


def write_trace(path: Path, frames: int) -> Path:
    """Frames whose times have digits down to the nanosecond; the first was captured before the trace began."""
    trace = TraceWriter(path, {"camera": "pattern://"})
    trace.begin()
    trace.event("first_frame", since_process_start_s=1.25, note='a "quoted", listed thing')
    durations = np.random.default_rng(0).integers(1, 40_000_000, (frames, 4)).tolist()
    for k, (capture, infer, handover, display) in enumerate(durations):
        captured = trace.start_ns + (k - 1) * 33_333_333
        starts = [captured, captured + capture, captured + capture + infer]
        timing = FrameTiming(k, *starts, starts[2] + handover, starts[2] + handover + display)
        trace.frame(timing, dropped=k % 10 == 9)
    trace.event("stopped", why="enough")
    trace.close()
    return path


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return write_trace(tmp_path / "run.trace", 500)


def test_every_frame_is_there_to_the_nanosecond(trace: Path, tmp_path: Path) -> None:
    done = export_csv(trace, tmp_path / "run.csv")
    frames = rows(done["files"]["frames"])
    with sqlite3.connect(trace) as database:
        stored = database.execute(
            "SELECT sequence, dropped, captured_ns, capture_ns, infer_ns, handover_ns, display_ns FROM frames"
        ).fetchall()
    assert len(frames) == len(stored) == done["frames"] == 500
    for row, (sequence, dropped, captured_ns, *stages) in zip(frames, stored, strict=True):
        assert (int(row["sequence"]), int(row["dropped"])) == (sequence, dropped)
        assert int(row["captured_s"].replace(".", "")) == captured_ns
        assert [int(row[f"{stage}_ms"].replace(".", "")) for stage in STAGES] == stages
        assert int(row["end_to_end_ms"].replace(".", "")) == sum(stages)
    assert frames[0]["captured_s"] == "-0.033333333"
    assert all(len(row["infer_ms"].partition(".")[2]) == 6 for row in frames)


def test_the_figures_are_those_of_the_summary(trace: Path, tmp_path: Path) -> None:
    summary, frames = summarise(trace), rows(export_csv(trace)["files"]["frames"])
    assert sum(int(row["dropped"]) for row in frames) == summary["dropped"] == 50
    for name in ("end_to_end", *STAGES):
        wanted: Any = summary["end_to_end_ms"] if name == "end_to_end" else summary["stages_ms"][name]
        values = [float(row[f"{name}_ms"]) for row in frames]
        for percent in (50, 95, 99):
            found = np.percentile(values, percent, method="inverted_cdf")
            assert found == pytest.approx(wanted[f"p{percent}"], rel=0.003)


def test_times_of_day_are_those_of_the_clock_on_the_wall(trace: Path) -> None:
    frames = rows(export_csv(trace)["files"]["frames"])
    before = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() - 120))
    after = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + 120))
    assert before <= frames[30]["captured_utc"] <= after
    assert len(frames[30]["captured_utc"]) == len("2026-03-01 12:00:00.123")
    with sqlite3.connect(trace) as database:
        database.execute("UPDATE description SET value = '1772366400000000000' WHERE key = 'start_unix_ns'")
    assert rows(export_csv(trace)["files"]["frames"])[4]["captured_utc"] == "2026-03-01 12:00:00.099"


def test_events_lie_beside_the_frames(trace: Path, tmp_path: Path) -> None:
    done = export_csv(trace, tmp_path / "table.csv")
    assert done["files"]["events"] == str(tmp_path / "table.events.csv")
    events = rows(done["files"]["events"])
    assert [event["kind"] for event in events] == ["first_frame", "stopped"]
    assert done["events"] == 2
    details = json.loads(events[0]["details"])
    assert details == {"since_process_start_s": 1.25, "note": 'a "quoted", listed thing'}
    assert set(events[0]) == {"at_s", "at_utc", "kind", "details"}


@pytest.mark.parametrize(
    ("given", "frames", "events"),
    [
        (None, "a/run.csv", "a/run.events.csv"),
        ("b/t.csv", "b/t.csv", "b/t.events.csv"),
        ("T.CSV", "T.CSV", "T.events.csv"),
        ("plain", "plain", "plain.events.csv"),
    ],
)
def test_names(given: str | None, frames: str, events: str) -> None:
    assert csv_paths(Path("a/run.trace"), Path(given) if given else None) == (Path(frames), Path(events))


def test_two_traces_never_share_a_table() -> None:
    names = [csv_paths(Path(f"run.{end}"), None)[0].name for end in ("trace", "v1", "v2")]
    assert names == ["run.csv", "run.v1.csv", "run.v2.csv"]


def test_both_tables_are_of_one_instant(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegan.report.export._TELL_EVERY", 100)
    with closing(sqlite3.connect(trace)) as run:
        run.execute("PRAGMA journal_mode = WAL")  # as while a run goes on

    def goes_on(*_: object) -> None:
        with closing(sqlite3.connect(trace)) as run, run:
            run.execute("INSERT INTO events (at_ns, kind, details) VALUES (1, 'later', '{}')")

    done = export_csv(trace, progress=goes_on)
    assert [row["kind"] for row in rows(done["files"]["events"])] == ["first_frame", "stopped"]
    assert export_csv(trace)["events"] == 7


def test_a_folder_is_no_name() -> None:
    with pytest.raises(UserError, match="is a folder: name a file in it"):
        csv_paths(Path("run.trace"), Path())


def test_an_older_export_is_replaced_and_nothing_else_is(trace: Path, tmp_path: Path) -> None:
    assert export_csv(trace)["files"] == export_csv(trace)["files"]
    (tmp_path / "mine.csv").write_text("precious")
    (tmp_path / "other.events.csv").write_text("precious")
    for name in ("mine.csv", "other.csv", "run.trace", "."):
        with pytest.raises(UserError, match=r"is there already and is no such export|is no file but"):
            export_csv(trace, tmp_path / name)
    assert (tmp_path / "mine.csv").read_text() == (tmp_path / "other.events.csv").read_text() == "precious"
    assert not (tmp_path / "other.csv").exists()
    assert summarise(trace)["frames"] == 500


def test_a_run_that_goes_on_is_exported_as_far_as_it_is_written(tmp_path: Path) -> None:
    trace = TraceWriter(tmp_path / "run.trace", {}, flush_seconds=0.05)
    trace.begin()
    for k in range(1000):
        now = time.monotonic_ns()
        trace.frame(FrameTiming(k, now, now, now, now, now), 0)
        time.sleep(0.001)
    done = export_csv(tmp_path / "run.trace")
    frames = rows(done["files"]["frames"])
    trace.close()
    assert 100 < done["frames"] == len(frames) <= 1000
    assert [int(row["sequence"]) for row in frames] == list(range(len(frames)))
    assert summarise(tmp_path / "run.trace")["frames"] == 1000


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE events",
        "UPDATE frames SET infer_ns = 'x' WHERE id = 400",
        "UPDATE frames SET infer_ns = 1.5 WHERE id = 400",
        "UPDATE description SET value = '9999999999999999999999' WHERE key = 'start_unix_ns'",
    ],
)
def test_a_damaged_trace_leaves_no_file(trace: Path, tmp_path: Path, damage: str) -> None:
    with sqlite3.connect(trace) as database:
        database.execute(damage)
    with pytest.raises(TraceError, match="is damaged"):
        export_csv(trace)
    assert os.listdir(tmp_path) == ["run.trace"]


def test_what_is_no_trace_is_told_as_the_summary_tells_it(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    for name in ("photo.jpg", "nothing", "."):
        told = []
        for read in (export_csv, summarise):
            with pytest.raises(EdgeganError) as caught:
                read(tmp_path / name)
            told.append(str(caught.value))
        assert told[0] == told[1]
    assert os.listdir(tmp_path) == ["photo.jpg"]


def test_a_full_disk_is_one_error_and_keeps_the_older_export(small_disk: Path, tmp_path: Path) -> None:
    target = small_disk / "run.csv"
    before = export_csv(write_trace(tmp_path / "short.trace", 20), target)
    older = target.read_text()
    with pytest.raises(UserError, match=r"cannot write .*run\.csv': No space left on device"):
        export_csv(write_trace(tmp_path / "long.trace", 4000), target)
    assert target.read_text() == older
    assert sorted(os.listdir(small_disk)) == sorted(Path(file).name for file in before["files"].values())


GROWTH = """
import resource, sys
from pathlib import Path
from edgegan.report.export import export_csv
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export_csv(Path(sys.argv[1]))
before = peak()
export_csv(Path(sys.argv[2]))
print(peak() - before)
"""


def test_a_long_trace_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    short = write_trace(tmp_path / "short.trace", 3000)
    with sqlite3.connect(tmp_path / "long.trace") as long, sqlite3.connect(short) as database:
        database.backup(long)
        for _ in range(6):
            long.execute(
                "INSERT INTO frames SELECT id + (SELECT max(id) FROM frames), sequence, dropped, captured_ns, "
                "capture_ns, infer_ns, handover_ns, display_ns FROM frames"
            )
    command = [sys.executable, "-c", GROWTH, str(short), str(tmp_path / "long.trace")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert len(rows(tmp_path / "long.csv")) == 3000 * 64
    assert int(done.stdout) < 4096, "KB for 190000 more rows"
