"""Where engines lie, and what of them may be used here.

    STORE/lock                          held while an engine is built, put in place or removed
    STORE/paint-1c5e03d2f7aa-0002.engine/   the second engine of a bundle on this device; never replaced
        engine.json                     the ladder: what passed, best first; all that was measured; fingerprints
        bundle/                         the bundle, so that an engine outlives it and can be built again
        cache/                          what a runtime compiled, for a faster start; may be removed
        state.json                      what became of it: drew a sane picture, failed, crashed
    STORE/….engine.damaged/             set aside, to be looked at

An engine is written beside and renamed to a number of its own. The newest is used first; the one before is removed
once its successor has drawn a sane picture. Reading takes no lock and changes nothing but `state.json` and `cache/`.
Whatever else lies in the folder is left alone.
"""

import errno
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

from edgegan.bundle import Bundle, copy_bundle, json_from_bytes
from edgegan.engine.candidates import Candidate, is_known
from edgegan.engine.fingerprint import describe_device, differences, runtime_version
from edgegan.errors import BundleError, ConfigError, EngineError, user_error_from_os_error
from edgegan.files import beside, remove, sync_folder, write_file

__all__ = [
    "ENGINE_SUFFIX",
    "Engine",
    "Rung",
    "Store",
    "bundle_key",
    "bundle_of",
    "default_store",
    "holds_nothing_else",
    "in_use",
    "is_engine",
    "write_engine",
]

log = logging.getLogger(__name__)

ENGINE_SUFFIX = ".engine"
FORMAT, FORMAT_VERSION = "edgegan-engine", 1
_MANIFEST, _STATE, _BUNDLE, _CACHE, _LOCK = "engine.json", "state.json", "bundle", "cache", "lock"
_OURS = re.compile(r"[A-Za-z0-9_-]+-[0-9a-f]{12}-(\d{4,})\.engine(\.damaged)?")
_LEFT_BY_BUILDERS = re.compile(r"\.[A-Za-z0-9_-]+\.engine(\.damaged)?\.[A-Za-z0-9_]+\.tmp")
_LEFT_BY_READERS = re.compile(r"\.state\.json\.[0-9a-f]+\.tmp")
_MOST_BYTES = 16 << 20
_BUILD = "build it again: edgegan build"
_TRIES, _FORGET_TRIES_S = 3, 600.0
"""A rung that was begun so often and never drew is left alone for so long; it crashes, or was only switched off."""
_WRONG = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
"""What reading a file raises that says something else than it should; the last of whole numbers beyond 1e308."""
_LOOKS = 5
"""A reader that finds none looks again: a builder may just have put a newer one there, and listing takes a moment."""


class _Damaged(EngineError):
    """Not what was written; nothing else will mend it but another build."""


def default_store() -> Path:
    """Where engines lie unless a place is named: the service's state, else the user's cache.

    Sources: systemd.exec(5) for STATE_DIRECTORY, the XDG base directory specification for XDG_CACHE_HOME.
    """
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state) / "engines"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "edgegan" / "engines"
    except RuntimeError as error:
        raise ConfigError("this user has no home folder for engines", "name a place with --store") from error


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
        """Open the folder `path`. Raises `EngineError`: missing, no engine, damaged, unreadable, of a newer edgegan."""
        try:
            engine = cls(path, _parsed(path))
            engine._check()
        except EngineError:
            raise
        except OSError as error:
            raise EngineError(
                f"cannot read engine '{path}': {error.strerror or error}", "check its permissions"
            ) from error
        except BundleError as error:
            raise _said_of(path, error) from error
        except _WRONG as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise _Damaged(f"engine '{path}' is damaged: {what}", _BUILD) from error
        return engine

    def _check(self) -> None:
        """Raise KeyError, TypeError, ValueError or `BundleError` if something lacks that this module relies on."""
        for key, kind in _KINDS.items():
            if not isinstance(self.manifest[key], kind):
                raise TypeError(f"{key} is {self.manifest[key]!r}"[:100])
        if not self.ladder:
            raise ValueError("its ladder is empty")
        for entry in self.manifest["measured"]:
            _check_measured(entry)
        bundle = self.bundle
        if bundle_key(bundle) != self.manifest["bundle_key"]:
            raise ValueError("it holds another bundle than it was built from")
        for rung in self.ladder:
            bundle.sha256(rung.candidate.model)

    def check_files(self) -> None:
        """Read all of it. Raises `EngineError` if a file is not what was written."""
        try:
            for name in self.bundle.manifest["files"]:
                self.bundle.read_file(name)
        except BundleError as error:
            raise _said_of(self.path, error) from error

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
            f"{entry['runtime']} {entry.get('version')}, here {runtime_version(entry['runtime']) or 'none'}"
            for entry in self.manifest["ladder"]
            if entry.get("version") != runtime_version(entry["runtime"])
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
        where = {"engine": str(self.path), "state": self.state}
        return {**self.bundle.describe(), **own, **best, "ladder": ladder, **fit, **where}

    # What becomes of it

    @property
    def state(self) -> dict[str, Any]:
        """good: rungs that drew a sane picture; tried: [how often, when last] one was begun; failed: why, by rung."""
        try:
            state = json_from_bytes((self.path / _STATE).read_bytes())
            tried = {str(name): [int(times), float(at)] for name, (times, at) in state["tried"].items()}
            failed = {str(name): str(why) for name, why in state["failed"].items()}
            return {"good": [str(name) for name in state["good"]], "tried": tried, "failed": failed}
        except (OSError, *_WRONG):
            return {"good": [], "tried": {}, "failed": {}}

    @property
    def good(self) -> bool:
        """Whether it has drawn a sane picture here."""
        return bool(self.state["good"])

    def begin(self, rung: Rung) -> None:
        """Note that a rung is about to be loaded: if the process dies of it, the next one will know."""
        state, name = self.state, rung.candidate.name
        times = state["tried"][name][0] if self._tried_lately(rung) else 0
        state["tried"][name] = [times + 1, time.time()]
        self._keep(state)

    def proved(self, rung: Rung) -> None:
        """Note that a rung has drawn a sane picture; the engines before this one are not needed any more."""
        state, name = self.state, rung.candidate.name
        state["tried"].pop(name, None)
        state["good"] = sorted({*state["good"], name})
        self._keep(state)
        for path in _older(self.path):
            _vanish(path)

    def failed(self, rung: Rung, why: str) -> None:
        """Note that a rung cannot be used, so that nobody tries it again until the engine is built again."""
        state, name = self.state, rung.candidate.name
        state["tried"].pop(name, None)
        state["good"] = [one for one in state["good"] if one != name]
        state["failed"][name] = why
        self._keep(state)

    def distrust(self, rung: Rung) -> str:
        """Why a rung had better not be tried, in words: it failed, or took its process with it; else empty."""
        state, name = self.state, rung.candidate.name
        if name in state["failed"]:
            return f"it failed: {state['failed'][name]}"
        if self._tried_lately(rung) and state["tried"][name][0] >= _TRIES:
            return (
                f"it was begun {state['tried'][name][0]} times lately and never drew: its process died of it"
            )
        return ""

    def _tried_lately(self, rung: Rung) -> bool:
        _, at = self.state["tried"].get(rung.candidate.name, (0, 0.0))
        return bool(abs(time.time() - at) < _FORGET_TRIES_S)

    def cache(self) -> Path | None:
        """The folder for what a runtime compiles here; None where it cannot be made. It may always be removed."""
        folder = self.path / _CACHE
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
        """Not synced: it must outlive this process, not a power cut, and each start would wait for the disk."""
        new = beside(self.path / _STATE)
        try:
            new.write_text(json.dumps(state, indent=2) + "\n")
            new.replace(self.path / _STATE)
        except OSError as error:  # a store on a read-only disk works, it only learns nothing
            log.debug("the state of engine %s cannot be kept: %s", self.path, error)
            remove(new)


