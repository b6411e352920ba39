"""A generator that draws what it sees, after a while: `passthrough://?delay_ms=20`. Needs no model."""

import time
from typing import Any

import numpy as np

from edgegan.clock import sleep_until
from edgegan.errors import ConfigError, GeneratorError
from edgegan.frame import Pixels
from edgegan.framing import check_size
from edgegan.registry import Size

__all__ = ["PassthroughGenerator"]

_SIZE = Size((256, 256))


class PassthroughGenerator:
    """Copies, and takes `delay_ms` in all.

    Where the system wakes it late, the next picture takes that much less, so that the average is `delay_ms`.
    What the caller spends between two calls is not made up for.
    """

    def __init__(self, path: str = "", *, delay_ms: float = 0.0, size: Size = _SIZE) -> None:
        if not 0 <= delay_ms <= 60_000:
            raise ConfigError(f"passthrough cannot take {delay_ms:g} ms", "use delay_ms from 0 to 60000")
        check_size("passthrough's picture", size)
        self.input_size: tuple[int, int] = size
        self.output_size: tuple[int, int] = size
        self.description: dict[str, Any] = {"runtime": "passthrough", "delay_ms": delay_ms}
        self._delay_ns = round(delay_ms * 1e6)
        self._overslept_ns = 0

    def infer(self, pixels: Pixels, out: Pixels) -> None:
        """Copy `pixels` to `out`, both uint8 (H, W, 3) of `input_size`."""
        deadline_ns = time.monotonic_ns() + self._delay_ns - self._overslept_ns
        if pixels.shape != (*self.input_size, 3) or out.shape != pixels.shape:
            raise GeneratorError(
                f"passthrough of {self.input_size} was given {pixels.shape} for {out.shape}", "set its size"
            )
        np.copyto(out, pixels)
        if self._delay_ns:
            sleep_until(deadline_ns)
            self._overslept_ns = min(time.monotonic_ns() - deadline_ns, self._delay_ns // 2)

    def close(self) -> None:
        """Nothing to free."""
