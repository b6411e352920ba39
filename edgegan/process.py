"""Processes of our own, in which native code may crash or hang without harm to whoever started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping

__all__ = ["die_with_parent", "how_it_ended", "start"]

# `python -m` would search the working directory first, where a stranger's numpy.py may lie. The child searches where
# this process does, and nowhere else.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[3].split('\\n'); "
    "from importlib import import_module; sys.exit(import_module(sys.argv[1]).main(int(sys.argv[2])))"
)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start(
    module: str, control_fd: int, fds: Iterable[int] = (), environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the function `main(control_fd)` of a module in a process and a session of its own.

    control_fd, fds: descriptors that it inherits under the same numbers. environment: added to this process's.
    Ctrl-C in a terminal does not reach it. Raises `OSError`.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _BOOT, module, str(control_fd), "\n".join(sys.path)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        pass_fds=(control_fd, *fds),
        start_new_session=True,
    )


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, however that dies. Raises `OSError` if it is dead."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the process that started this one died meanwhile")


def how_it_ended(status: int) -> str:
    """In words, how a process ended, from `Popen.returncode`."""
    return f"it was killed by {_signal_name(-status)}" if status < 0 else f"it ended with exit code {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal
