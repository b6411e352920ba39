"""Tries all that this device has on a bundle, drops what draws badly, times the rest, keeps it as an engine.

First each candidate alone, in a process of its own: it loads, draws four pictures, is timed for a moment. Then those
that came near the fastest again, all loaded, in turns: on a machine that is busy with other things, or that heats up,
only what ran side by side can be compared.
"""

import datetime as dt
import logging
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgegan import __version__
from edgegan.bundle import Bundle
from edgegan.engine.candidates import DEFAULT, RUNTIMES, Candidate, PassedOver, candidates
from edgegan.engine.fingerprint import describe_device, runtime_version
from edgegan.engine.gate import GATES, gate_pictures, judged, why_not
from edgegan.engine.store import Engine, Store, bundle_of, holds_nothing_else, is_engine, write_engine
from edgegan.engine.trial import Trial, reference_pictures
from edgegan.errors import (
    ConfigError,
    EdgeganError,
    EngineError,
    GeneratorError,
    MissingDependency,
    user_error_from_os_error,
)
from edgegan.files import beside, put_in_place, remove
from edgegan.frame import Pixels

__all__ = ["OBJECTIVES", "build"]

log = logging.getLogger(__name__)

OBJECTIVES = ("latency", "quality")
_SCREENING_SECONDS = 0.5
_NEAR = 1.5
"""Who took longer than this many times the fastest, alone, is not timed again."""
_AS_FAST = 0.98
"""Lower precision must save at least this much of the time to be worth its loss."""
_LEAST_FINALISTS, _MOST_FINALISTS = 2, 4
_ROUNDS = 9
_ANYTHING = {"runtime": "auto", "precision": "auto", "objective": "latency", "threads": None}
Progress = Callable[[str, float], None]


@dataclass
class _Result:
    """What was found out about one candidate."""

    candidate: Candidate
    why: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    round_medians_ms: list[float] = field(default_factory=list)
    in_turns: bool = False
    """Whether its times were taken side by side with those of the others."""

    @property
    def passed(self) -> bool:
        return not self.why

    @property
    def p50_ms(self) -> float:
        """The median of the rounds' medians: one disturbed round does not move it."""
        return statistics.median(self.round_medians_ms)

    def add(self, latencies_ms: list[float]) -> None:
        self.latencies_ms += latencies_ms
        self.round_medians_ms.append(statistics.median(latencies_ms))

    def begin_turns(self) -> None:
        """Forget the times of before: those of another moment cannot be compared."""
        self.latencies_ms, self.round_medians_ms, self.in_turns = [], [], True

    def describe(self) -> dict[str, Any]:
        """An entry of `measured`."""
        timed = bool(self.round_medians_ms)
        return {
            "runtime": self.candidate.runtime,
            "precision": self.candidate.precision,
            "passed": self.passed,
            "why": self.why or None,
            "latency_ms_p50": round(self.p50_ms, 3) if timed else None,
            "latency_ms": _percentiles(self.latencies_ms) if timed else None,
            "rounds": len(self.round_medians_ms),
            "quality": self.quality or None,
            "version": runtime_version(self.candidate.runtime),
            **self.facts,
        }


