"""Does anything grow? Runs `edgegan run` for long and watches memory, threads, handles, shared memory and files.

    python tools/soak.py --minutes 10 --pace full|camera [--camera URI] [--bundle B] [--runtime R] [--json]

Daemon and worker are the real ones, with a trace and a display that scales to 1920 x 1080 and shows nothing
(`--display` gives another). The time begins when the first frame is in the trace. The kernel is asked every two seconds
(`--every`). The warm-up (a fifth of the time, at most two minutes) is left out.

- Things that are counted (threads, open files by kind, bytes of shared memory, files of the run, names in /dev/shm)
  must not be more in the last quarter than in the second, by the medians.
- Memory (private, and anonymous) must not rise: the rise is Theil and Sen's slope, the median over all pairs of
  samples, times the time watched. It has grown if that is more than `--memory-mb` (default: what was measured as
  harmless, see docs/performance.md) and more than three times the noise around the line.
- A frame must take no more of the trace than `BYTES_PER_FRAME`.
- Frames must go on: by the trace, none came later than `--gap` seconds after the one before, or a quarter of the time.

Exit code 0: nothing grew. 1: something did, or the run failed or stood still; it says what. Needs psutil and numpy, as
edgegan does.
"""

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from edgegan.plan import SHIPPED_CLIP, uri_of_file
from edgegan.report.text import ProgressBar, table
from edgegan.resources import resource
from edgegan.telemetry.trace import open_trace

MB = 2**20
BYTES_PER_FRAME = 60
LEAST_TRACE_BYTES = 2**16
MEMORY_MB = 1.0
NOISES = 3.0
PACES = {"full": "pace=max&loop=1", "camera": "loop=1"}
MEMORY = ("private_mb", "anonymous_mb")
TOLD = ("resident_mb", "proportional_mb")
"""Shown, but not judged: pages of files that the kernel keeps or drops as it likes are in there."""

GAP_S = 5.0
FIRST_FRAME_S = 120.0
STOP_S = 60.0
LEAST_LOOKS = 8
GONE = (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError)
"""What the kernel answers about a process or a file that has ended meanwhile."""

Series = dict[str, list[float]]


@dataclass(frozen=True)
class Finding:
    """How one thing went. rise: over the time watched, in the thing's own unit; noise: around the trend."""

    name: str
    first: float
    last: float
    rise: float
    per_hour: float
    noise: float
    limit: float | None
    grew: bool


