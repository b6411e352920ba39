"""What this device is, what works, and the exact mend for what does not.

It must say so where next to nothing works. So it needs the standard library alone, what may crash or hang in native
code runs in a child process with a time limit (`edgegan.doctor.child`), and each examination runs in a thread that is
left behind if it does not come back. Everything that is read lies under `Host.root`, so that a test lends another tree.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edgegan.doctor import devices, drawing, machine, packages, storage
from edgegan.doctor.check import Check, Host

__all__ = ["Check", "Host", "examine"]

_PATIENCE_S = 60.0
_LOOK_S = 0.1

EXAMINATIONS: dict[str, Callable[[Host], list[Check]]] = {
    "python": packages.interpreter,
    "packages": packages.base,
    "opencv": packages.opencv,
    "extras": packages.extras,
    "bundle": drawing.bundle,
    "runtimes": drawing.runtimes,
    "video encoder": drawing.encoder,
    "cameras": devices.cameras,
    "screen": devices.screen,
    "connectors": devices.connectors,
    "folders": storage.folders,
    "machine": machine.machine,
    "system": machine.system,
    "clock": machine.clock,
}
"""In the order in which they are told; they run side by side."""


def examine(
    host: Host | None = None,
    *,
    patience_s: float = _PATIENCE_S,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """All checks. Returns what `edgegan doctor --json` prints: `verdict` and `checks`.

    patience_s: an examination that takes longer is given up, and is itself a failed check.
    progress: is called with (what is waited for, share of the whole 0..1).
    """
    asked = host or Host()
    found: dict[str, list[Check]] = {}
    threads = [
        threading.Thread(target=_run, args=(name, asked, found), name=name, daemon=True)
        for name in EXAMINATIONS
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience_s
    while (busy := [thread for thread in threads if thread.is_alive()]) and time.monotonic() < end:
        if progress:
            progress(", ".join(thread.name for thread in busy[:3]), 1 - len(busy) / len(threads))
        busy[0].join(min(_LOOK_S, max(0.0, end - time.monotonic())))
    checks = [check for name in EXAMINATIONS for check in found.get(name) or [_unanswered(name, patience_s)]]
    return {"verdict": verdict(checks), "checks": [asdict(check) for check in checks]}


def verdict(checks: list[Check]) -> str:
    """`broken` if a check failed, `degraded` if one warns, else `ok`; what is absent counts for nothing."""
    states = {check.state for check in checks}
    return "broken" if "failed" in states else "degraded" if "warning" in states else "ok"


def _run(name: str, host: Host, found: dict[str, list[Check]]) -> None:
    try:
        found[name] = EXAMINATIONS[name](host)
    except Exception as error:  # one examination must not take the others down
        why = f"the examination itself failed: {type(error).__name__}: {error}"
        found[name] = [Check(name, "failed", why, "a bug: please report it")]


def _unanswered(name: str, patience_s: float) -> Check:
    why = f"the examination did not end within {patience_s:g} s"
    return Check(name, "failed", why, "a device or a disk that does not answer: look into `dmesg`")
