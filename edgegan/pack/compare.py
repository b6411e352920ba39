"""Does the packed model draw what its original draws? Around the original, numpy converts the pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from edgegan.errors import ModelDisagreement, ModelError
from edgegan.frame import Pixels
from edgegan.pack.check import Interface
from edgegan.pack.pixels import INPUT
from edgegan.pack.ranges import Range, ValueRanges
from edgegan.quality import max_difference

__all__ = [
    "Agreement",
    "Original",
    "Packed",
    "compare",
    "pixels_from_values",
    "session",
    "values_from_pixels",
]

MOST_GREY_LEVELS = 1
_WARNINGS_OFF = 3


@dataclass(frozen=True)
class Agreement:
    """The largest difference between packed model and original, and on how many pictures it was sought."""

    max_grey_levels: int
    pictures: int
    reference: Pixels
    """What the packed model draws of the first picture."""


class Original:
    """The float generator as it was given, in a file, with numpy before and after it."""

    def __init__(
        self, path: Path, interface: Interface, ranges: ValueRanges, constants: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        self._session = session(path, str(path))
        self._input, self._ranges, self._constants = interface.input, ranges, dict(constants)

    def draw(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) BGR to uint8 (H', W', 3) BGR. Raises `ModelError`."""
        values = values_from_pixels(pixels, self._ranges.input)
        drawn = _run(self._session, {self._input: values, **self._constants})
        if not np.isfinite(drawn).all():
            raise ModelError(
                "the original model draws values that are not finite", "check how it was exported"
            )
        return pixels_from_values(drawn, self._ranges.output)


class Packed:
    """A packed model; pixels are all it takes and gives."""

    def __init__(self, model: ModelProto) -> None:
        self._session = session(model.SerializeToString(), "the packed model")

    def draw(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) BGR to uint8 (H', W', 3) BGR. Raises `ModelError`."""
        drawn: Pixels = _run(self._session, {INPUT: pixels[None]})[0]
        return drawn


def compare(
    original: Original, packed: Packed, pictures: Sequence[Pixels], progress: Callable[[float], None]
) -> Agreement:
    """Draw all pictures, one at least, with both. progress: is called with 0..1.

    Raises `ModelDisagreement` if any pixel differs by more than the one grey level that rounding makes.
    """
    worst, drawings = 0, []
    for number, pixels in enumerate(pictures):
        progress(number / len(pictures))
        expected, drawn = original.draw(pixels), packed.draw(pixels)
        drawings.append(drawn)
        if expected.shape != drawn.shape:
            raise ModelDisagreement(f"the packed model draws {drawn.shape}, the original {expected.shape}")
        worst = max(worst, max_difference(expected, drawn))
    if worst > MOST_GREY_LEVELS:
        raise ModelDisagreement(
            f"packed and original differ by up to {worst} grey levels, {MOST_GREY_LEVELS} is allowed",
            "nothing was written; please report this model",
        )
    return Agreement(worst, len(pictures), drawings[0])


def values_from_pixels(pixels: Pixels, values: Range) -> npt.NDArray[np.float32]:
    """uint8 (H, W, 3) BGR to float32 (1, 3, H, W) RGB in `values`, by numpy."""
    black, white = values
    planes = pixels[..., ::-1].astype(np.float32) * np.float32((white - black) / 255) + np.float32(black)
    return np.ascontiguousarray(planes.transpose(2, 0, 1)[None])


def pixels_from_values(drawn: npt.NDArray[np.float32], values: Range) -> Pixels:
    """float32 (1, 3, H, W) RGB in `values` to uint8 (H, W, 3) BGR, rounded and clipped, by numpy."""
    black, white = values
    levels = (drawn[0] - np.float32(black)) * np.float32(255 / (white - black))
    return np.ascontiguousarray(
        np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(1, 2, 0)[..., ::-1]
    )


def session(model: Path | bytes, name: str) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU. Raises `ModelError` if it cannot load the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _WARNINGS_OFF
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise ModelError(f"ONNX Runtime cannot load {name}: {error}", "check how it was exported") from error


def _run(model: onnxruntime.InferenceSession, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        drawn: npt.NDArray[Any] = model.run(None, feeds)[0]
    except Exception as error:  # as above
        mend = "a model exported for another size, or too large for this machine's memory?"
        raise ModelError(f"ONNX Runtime cannot run the model: {error}", mend) from error
    return drawn
