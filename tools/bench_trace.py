"""What a long trace costs: write many frames as a run would, then summarise them.

    python tools/bench_trace.py [--frames 1000000] [--json]

Frames are written as fast as the trace takes them, with times as if they came 30 a second.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from edgegan.frame import FrameTiming
from edgegan.telemetry.trace import TraceWriter, summarise

PERIOD_NS = 33_333_333
BATCH = 100_000


def main() -> None:
    """Write, summarise, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder) / "run.trace", arguments.frames)
    print(json.dumps(result) if arguments.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


def measure(path: Path, frames: int) -> dict[str, float]:
    """Seconds to write and to summarise, and the size of the file."""
    trace = TraceWriter(path, {"camera": "none"}, flush_seconds=0.1)
    trace.begin()
    stages_ns = np.random.default_rng(0).lognormal(15, 0.5, (BATCH, 4)).astype(np.int64)
    started = time.monotonic()
    for first in range(0, frames, BATCH):
        write_batch(trace, first, min(BATCH, frames - first), stages_ns)
    trace.close()
    wrote = time.monotonic()
    summary = summarise(path)
    assert summary["frames"] == frames
    return {
        "frames": frames,
        "write_microseconds_per_frame": round((wrote - started) / frames * 1e6, 2),
        "file_megabytes": round(path.stat().st_size / 1e6, 1),
        "summary_seconds": round(time.monotonic() - wrote, 3),
    }


def write_batch(trace: TraceWriter, first: int, count: int, stages_ns: np.ndarray) -> None:
    """Give the trace `count` frames, and time to write them."""
    for k in range(count):
        captured = trace.start_ns + (first + k) * PERIOD_NS
        ends = np.cumsum(stages_ns[k]) + captured
        trace.frame(FrameTiming(first + k, captured, *map(int, ends)), 0)
    while trace.waiting:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
