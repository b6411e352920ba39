"""On which devices an engine may be used: on those of equal fingerprint, and nowhere else."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from edgegan.board import describe_host

__all__ = ["DISTRIBUTIONS", "describe_device", "differences", "fingerprint", "runtime_version"]

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
}
"""By which names a runtime may be installed, as `pip list` shows them."""

_CPU_KEYS = {
    "vendor_id": "vendor",
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "vendor",
    "CPU part": "model",
    "CPU variant": "variant",
    "CPU revision": "stepping",
}
"""/proc/cpuinfo on x86 and on ARM. The name alone does not tell one virtual CPU from another."""
_FLAGS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "fphp", "i8mm", "bf16", "sve", "sme")
"""The features for which runtimes have code of their own begin so; others come and go with the kernel."""
_OS_KEYS = ("ID", "VERSION_ID")


def describe_device(root: Path = Path("/")) -> dict[str, Any]:
    """What decides whether an engine of another device may be used on this one; JSON.

    machine: 'x86_64', 'aarch64'. board: model as the device tree names it, or None. cpus: their number and kinds
    (big and little ones differ). os: such as 'debian 12'. jetson: release of Jetson Linux, or None.
    """
    host = describe_host(root)
    return {
        "machine": host["machine"],
        "board": host["model"],
        "cpus": {"count": len(os.sched_getaffinity(0)), "kinds": _cpu_kinds(root)},
        "os": _os_release(root),
        "jetson": _first_line(root / "etc/nv_tegra_release"),
    }


def runtime_version(runtime: str) -> str | None:
    """The version of a runtime that is installed, without loading it; None if it is not."""
    for name in DISTRIBUTIONS.get(runtime, ()):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def fingerprint(
    model_sha256: str,
    runtime: str,
    version: str | None,
    device: Mapping[str, Any],
    options: Mapping[str, Any],
) -> str:
    """64 hexadecimal digits: SHA-256 of all that an engine depends on.

    version: of the runtime. device: what `describe_device` gives. options: of the generator's driver.
    """
    facts = [model_sha256, runtime, version, device, options]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In words, how the device `there` differs from the one `here`; empty if it does not."""
    before, now = dict(_leaves(there)), dict(_leaves(here))
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return "; ".join(f"{key} {_short(before.get(key))}, here {_short(now.get(key))}" for key in keys)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each innermost value with its path: ('cpus.count', 4)."""
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    )
    if inner is None:
        yield name, value
        return
    for key, one in inner:
        yield from _leaves(one, f"{name}.{key}" if name else str(key))


def _cpu_kinds(root: Path) -> list[dict[str, Any]]:
    """One entry for each kind of core, in a fixed order."""
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return []
    kinds = {json.dumps(_cpu(block), sort_keys=True) for block in text.split("\n\n") if "processor" in block}
    return [json.loads(kind) for kind in sorted(kinds)]


def _cpu(block: str) -> dict[str, Any]:
    pairs = (line.partition(":") for line in block.splitlines())
    found = {key.strip(): value.strip() for key, _, value in pairs}
    kind: dict[str, Any] = {word: found[key] for key, word in _CPU_KEYS.items() if key in found}
    flags = (found.get("flags") or found.get("Features") or "").split()
    kind["flags"] = " ".join(sorted(flag for flag in flags if flag.startswith(_FLAGS)))
    return kind


def _os_release(root: Path) -> str | None:
    """os-release(5)."""
    try:
        lines = (root / "etc/os-release").read_text(errors="replace").splitlines()
    except OSError:
        return None
    found = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    return " ".join(found[key] for key in _OS_KEYS if key in found) or None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").partition("\n")[0].strip() or None
    except OSError:
        return None


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