class Store:
    """The engines of this device, in the folder `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, bundle: Bundle) -> list[Engine]:
        """The engines of a bundle, the newest first; what cannot be used is left where it is, and said in the log."""
        for _ in range(_LOOKS):
            places = self._places(bundle)
            found = [engine for engine in map(_opened, places) if engine is not None]
            if found or (places and all(path.exists() for path in places)):
                return found
        return []

    def put(self, bundle: Bundle, manifest: Mapping[str, Any]) -> Engine:
        """Write one more engine of a bundle, and remove those of before that never were good, but for the last good.

        Raises `EngineError` where the store cannot be written; then nothing has changed.
        """
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            before, stem = self._places(bundle), self._stem(bundle)
            newest = max(map(_number_of, _of_stem(self.path, stem)), default=0)
            place = self.path / f"{stem}-{newest + 1:04d}{ENGINE_SUFFIX}"
            new = beside(place)
            try:
                write_engine(new, bundle, manifest)
                new.rename(place)
                sync_folder(self.path)
            finally:
                remove(new)
        good = [path for path in before if Engine(path, {}).good]
        for path in before:
            if path not in good[:1]:
                _vanish(path)
        return Engine.open(place)

    def take(self, engine: Engine) -> Engine:
        """Put an engine that was built elsewhere into this store. Raises `EngineError` if it does not fit here."""
        if why := engine.misfit():
            raise EngineError(f"engine '{engine.path}' cannot be used: {why}", _BUILD)
        return self.put(engine.bundle, engine.manifest)

    def shrink(self, most_bytes: int, keep: Engine) -> list[Path]:
        """Remove what was not used for longest until the engines fit. Returns what was removed.

        Never `keep`, or the last good one before it, or one in use.
        """
        kept = {keep.path, *([] if keep.good else _older(keep.path))}
        sizes = {path: _size(path) for path in _folders(self.path, _OURS)}
        removed: list[Path] = []
        for path in sorted(sizes, key=_last_used):
            if sum(sizes.values()) <= most_bytes:
                break
            if path not in kept and not _in_use(path):
                _vanish(path)
                if not path.exists():
                    removed.append(path)
                    del sizes[path]
        return removed

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While inside, no other process builds into this store. Raises `EngineError`; waits for nobody."""
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("a")
        with lock:
            try:
                with self._writable():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except EngineError as error:
                if not isinstance(error.__cause__, BlockingIOError):
                    raise  # a file system that knows no locks
                raise EngineError(
                    f"another process is building into '{self.path}'",
                    "wait until it is done, or name another --store",
                ) from error
            for path in _folders(self.path, _LEFT_BY_BUILDERS):
                remove(path)
            yield

    def set_aside(self, bundle: Bundle) -> None:
        """Rename the damaged engines of a bundle. For who holds the lock."""
        for path in self._places(bundle):
            try:
                Engine.open(path).check_files()
            except _Damaged as error:
                log.warning("%s; it is set aside", error.message)
                with suppress(OSError):
                    path.rename(path.with_name(path.name + ".damaged"))
            except EngineError:  # it cannot be read, or is of a newer version: no fault of its own
                continue

    def _stem(self, bundle: Bundle) -> str:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", bundle.name).strip("-")[:40] or "bundle"
        return f"{name}-{bundle_key(bundle)[:12]}"

    def _places(self, bundle: Bundle) -> list[Path]:
        """The folders of a bundle's engines, the newest first."""
        whole = (path for path in _of_stem(self.path, self._stem(bundle)) if path.suffix == ENGINE_SUFFIX)
        return sorted(whole, key=_number_of, reverse=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = user_error_from_os_error(error, f"the store '{self.path}' cannot be written")
            raise EngineError(said.message, f"{said.mend}, or name another place with --store") from error


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
    whole = {**manifest, "format": FORMAT, "format_version": FORMAT_VERSION, "bundle_key": bundle_key(bundle)}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(path / _MANIFEST, text.encode())


def holds_nothing_else(path: Path) -> bool:
    """Whether a folder is an engine, of whatever state, and holds nothing that is no part of one."""
    try:
        _parsed(path)
        names = {entry.name for entry in path.iterdir() if not _LEFT_BY_READERS.fullmatch(entry.name)}
        return names <= {_MANIFEST, _STATE, _BUNDLE, _CACHE}
    except (OSError, *_WRONG):
        return False


def _parsed(path: Path) -> dict[str, Any]:
    file = path / _MANIFEST
    if not os.path.lexists(file):
        raise EngineError(f"there is no engine '{path}'", _BUILD)
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"'{_MANIFEST}' is too large")
    manifest = json_from_bytes(file.read_bytes())
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


