"""Where engines lie, and what of them may be used here.

    STORE/lock                        held while an engine is built, put in place or removed
    STORE/paint-1c5e….engine/         the engine of a bundle on this device
        engine.json                   the ladder: what passed, best first; all that was measured; fingerprints
        bundle/                       the bundle, so that an engine outlives it and can be built again
        cache/                        what a runtime compiled, for a faster start; may be removed
        state.json                    what became of it: good (it has drawn a sane picture), what failed
    STORE/paint-1c5e….engine.previous/  the one before, until its successor is good
    STORE/….damaged-…/                what was damaged, set aside to be looked at

An engine is written beside and renamed. Reading takes no lock.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegan.bundle import Bundle, copy_bundle
from edgegan.engine.candidates import Candidate, is_known
from edgegan.engine.fingerprint import describe_device, differences, runtime_version
from edgegan.errors import BundleError, EngineError, user_error_from_os_error
from edgegan.files import beside, put_in_place, remove, sync_folder, write_file

__all__ = [
    "ENGINE_SUFFIX",
    "Engine",
    "Rung",
    "Store",
    "bundle_key",
    "bundle_of",
    "default_store",
    "in_use",
    "is_engine",
    "write_engine",
]

log = logging.getLogger(__name__)

ENGINE_SUFFIX = ".engine"
FORMAT, FORMAT_VERSION = "edgegan-engine", 1
_MANIFEST, _STATE, _BUNDLE, _LOCK = "engine.json", "state.json", "bundle", "lock"
_PREVIOUS = ".previous"
_MOST_BYTES = 16 << 20
_BUILD = "build it again: edgegan build"
_TRIES = 2
"""A rung that was begun so often and never drew is taken for one that crashes."""


def default_store() -> Path:
    """Where engines lie unless a place is named: the service's state, else the user's cache.

    Sources: systemd.exec(5) for STATE_DIRECTORY, the XDG base directory specification for XDG_CACHE_HOME.
    """
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state) / "engines"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "edgegan" / "engines"


def bundle_key(bundle: Bundle) -> str:
    """64 hexadecimal digits that tell the models of one bundle from those of another."""
    hashes = {precision: bundle.sha256(precision) for precision in bundle.precisions}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def is_engine(path: Path) -> bool:
    """Whether a folder says of itself that it is an engine."""
    return os.path.isfile(path / _MANIFEST)  # noqa: PTH113 - says no where Path.is_file raises: too long a name


def bundle_of(path: Path) -> Bundle:
    """The bundle at `path`, or that of the engine at `path`. Raises `BundleError`, `EngineError`."""
    return Engine.open(path).bundle if is_engine(path) else Bundle.open(path)


@dataclass(frozen=True)
class Rung:
    """One way to run the bundle that passed; quality is that of its pictures, against FP32."""

    candidate: Candidate
    fingerprint: str
    quality: Mapping[str, float]
    latency_ms_p50: float


@dataclass(frozen=True)
class Engine:
    """An engine on disk. path: its folder. manifest: `engine.json`, checked for what is used here."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Engine":
        """Open the folder `path`. Raises `EngineError`: missing, no engine, damaged, of a newer edgegan."""
        try:
            manifest = _parsed(path)
            engine = cls(path, manifest)
            if not engine.ladder:
                raise ValueError("its ladder is empty")
            bundle = engine.bundle
            if bundle_key(bundle) != manifest["bundle_key"]:
                raise ValueError("it holds another bundle than it was built from")
            for rung in engine.ladder:
                bundle.sha256(rung.candidate.model)
        except EngineError:
            raise
        except BundleError as error:
            raise EngineError(f"engine '{path}' is damaged: {error.message}", _BUILD) from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise EngineError(f"engine '{path}' is damaged: {what}", _BUILD) from error
        return engine

    @property
    def bundle(self) -> Bundle:
        """The bundle that it was built from. Raises `BundleError`."""
        return Bundle.open(self.path / _BUNDLE)

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """What passed, best first."""
        return tuple(_rung(entry) for entry in self.manifest["ladder"])

    def usable(self, root: Path = Path("/")) -> tuple[Rung, ...]:
        """The rungs whose fingerprint is that of this device with the runtimes that it has now."""
        device, bundle = describe_device(root), self.bundle
        return tuple(
            rung
            for rung in self.ladder
            if is_known(rung.candidate) and rung.candidate.fingerprint(bundle, device) == rung.fingerprint
        )

    def misfit(self, root: Path = Path("/")) -> str:
        """Why none of it may be used here, in words; empty if some of it may."""
        if self.usable(root):
            return ""
        device = differences(self.manifest["device"], describe_device(root))
        versions = [
            f"{entry['runtime']} {entry['version']}, here {runtime_version(entry['runtime']) or 'none'}"
            for entry in self.manifest["ladder"]
            if entry["version"] != runtime_version(entry["runtime"])
        ]
        return "it was built for another device: " + (device or "; ".join(versions) or "its options differ")

    def describe(self) -> dict[str, Any]:
        """What `inspect --json` prints: the bundle's description, and runtime, precision, fingerprint, measured."""
        own = {key: value for key, value in self.manifest.items() if key != "ladder"}
        ladder = [dict(entry) for entry in self.manifest["ladder"]]
        usable = {rung.fingerprint for rung in self.usable()}
        for entry in ladder:
            entry["usable_here"] = entry["fingerprint"] in usable
        best = {key: ladder[0][key] for key in ("runtime", "precision", "fingerprint")}
        fit = {"fits_here": bool(usable), "misfit": self.misfit() or None}
        return {**self.bundle.describe(), **own, **best, "ladder": ladder, **fit, "engine": str(self.path)}

    # What becomes of it

    @property
    def state(self) -> dict[str, Any]:
        """good: whether it has drawn a sane picture here; tried: how often each rung was begun; failed: why."""
        try:
            state = json.loads((self.path / _STATE).read_text())
        except (OSError, ValueError):
            state = None
        empty: dict[str, Any] = {"good": [], "tried": {}, "failed": {}}
        is_sound = isinstance(state, dict) and all(type(state.get(k)) is type(v) for k, v in empty.items())
        return state if is_sound else empty

    def begin(self, rung: Rung) -> None:
        """Note that a rung is about to be loaded: if the process dies of it, the next one will know."""
        state, name = self.state, rung.candidate.name
        state["tried"][name] = state["tried"].get(name, 0) + 1
        self._keep(state)

    def proved(self, rung: Rung) -> None:
        """Note that a rung has drawn a sane picture; the engine before this one is not needed any more."""
        state, name = self.state, rung.candidate.name
        state["tried"].pop(name, None)
        state["good"] = sorted({*state["good"], name})
        self._keep(state)
        remove(self.path.with_name(self.path.name + _PREVIOUS))

    def failed(self, rung: Rung, why: str) -> None:
        """Note that a rung cannot be used, so that nobody tries it again until the engine is built again."""
        state = self.state
        state["failed"][rung.candidate.name] = why
        self._keep(state)

    def trusted(self, rung: Rung) -> bool:
        """Whether it may be tried: it has not failed, and did not take its process with it."""
        state, name = self.state, rung.candidate.name
        return name not in state["failed"] and state["tried"].get(name, 0) < _TRIES

    def cache(self) -> Path | None:
        """The folder for what a runtime compiles here; None where it cannot be made. It may always be removed."""
        folder = self.path / "cache"
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            return None
        return folder

    def touch(self) -> None:
        """Mark it as used now, which keeps it longest when space is short."""
        with suppress(OSError):
            os.utime(self.path)

    def _keep(self, state: Mapping[str, Any]) -> None:
        try:
            write_file(self.path / _STATE, json.dumps(state, indent=2).encode() + b"\n")
        except OSError as error:  # a store on a read-only disk works, it only learns nothing
            log.debug("the state of engine %s cannot be kept: %s", self.path, error)


