"""The trace: complete, alive after a kill, quick to summarise, and never in the way."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgegan.errors import TraceError, UserError
from edgegan.frame import FrameTiming
from edgegan.telemetry.trace import TraceWriter, read_events, summarise

MINUTE = 60 * 10**9


def timing(k: int, start_ns: int, period_ns: int = 33_000_000) -> FrameTiming:
    captured = start_ns + k * period_ns
    ends = [captured + int(ms * 1e6) for ms in (1, 11, 11.5, 14)]
    return FrameTiming(k, captured, *ends)


def write(path: Path, frames: int, period_ns: int = 33_000_000) -> None:
    trace = TraceWriter(path, {"camera": "pattern://"})
    trace.begin()
    trace.event("first_frame", since_process_start_s=1.25)
    for k in range(frames):
        trace.frame(timing(k, trace.start_ns, period_ns), dropped=k % 10 == 9)
    trace.close()


def test_summary_of_a_short_trace(tmp_path: Path) -> None:
    write(tmp_path / "t", 100)
    summary = summarise(tmp_path / "t")
    assert (summary["frames"], summary["dropped"], summary["first_frame_s"]) == (100, 10, 1.25)
    assert summary["throughput_hz"] == pytest.approx(1e9 / 33e6, rel=1e-3)
    assert summary["end_to_end_ms"]["p50"] == pytest.approx(14, rel=0.003)
    assert summary["stages_ms"]["infer"]["p95"] == pytest.approx(10, rel=0.003)
    assert summary["power_watts"] is None


def test_one_file_is_left(tmp_path: Path) -> None:
    write(tmp_path / "t", 10)
    assert os.listdir(tmp_path) == ["t"]


def test_minutes_are_summarised_and_add_up(tmp_path: Path) -> None:
    write(tmp_path / "t", 1000, period_ns=MINUTE // 100)
    with sqlite3.connect(tmp_path / "t") as database:
        minutes = database.execute("SELECT frames FROM summaries ORDER BY start_ns").fetchall()
        database.execute("DELETE FROM frames")  # what is summarised must not need its rows
    assert len(minutes) in (10, 11)
    assert summarise(tmp_path / "t")["frames"] == sum(count for (count,) in minutes) == 1000


def test_rows_of_an_unfinished_minute_count(tmp_path: Path) -> None:
    write(tmp_path / "t", 1000, period_ns=MINUTE // 100)
    with sqlite3.connect(tmp_path / "t") as database:
        database.execute("DELETE FROM summaries WHERE start_ns = (SELECT max(start_ns) FROM summaries)")
    assert summarise(tmp_path / "t")["frames"] == 1000


def test_the_view_shows_absolute_times(tmp_path: Path) -> None:
    write(tmp_path / "t", 3)
    with sqlite3.connect(tmp_path / "t") as database:
        rows = database.execute("SELECT captured_monotonic_ns, end_to_end_ms FROM frame_times").fetchall()
    assert abs(rows[0][0] - time.monotonic_ns()) < 60e9
    assert rows[0][1] == pytest.approx(14)


KILLED = """
import sys, time
from edgegan.frame import FrameTiming
from edgegan.telemetry.trace import TraceWriter
from pathlib import Path
trace = TraceWriter(Path(sys.argv[1]), {}, flush_seconds=0.05)
trace.begin()
for k in range(10**9):
    now = time.monotonic_ns()
    trace.frame(FrameTiming(k, now, now, now, now, now), 0)
    if k == 300: print("go", flush=True)
    time.sleep(0.001)
"""


def test_a_killed_run_leaves_a_readable_trace(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert 100 < summarise(path)["frames"] <= 302


def test_a_full_disk_ends_the_trace_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = TraceWriter._create

    def create_small(self: TraceWriter) -> sqlite3.Connection:
        database = create(self)
        database.execute("PRAGMA max_page_count = 20")  # SQLite's own way of being full
        return database

    monkeypatch.setattr(TraceWriter, "_create", create_small)
    trace = TraceWriter(tmp_path / "t", {}, flush_seconds=0.01)
    trace.begin()
    for k in range(20_000):
        trace.frame(timing(k, trace.start_ns), 0)
    trace.close()
    assert "full" in str(trace.failure)
    assert caplog.text.count("the trace") == 1
    with sqlite3.connect(tmp_path / "t") as database:
        (rows,) = database.execute("SELECT count(*) FROM frames").fetchone()
    assert summarise(tmp_path / "t")["frames"] == rows < 20_000  # what did fit stays readable


def test_an_older_trace_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    write(tmp_path / "t", 5)
    write(tmp_path / "t", 7)
    assert summarise(tmp_path / "t")["frames"] == 7
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match="no trace"):
        TraceWriter(tmp_path / "photo.jpg", {})
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        TraceWriter(tmp_path / "absent" / "t", {})


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UserError, match="no trace"):
        summarise(tmp_path / "text")
    with pytest.raises(UserError, match="there is no trace"):
        summarise(tmp_path / "absent")


def test_a_damaged_trace_is_one_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "t", 500)
    data = bytearray((tmp_path / "t").read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(TraceError, match="damaged"):
        summarise(tmp_path / "t")


def test_events_keep_their_details(tmp_path: Path) -> None:
    trace = TraceWriter(tmp_path / "t", {})
    trace.begin()
    trace.event("worker_died", how="it was killed by SIGKILL")
    trace.close()
    (event,) = read_events(tmp_path / "t")
    assert (event["kind"], event["how"]) == ("worker_died", "it was killed by SIGKILL")


def test_nothing_is_written_or_replaced_before_it_begins(tmp_path: Path) -> None:
    write(tmp_path / "t", 5)
    trace = TraceWriter(tmp_path / "t", {})
    trace.event("started")
    trace.close()
    assert summarise(tmp_path / "t")["frames"] == 5


def test_a_trace_that_is_being_written_is_not_taken_away(tmp_path: Path) -> None:
    first = TraceWriter(tmp_path / "t", {}, flush_seconds=0.01)
    first.begin()
    first.frame(timing(0, first.start_ns), 0)
    while first.waiting:
        time.sleep(0.01)
    with pytest.raises(UserError, match="another run"):
        TraceWriter(tmp_path / "t", {})
    first.close()
    assert summarise(tmp_path / "t")["frames"] == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE description SET value = 'x' WHERE key = 'format_version'",
        "DELETE FROM description WHERE key = 'start_monotonic_ns'",
        "UPDATE events SET details = '{}'",
        "UPDATE summaries SET infer_histogram = '[[99999], [1]]'",
        "UPDATE summaries SET infer_histogram = 'x'",
        "DROP TABLE frames",
    ],
)
def test_a_trace_with_wrong_contents_is_damaged(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "t", 10)
    with sqlite3.connect(tmp_path / "t") as database:
        database.execute(damage)
    with pytest.raises(TraceError, match="damaged"):
        summarise(tmp_path / "t")
