"""Drawing pictures with versions of a generator, and remembering what came of it."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from edgegan.frame import Pixels
from edgegan.pack.compare import Packed
from edgegan.pack.quantise.layers import Layer
from edgegan.pack.quantise.observing import Observed
from edgegan.pack.quantise.qdq import Target, quantise
from edgegan.pack.quantise.sets import Picture
from edgegan.pack.quantise.table import Affine, Floats, LayerScale, ScaleTable
from edgegan.pack.quantise.weights import IntegerWeights, integer_weights
from edgegan.quality import (
    channel_shift,
    checkerboard_db,
    delta_e,
    flicker_ratio,
    high_frequency_ratio,
    ssim,
)

__all__ = ["Memo", "Outcome", "Studio"]

_CHECKERBOARD_SIDE = 32
_LEAST_ERROR = 255.0**2 / 10**9.9
"""Stands for none at all: 99 dB."""


@dataclass(frozen=True)
class Outcome:
    """How far a version is from the float model: by picture, mean squared error in grey levels, and SSIM.

    All else is of the whole search set, and says nothing where that was not drawn: flicker of its clip, as a ratio;
    and what `edgegan.pack.judging` demands of colour and detail, the mean of all pictures.
    """

    squared_errors: tuple[float, ...]
    likeness: tuple[float, ...]
    flicker: float = 1.0
    shift_levels: float = 0.0
    delta_e: float = 0.0
    detail_ratio: float = 1.0
    checkerboard_db: float = 0.0

    @property
    def psnr_db(self) -> float:
        """The mean of all pictures'."""
        return float(np.mean(_psnr(self.squared_errors)))

    @property
    def psnr_worst_db(self) -> float:
        """Of the worst picture."""
        return float(np.min(_psnr(self.squared_errors)))

    @property
    def ssim(self) -> float:
        """The mean of all pictures'."""
        return float(np.mean(self.likeness))


def _psnr(errors: Sequence[float]) -> Floats:
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(errors, _LEAST_ERROR)))


def _looks(drawn: Pixels, expected: Pixels) -> tuple[float, float, float, float]:
    """Channel shift, colour difference, the logarithm of the ratio of detail, checkerboard."""
    return (
        channel_shift(drawn, expected).largest_levels,
        delta_e(drawn, expected),
        math.log(high_frequency_ratio(drawn, expected)),
        checkerboard_db(drawn, expected) if min(drawn.shape[:2]) >= _CHECKERBOARD_SIDE else 0.0,
    )


def _mean_looks(looks: Sequence[tuple[float, float, float, float]]) -> dict[str, float]:
    if not looks:
        return {}
    shift, colour, detail, checkerboard = (float(mean) for mean in np.mean(looks, axis=0))
    return {
        "shift_levels": shift,
        "delta_e": colour,
        "detail_ratio": math.exp(detail),
        "checkerboard_db": checkerboard,
    }


class Memo:
    """Outcomes that were measured before, in a file that grows line by line, so that a long search can go on.

    path: None keeps nothing. A line that cannot be read is measured again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._known = path, dict(_read_lines(path) if path else ())

    def get(self, key: str, measure: Callable[[], Outcome]) -> Outcome:
        """What is known under `key`, else what `measure` finds."""
        if key not in self._known:
            self._known[key] = measure()
            self._write(key, self._known[key])
        return self._known[key]

    def forget(self) -> None:
        """Remove the file, as far as that is possible."""
        if self._path:
            with suppress(OSError):
                self._path.unlink()

    def _write(self, key: str, outcome: Outcome) -> None:
        if self._path is None:
            return
        with suppress(OSError):  # nothing is lost but the chance to go on
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:  # the line before may have been cut off
                file.write("\n" * bool(file.tell()) + json.dumps({"key": key, **asdict(outcome)}))


def _read_lines(path: Path) -> Iterator[tuple[str, Outcome]]:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            key, errors, likeness = entry.pop("key"), entry.pop("squared_errors"), entry.pop("likeness")
            yield (
                str(key),
                Outcome(
                    tuple(errors), tuple(likeness), **{name: float(value) for name, value in entry.items()}
                ),
            )


class Studio:
    """Makes quantised versions of one float model, and compares what they draw with what it draws."""

    def __init__(
        self,
        model: ModelProto,
        layers: Sequence[Layer],
        observed: Observed,
        weights: Mapping[str, Floats],
        pictures: Sequence[Picture],
        clip: Sequence[Pixels],
        memo: Memo,
    ) -> None:
        """weights: all initialisers that layers name, float64. pictures, clip: of the search set."""
        self.model, self.layers = model, {layer.name: layer for layer in layers}
        self._observed, self._weights, self._memo = observed, weights, memo
        self._pictures = [*(picture.pixels for picture in pictures), *clip]
        self._count = len(pictures)
        self._nodes = {node.name: node for node in model.graph.node}
        self._integers: dict[tuple[str, Affine], IntegerWeights] = {}
        self._drawn: dict[int, Pixels] = {}
        self._float = Packed(model)

    def integer_weights(self, scale: LayerScale) -> IntegerWeights:
        """The layer's weights for its input as `scale` changes it; made once."""
        key = scale.layer, scale.affine
        if key not in self._integers:
            layer = self.layers[scale.layer]
            self._integers[key] = integer_weights(
                self._nodes[layer.name],
                layer,
                self._weights[layer.weights],
                self._weights[layer.bias] if layer.bias else None,
                scale.affine,
                self._observed.moments.get(layer.name),
            )
        return self._integers[key]

    def version(self, table: ScaleTable, target: Target = "openvino") -> ModelProto:
        """The model, quantised."""
        weights = {s.layer: self.integer_weights(s) for s in table.layers if s.form != "float"}
        return quantise(self.model, self.layers, table, weights, target)[0]

    def outcome(self, table: ScaleTable, pictures: Sequence[int] | None = None) -> Outcome:
        """Of some of the pictures, by number; None: of all, and of the clip."""
        numbers = list(range(len(self._pictures)) if pictures is None else pictures)
        said = json.dumps([numbers, [asdict(s) for s in table.layers if s.form != "float"]])
        key = hashlib.sha256(said.encode()).hexdigest()
        return self._memo.get(key, lambda: self._measured(table, numbers))

    def _measured(self, table: ScaleTable, numbers: Sequence[int]) -> Outcome:
        version = Packed(self.version(table))
        errors, likeness, looks = [], [], []
        is_whole = len(numbers) == len(self._pictures)
        clip = [number for number in numbers if number >= self._count]
        for number in [number for number in numbers if number < self._count]:
            drawn, expected = version.draw(self._pictures[number]), self._expected(number)
            errors.append(float(np.mean(np.square(drawn.astype(np.float32) - expected), dtype=np.float64)))
            likeness.append(ssim(drawn, expected) if min(drawn.shape[:2]) > 10 else 1.0)
            looks += [_looks(drawn, expected)] if is_whole else []
        flicker = 1.0
        if len(clip) > 1:
            frames = [version.draw(self._pictures[number]).copy() for number in clip]
            flicker = flicker_ratio(frames, [self._expected(number) for number in clip])
        return Outcome(tuple(errors), tuple(likeness), flicker, **_mean_looks(looks))

    def _expected(self, number: int) -> Pixels:
        if number not in self._drawn:
            self._drawn[number] = self._float.draw(self._pictures[number])
        return self._drawn[number]