class Store:
    """The engines of this device, in the folder `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, bundle: Bundle) -> Path:
        """Where the engine of a bundle lies, or would."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", bundle.name).strip("-")[:40] or "bundle"
        return self.path / f"{name}-{bundle_key(bundle)[:12]}{ENGINE_SUFFIX}"

    def find(self, bundle: Bundle) -> list[Engine]:
        """The engines of a bundle, the newest first; a damaged one is set aside and said in the log."""
        place = self.place(bundle)
        found = [self._open(path) for path in (place, place.with_name(place.name + _PREVIOUS))]
        return [engine for engine in found if engine is not None]

    def put(self, bundle: Bundle, manifest: Mapping[str, Any]) -> Engine:
        """Write an engine for a bundle; what is there becomes the previous one if it ever was good.

        Raises `EngineError` where the store cannot be written; then nothing has changed.
        """
        place = self.place(bundle)
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            new = beside(place)
            try:
                write_engine(new, bundle, manifest)
                self._keep_previous(place)
                put_in_place(new, place)
            finally:
                remove(new)
        return Engine.open(place)

    def take(self, engine: Engine) -> Engine:
        """Put an engine that was built elsewhere into this store. Raises `EngineError` if it does not fit here."""
        if why := engine.misfit():
            raise EngineError(f"engine '{engine.path}' cannot be used: {why}", _BUILD)
        return self.put(engine.bundle, {k: v for k, v in engine.manifest.items() if k != "bundle_key"})

    def shrink(self, most_bytes: int, keep: Engine) -> list[Path]:
        """Remove what was not used for longest until the store is small enough; never `keep`, or one in use.

        Returns what was removed.
        """
        removed = []
        folders = [path for path in self.path.iterdir() if path.is_dir() and path != keep.path]
        for path in sorted(folders, key=lambda path: (path.suffix == ENGINE_SUFFIX, path.stat().st_mtime)):
            if _size(self.path) <= most_bytes:
                break
            if not _in_use(path):
                remove(path)
                removed.append(path)
        return removed

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While inside, no other process builds into this store. Raises `EngineError`; waits for nobody."""
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise EngineError(
                    f"another process is building into '{self.path}'",
                    "wait until it is done, or name another --store",
                ) from error
            self._sweep()
            yield

    def _open(self, path: Path) -> Engine | None:
        if not path.is_dir():
            return None
        try:
            return Engine.open(path)
        except EngineError as error:
            log.warning("%s", error)
            self._set_aside(path)
            return None

    def _sweep(self) -> None:
        """Remove what builders left that were killed."""
        for path in self.path.glob(".*.tmp"):
            remove(path)

    def _set_aside(self, path: Path) -> None:
        with suppress(OSError):
            path.rename(path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))

    def _keep_previous(self, place: Path) -> None:
        if place.is_dir() and Engine(place, {}).state["good"]:
            previous = place.with_name(place.name + _PREVIOUS)
            remove(previous)
            place.rename(previous)
            sync_folder(place.parent)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = user_error_from_os_error(error, f"the store '{self.path}' cannot be written")
            raise EngineError(said.message, "free some space, or name another place with --store") from error


@contextmanager
def in_use(engine: Engine) -> Iterator[None]:
    """While inside, `Store.shrink` leaves the engine where it is."""
    descriptor = os.open(engine.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def write_engine(path: Path, bundle: Bundle, manifest: Mapping[str, Any]) -> None:
    """Write an engine's folder. Raises `OSError`, `BundleError`; a part of it may be there then."""
    path.mkdir()
    copy_bundle(bundle, path / _BUNDLE)
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, "bundle_key": bundle_key(bundle), **manifest}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(path / _MANIFEST, text.encode())


def _parsed(path: Path) -> dict[str, Any]:
    file = path / _MANIFEST
    if not file.is_file():
        raise EngineError(f"there is no engine '{path}'", _BUILD)
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"'{_MANIFEST}' is too large")
    try:
        manifest = json.loads(file.read_bytes())
    except OSError as error:
        raise EngineError(
            f"cannot read engine '{path}': {error.strerror}", "check its permissions"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"'{_MANIFEST}' is not what edgegan build writes")
    version = manifest["format_version"]
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version is {version!r}")
    if version > FORMAT_VERSION:
        raise EngineError(
            f"engine '{path}' has format {version}, this edgegan reads up to {FORMAT_VERSION}", _BUILD
        )
    return manifest


def _rung(entry: Mapping[str, Any]) -> Rung:
    runtime, precision, model = (_text(entry[key]) for key in ("runtime", "precision", "model"))
    candidate = Candidate(runtime, precision, model, dict(entry["options"]))
    quality = {key: float(value) for key, value in entry["quality"].items()}
    return Rung(candidate, _text(entry["fingerprint"]), quality, float(entry["latency_ms_p50"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be a text")
    return value


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _in_use(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
