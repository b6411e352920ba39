"""How a bundle is made: options in Python, or in a YAML file (a recipe).

name: candy
model: fns_candy.onnx           # beside the recipe
size: 256x256                   # height x width
input_range: [0, 255]           # what black and white are to the generator
output_range: [0, 255]
constants:                      # further inputs: a list, or one of
  style: {one_hot: 7}
  mixed: {weights: {3: 0.5, 7: 0.5}}
output_name: picture            # where several outputs may be the picture
batch_statistics: true          # BatchNormalization in training mode is meant so
calibrate: photos/              # photos or a clip, beside the recipe
precision: [fp32, fp16, int8]
gates:                          # what a precision must reach, where that is not the usual
  int8: {psnr_db: 45, psnr_worst_db: 40, ssim: 0.995}
int8_share: 0.9                 # of the multiply-accumulates, at least, in INT8
seed: 0
licence: Apache-2.0
credits: who made it
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgegan.config import Settings, load_yaml_model
from edgegan.errors import BundleError, ConfigError, ModelError
from edgegan.pack.judging import GATES
from edgegan.pack.ranges import Range
from edgegan.registry import did_you_mean, path_from_text
from edgegan.resources import resource

__all__ = ["Constant", "PackOptions", "Recipe", "load_recipe", "shipped_recipe", "with_shipped_recipe"]

_Index = Annotated[int, Field(ge=0)]


def _tuple_from_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _with_number_keys(value: Any) -> Any:
    """The keys of a YAML file are texts."""
    if not isinstance(value, Mapping):
        return value
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: v for key, v in value.items()}


class Constant(Settings):
    """The value of an input: all `values`, or one entry that is 1, or some entries by index; others are 0.

    length: of the input's last dimension, checked where given.
    """

    values: Annotated[tuple[float, ...] | None, BeforeValidator(_tuple_from_list)] = None
    one_hot: _Index | None = None
    weights: Annotated[dict[_Index, float] | None, BeforeValidator(_with_number_keys)] = None
    length: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> "Constant":
        if sum(value is not None for value in (self.values, self.one_hot, self.weights)) != 1:
            raise ConfigError(
                "says how in more than one way, or in none", "give one of: values, one_hot, weights"
            )
        return self

    def array(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The value as an array of `shape` and `dtype`. Raises `ValueError` if it does not fit."""
        if not shape and self.values is None:
            raise ValueError("it is one number: give a list of one")
        if self.length is not None and [self.length] != list(shape[-1:]):
            raise ValueError(f"its length is {shape[-1] if shape else 1}, not {self.length}")
        if self.values is not None:
            return np.asarray(self.values, dtype).reshape(shape)
        entries = self.weights if self.weights is not None else {self.one_hot or 0: 1.0}
        if math.prod(shape) != shape[-1] or max(entries, default=0) >= shape[-1]:
            raise ValueError(f"entry {max(entries, default=0)} of a shape {list(shape)}")
        array = np.zeros(shape[-1], dtype)
        for index, weight in entries.items():
            array[index] = weight
        return array.reshape(shape)


@dataclass(frozen=True)
class PackOptions:
    """What `pack_model` cannot read from the model.

    name: of the bundle; None: the model's file name. size: (height, width); None: the model's, or 256 x 256.
    input_range, output_range: (black, white) values; None: to be found, see `edgegan.pack.probing`.
    constants: values of further inputs, by name. licence: an SPDX name or a text; credits: who made it.
    batch_statistics: BatchNormalization in training mode takes the statistics of each picture, and Dropout in
    training mode goes; otherwise both are refused. output_name: the picture, where several outputs may be it.
    precisions: None: fp32, and all others if there is something to `calibrate` with. calibrate, perceptual, gates,
    int8_share, seed: see `edgegan.pack.versions.Wish`.
    """

    name: str | None = None
    size: tuple[int, int] | None = None
    input_range: Range | None = None
    output_range: Range | None = None
    constants: Mapping[str, Constant] = field(default_factory=dict)
    licence: str = ""
    credits: str = ""
    batch_statistics: bool = False
    output_name: str | None = None
    precisions: tuple[str, ...] | None = None
    calibrate: Path | None = None
    perceptual: Path | None = None
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    int8_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in (("input_range", self.input_range), ("output_range", self.output_range)):
            if values is not None:
                _checked_range(values, name)


