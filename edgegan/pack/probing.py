"""Finds the value ranges of a generator: given, bounded by a node, or by drawing real pictures with it.

    which input range    the same drawing in each: 0..255, for they cannot be told apart
                         else the one whose drawings are clearly most like the photos, or that of a Tanh
    which output range   that of the last bounded node, else that which the drawn values fill
    else                 the question is asked, with what was found

What has to be known and is not is never guessed; the rules and their thresholds: `edgegan.pack.ranges`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import GraphProto, ModelProto, TensorProto, helper

from edgegan.errors import ModelError
from edgegan.frame import Pixels
from edgegan.pack.bounds import Bounds, output_bounds
from edgegan.pack.check import Interface
from edgegan.pack.compare import pixels_from_values, session
from edgegan.pack.graph import copied, producer_of
from edgegan.pack.ranges import (
    USUAL,
    Likeness,
    Range,
    Spread,
    ValueRanges,
    choose_input,
    range_text,
    usual_range,
)
from edgegan.quality import max_difference, ssim

__all__ = ["PICTURES", "SIDE", "Probe", "find_ranges", "likeness"]

PICTURES, SIDE = 3, 128
"""How many pictures are drawn in each range, and the height and width of those for a dynamic model."""

MOST_GREY_LEVELS = 2
"""Drawings that differ by no more are the same: one level is rounding, two the rounding of two kernels."""

_NO_LOG = 4
_LEAST_SIDE = 16  # of pictures that are compared; SSIM's window has 11
_ASK_RANGE = "0,255 or 0,1 or -1,1"
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet, RGB 0..1

Drawing = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Scaling:
    """What black and white are to each channel, RGB."""

    black: tuple[float, ...]
    white: tuple[float, ...]

    @classmethod
    def of(cls, values: Range) -> "_Scaling":
        return cls((values[0],) * 3, (values[1],) * 3)

    def values(self, pixels: Pixels) -> Drawing:
        """uint8 (H, W, 3) BGR to float32 (1, 3, H, W) RGB."""
        black, white = np.array(self.black), np.array(self.white)
        scaled = pixels[..., ::-1] * ((white - black) / 255) + black
        return np.ascontiguousarray(scaled.astype(np.float32).transpose(2, 0, 1)[None])


_BY_CHANNEL = {
    "ImageNet's mean and deviation": _Scaling(tuple(-_MEAN / _DEVIATION), tuple((1 - _MEAN) / _DEVIATION)),
    "0 to 255 less ImageNet's mean": _Scaling(tuple(-255 * _MEAN), tuple(255 - 255 * _MEAN)),
}
"""Usual scalings that (black, white) cannot express. They are drawn to raise doubts."""


class Probe:
    """Draws a few pictures with a float generator; each in each scaling once, the drawings are kept.

    model: float32 [1, 3, H, W] RGB, its further inputs bound. interface: says which sides the original leaves
    free, also where `model` is fixed already. pictures: uint8 (H, W, 3) BGR of its size,
    one at least; a dynamic model draws them at 128 x 128 if it can. progress: called with 0..1.
    """

    def __init__(
        self,
        model: ModelProto,
        interface: Interface,
        pictures: Sequence[Pixels],
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        chosen = pictures[:: max(1, (len(pictures) - 1) // (PICTURES - 1))][:PICTURES]
        self._free, self._progress = [side is None for side in interface.size], progress
        self._most_drawings = len(chosen) * (len(USUAL) + len(_BY_CHANNEL))
        self._drawings: dict[tuple[int, _Scaling], Drawing] = {}
        self._session, self.pictures = self._opened(model, chosen)

    def draw(self, values: Range) -> list[Drawing]:
        """What the generator draws of each picture, float32 (1, 3, H', W'), its input being in `values`."""
        return self._drawn(_Scaling.of(values))

    def draw_by_channel(self, name: str) -> list[Drawing]:
        """The same in one of the scalings by channel."""
        return self._drawn(_BY_CHANNEL[name])

    def most_difference(self, output: Range) -> int:
        """By how many grey levels drawings in the usual input ranges differ; the first seen above tolerance."""
        most = 0
        for number in range(len(self.pictures)):
            first, *others = (self._pixels(number, _Scaling.of(usual), output) for usual in USUAL)
            most = max(most, *(max_difference(first, other) for other in others))
            if most > MOST_GREY_LEVELS:
                break
        return most

    def _drawn(self, scaling: _Scaling) -> list[Drawing]:
        return [self._draw_one(number, scaling) for number in range(len(self.pictures))]

    def _draw_one(self, number: int, scaling: _Scaling) -> Drawing:
        if (number, scaling) not in self._drawings:
            self._progress(len(self._drawings) / self._most_drawings)
            drawing = self._run(self._session, self.pictures[number], scaling)
            self._drawings[number, scaling] = drawing
        return self._drawings[number, scaling]

    def _pixels(self, number: int, scaling: _Scaling, output: Range) -> Pixels:
        return pixels_from_values(np.nan_to_num(self._draw_one(number, scaling)), output)

    def _opened(
        self, model: ModelProto, pictures: Sequence[Pixels]
    ) -> tuple[onnxruntime.InferenceSession, list[Pixels]]:
        """A session that draws, and the pictures in its size: a small one first, if the model is dynamic."""
        full = pictures[0].shape[:2]
        small = tuple(min(SIDE, side) if free else side for free, side in zip(self._free, full, strict=True))
        for size in sorted({small, full}):
            scaled = [_resized(pixels, size) for pixels in pictures]
            try:
                opened = session(_sized(model, size), "the original model")
                self._drawings[0, _Scaling.of(USUAL[0])] = self._run(opened, scaled[0], _Scaling.of(USUAL[0]))
            except ModelError:
                if size == full:
                    raise
            else:
                break
        return opened, scaled

    def _run(self, opened: onnxruntime.InferenceSession, pixels: Pixels, scaling: _Scaling) -> Drawing:
        try:
            feeds = {opened.get_inputs()[0].name: scaling.values(pixels)}
            drawing: Drawing = opened.run(None, feeds, _quiet())[0]
        except Exception as error:  # ONNX Runtime's errors have no class in common
            mend = "a model exported for another size, or too large for this machine's memory?"
            raise ModelError(f"ONNX Runtime cannot run the model: {error}", mend) from error
        return drawing


def find_ranges(
    model: ModelProto,
    interface: Interface,
    pictures: Sequence[Pixels],
    input_range: Range | None,
    output_range: Range | None,
    progress: Callable[[float], None] = lambda share: None,
) -> ValueRanges:
    """The given ranges, and what can be found of those that are not; nothing is drawn that need not be.

    model, pictures, progress: as for `Probe`. Raises `ModelError`, with the question to answer and what was
    found, where a range is ambiguous.
    """
    bounds = output_bounds(model.graph)
    bounded = usual_range(bounds.low, bounds.high) if bounds else None
    assumptions = []
    if output_range is None and bounded is not None and bounds is not None:
        output_range = bounded
        assumptions.append(f"output range {range_text(bounded)}, because of {_bound_text(bounds)}")
    if input_range is not None and output_range is not None:
        return ValueRanges(input_range, output_range, tuple(assumptions))
    probe = Probe(model, interface, pictures, progress)
    if output_range is None:
        output_range, why = _found_output(probe, input_range, _Question(model, bounds))
        assumptions.append(why)
    if input_range is None:
        input_range, why = _found_input(probe, interface, output_range, bounded)
        assumptions.append(why)
    return ValueRanges(input_range, output_range, tuple(assumptions))


def likeness(photos: Iterable[Pixels], drawings: Iterable[Drawing], output: Range) -> Likeness:
    """How like the photos their drawings are; values that are not finite are like nothing."""
    ratings = []
    for photo, drawing in zip(photos, drawings, strict=True):
        pixels = pixels_from_values(np.nan_to_num(drawing), output)
        similar = (
            ssim(_comparable(photo, pixels), _comparable(pixels, pixels))
            if np.isfinite(drawing).all()
            else -1
        )
        ratings.append((similar, pixels.std(), np.mean((pixels <= 2) | (pixels >= 253))))
    return Likeness(*map(float, np.array(ratings, np.float64).mean(axis=0)))


@dataclass(frozen=True)
class _Question:
    """What to ask where the output's range is not known."""

    model: ModelProto
    bounds: Bounds | None

    def error(self, found: str) -> ModelError:
        """found: what was drawn, in words."""
        output = self.model.graph.output[0].name
        says = f"Its last node, {_last_operator(self.model.graph, output)}, does not say"
        if self.bounds is not None:
            low, high = self.bounds.low, self.bounds.high
            says = f"It lies in {low:g} to {high:g}, by {_bound_text(self.bounds)}, which is no usual range"
        return ModelError(
            f"which values of the output '{output}' are black and white? {says}, and {found}",
            f"give --output-range {_ASK_RANGE}, or --input-range, or both",
        )


