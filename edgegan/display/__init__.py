"""Displays: wherever finished pictures go (a window, a screen, a file, nowhere).

One driver a file, found by the scheme of its URI through `edgegan.registry`.

A driver must
  - open in its constructor and raise `DisplayError` (or `ConfigError`, `MissingDependency`) if it cannot;
  - take any uint8 (H, W, 3) BGR picture in `show`, scale it as it needs, and return the instant
    (CLOCK_MONOTONIC, ns) at which it became visible; it must not keep the array, a slot of shared memory;
  - have an idempotent `close()`, after which a file is complete and playable.
A driver may
  - want `poll()` calls between frames (`poll_interval_s`, None: never), which answer False once a person has
    closed it (Esc, the window's cross), and then the run ends.
"""

import importlib
import logging
import os
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edgegan.errors import DisplayError, MissingDependency
from edgegan.frame import Pixels
from edgegan.registry import DISPLAYS, Uri, check_uri

__all__ = ["Display", "screen_present", "window_if_any"]

log = logging.getLogger(__name__)


@runtime_checkable
class Display(Protocol):
    """What the daemon asks of a display driver."""

    poll_interval_s: float | None
    description: str

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        """Show one picture; returns the instant it became visible (CLOCK_MONOTONIC, ns).

        `captured_ns` is the picture's own time: a file uses it as presentation time.
        """
        ...

    def poll(self) -> bool:
        """Handle events; False once a person has closed the display."""
        ...

    def close(self) -> None:
        """Let go of the screen or finish the file. May be called twice."""
        ...


def screen_present(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was given a desktop (X11 or Wayland) to open a window on."""
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def window_if_any(without: str, level: int = logging.INFO) -> str:
    """The URI of a window, or '' where none can be opened: the reason, and what follows (`without`), is logged."""
    if not screen_present():
        log.log(level, "there is no screen here, so %s", without)
        return ""
    try:
        check_uri("display", DISPLAYS, Uri.parse("window://"))
        _check_desktop()
    except (MissingDependency, DisplayError) as error:
        log.warning("no window, so %s: %s", without, error)
        return ""
    return "window://"


def _check_desktop() -> None:
    """Raise `DisplayError` where DISPLAY or WAYLAND_DISPLAY names a desktop that is not there (any more)."""
    importlib.import_module("edgegan.display.window").check_desktop()
