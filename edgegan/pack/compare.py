"""Does the packed model draw what its original draws? Around the original, numpy converts the pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper

from edgegan.errors import ModelDisagreement, ModelError
from edgegan.frame import Pixels
from edgegan.pack.check import PLANES, Form, Interface
from edgegan.pack.pixels import INPUT, OUTPUT
from edgegan.pack.planes import GREY_OF_RGB
from edgegan.pack.ranges import Range, ValueRanges
from edgegan.pack.reading import AS_IT_IS, Arrays, Run, run_session, session
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


@dataclass(frozen=True)
class Agreement:
    """The largest difference between packed model and original, and on how many pictures it was sought."""

    max_grey_levels: int
    pictures: int
    reference: Pixels
    """What the packed model draws of the first picture."""
    original: str = AS_IT_IS
    """What was taken for the original, in words."""


class Original:
    """The generator as it was given, with numpy before and after it."""

    def __init__(self, run: Run, interface: Interface, ranges: ValueRanges, constants: Arrays) -> None:
        self._run, self._interface, self._ranges, self._constants = run, interface, ranges, dict(constants)

    def draw(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) BGR to uint8 (H', W', 3) BGR. Raises `ModelError`."""
        taken = self._interface.taken
        values = values_from_pixels(pixels, self._ranges.input, taken)
        drawn = self._run({self._interface.input: values, **self._constants})
        if not np.isfinite(drawn.astype(np.float32)).all():
            raise ModelError(
                "the original model draws values that are not finite", "check how it was exported"
            )
        return pixels_from_values(drawn, self._ranges.output, self._interface.drawn)


class Packed:
    """A packed model; pixels are all it takes and gives."""

    def __init__(self, model: ModelProto) -> None:
        self._session = session(model.SerializeToString(), "the packed model")

    def draw(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) BGR to uint8 (H', W', 3) BGR. Raises `ModelError`."""
        drawn: Pixels = run_session(self._session, {INPUT: pixels[None]}, OUTPUT)[0]
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


def values_from_pixels(pixels: Pixels, values: Range, form: Form = PLANES) -> npt.NDArray[np.generic]:
    """uint8 (H, W, 3) BGR to an array of `form` in `values`, by numpy; a batch holds the picture repeated."""
    black, white = values
    planes = pixels[..., ::-1].astype(np.float32) * np.float32((white - black) / 255) + np.float32(black)
    if form.channels == 1:
        planes = planes @ np.array(GREY_OF_RGB, np.float32)[:, None]
    if form.kind == TensorProto.UINT8:
        planes = np.clip(np.rint(planes), 0, 255)
    if not form.channels_last:
        planes = planes.transpose(2, 0, 1)
    kind = helper.tensor_dtype_to_np_dtype(form.kind)
    return np.ascontiguousarray(np.repeat(planes[None].astype(kind), form.batch, axis=0))


def pixels_from_values(drawn: npt.NDArray[np.generic], values: Range, form: Form = PLANES) -> Pixels:
    """The first picture of an array of `form` in `values` to uint8 (H, W, 3) BGR, rounded and clipped, by numpy."""
    black, white = values
    picture = drawn[0].astype(np.float32)
    planes = picture if form.channels_last else picture.transpose(1, 2, 0)
    levels = (planes - np.float32(black)) * np.float32(255 / (white - black))
    rgb = np.broadcast_to(np.clip(np.rint(levels), 0, 255).astype(np.uint8), (*levels.shape[:2], 3))
    return np.ascontiguousarray(rgb[..., ::-1])
