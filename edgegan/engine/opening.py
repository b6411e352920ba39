"""The generator that a run asks for: the best engine that fits this device, else what always works."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgegan.bundle import Bundle
from edgegan.engine.candidates import Candidate, candidate
from edgegan.engine.gate import check_reference
from edgegan.engine.store import Engine, Rung, Store, bundle_of, default_store, in_use, is_engine
from edgegan.engine.trial import open_candidate, reference_pictures
from edgegan.errors import EdgeganError
from edgegan.generator import Generator

__all__ = ["Choice", "choices", "open_best"]

log = logging.getLogger(__name__)

_LOOKS = 3


@dataclass(frozen=True)
class Choice:
    """A way to run a bundle, and the engine and its rung that say so; None: what always works."""

    candidate: Candidate
    engine: Engine | None = None
    rung: Rung | None = None


def open_best(
    path: Path, store: str, runtime: str, precision: str, threads: int | None, stack: ExitStack
) -> Generator:
    """Open the generator of a bundle or an engine: by its ladder from the best rung down, else by default.

    store: where engines lie; empty: the usual place. runtime, precision: 'auto' or a name.
    stack: closes the generator, and until then keeps the engine from being removed.
    Raises what is wrong with the bundle or with what was asked for by name, and `GeneratorError` if nothing works.
    """
    bundle = bundle_of(path)
    for choice in choices(path, bundle, store, runtime, precision):
        if choice.engine is None or choice.rung is None:
            return _opened(choice, bundle, threads, stack)
        try:
            return _opened(choice, bundle, threads, stack)
        except Exception as error:  # whatever is wrong with an engine: there is always the next one, or none
            log.warning(
                "%s of the engine is passed over: %s", choice.candidate.name, error or type(error).__name__
            )
            choice.engine.failed(choice.rung, str(error) or type(error).__name__)
    raise AssertionError("the last choice has no engine, so that its error was raised")


def choices(path: Path, bundle: Bundle, store: str, runtime: str, precision: str) -> Iterator[Choice]:
    """What may be tried, best first; the last one is the bundle itself, without an engine.

    path: of the bundle or of an engine. Raises what is wrong with what was asked for by name.
    """
    asked, engine = candidate(bundle, runtime, precision), None
    for engine in [Engine.open(path)] if is_engine(path) else _engines(bundle, store):
        for rung in _usable(engine):
            one = rung.candidate
            if runtime not in ("auto", one.runtime) or precision not in ("auto", one.precision):
                continue
            if why := engine.distrust(rung):
                log.warning(
                    "%s of the engine is left out, %s. To try again: edgegan build --again", one.name, why
                )
            else:
                yield Choice(one, engine, rung)
    if engine is None and runtime == precision == "auto":
        log.info(
            "nothing was built for this device: %s runs; edgegan build finds what is fastest", asked.name
        )
    yield Choice(asked)


def _engines(bundle: Bundle, store: str) -> Iterator[Engine]:
    """Those in the store; when none of them will do, also what a builder put there meanwhile, in their place."""
    seen: set[Path] = set()
    for _ in range(_LOOKS):
        new = [engine for engine in _found(bundle, store) if engine.path not in seen]
        yield from new
        if not new:
            return
        seen |= {engine.path for engine in new}


def _found(bundle: Bundle, store: str) -> list[Engine]:
    """The engines of a bundle; a store that cannot be read must not keep a picture from the screen."""
    try:
        return Store(Path(store) if store else default_store()).find(bundle)
    except (EdgeganError, OSError) as error:
        log.warning("no engine is used: %s", error)
        return []


def _usable(engine: Engine) -> tuple[Rung, ...]:
    try:
        usable = engine.usable()
        why = "" if usable else f"{engine.misfit()}: edgegan build makes one that fits"
    except EdgeganError as error:  # a builder has just replaced it
        usable, why = (), str(error)
    if why:
        log.warning("engine '%s' is passed over, %s", engine.path.name, why)
    return usable


def _opened(choice: Choice, bundle: Bundle, threads: int | None, stack: ExitStack) -> Generator:
    engine, rung = choice.engine, choice.rung
    if engine is None or rung is None:
        generator = open_candidate(choice.candidate, bundle, threads)
    else:
        stack.enter_context(in_use(engine))
        generator = _opened_rung(engine, rung, threads)
    stack.callback(generator.close)
    generator.description.update(
        bundle=bundle.name,
        precision=choice.candidate.precision,
        model_sha256=bundle.sha256(choice.candidate.model),
        fingerprint=rung.fingerprint if rung else None,
    )
    return generator


def _opened_rung(engine: Engine, rung: Rung, threads: int | None) -> Generator:
    """Open a rung and have it draw the reference picture before it is trusted: also its slow first picture."""
    engine.touch()
    engine.begin(rung)
    bundle = engine.bundle
    seen, expected = reference_pictures(bundle)  # first: while it loads, a builder may remove the engine
    generator = open_candidate(rung.candidate, bundle, threads, engine.cache())
    try:
        drawn = np.empty_like(expected)
        generator.infer(seen, drawn)
        check_reference(rung.candidate.precision, drawn, expected)
    except BaseException:
        generator.close()
        raise
    engine.proved(rung)
    return generator
