"""A display that shows nothing: `null://`; `null://?size=1920x1080` spends what scaling to a screen costs."""

import time

from edgegan.display.scaling import Fit, Scaler
from edgegan.frame import Pixels
from edgegan.registry import Size

__all__ = ["NullDisplay"]


class NullDisplay:
    """Takes every picture and drops it; with a `size` it scales it first, as for a screen of that size."""

    poll_interval_s: float | None = None

    def __init__(self, path: str = "", *, size: Size | None = None, fit: Fit = "contain") -> None:
        self._scaler = Scaler(size, fit) if size else None
        self.description = f"nothing, scaled to {size[1]} x {size[0]}" if size else "nothing"

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        """Forget `pixels`; the instant at which that was done."""
        if self._scaler:
            self._scaler(pixels)
        return time.monotonic_ns()

    def poll(self) -> bool:
        """Nobody can close it."""
        return True

    def close(self) -> None:
        """Nothing to let go of."""