def _found_output(probe: Probe, input_range: Range | None, question: _Question) -> tuple[Range, str]:
    """The range that the drawn values fill, whichever the input's is, and the words for it."""
    tried = USUAL if input_range is None else (input_range,)
    spreads = {values: Spread.of(probe.draw(values)) for values in tried}
    found = {spread.range() for spread in spreads.values()}
    output = found.pop()
    if output is None or found:
        raise question.error(_spreads_text(spreads))
    spread = spreads[tried[0]]
    drawn = f"{Spread.MEANING} {spread}, in {len(probe.pictures)} drawings"
    return output, f"output range {range_text(output)}: {drawn}"


def _found_input(
    probe: Probe, interface: Interface, output: Range, bounded: Range | None
) -> tuple[Range, str]:
    """The input's range by probing, and the words for it."""
    difference = probe.most_difference(output)
    if difference <= MOST_GREY_LEVELS:
        others = ", ".join(range_text(usual) for usual in USUAL[1:])
        return USUAL[0], (
            f"input range {range_text(USUAL[0])}, which cannot be told from {others}: "
            f"the drawings differ by {difference} grey levels at most"
        )
    found = {usual: likeness(probe.pictures, probe.draw(usual), output) for usual in USUAL}
    others_found = {
        name: likeness(probe.pictures, probe.draw_by_channel(name), output) for name in _BY_CHANNEL
    }
    choice = choose_input(found, others_found, bounded)
    if choice.range is None:
        raise ModelError(
            f"which values of the input '{interface.input}' are black and white? "
            f"The drawings differ with them, and none is clearly right ({choice.why})",
            f"give --input-range {_ASK_RANGE}; a mean and deviation by channel must be part of the model",
        )
    return choice.range, f"input range {range_text(choice.range)}: {choice.why}"


