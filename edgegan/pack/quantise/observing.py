"""What the tensors of the float model hold on the calibration set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from onnx import ModelProto, NodeProto, helper

from edgegan.pack.graph import constant_values, copied
from edgegan.pack.macs import known_shapes
from edgegan.pack.pixels import INPUT
from edgegan.pack.quantise.layers import Layer, attributes
from edgegan.pack.quantise.ranges import TensorStatistics
from edgegan.pack.quantise.rounding import MOST_TAPS, Moments
from edgegan.pack.quantise.sets import Picture
from edgegan.pack.reading import session

__all__ = ["Observed", "observe"]

_MOST_BYTES = 512 << 20
"""Tensors kept of one picture at a time; a larger model is run several times."""
_SAMPLES = 1 << 18
"""Values kept of each tensor, of all pictures together."""
_WINDOWS = 40_000
"""Places of a kernel, of all pictures together, from which means and covariances are taken."""
_MOMENTS_OF = 24
"""Pictures that are used for those."""

_Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """tensors: by the name of a layer's source. moments: by the name of a layer, where it is not both transposed and
    dilated."""

    tensors: Mapping[str, TensorStatistics]
    moments: Mapping[str, Moments]

    def is_finite(self, layer: Layer) -> bool:
        """Whether neither infinity nor NaN was seen in what the layer takes."""
        seen = self.tensors[layer.source]
        return bool(np.isfinite([seen.lowest, seen.highest]).all())


def observe(
    model: ModelProto,
    layers: Sequence[Layer],
    pictures: Sequence[Picture],
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Observed:
    """Draw all pictures with the float model and look inside. progress: is called with 0..1."""
    nodes = {node.name: node for node in model.graph.node}
    weights = constant_values(model.graph)
    tensors = {layer.source: _Tensor(len(pictures), seed) for layer in layers}
    kernels = {
        layer.name: _Kernel(
            nodes[layer.name], layer.pads, weights[layer.weights].shape, min(len(pictures), _MOMENTS_OF), seed
        )
        for layer in layers
        if _has_moments(nodes[layer.name])
    }
    for place, planes in _runs(model, layers, pictures, progress):
        for layer in {layer.source: layer for layer in layers}.values():
            if layer.source in planes:
                tensors[layer.source].add(planes[layer.source][0])
        for layer in layers:
            if layer.input in planes and layer.name in kernels and place < _MOMENTS_OF:
                kernels[layer.name].add(planes[layer.input][0])
    return Observed(
        {name: tensor.statistics() for name, tensor in tensors.items()},
        {name: kernel.moments() for name, kernel in kernels.items()},
    )


def _runs(
    model: ModelProto, layers: Sequence[Layer], pictures: Sequence[Picture], progress: Callable[[float], None]
) -> Iterator[tuple[int, dict[str, _Planes]]]:
    """Number of the picture, and tensors by name: as many at once as fit."""
    groups = list(_groups(model, {name: None for layer in layers for name in (layer.source, layer.input)}))
    for index, names in enumerate(groups):
        shown = copied(model)
        shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
        opened = session(shown.SerializeToString(), "the packed model")
        for number, picture in enumerate(pictures):
            progress((index + number / len(pictures)) / len(groups))
            yield number, dict(zip(names, opened.run(names, {INPUT: picture.pixels[None]}), strict=True))


def _groups(model: ModelProto, names: Mapping[str, None]) -> Iterator[list[str]]:
    shapes, size = known_shapes(model), 0
    group: list[str] = []
    for name in names:
        size += 4 * prod(shapes[name])
        if group and size > _MOST_BYTES:
            yield group
            group, size = [], 4 * prod(shapes[name])
        group.append(name)
    yield group


class _Tensor:
    """Ends of each channel, and values drawn at random."""

    def __init__(self, pictures: int, seed: int) -> None:
        self._random, self._each = np.random.default_rng(seed), _SAMPLES // max(pictures, 1)
        self._lowest: list[_Planes] = []
        self._highest: list[_Planes] = []
        self._samples: list[_Planes] = []

    def add(self, planes: _Planes) -> None:
        flat = planes.reshape(len(planes), -1)
        self._lowest.append(flat.min(axis=1))
        self._highest.append(flat.max(axis=1))
        count = max(self._each // len(flat), 64)
        self._samples.append(flat[:, self._random.integers(0, flat.shape[1], count)])

    def statistics(self) -> TensorStatistics:
        lowest, highest = np.min(self._lowest, axis=0), np.max(self._highest, axis=0)
        return TensorStatistics(
            lowest.astype(np.float64), highest.astype(np.float64), np.concatenate(self._samples, axis=1)
        )


class _Kernel:
    """Mean and covariance of the windows that a kernel sees."""

    def __init__(
        self, node: NodeProto, pads: Sequence[int], shape: Sequence[int], pictures: int, seed: int
    ) -> None:
        self._node, self._pads, self._shape = node, pads, shape
        self._random, self._each = np.random.default_rng(seed), _WINDOWS // max(pictures, 1)
        taps = _taps(node, shape)
        self._count, self._sum = 0, np.zeros(taps)
        self._products = np.zeros((taps, taps), np.float32) if taps <= MOST_TAPS else None
        if self._products is None:
            self._each = min(self._each, _MOST_BYTES // (16 * taps))
        self._origin: _Planes | None = None

    def add(self, planes: _Planes) -> None:
        windows = _windows(planes, self._node, self._pads, self._shape)
        height, width = windows.shape[1:3]
        places = self._random.integers(0, height * width, min(self._each, height * width))
        seen = windows[:, places // width, places % width].transpose(1, 0, 2, 3).reshape(len(places), -1)
        if (
            self._origin is None
        ):  # near the mean, or float32 loses a small spread in the square of a large mean
            self._origin = seen.mean(axis=0)
        self._count += len(seen)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told by the ends
            seen = seen - self._origin
            self._sum += seen.sum(axis=0, dtype=np.float64)
            if self._products is not None:
                self._products += seen.T @ seen

    def moments(self) -> Moments:
        mean = self._sum / max(self._count, 1)
        with np.errstate(invalid="ignore", over="ignore"):
            origin = 0 if self._origin is None else self._origin
            if self._products is None:
                return Moments(np.asarray(mean + origin), None)
            covariance = self._products / max(self._count, 1) - np.outer(mean, mean)
            return Moments(np.asarray(mean + origin), covariance.astype(np.float32))


def _has_moments(node: NodeProto) -> bool:
    dilated = any(gap != 1 for gap in attributes(node).get("dilations", ()))
    return not (dilated and node.op_type == "ConvTranspose")


def _taps(node: NodeProto, shape: Sequence[int]) -> int:
    """How many inputs each output is made of; of a transposed convolution, those of its window (see `_windows`)."""
    if node.op_type == "Conv":
        return prod(shape[1:])
    return shape[0] * prod(_reach(node, shape))


def _reach(node: NodeProto, shape: Sequence[int]) -> list[int]:
    """Of a transposed convolution: how many inputs meet in one output, along each side."""
    strides = attributes(node).get("strides", [1, 1])
    return [-(-kernel // stride) for kernel, stride in zip(shape[2:], strides, strict=True)]


def _windows(planes: _Planes, node: NodeProto, pads: Sequence[int], shape: Sequence[int]) -> _Planes:
    """(channels, places down, places right, *window): what the kernel sees, zeros outside of the picture.

    A transposed convolution's window holds the inputs that meet in one output, the nearest first, as its
    weights do from tap to tap: see `edgegan.pack.quantise.weights`.
    """
    given = attributes(node)
    if node.op_type == "ConvTranspose":
        down, right = _reach(node, shape)
        padded = np.pad(planes, ((0, 0), (down - 1, 0), (right - 1, 0)))
        return sliding_window_view(padded, (down, right), axis=(1, 2))[..., ::-1, ::-1]
    top, left, bottom, right = pads
    padded = np.pad(planes, ((0, 0), (top, bottom), (left, right)))
    (down_step, right_step), (down_gap, right_gap) = (
        given.get("strides", (1, 1)),
        given.get("dilations", (1, 1)),
    )
    height, width = (shape[2] - 1) * down_gap + 1, (shape[3] - 1) * right_gap + 1
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))
    return windows[:, ::down_step, ::right_step, ::down_gap, ::right_gap]
