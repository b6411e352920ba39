"""How fast a bundle runs here: the generator alone, without camera and display, in a process of its own."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgegan.bundle import Bundle
from edgegan.engine.candidates import Candidate
from edgegan.engine.fingerprint import runtime_version
from edgegan.engine.gate import check_reference
from edgegan.engine.opening import Choice, choices
from edgegan.engine.store import bundle_of
from edgegan.engine.trial import Timing, Trial, reference_pictures
from edgegan.errors import GeneratorError, MissingDependency, user_error_from_os_error
from edgegan.frame import Pixels
from edgegan.resources import shipped_bundle

__all__ = ["bench"]

log = logging.getLogger(__name__)

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

    runtime, precision: 'auto' is what `run` would take: the best rung of the engine that was built which loads and
    draws the reference picture, else the default; what is found out about a rung is not kept. rate_hertz: as from a
    camera, instead of one picture after the other. store: where engines lie.
    Returns the keys of `edgegan bench --json`: latency percentiles in ms, throughput in pictures a second, the
    peak resident memory of the generator's process in MB (2**20 bytes), its CPU time a picture in ms, the time to
    load in s, and null for energy, which nothing measures yet.
    Raises what is wrong with the bundle or with what was asked for by name, and `GeneratorError` if nothing works.
    """
    path = path or shipped_bundle()
    bundle = bundle_of(path)
    with ExitStack() as stack:
        trial, loaded = _first_that_works(
            choices(path, bundle, store, runtime, precision), bundle, threads, stack
        )
        one = trial.candidate
        with _named(one):
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


def _first_that_works(
    found: Iterator[Choice], bundle: Bundle, threads: int | None, stack: ExitStack
) -> tuple[Trial, dict[str, Any]]:
    """The first that loads and, if it is of an engine, draws the reference picture; and what loading it told."""
    for choice in found:
        if choice.rung is None:
            with _named(choice.candidate):
                return _loaded(choice, bundle, threads, stack)
        try:
            return _loaded(choice, bundle, threads, stack)
        except (GeneratorError, MissingDependency) as error:
            log.warning("%s of the engine is passed over: %s", choice.candidate.name, error)
    raise AssertionError("the last choice has no rung, so that its error was raised")


def _loaded(
    choice: Choice, bundle: Bundle, threads: int | None, stack: ExitStack
) -> tuple[Trial, dict[str, Any]]:
    with ExitStack() as own:
        trial = own.enter_context(Trial(choice.candidate, bundle.path, threads))
        loaded = trial.load()
        if choice.rung is not None:
            check_reference(choice.candidate.precision, *_reference_drawn(trial, bundle))
        stack.push(own.pop_all())
    return trial, loaded


def _reference_drawn(trial: Trial, bundle: Bundle) -> tuple[Pixels, Pixels]:
    """What it makes of the bundle's reference picture, and what it should."""
    _, expected = reference_pictures(bundle)
    try:
        with tempfile.TemporaryDirectory(prefix="edgegan-") as folder:
            seen = Path(folder) / "seen.png"
            seen.write_bytes(bundle.read_file("reference_input.png"))
            (drawn,) = trial.draw([seen], Path(folder))
    except OSError as error:
        raise user_error_from_os_error(error, "no temporary file can be written") from error
    return drawn, expected


@contextmanager
def _named(one: Candidate) -> Iterator[None]:
    """Say of a failure whose it is, and what to do."""
    try:
        yield
    except GeneratorError as error:
        mend = error.mend or "choose another --runtime or --precision"
        raise GeneratorError(f"{one.name} cannot be timed: {error.message}", mend) from error


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