def _sized(model: ModelProto, size: tuple[int, ...]) -> bytes:
    """The model with its input declared anew, and what followed from the old declaration forgotten."""
    model = copied(model)
    for value, dims in ((model.graph.input[0], size), (model.graph.output[0], ("height", "width"))):
        shape = [1, 3, *dims]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape))
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def _quiet() -> onnxruntime.RunOptions:
    """That a model cannot draw small pictures is no error: it is tried with larger ones."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = _NO_LOG
    return options


def _spreads_text(spreads: Mapping[Range, Spread]) -> str:
    first = next(iter(spreads.values()))
    if all(spread.is_like(first) for spread in spreads.values()):
        return f"of what it draws {Spread.MEANING} {first}"
    each = "; ".join(f"{spread} for input {range_text(values)}" for values, spread in spreads.items())
    return f"what it draws depends on the input's range too: {Spread.MEANING} {each}"


def _last_operator(graph: GraphProto, tensor: str) -> str:
    """The type of the node that makes it; what an Identity copies counts, if that is not the picture itself."""
    makers = {name: node for node in graph.node for name in node.output}
    node = producer_of(graph, tensor)
    while node.op_type == "Identity" and node.input[0] in makers:
        node = makers[node.input[0]]
    return str(node.op_type)


def _bound_text(bounds: Bounds) -> str:
    return f"the last bounded node, {bounds.node}" + ("" if bounds.as_is else ", and what scales it")


def _resized(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _comparable(pixels: Pixels, like: Pixels) -> Pixels:
    """In the size of `like`, and no smaller than SSIM needs."""
    height, width = (max(side, _LEAST_SIDE) for side in like.shape[:2])
    return _resized(pixels, (height, width))