def load_recipe(path: Path) -> tuple[Path | None, PackOptions]:
    """The model that a recipe names (relative to the recipe; None if it names none), and its options.

    Raises `ConfigError` with the line of every mistake.
    """
    recipe = load_yaml_model(path, Recipe)
    options = PackOptions(
        name=recipe.name,
        size=None if recipe.size is None else _size_from_text(recipe.size),
        input_range=recipe.input_range,
        output_range=recipe.output_range,
        constants=recipe.constants,
        licence=recipe.licence,
        credits=recipe.credits,
        batch_statistics=recipe.batch_statistics,
        output_name=recipe.output_name,
        precisions=recipe.precision,
        calibrate=_beside(path, recipe.calibrate),
        gates=recipe.gates,
        int8_share=recipe.int8_share,
        seed=recipe.seed,
    )
    return _beside(path, recipe.model), options


def _beside(recipe: Path, text: str | None) -> Path | None:
    return recipe.parent / path_from_text(text) if text else None


def shipped_recipe(model: Path) -> Path | None:
    """The recipe that ships for a model of this file name; None if there is none."""
    try:
        return resource(f"engines/recipes/{model.stem}.yaml")
    except BundleError:
        return None


def with_shipped_recipe(error: ModelError, model: Path) -> ModelError:
    """The refusal of a model that was packed without a recipe, with the recipe that ships for it, if one does."""
    recipe = shipped_recipe(model) if model.is_file() else None
    if recipe is None:
        return error
    return ModelError(error.message, f"a recipe ships for it: --recipe {recipe}; or: {error.mend}")


def _size_from_text(text: str) -> tuple[int, int]:
    """`480x640` (height x width)."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ConfigError(f"'{text}' is no size", "write HEIGHTxWIDTH, e.g. 256x256")
    return int(match[1]), int(match[2])


def _checked_size(text: str) -> str:
    _size_from_text(text)
    return text


def _checked_range(values: Range, name: str = "the range") -> Range:
    black, white = values
    if not (math.isfinite(black) and math.isfinite(white)) or black >= white:
        raise ConfigError(f"{name} {black:g}, {white:g} is wrong", "give black, then white, e.g. -1, 1")
    return values


def _constant_from_list(value: Any) -> Any:
    return {"values": value} if isinstance(value, list) else value


def _checked_gates(gates: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for name, demands in gates.items():
        if name not in GATES:
            raise ConfigError(f"there is no gate for '{name}'", did_you_mean(name, list(GATES)))
        GATES[name].changed(demands)
    return gates


_CheckedRange = Annotated[Range, AfterValidator(_checked_range)]


class Recipe(Settings):
    """The keys of a recipe file."""

    name: str | None = None
    model: str | None = None
    size: Annotated[str, AfterValidator(_checked_size)] | None = None
    input_range: _CheckedRange | None = None
    output_range: _CheckedRange | None = None
    constants: dict[str, Annotated[Constant, BeforeValidator(_constant_from_list)]] = Field(
        default_factory=dict
    )
    licence: str = ""
    credits: str = ""
    batch_statistics: bool = False
    output_name: str | None = None
    precision: Annotated[tuple[str, ...] | None, BeforeValidator(_tuple_from_list)] = None
    calibrate: str | None = None
    gates: Annotated[dict[str, dict[str, Any]], AfterValidator(_checked_gates)] = Field(default_factory=dict)
    int8_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
