"""How many threads a generator gets, for drivers of runtimes that would ask the wrong question."""

import os

import psutil

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Physical cores, but no more than this process may use (taskset, containers' cpusets).

    Where the kernel does not tell cores from threads (ARM without a topology), all that it may use.
    """
    usable = len(os.sched_getaffinity(0))
    return min(psutil.cpu_count(logical=False) or usable, usable)