_KINDS = {
    "ladder": list,
    "measured": list,
    "asked": dict,
    "device": dict,
    "versions": dict,
    "bundle_key": str,
}


def _check_measured(entry: Mapping[str, Any]) -> None:
    for key in ("runtime", "precision"):
        _text(entry[key])
    for value in (entry.get("latency_ms_p50"), *(entry.get("quality") or {}).values()):
        if value is not None and not isinstance(value, (int, float)):
            raise TypeError(f"{value!r} is no figure")


def _rung(entry: Mapping[str, Any]) -> Rung:
    runtime, precision, model = (_text(entry[key]) for key in ("runtime", "precision", "model"))
    candidate = Candidate(runtime, precision, model, dict(entry["options"]))
    quality = {key: float(value) for key, value in entry["quality"].items()}
    return Rung(candidate, _text(entry["fingerprint"]), quality, float(entry["latency_ms_p50"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be a text")
    return value


def _said_of(path: Path, error: BundleError) -> EngineError:
    """What is wrong with an engine's bundle; what only cannot be read (permissions, a full table) is no damage."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno not in (None, errno.ENOENT, errno.ENOTDIR):
        return EngineError(f"cannot read engine '{path}': {error.message}", error.mend)
    return _Damaged(f"engine '{path}' is damaged: {error.message}", _BUILD)


def _opened(path: Path) -> Engine | None:
    try:
        return Engine.open(path)
    except EngineError as error:
        if path.exists():  # else it has just been removed, for a newer one
            log.warning("%s", error)
        return None


def _vanish(path: Path) -> None:
    """Remove an engine in one step for whoever reads."""
    doomed = beside(path)
    try:
        path.rename(doomed)
    except OSError:
        return
    remove(doomed)


def _folders(store: Path, names: re.Pattern[str]) -> list[Path]:
    """The folders in a store whose names are of that form; none where it cannot be read."""
    try:
        return [path for path in store.iterdir() if names.fullmatch(path.name) and path.is_dir()]
    except OSError:
        return []


def _number_of(path: Path) -> int:
    match = _OURS.fullmatch(path.name)
    return int(match[1]) if match else 0


def _of_stem(store: Path, stem: str) -> list[Path]:
    """The engines of one bundle, also the damaged ones that were set aside: a number is never given twice."""
    return [path for path in _folders(store, _OURS) if path.name.rpartition("-")[0] == stem]


def _older(path: Path) -> list[Path]:
    """The engines of the same bundle that were built before this one, but for those that were set aside."""
    whole = (
        one for one in _of_stem(path.parent, path.name.rpartition("-")[0]) if one.suffix == ENGINE_SUFFIX
    )
    return [one for one in whole if _OURS.fullmatch(path.name) and _number_of(one) < _number_of(path)]


def _last_used(path: Path) -> tuple[bool, float]:
    """For sorting: damaged ones first."""
    with suppress(OSError):
        return path.suffix == ENGINE_SUFFIX, path.stat().st_mtime
    return False, 0.0


def _size(folder: Path) -> int:
    """Bytes; of what can be read, and has not gone meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(root) / name).lstat().st_size
    return total


def _in_use(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
