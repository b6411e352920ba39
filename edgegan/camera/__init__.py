"""Cameras: whatever gives pictures (a device, a file, a test pattern).

One driver a file; `edgegan.registry` finds it by the scheme of a URI and hands the URI's path as the first
argument and its options as keyword arguments, converted by the annotations of the driver's constructor.

A driver must
  - open in its constructor and raise `CameraError` (or `ConfigError` for a wrong path or option) if not;
  - give frames from `read(timeout_s)` with `sequence` counting every picture taken, from 0, without gaps of
    its own making unless pictures really were lost, and `captured_ns` on CLOCK_MONOTONIC;
  - raise `CameraTimeout` when nothing came in time (may be called again), `EndOfStream` after the last
    frame, `CameraError` when it is broken (will be closed) or opening it anew might help: time-outs alone are
    borne for ever, with the last picture on the screen;
  - say in `live` whether time passes without it (True: newest frame wins; False: read on demand, none lost);
  - where `live` is False, move on in `skip(count)` as if that many pictures had been read, at a fraction of the
    cost: so a new worker goes on behind the last picture that was shown;
  - have an idempotent `close()`.
A driver may
  - say its frame rate in `rate_hertz` (None: not known), and what it negotiated in `description`.
"""

from typing import Protocol, runtime_checkable

from edgegan.frame import Frame

__all__ = ["Camera"]


@runtime_checkable
class Camera(Protocol):
    """What the worker asks of a camera driver."""

    live: bool
    rate_hertz: float | None
    description: str

    def read(self, timeout_s: float) -> Frame:
        """Next frame; raises `CameraTimeout`, `EndOfStream` or `CameraError`."""
        ...

    def skip(self, count: int) -> None:
        """Leave out `count` pictures; `sequence` counts them. Past the end, `read` says `EndOfStream`.

        Time moves a live camera on by itself, so that nobody asks this of one. Raises `CameraError`.
        """
        ...

    def close(self) -> None:
        """Let go of the device. May be called twice."""
        ...
