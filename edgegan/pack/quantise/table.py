"""The scale table: how each layer is quantised, as data that belongs to no runtime."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["FORMS", "Affine", "Form", "LayerScale", "ScaleTable"]

Floats = npt.NDArray[np.float64]
Form = Literal["int8", "int8x2", "float"]
_NARROWEST = 1e-30
FORMS: tuple[Form, ...] = ("int8", "int8x2", "float")


@dataclass(frozen=True)
class Affine:
    """What is done to a layer's input before it is quantised: x' = x * multiply + add, by channel.

    The weights are divided by `multiply`, and the bias takes `add` away again, so nothing else changes.
    Empty: one, and zero.
    """

    multiply: tuple[float, ...] = ()
    add: tuple[float, ...] = ()

    def applied(self, values: Floats) -> Floats:
        """To an array whose first axis are the channels."""
        shape = (-1, *[1] * (values.ndim - 1))
        if self.multiply:
            values = values * np.reshape(self.multiply, shape)
        return values + np.reshape(self.add, shape) if self.add else values


@dataclass(frozen=True)
class LayerScale:
    """How one convolution is quantised.

    form: "int8"; "int8x2" (its input is the sum of two INT8 tensors, the second one the first one's rounding
        errors, each convolved with the same weights); or "float", where all else says what was tried.
    low, high: the range of the input after `affine`; 256 levels lie in it, or, if it is `symmetric`, 255 levels
        lie around zero. method: how the range was chosen, in words.
    weight_scales: what one level of the weights is worth, by output channel; 127 levels to either side of zero. Only
        a bundle's table has them: they follow from the weights and `affine`.
    """

    layer: str
    tensor: str
    form: Form
    low: float
    high: float
    method: str
    symmetric: bool = False
    affine: Affine = field(default_factory=Affine)
    weight_scales: tuple[float, ...] = ()

    @property
    def step(self) -> float:
        """What one level of the input is worth; of an input that is always zero, as if it reached to 1.

        Runtimes divide biases by steps, so a tiny one would make sums that no integer holds.
        """
        width = max(-self.low, self.high) if self.symmetric else self.high - self.low
        return (width if width > _NARROWEST else 1.0) / (127 if self.symmetric else 255)

    @property
    def zero_point(self) -> int:
        """The level 0..255 that stands for zero; 128 if the range is symmetric (255 levels are used then)."""
        return 128 if self.symmetric else int(np.clip(round(-self.low / self.step), 0, 255))

    def quantised(self, values: Floats) -> Floats:
        """What INT8 makes of values after `affine`, in the values' own unit."""
        lowest = 1 if self.symmetric else 0
        levels = np.clip(np.rint(values / self.step) + self.zero_point, lowest, 255)
        return np.asarray((levels - self.zero_point) * self.step)


@dataclass(frozen=True)
class ScaleTable:
    """All layers of a generator, in the graph's order."""

    layers: tuple[LayerScale, ...]

    def __getitem__(self, name: str) -> LayerScale:
        return next(layer for layer in self.layers if layer.layer == name)

    def to_json(self) -> bytes:
        """As it lies in a bundle: `scales.json`."""
        return (json.dumps({"layers": [asdict(layer) for layer in self.layers]}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> "ScaleTable":
        """Raises `ValueError`, `TypeError` or `KeyError` for what is no scale table."""
        return cls(tuple(_layer_from(entry) for entry in json.loads(data)["layers"]))


def _layer_from(entry: Mapping[str, Any]) -> LayerScale:
    affine = Affine(tuple(entry["affine"]["multiply"]), tuple(entry["affine"]["add"]))
    if entry["form"] not in FORMS:
        raise ValueError(f"a layer has the form {entry['form']!r}")
    return LayerScale(**{**entry, "affine": affine, "weight_scales": tuple(entry["weight_scales"])})