def build(
    path: Path,
    store: Store,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    objective: str = "latency",
    threads: int | None = None,
    seconds: float = 8.0,
    again: bool = False,
    export: Path | None = None,
    most_bytes: int = 4 << 30,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the engine of a bundle for this device, or find it made; returns what `build --json` prints.

    path: a bundle, or an engine built elsewhere: it is taken over if it fits this device, else built again.
    seconds: how long the final timing takes, at least one picture a round. again: build even if it is there.
    export: also write the engine there, for devices of equal fingerprint. most_bytes: of the store, roughly.
    Raises `EngineError`, `BundleError`, `ConfigError`, and `GeneratorError` if nothing passed. Nothing changes then.
    """
    tell = progress or (lambda what, share: None)
    if objective not in OBJECTIVES:
        raise ConfigError(f"'{objective}' cannot be aimed at here", f"choose one of: {', '.join(OBJECTIVES)}")
    bundle = bundle_of(path)
    asked = {"runtime": runtime, "precision": precision, "objective": objective, "threads": threads}
    candidates(bundle, runtime, precision)  # what cannot be is an error before anything is touched
    for model in bundle.precisions:
        bundle.read_model(model)
    if export is not None:
        _check_export(export)
    given = None if again else _fitting(path, asked)
    engine = None if again else _there_already(given, bundle, store, asked)
    built, removed = engine is None and given is None, []
    if engine is None:
        if built and progress is None:
            log.info("trying what this device has: this takes half a minute, longer for a large generator")
        with store.locked():
            store.set_aside(bundle)
            engine = (
                store.take(given)
                if given
                else store.put(bundle, _manifest(bundle, store, asked, seconds, tell))
            )
            removed = store.shrink(most_bytes, engine)
    if export is not None:
        _export(engine, export)
    tell("done", 1.0)
    return {**engine.describe(), "built": built, "removed": [str(path) for path in removed]}


def _fitting(path: Path, asked: dict[str, Any]) -> Engine | None:
    """The engine that was given, if it fits this device and was made for what is asked."""
    if not is_engine(path):
        return None
    given = Engine.open(path)
    given.check_files()
    if why := _why_anew(given, asked):
        log.warning("engine '%s' is built again: %s", path, why)
        return None
    return given


def _why_anew(given: Engine, asked: dict[str, Any]) -> str:
    """In words, why an engine that was given cannot be taken as it is; empty if it can."""
    usable = given.usable()
    if not usable:
        return given.misfit()
    if lost := [rung.candidate.name for rung in given.ladder if rung not in usable]:
        return f"{', '.join(lost)} of it cannot be used here"
    if failed := [f"{rung.candidate.name}: {why}" for rung in usable if (why := given.distrust(rung))]:
        return "; ".join(failed)
    return "" if asked in (given.manifest["asked"], _ANYTHING) else "it was built for another wish"


def _there_already(
    given: Engine | None, bundle: Bundle, store: Store, asked: dict[str, Any]
) -> Engine | None:
    """The engine in the store, if it is the one that was given, or was made for what is asked with what is here."""
    for engine in store.find(bundle)[:1]:
        fits = engine.usable() == engine.ladder and not any(map(engine.distrust, engine.ladder))
        made = (engine.manifest["asked"], engine.manifest["versions"]) == (asked, _versions())
        if fits and (made if given is None else engine.manifest == given.manifest):
            return engine if _whole(engine) else None
    return None


def _whole(engine: Engine) -> bool:
    try:
        engine.check_files()
    except EngineError as error:
        log.warning("%s", error)
        return False
    return True


def _versions() -> dict[str, str | None]:
    return {runtime: runtime_version(runtime) for runtime in RUNTIMES}


def _manifest(
    bundle: Bundle, store: Store, asked: dict[str, Any], seconds: float, tell: Progress
) -> dict[str, Any]:
    """Try everything; raises `GeneratorError` if nothing passed."""
    found, passed_over = candidates(bundle, asked["runtime"], asked["precision"])
    results = _measured(bundle, found, store, asked["threads"], seconds, tell)
    ladder = _ladder([r for r in results if r.passed], asked["objective"])
    if not ladder:
        whys = "; ".join(f"{r.candidate.name}: {r.why}" for r in results)
        raise GeneratorError(
            f"nothing on this device runs the bundle '{bundle.name}': {whys}", "see docs/runtimes.md"
        )
    device = describe_device()
    return {
        "ladder": [_rung(result, bundle, device) for result in ladder],
        "measured": [r.describe() for r in results] + [_not_tried(one) for one in passed_over],
        "asked": asked,
        "device": device,
        "versions": _versions(),
        "built_by": f"edgegan {__version__}",
        "built_at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }


def _rung(result: _Result, bundle: Bundle, device: dict[str, Any]) -> dict[str, Any]:
    one = result.candidate
    return {
        "runtime": one.runtime,
        "precision": one.precision,
        "model": one.model,
        "options": dict(one.options),
        "version": runtime_version(one.runtime),
        "fingerprint": one.fingerprint(bundle, device),
        "latency_ms_p50": round(result.p50_ms, 3),
        "quality": result.quality,
    }


def _not_tried(one: PassedOver) -> dict[str, Any]:
    return {
        "runtime": one.runtime,
        "precision": one.precision,
        "passed": False,
        "why": one.why,
        "latency_ms_p50": None,
    }


def _ladder(passed: list[_Result], objective: str) -> list[_Result]:
    """Best first."""
    if objective == "quality":
        return sorted(passed, key=lambda r: (-r.quality["psnr_worst_db"], r.p50_ms))
    ladder = sorted(passed, key=lambda r: (not r.in_turns, r.p50_ms))  # times of two moments do not mix
    as_fast = [
        r for r in ladder if r.in_turns == ladder[0].in_turns and ladder[0].p50_ms >= _AS_FAST * r.p50_ms
    ]
    best = max(as_fast, key=lambda r: GATES[r.candidate.precision].psnr_db, default=None)
    return [best, *(r for r in ladder if r is not best)] if best else []


# -- Measuring


def _measured(
    bundle: Bundle, found: list[Candidate], store: Store, threads: int | None, seconds: float, tell: Progress
) -> list[_Result]:
    """Raises `EngineError` where there is no room for the pictures."""
    with _work_folder(store) as folder:
        workshop = _Workshop(folder, bundle, threads)
        results = []
        for number, one in enumerate(found):
            tell(f"trying {one.name}", 0.4 * number / len(found))
            results.append(workshop.screened(one))
        _time_in_turns(_finalists(results), workshop, seconds, tell)
    return results


@contextmanager
def _work_folder(store: Store) -> Iterator[Path]:
    """For pictures, in the store, so that the next builder sweeps it if this one is killed."""
    try:
        with tempfile.TemporaryDirectory(prefix=".build.engine.", suffix=".tmp", dir=store.path) as folder:
            yield Path(folder)
    except OSError as error:
        said = user_error_from_os_error(error, f"cannot work in the store '{store.path}'")
        raise EngineError(said.message, f"{said.mend}, or name another place with --store") from error


class _Workshop:
    """A folder with the pictures to draw, and what they should look like.

    The FP32 model on ONNX Runtime is the judge; the bundle's own reference picture judges it.
    """

    def __init__(self, folder: Path, bundle: Bundle, threads: int | None) -> None:
        self._folder, self._bundle, self._threads = folder, bundle, threads
        seen, drawn = reference_pictures(bundle)
        self._pictures = _written(folder, gate_pictures(seen))
        self._expected = [drawn]
        self._judge: _Result | None = None
        if runtime_version(DEFAULT.runtime) is not None and DEFAULT.model in bundle.precisions:
            self._judge = self.screened(DEFAULT)

    def trial(self, one: Candidate) -> Trial:
        return Trial(one, self._bundle.path, self._threads)

    def screened(self, one: Candidate) -> _Result:
        """Load it, look at what it draws, and time it if that is good enough."""
        if self._judge is not None and one == DEFAULT:
            return self._judge
        result = _Result(one)
        try:
            with self.trial(one) as trial:
                result.facts = {"load_s": trial.load()["load_s"]}
                self._judge_pictures(result, trial.draw(self._pictures, self._folder))
                if result.passed:
                    timing = trial.time(_SCREENING_SECONDS)
                    result.facts |= {
                        "cpu_ms": round(timing.cpu_ms, 3),
                        "peak_memory_mb": timing.peak_memory_mb,
                    }
                    result.add(timing.latencies_ms)
        except (GeneratorError, MissingDependency) as error:  # installed, but it cannot be imported
            result.why = str(error)
        return result

    def _judge_pictures(self, result: _Result, drawn: list[Pixels]) -> None:
        result.quality = judged(drawn[: len(self._expected)], self._expected)
        result.why = why_not(result.candidate.precision, result.quality)
        if self._judge is None and result.passed and result.candidate == DEFAULT:
            self._expected = [*self._expected, *drawn[1:]]


def _written(folder: Path, pictures: list[Pixels]) -> list[Path]:
    paths = [folder / f"picture-{number}.png" for number in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        path.write_bytes(bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1]))
    return paths


def _finalists(results: list[_Result]) -> list[_Result]:
    """Those that passed and came near the fastest, two at least: one moment's figure may be wrong."""
    passed = sorted((r for r in results if r.passed), key=lambda r: r.p50_ms)
    near = [r for r in passed if r.p50_ms <= _NEAR * passed[0].p50_ms]
    return passed[: min(max(len(near), _LEAST_FINALISTS), _MOST_FINALISTS)]


def _time_in_turns(finalists: list[_Result], workshop: _Workshop, seconds: float, tell: Progress) -> None:
    """Time them side by side; each round begins with another one."""
    if not finalists:
        return
    slice_s = seconds / _ROUNDS / len(finalists)
    with ExitStack() as stack:
        trials = [(result, stack.enter_context(workshop.trial(result.candidate))) for result in finalists]
        for result, trial in trials:
            result.begin_turns()
            with _noted(result):
                trial.load()
        for number in range(_ROUNDS):
            for result, trial in trials[number % len(trials) :] + trials[: number % len(trials)]:
                tell(f"timing {result.candidate.name}", 0.4 + 0.55 * number / _ROUNDS)
                if result.passed:
                    with _noted(result):
                        result.add(trial.time(slice_s).latencies_ms)


@contextmanager
def _noted(result: _Result) -> Iterator[None]:
    """Whatever a candidate fails of, it has not passed; also beside the others, for want of memory."""
    try:
        yield
    except EdgeganError as error:
        result.why = str(error)


def _percentiles(latencies_ms: list[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(latencies_ms, p)), 3) for p in (50, 90, 99)}


# -- Export


def _check_export(path: Path) -> None:
    try:
        is_free = path.is_dir() and (holds_nothing_else(path) or not any(path.iterdir()))
        is_taken = path.is_symlink() or (path.exists() and not is_free)
        beside(path.absolute()).exists()  # its name may be too long, which is better known before than after
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write the engine '{path}'") from error
    if is_taken:
        raise EngineError(f"'{path}' is there already and is no engine", "give another name to --export")


def _export(engine: Engine, path: Path) -> None:
    """Write the engine as a folder of its own, without what became of it here."""
    new = beside(path.absolute())
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        write_engine(new, engine.bundle, engine.manifest)
        put_in_place(new, path.absolute())
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write the engine '{path}'") from error
    finally:
        remove(new)
