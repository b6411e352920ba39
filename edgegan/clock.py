"""Waiting for an instant, and pictures that are due at a steady rate. All times are CLOCK_MONOTONIC."""

import time

from edgegan.errors import ConfigError

__all__ = ["Schedule", "check_rate", "sleep_until"]

_SLOWEST_HERTZ, _FASTEST_HERTZ = 0.01, 1000.0

_WAKE_EARLY_NS = 200_000
"""An idle core wakes this much late from `time.sleep` (0.1 to 0.2 ms measured); what is left is spun away."""


def check_rate(what: str, rate_hertz: float) -> None:
    """Raise `ConfigError` for a rate that no part keeps: from a picture in 100 s to 1000 a second."""
    if not _SLOWEST_HERTZ <= rate_hertz <= _FASTEST_HERTZ:
        raise ConfigError(
            f"{what} cannot have {rate_hertz:g} pictures a second",
            f"use a rate from {_SLOWEST_HERTZ:g} to {_FASTEST_HERTZ:g}",
        )


def sleep_until(deadline_ns: int) -> None:
    """Return at `deadline_ns`, never before it, and spin for at most 0.2 ms."""
    while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
        if left_ns > _WAKE_EARLY_NS:
            time.sleep((left_ns - _WAKE_EARLY_NS) / 1e9)


class Schedule:
    """Picture `k` is due at `start + k / rate`; the first question starts it."""

    def __init__(self, rate_hertz: float) -> None:
        self._period_ns = 1e9 / rate_hertz
        self._start_ns: int | None = None

    def due_ns(self, index: int) -> int:
        """The instant at which picture `index` is taken."""
        if self._start_ns is None:
            self._start_ns = time.monotonic_ns() - round(index * self._period_ns)
        return self._start_ns + round(index * self._period_ns)

    def newest(self, index: int) -> int:
        """The newest picture that is due by now, at least `index`."""
        late_ns = time.monotonic_ns() - self.due_ns(index)
        return index + max(0, int(late_ns / self._period_ns))

    def postpone(self, index: int) -> None:
        """Make picture `index` due now, as if the time that was lost had not passed."""
        self._start_ns = None
        self.due_ns(index)
