"""How fast a bundle runs here: the generator alone, without camera and display."""

import resource
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from edgegan.bundle import Bundle
from edgegan.resources import shipped_bundle
from edgegan.telemetry.statistics import Histogram
from edgegan.worker import WorkerTask, choose_precision, open_generator

__all__ = ["bench"]

_WARM_UP_SECONDS = 0.5


def bench(
    bundle: Path | None,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    seconds: float = 5.0,
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Time the generator of a bundle (None: the shipped one) for so many seconds after a short warm-up.

    Returns the keys of `edgegan bench --json`: latency percentiles in ms, throughput in pictures a second, the
    peak resident memory of this process in MB (2**20 bytes), and null for energy, which nothing measures yet.
    """
    path = bundle or shipped_bundle()
    opened = Bundle.open(path)
    task = WorkerTask("", "", str(path), runtime, precision, threads)
    with closing(open_generator(task)) as generator:
        pixels = np.random.default_rng(0).integers(0, 256, (*generator.input_size, 3), np.uint8)
        out = np.empty((*generator.output_size, 3), np.uint8)

        def draw() -> None:
            generator.infer(pixels, out)

        _repeat(draw, _WARM_UP_SECONDS, None)
        histogram, throughput_hz = _repeat(draw, seconds, progress)
        description = generator.description
    return {
        "bundle": opened.name,
        "runtime": description.get("runtime", runtime),
        "precision": choose_precision(opened, precision),
        "latency_ms": {f"p{p}": _rounded(histogram.percentile_ms(p)) for p in (50, 90, 99)},
        "throughput_hz": round(throughput_hz, 3),
        "frames": histogram.total,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "energy_joules_per_frame": None,
        "input_size": list(generator.input_size),
        "output_size": list(generator.output_size),
        "generator": description,
    }


def _repeat(
    draw: Callable[[], None], seconds: float, progress: Callable[[str, float], None] | None
) -> tuple[Histogram, float]:
    """Draw for so long, at least once; returns the latencies and the pictures a second."""
    histogram = Histogram()
    start_ns = before_ns = time.monotonic_ns()
    end_ns = start_ns + int(seconds * 1e9)
    while True:
        draw()
        now_ns = time.monotonic_ns()
        histogram.add(now_ns - before_ns)
        if progress is not None:
            progress("timing", min(1.0, (now_ns - start_ns) / max(end_ns - start_ns, 1)))
        before_ns = time.monotonic_ns()
        if now_ns >= end_ns:
            return histogram, histogram.total * 1e9 / (now_ns - start_ns)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
