"""What this process and this machine are, as the kernel tells it."""

import os
import time
from pathlib import Path
from typing import Any

__all__ = ["describe_host", "process_age_s"]


def process_age_s() -> float:
    """Seconds since this process was started, by the kernel's record (proc(5), field 22 of stat, in clock ticks)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def describe_host(root: Path = Path("/")) -> dict[str, Any]:
    """Architecture, kernel, number of CPUs, and the board's model where a device tree names one (else None)."""
    system = os.uname()
    return {
        "machine": system.machine,
        "kernel": system.release,
        "cpus": os.cpu_count(),
        "model": _board_model(root),
    }


def _board_model(root: Path) -> str | None:
    try:
        return (root / "proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return None
