"""From a packed FP32 model and pictures to a scale table and the models that it makes; it reads downwards."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto

from edgegan.errors import ModelError
from edgegan.pack.graph import constant_values, opset_of, quoted
from edgegan.pack.quantise.drawing import Memo, Studio
from edgegan.pack.quantise.layers import Layer, find_layers, whole_macs
from edgegan.pack.quantise.matmuls import as_matmuls, table_for_matmuls
from edgegan.pack.quantise.norms import write_out_norms
from edgegan.pack.quantise.observing import observe
from edgegan.pack.quantise.search import Alone, Goal, Point, search
from edgegan.pack.quantise.sets import Sets
from edgegan.pack.quantise.split import split_columns
from edgegan.pack.quantise.table import LayerScale, ScaleTable
from edgegan.pack.ranges import Range

__all__ = ["Products", "Quantised", "quantise_model"]

_FIRST_OPSET = 13
"""Of DequantizeLinear by channel."""
_METHOD_VERSION = 3
"""Outcomes of another method are not taken up."""


@dataclass(frozen=True)
class Products:
    """The version for ONNX Runtime. like: a model that draws the same on a CPU that cannot run it right.

    table: with the layers in float that would be slower. int8_share: of the MACs.
    """

    model: ModelProto
    like: ModelProto
    table: ScaleTable
    int8_share: float


@dataclass(frozen=True)
class Quantised:
    """What came of it. best: the cheapest version that meets the goal, or, if none does, the one that draws best.

    table: that of `best`, with the scales of the weights, as it goes into a bundle.
    frontier: all versions of which the whole search set was drawn. alone: what was tried of each layer.
    forget: to be called when nothing is to be done again: outcomes are kept until then, so that what is broken off
        goes on where it was.
    """

    openvino: ModelProto
    tensorrt: ModelProto
    onnxruntime: Products
    table: ScaleTable
    best: Point
    met: bool
    frontier: tuple[Point, ...]
    alone: tuple[Alone, ...]
    layers: Mapping[str, Layer]
    whole_macs: int
    forget: Callable[[], None] = lambda: None


def quantise_model(
    packed: ModelProto,
    sets: Sets,
    taken: Range,
    goal: Goal,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> Quantised:
    """The same for the same model, pictures, seed and goal. One that was broken off goes on where it was.

    taken: what black and white are to the generator. progress: is called with (what is done now, 0..1).
    Raises `ModelError` if nothing in the model can be quantised.
    """
    if opset_of(packed) < _FIRST_OPSET:
        raise ModelError(
            f"a model of opset {opset_of(packed)} cannot be quantised",
            f"export it with opset {_FIRST_OPSET} or later, best 17, or leave int8 out: --precision fp32,fp16",
        )
    layers = _layers(packed)
    if not layers:
        raise ModelError(
            "no convolution of the model can be quantised: none has constant weights and one group",
            "leave int8 out: --precision fp32,fp16",
        )
    observed = observe(
        packed,
        layers,
        sets.calibrate,
        sets.seed,
        lambda share: progress("looking at the calibration set", 0.15 * share),
    )
    layers = [layer for layer in layers if observed.is_finite(layer)]
    if not layers:
        raise ModelError(
            "no convolution of the model can be quantised: what they take is not finite",
            "check how the model was exported, or leave int8 out: --precision fp32,fp16",
        )
    held = constant_values(packed.graph)
    names = {name for layer in layers for name in (layer.weights, layer.bias) if name}
    weights = {name: held[name].astype(np.float64) for name in names}
    memo = Memo(_memo_path(packed, sets))
    studio = Studio(packed, layers, observed, weights, sets.search, sets.search_clip, memo)
    found = search(
        studio, observed, weights, taken, goal, lambda what, share: progress(what, 0.15 + 0.85 * share)
    )
    best = found.best or max(found.frontier, key=lambda point: point.outcome.psnr_db)
    return Quantised(
        write_out_norms(studio.version(best.table))[0],
        studio.version(best.table, "tensorrt"),
        _products(studio, best.table),
        ScaleTable(tuple(_with_weight_scales(scale, studio) for scale in best.table.layers)),
        best,
        found.best is not None,
        found.frontier,
        found.alone,
        studio.layers,
        whole_macs(packed),
        memo.forget,
    )


def _layers(packed: ModelProto) -> list[Layer]:
    try:
        return find_layers(packed)
    except KeyError as error:
        raise ModelError(
            f"the model cannot be quantised: the size of its tensor {quoted(error.args[0])} depends on the picture",
            "leave int8 out: --precision fp32,fp16",
        ) from None


def _with_weight_scales(scale: LayerScale, studio: Studio) -> LayerScale:
    if scale.form == "float":
        return scale
    return replace(scale, weight_scales=tuple(studio.integer_weights(scale).scales.tolist()))


def _products(studio: Studio, table: ScaleTable) -> Products:
    table, windows = table_for_matmuls(studio.model, studio.layers, table)
    chosen = [scale for scale in table.layers if scale.form != "float"]
    weights = {scale.layer: studio.integer_weights(scale) for scale in chosen}
    macs = sum(studio.layers[scale.layer].macs for scale in chosen)
    return Products(
        split_columns(as_matmuls(studio.model, studio.layers, table, weights, windows)[0])[0],
        studio.version(table),
        table,
        macs / max(whole_macs(studio.model), 1),
    )


def _memo_path(packed: ModelProto, sets: Sets) -> Path | None:
    """Where outcomes are kept until the search is done; None where this user has no place for them.

    Source: the XDG base directory specification.
    """
    parts = [sets.key(), str(sets.seed), str(_METHOD_VERSION), onnxruntime.__version__, np.__version__]
    digest = hashlib.sha256(packed.SerializeToString(deterministic=True) + "\0".join(parts).encode())
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return None
    return root / "edgegan" / "quantise" / f"{digest.hexdigest()[:24]}.jsonl"
