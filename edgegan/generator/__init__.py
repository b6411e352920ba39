"""Generators: the network, as one runtime executes it.

One driver a file, found by name through `edgegan.registry`. The pixel contract lies in the packed model, so a
driver only moves bytes: uint8 (H, W, 3) BGR in, uint8 (H', W', 3) BGR out.

A driver must
  - load in its constructor and raise `GeneratorError` (or `MissingDependency`, `BundleError`) if it cannot;
  - say `input_size` and `output_size` as (height, width);
  - write the whole result into `out`, which belongs to the caller, and keep no reference to it;
  - have an idempotent `close()`.
A driver may
  - describe itself in `description` (runtime, version, options, precision), which goes into the trace.
"""

from typing import Any, Protocol, runtime_checkable

from edgegan.frame import Pixels

__all__ = ["Generator"]


@runtime_checkable
class Generator(Protocol):
    """What the worker asks of a generator driver."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    description: dict[str, Any]

    def infer(self, pixels: Pixels, out: Pixels) -> None:
        """Draw `pixels` (uint8 (H, W, 3) BGR of `input_size`) into `out` (the same of `output_size`)."""
        ...

    def close(self) -> None:
        """Free the network. May be called twice."""
        ...