def main() -> int:
    """Watch, judge, print."""
    arguments = parse_arguments()
    with ProgressBar(sys.stderr) as progress, tempfile.TemporaryDirectory(prefix="edgegan-soak-") as folder:
        result = soak(arguments, Path(folder), progress)
    print(json.dumps(result, indent=1) if arguments.json else text_of(result))
    return 1 if result["why"] else 0


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pace", choices=list(PACES), default="full", help="of the shipped clip")
    parser.add_argument("--camera", metavar="URI", help="another camera than the shipped clip")
    parser.add_argument("--display", metavar="URI", default="null://?size=1920x1080")
    for option in ("bundle", "generator", "runtime", "precision"):
        parser.add_argument(f"--{option}", help=f"as for edgegan run --{option}")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("--memory-mb", type=float, default=MEMORY_MB, help="how much a process may rise")
    parser.add_argument(
        "--gap", type=float, default=GAP_S, metavar="SECONDS", help="longest time without a frame"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(given)


def soak(arguments: argparse.Namespace, folder: Path, progress: Any = None) -> dict[str, Any]:
    """Run, watch and judge; `why` of the result is empty if nothing grew.

    folder: an empty one; the run's files go there. progress: is called with (what is done, share 0..1).
    """
    seconds = arguments.minutes * 60
    (folder / "tmp").mkdir()
    before = names_in_shm()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # a pipe would fill
        with running(arguments, folder, out, err) as process:
            failure = wait_for_frame(process, folder / "run.trace", progress)
            start = time.monotonic()
            series = watch(process, folder, 0.0 if failure else seconds, arguments.every, progress)
            end = time.monotonic()
            failure = failure or stop(process, end - start)
        output, errors = content(out), content(err)
    summary = json.loads(output) if output.strip() else {}
    failure = failure_of(process.returncode, summary, errors) or failure
    findings = judge(series, arguments.memory_mb)
    leftovers = left_behind(folder, names_in_shm() - before)
    bytes_per_frame = trace_bytes(folder) / max(1, summary.get("frames") or 0)
    why = [failure] if failure else [sentence(f) for f in findings if f.grew] + leftovers
    if not failure:
        why += stood_still(folder / "run.trace", start, end, min(arguments.gap, seconds / 4))
        why += too_few(series)
    if not failure and trace_bytes(folder) > LEAST_TRACE_BYTES + BYTES_PER_FRAME * summary["frames"]:
        why.append(f"the trace takes {bytes_per_frame:.0f} bytes a frame, more than {BYTES_PER_FRAME}")
    return {
        "pace": arguments.camera or arguments.pace,
        "seconds": seconds,
        "samples": len(series["seconds"]),
        "frames": summary.get("frames"),
        "throughput_hz": summary.get("throughput_hz"),
        "dropped": summary.get("dropped"),
        "trace_bytes_per_frame": round(bytes_per_frame, 1),
        "findings": [asdict(finding) for finding in findings],
        "why": why,
        "series": series,
    }


@contextmanager
def running(
    arguments: argparse.Namespace, folder: Path, out: IO[str], err: IO[str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """`edgegan run`, ended in any case."""
    camera = arguments.camera or uri_of_file(resource(SHIPPED_CLIP), PACES[arguments.pace])
    command = [sys.executable, "-m", "edgegan", "run", "--json", "--camera", camera]
    command += ["--display", arguments.display, "--trace", str(folder / "run.trace")]
    for option in ("bundle", "generator", "runtime", "precision"):
        if getattr(arguments, option):
            command += [f"--{option}", getattr(arguments, option)]
    process = subprocess.Popen(
        command, stdout=out, stderr=err, env={**os.environ, "TMPDIR": str(folder / "tmp")}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def content(file: IO[str]) -> str:
    """All that was written to it."""
    file.seek(0)
    return file.read()


def wait_for_frame(process: "subprocess.Popen[bytes]", trace: Path, progress: Any) -> str:
    """Wait until the trace holds a frame or the run has ended; why not, if it took too long."""
    end = time.monotonic() + FIRST_FRAME_S
    while process.poll() is None and not has_frames(trace):
        if time.monotonic() > end:
            return f"the run showed no frame within {FIRST_FRAME_S:g} s"
        if progress:
            progress("waiting for the first frame", 0.0)
        time.sleep(0.1)
    return ""


def has_frames(trace: Path) -> bool:
    """Whether a trace that is being written holds a frame by now."""
    if not Path(f"{trace}-wal").exists():  # looking in earlier could lock it against its writer
        return False
    try:
        with closing(sqlite3.connect(f"{trace.as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM frames LIMIT 1").fetchone() is not None
    except sqlite3.Error:  # its tables are still being made
        return False


def stop(process: "subprocess.Popen[bytes]", watched_s: float) -> str:
    """End the run as Ctrl-C does; why it is no proof, if it had ended before or does not end."""
    if process.poll() is not None:
        return f"the run ended by itself after {watched_s:.0f} s"
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        return f"the run did not end within {STOP_S:g} s of Ctrl-C"
    return ""


def stood_still(trace: Path, start: float, end: float, limit_s: float) -> list[str]:
    """Where no frame was shown for longer than `limit_s`; start, end: what was watched, by CLOCK_MONOTONIC."""
    with open_trace(trace) as database:
        rows = database.execute("SELECT captured_monotonic_ns / 1e9 + end_to_end_ms / 1e3 FROM frame_times")
        shown = np.fromiter((row[0] for row in rows), float)
    times = np.concatenate([[start], shown[(shown > start) & (shown < end)], [end]])
    longest = int(np.argmax(np.diff(times)))
    gap, at = times[longest + 1] - times[longest], times[longest] - start
    return [f"no frame was shown for {gap:.1f} s, {at:.0f} s after the first"] if gap > limit_s else []


def too_few(series: Series) -> list[str]:
    """That next to nothing was seen is no proof."""
    looks = len(series["seconds"])
    return [f"only {looks} looks after the warm-up: give more --minutes"] if looks < LEAST_LOOKS else []


def failure_of(code: int, summary: Mapping[str, Any], errors: str) -> str:
    """Why there is nothing to judge, if so."""
    last = (errors.strip().splitlines() or ["it said nothing"])[-1]
    if code:
        return f"the run ended with exit code {code}: {last}"
    if summary.get("worker_restarts"):
        return f"the worker was replaced {summary['worker_restarts']} times, so that nothing can be compared"
    return ""


# Watching


def watch(
    process: "subprocess.Popen[bytes]", folder: Path, seconds: float, every: float, progress: Any
) -> Series:
    """Look at both processes until the time is over or the run has ended; one list for each thing."""
    series: Series = {"seconds": []}
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds and process.poll() is None:
        if now > warm_up_s(seconds):
            with suppress(*GONE):  # the run has just ended
                add(series, {"seconds": now, **look(process.pid, folder)})
        if progress:
            progress("watching", now / seconds)
        time.sleep(max(0.0, min(every, seconds - now)))
    return series


def add(series: Series, seen: Mapping[str, float]) -> None:
    """Put what was seen to the rest; what is not there counts as 0."""
    for name, value in seen.items():
        fresh = [0.0] * (len(series["seconds"]) - (name != "seconds"))  # it was not there before
        series.setdefault(name, fresh).append(value)
    for values in series.values():
        values += [0.0] * (len(series["seconds"]) - len(values))  # it is there no more


def warm_up_s(seconds: float) -> float:
    """What of a run is not judged: libraries load, caches fill."""
    return min(120.0, seconds / 5)


def look(pid: int, folder: Path) -> dict[str, float]:
    """What both processes have at this moment. Raises one of `GONE` if the daemon has ended."""
    daemon = psutil.Process(pid)
    seen = named("daemon", pid)
    for child in daemon.children():
        with suppress(*GONE):  # a worker may end at any time
            if "edgegan.worker" in " ".join(child.cmdline()):
                seen |= named("worker", child.pid)
    files = [p for p in folder.rglob("*") if not p.name.startswith("run.trace")]
    sizes = [size for file in files if (size := size_of(file)) is not None]
    return {**seen, "files of the run": len(sizes), "bytes of these files": sum(sizes)}


def named(name: str, pid: int) -> dict[str, float]:
    """What a process has, with its name in front."""
    return {f"{name} {what}": value for what, value in belongings(pid).items()}


def size_of(path: Path) -> int | None:
    """Of a file; None for another thing, and for what is gone."""
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


def belongings(pid: int) -> dict[str, float]:
    """Memory in MB (2**20 bytes), threads, and open files by kind; see proc(5), smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    kinds, shared_bytes = open_files(pid)
    return {
        "private_mb": (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"] + kilobytes["Swap"]) / 1024,
        "anonymous_mb": (kilobytes["Anonymous"] + kilobytes["Swap"]) / 1024,
        "resident_mb": kilobytes["Rss"] / 1024,
        "proportional_mb": kilobytes["Pss"] / 1024,
        "threads": len(os.listdir(f"/proc/{pid}/task")),
        "shared memory, bytes": shared_bytes,
        **{f"open: {kind}": count for kind, count in kinds.items()},
    }


def open_files(pid: int) -> tuple[Counter[str], int]:
    """How many descriptors of each kind, and the bytes of those that are memory."""
    kinds: Counter[str] = Counter()
    shared: dict[int, int] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target, status = str(entry.readlink()), entry.stat()
        except OSError:
            continue  # closed meanwhile
        if target.startswith(("/memfd:", "/dev/shm/")):
            shared[status.st_ino] = status.st_size
        kinds[kind_of(target)] += 1
    return kinds, sum(shared.values())


def kind_of(target: str) -> str:
    """What /proc/PID/fd/N points to, in one word."""
    if target.startswith(("/memfd:", "/dev/shm/")):
        return "shared memory"
    if target.startswith("/dev/"):
        return "device"
    return (
        "file"
        if target.startswith("/")
        else target.partition(":[")[0].removeprefix("anon_inode:").strip("[]")
    )


def names_in_shm() -> set[str]:
    """Shared memory with a name, of this user."""
    return {p.name for p in Path("/dev/shm").glob("*") if p.lstat().st_uid == os.getuid()}


def left_behind(folder: Path, shared: set[str]) -> list[str]:
    """What a run should not leave: files other than its trace, and names in /dev/shm that nobody uses."""
    files = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "run.trace"]
    held = {name for name in shared if is_held(f"/dev/shm/{name}")}
    return [f"the run left {', '.join(sorted(found)[:5])}" for found in (files, shared - held) if found]


def is_held(path: str) -> bool:
    """True for what another program has open or mapped, or has removed by now; ours have ended."""
    if not Path(path).exists():
        return True
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
            if path in links or path in (process / "maps").read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False


def trace_bytes(folder: Path) -> int:
    """Size of the finished trace."""
    return sum(p.stat().st_size for p in folder.glob("run.trace*"))


# Judging


def judge(series: Series, memory_mb: float = MEMORY_MB) -> list[Finding]:
    """A finding for each thing that was watched."""
    seconds = series["seconds"]
    if len(seconds) < LEAST_LOOKS:
        return []
    return [
        judge_one(name, seconds, values, memory_mb) for name, values in series.items() if name != "seconds"
    ]


def judge_one(name: str, seconds: Sequence[float], values: Sequence[float], memory_mb: float) -> Finding:
    """Has it grown? Memory by its trend, what is counted by medians, other things are only told."""
    quarter = len(values) // 4
    first, last = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
    slope, noise = trend(seconds, values)
    hour = slope * 3600
    if name.endswith(MEMORY):
        rise = slope * (seconds[-1] - seconds[0])
        return Finding(name, first, last, rise, hour, noise, memory_mb, rise > max(memory_mb, NOISES * noise))
    told = name.endswith(TOLD)
    return Finding(
        name, first, last, last - first, hour, noise, None if told else 0.0, not told and last > first
    )


def trend(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Theil and Sen's slope a second, and the noise: 1.4826 times the median distance from that line."""
    x, y = np.asarray(seconds, float), np.asarray(values, float)
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    rest = y - slope * x
    return slope, 1.4826 * float(np.median(np.abs(rest - np.median(rest))))


def sentence(finding: Finding) -> str:
    """A finding that is none to be proud of."""
    more = f"{finding.first:.4g} became {finding.last:.4g}"
    return f"{finding.name} grew: {more}, that is {finding.per_hour:+.4g} an hour"


def text_of(result: Mapping[str, Any]) -> str:
    """What a person reads."""
    rows: list[Sequence[object]] = [("", "first", "last", "rise", "an hour", "noise", "limit", "")]
    for f in result["findings"]:
        figures = (round(f[name], 3) for name in ("first", "last", "rise", "per_hour", "noise"))
        limit = "-" if f["limit"] is None else f["limit"]
        rows.append((f["name"], *figures, limit, "GREW" if f["grew"] else ""))
    head = (
        f"{result['pace']}: {result['seconds']:g} s, {result['frames']} frames at {result['throughput_hz']} Hz, "
        f"{result['samples']} looks, {result['trace_bytes_per_frame']} bytes of trace a frame"
    )
    return "\n".join([head, table(rows), *(result["why"] or ["nothing grew"])])


if __name__ == "__main__":
    sys.exit(main())
