"""Faults that a version of a generator may have, to plant them: in a packed model, or in what it drew."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgegan.frame import Pixels
from edgegan.pack.graph import copied
from edgegan.pack.reading import run_session, session

Ranges = dict[str, tuple[float, float]]


def drawings(model: ModelProto, pictures: Sequence[Pixels]) -> list[Pixels]:
    """What a packed model draws, on ONNX Runtime."""
    opened = session(model.SerializeToString(), "the model")
    return [run_session(opened, {"input": pixels[None]}, "output")[0] for pixels in pictures]


def ranges_of(model: ModelProto, pictures: Sequence[Pixels]) -> Ranges:
    """Smallest and largest value of what each convolution takes, over all pictures."""
    names = list(dict.fromkeys(node.input[0] for node in convolutions(model)))
    model = copied(model)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    opened = session(model.SerializeToString(), "the model")
    values = [opened.run(names, {"input": pixels[None]}) for pixels in pictures]
    each = zip(names, zip(*values, strict=True), strict=True)
    return {name: (min(v.min() for v in seen), max(v.max() for v in seen)) for name, seen in each}


def convolutions(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]


def rounded(model: ModelProto, ranges: Ranges, weight_bits: int = 8, bits: int = 8) -> ModelProto:
    """Weights (each output channel for itself, symmetric) and what convolutions take, held in so many bits.

    In floats: what integers would compute, without their speed.
    """
    model = copied(model)
    for node in convolutions(model):
        axis = 1 if node.op_type == "ConvTranspose" else 0
        weights = _weights(model, node)
        scales = _scales(weights, axis, weight_bits)
        _set_weights(model, node, np.rint(weights / scales) * scales)
    for name in dict.fromkeys(node.input[0] for node in convolutions(model)):
        lowest, highest = min(ranges[name][0], 0), max(ranges[name][1], 0)
        scale = (highest - lowest) / (2**bits - 1)
        model = _after(model, name, "Div", scale)
        model = _after(model, f"{name}/Div", "Round")
        model = _after(model, f"{name}/Div/Round", "Mul", scale)
        model = _after(model, f"{name}/Div/Round/Mul", "Clip", lowest, highest)
    return model


def with_wrong_axis(model: ModelProto) -> ModelProto:
    """The first convolution of as many channels in as out: rounded by the scales of one axis, read by the other's."""
    model = copied(model)
    square = (node for node in convolutions(model) if len(set(_weights(model, node).shape[:2])) == 1)
    node = next(square)
    weights = _weights(model, node)
    of_out, of_in = _scales(weights, 0, 8), _scales(weights, 1, 8)
    crossed = np.clip(np.rint(weights / of_in), -127, 127) * of_out
    _set_weights(model, node, crossed)
    return model


def with_clipped_tensor(model: ModelProto, ranges: Ranges, layer: int, part: int = 3) -> ModelProto:
    """What the convolution of this index takes, clipped to a third (or so) of its range."""
    name = convolutions(model)[layer].input[0]
    return _after(copied(model), name, "Clip", ranges[name][0] / part, ranges[name][1] / part)


def shifted(pixels: Pixels, levels: float, channel: int = 0) -> Pixels:
    """One channel brighter."""
    return _added(pixels, levels * (np.arange(3) == channel))


def torn(pixels: Pixels, levels: float) -> Pixels:
    """Red, brighter in the left half, and as much darker in the right: no cast on average."""
    side = np.where(np.arange(pixels.shape[1]) < pixels.shape[1] // 2, levels, -levels)
    return _added(pixels, side[None, :, None] * (np.arange(3) == 2))


def chequered(pixels: Pixels, levels: float, period: int = 2) -> Pixels:
    """A checkerboard of +-levels."""
    y, x = np.indices(pixels.shape[:2]) // (period // 2)
    return _added(pixels, levels * (1 - 2 * ((y + x) % 2))[..., None])


def noisy(pixels: Pixels, levels: float, seed: int = 0, blur: float = 0) -> Pixels:
    """Noise of this standard deviation; blur: the sigma that smooths it beforehand."""
    noise = np.random.default_rng(seed).normal(0, 1, pixels.shape)
    noise = cv2.GaussianBlur(noise, (0, 0), blur) if blur else noise
    return _added(pixels, levels * noise / noise.std())


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _added(pixels: Pixels, what: npt.NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(pixels + what), 0, 255).astype(np.uint8)


def _scales(weights: npt.NDArray[np.float64], axis: int, bits: int) -> npt.NDArray[np.float64]:
    others = tuple(n for n in range(weights.ndim) if n != axis)
    return np.maximum(np.abs(weights).max(others, keepdims=True), 1e-12) / (2 ** (bits - 1) - 1)


def _weights(model: ModelProto, node: NodeProto) -> npt.NDArray[np.float64]:
    held = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    return numpy_helper.to_array(held).astype(np.float64)


def _set_weights(model: ModelProto, node: NodeProto, weights: npt.NDArray[np.float64]) -> None:
    held = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    held.CopyFrom(numpy_helper.from_array(weights.astype(np.float32), held.name))


def _after(model: ModelProto, name: str, operator: str, *numbers: float) -> ModelProto:
    """A node between a tensor and all that take it; it changes the model."""
    made = f"{name}/{operator}"
    held = [numpy_helper.from_array(np.float32(number), f"{made}/{n}") for n, number in enumerate(numbers)]
    for node in model.graph.node:
        for n, taken in enumerate(node.input):
            if taken == name:
                node.input[n] = made
    node = helper.make_node(operator, [name, *(tensor.name for tensor in held)], [made], made)
    place = next(i for i, one in enumerate(model.graph.node) if name in one.output) + 1
    model.graph.node.insert(place, node)
    model.graph.initializer.extend(held)
    return model
