"""What could run a bundle on this device, and why the rest could not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgegan.bundle import Bundle
from edgegan.engine import dot_product
from edgegan.engine.fingerprint import fingerprint, runtime_version
from edgegan.errors import BundleError, ConfigError, MissingDependency
from edgegan.extras import install_command
from edgegan.registry import did_you_mean

__all__ = [
    "DEFAULT",
    "PRECISIONS",
    "RUNTIMES",
    "Candidate",
    "PassedOver",
    "candidate",
    "candidates",
    "is_known",
]


_NOT_INSTALLED = "it is not installed"


@dataclass(frozen=True)
class Candidate:
    """One way to run a bundle.

    precision: what it is called. model: the bundle's precision whose file it runs. options: of the driver.
    """

    runtime: str
    precision: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Short, for people and for the names of files: `openvino-bf16`."""
        return f"{self.runtime}-{self.precision}"

    def fingerprint(self, bundle: Bundle, device: Mapping[str, Any]) -> str:
        """Of this candidate, for this bundle, with the runtime as it is installed here."""
        version = runtime_version(self.runtime)
        return fingerprint(bundle.sha256(self.model), self.runtime, version, device, self.options)


@dataclass(frozen=True)
class PassedOver:
    """What was not tried, and why, in words."""

    runtime: str
    precision: str
    why: str


@dataclass(frozen=True)
class _Way:
    """How a runtime gets at a precision: the bundle's model, the driver's options.

    obstacle: why this device cannot, in words; empty if it can.
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    obstacle: Callable[[], str] = str


RUNTIMES: Mapping[str, Mapping[str, _Way]] = {
    "onnxruntime": {
        "fp32": _Way("fp32"),
        "int8": _Way("int8_onnxruntime", obstacle=dot_product.lacking),
    },
    "openvino": {
        "fp32": _Way("fp32"),
        "bf16": _Way("fp32", {"precision": "bf16"}),
        "int8": _Way("int8"),
        "int8_bf16": _Way("int8", {"precision": "bf16"}),
    },
}
CACHING = ("openvino",)
"""Runtimes whose driver keeps what it compiled in a folder `cache`, where that is worth it (docs/runtimes.md)."""
PRECISIONS = tuple(dict.fromkeys(precision for ways in RUNTIMES.values() for precision in ways))
DEFAULT = Candidate("onnxruntime", "fp32", "fp32")
"""What runs a bundle for which nothing was built: it is always installed, and loads fast."""


def candidate(bundle: Bundle, runtime: str, precision: str) -> Candidate:
    """What `--runtime` and `--precision` name; for `auto` the default, or what goes with the other.

    Raises `ConfigError` for what does not exist, `BundleError` for a precision that the bundle has not.
    """
    if runtime == "auto":
        runtime = _runtime_for(bundle, precision)
    ways = _ways(runtime)
    precision = "fp32" if precision == "auto" else precision
    if precision not in ways:
        raise ConfigError(f"{runtime} has no precision '{precision}'", f"it has {', '.join(ways)}")
    way = ways[precision]
    if way.model not in bundle.precisions:
        raise BundleError(
            f"the bundle '{bundle.name}' has no precision '{precision}'",
            f"it has {', '.join(bundle.precisions)}",
        )
    if why := way.obstacle():
        raise ConfigError(
            f"{runtime} cannot run {precision} here: {why}", "choose another runtime or precision"
        )
    return Candidate(runtime, precision, way.model, way.options)


def is_known(one: Candidate) -> bool:
    """Whether this version of edgegan has this way to run a bundle; an engine may be of another."""
    way = RUNTIMES.get(one.runtime, {}).get(one.precision)
    return way is not None and (way.model, dict(way.options)) == (one.model, dict(one.options))


def candidates(
    bundle: Bundle, runtime: str = "auto", precision: str = "auto"
) -> tuple[list[Candidate], list[PassedOver]]:
    """All ways to run a bundle here, or those that `runtime` and `precision` leave; and what was passed over.

    What was asked for by name and cannot be is an error: `MissingDependency`, `BundleError`, `ConfigError`.
    """
    if "auto" not in (runtime, precision):
        candidate(bundle, runtime, precision)
    names = list(RUNTIMES) if runtime == "auto" else [runtime]
    found, passed_over = [], []
    for name in names:
        for kind, way in _ways(name).items():
            if precision not in ("auto", kind):
                continue
            if why := _obstacle(bundle, name, way):
                passed_over.append(PassedOver(name, kind, why))
            else:
                found.append(Candidate(name, kind, way.model, way.options))
    if not found:
        raise _nothing(runtime, precision, passed_over)
    return found, passed_over


def _runtime_for(bundle: Bundle, precision: str) -> str:
    """The first that can run it here; else the first that has this precision at all."""
    if precision == "auto":
        return DEFAULT.runtime
    having = [name for name, ways in RUNTIMES.items() if precision in ways]
    able = [name for name in having if not _obstacle(bundle, name, RUNTIMES[name][precision])]
    return next(iter([*able, *having]), "auto")


def _ways(runtime: str) -> Mapping[str, _Way]:
    if runtime not in RUNTIMES:
        raise ConfigError(f"there is no runtime '{runtime}'", did_you_mean(runtime, RUNTIMES))
    return RUNTIMES[runtime]


def _obstacle(bundle: Bundle, runtime: str, way: _Way) -> str:
    if runtime_version(runtime) is None:
        return _NOT_INSTALLED
    if way.model not in bundle.precisions:
        return f"the bundle has no model in {way.model}"
    return way.obstacle()


def _nothing(runtime: str, precision: str, passed_over: list[PassedOver]) -> Exception:
    if not passed_over:
        return ConfigError(
            f"no runtime has the precision '{precision}'", did_you_mean(precision, list(PRECISIONS))
        )
    why = "; ".join(f"{one.runtime} {one.precision}: {one.why}" for one in passed_over)
    missing = [one.runtime for one in passed_over if one.why == _NOT_INSTALLED]
    if missing:
        extra = "" if missing[0] == DEFAULT.runtime else missing[0]
        return MissingDependency(f"nothing here can run it ({why})", install_command(extra))
    return BundleError(f"nothing here can run it ({why})", "choose another runtime or precision")
