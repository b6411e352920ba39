"""How fast a bundle runs here: the generator alone, without camera and display, in a process of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgegan.engine.fingerprint import runtime_version
from edgegan.engine.opening import best_candidate
from edgegan.engine.trial import Timing, Trial
from edgegan.resources import shipped_bundle

__all__ = ["bench"]

_SLICE_SECONDS = 0.5  # between two of these the progress moves


def bench(
    path: Path | None,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    seconds: float = 5.0,
    threads: int | None = None,
    rate_hertz: float | None = None,
    store: str = "",
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Time the generator of a bundle or an engine (None: the shipped bundle) for so long, after a short warm-up.

    runtime, precision: 'auto' is what `run` would take: the best rung of the engine that was built, else the
    default. rate_hertz: as from a camera, instead of one picture after the other. store: where engines lie.
    Returns the keys of `edgegan bench --json`: latency percentiles in ms, throughput in pictures a second, the
    peak resident memory of the generator's process in MB (2**20 bytes), its CPU time a picture in ms, the time to
    load in s, and null for energy, which nothing measures yet.
    """
    bundle, one = best_candidate(path or shipped_bundle(), store, runtime, precision)
    with Trial(one, bundle.path, threads) as trial:
        loaded = trial.load()
        slices = _timed(trial, seconds, rate_hertz, progress)
    latencies_ms = [latency for timing in slices for latency in timing.latencies_ms]
    spent_s = sum(timing.seconds for timing in slices)
    return {
        "bundle": bundle.name,
        "runtime": one.runtime,
        "precision": one.precision,
        "version": runtime_version(one.runtime),
        "latency_ms": {f"p{p}": round(float(np.percentile(latencies_ms, p)), 3) for p in (50, 90, 99)},
        "throughput_hz": round(len(latencies_ms) / spent_s, 3),
        "frames": len(latencies_ms),
        "rate_hertz": rate_hertz,
        "load_s": loaded["load_s"],
        "cpu_ms": round(sum(t.cpu_ms * len(t.latencies_ms) for t in slices) / len(latencies_ms), 3),
        "peak_memory_mb": slices[-1].peak_memory_mb,
        "energy_joules_per_frame": None,
        "input_size": list(bundle.input_size),
        "output_size": list(bundle.output_size),
        "generator": loaded["description"],
    }


def _timed(
    trial: Trial, seconds: float, rate_hertz: float | None, progress: Callable[[str, float], None] | None
) -> list[Timing]:
    """One slice after the other, one at least, until the time is over."""
    slices: list[Timing] = []
    start_s = time.monotonic()
    while not slices or time.monotonic() - start_s < seconds:
        left_s = seconds - (time.monotonic() - start_s)
        slices.append(trial.time(max(0.0, min(_SLICE_SECONDS, left_s)), rate_hertz))
        if progress is not None:
            progress("timing", min(1.0, (time.monotonic() - start_s) / seconds))
    return slices
