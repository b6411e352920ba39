"""Packed generators of every kind of convolution that a quantiser meets, and pictures for them."""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import constant_values, copied
from edgegan.pack.names import name_nodes
from edgegan.pack.pixels import add_pixels
from edgegan.pack.quantise.drawing import Memo, Studio
from edgegan.pack.quantise.layers import find_layers
from edgegan.pack.quantise.observing import Observed, observe
from edgegan.pack.quantise.sets import Picture, Sets
from edgegan.pack.ranges import ValueRanges
from edgegan.pack.reading import session
from tests.pack.nets import Net

H, W = 16, 24
SIGNED, BYTES = ValueRanges((-1, 1), (-1, 1)), ValueRanges((0, 255), (0, 255))


def packed(
    net: Net, ranges: ValueRanges = SIGNED, size: tuple[int, int] = (H, W), **more: object
) -> ModelProto:
    """The net, which takes and draws [1, 3, *size], with its pixels around it."""
    return add_pixels(name_nodes(net.model([1, 3, *size], **more))[0], ranges)[0]


def around(
    build: Callable[[Net, str], str], opset: int = 17, last: str = "Tanh", **more: object
) -> ModelProto:
    """A convolution to 8 channels, Relu, what `build` makes of that (8 channels again), a convolution back."""
    net = Net(opset)
    made = build(net, net.add("Relu", net.conv("x", 3, 8)))
    net.finish(net.conv(net.add("Relu", made), 8, 3), last)
    return packed(net, **more)


def transposed(net: Net, x: str, before: int = 8, after: int = 8, size: int = 4, **more: object) -> str:
    return net.add("ConvTranspose", x, net.weight(before, after, size, size), net.weight(after), **more)


def _shared(net: Net, x: str) -> str:
    weights, bias = net.weight(8, 8, 3, 3), net.weight(8)
    first = net.add("Relu", net.add("Conv", x, weights, bias, pads=[1] * 4))
    return net.add("Conv", first, weights, bias, pads=[1] * 4)


def _constant_node(net: Net, x: str) -> str:
    weights = np.random.default_rng(5).normal(0, 0.15, (8, 8, 3, 3)).astype(np.float32)
    held = net.add("Constant", value=numpy_helper.from_array(weights))
    return net.add("Conv", x, held, pads=[1] * 4)


def _mirrored(net: Net, x: str, mode: str = "reflect") -> str:
    pads = net.hold([0, 0, 2, 1, 0, 0, 0, 1])
    return net.conv(net.add("Pad", x, pads, mode=mode), 8, 8, pads=[0] * 4)


def _down_and_up(net: Net, x: str, **up: object) -> str:
    down = net.add("Relu", net.conv(x, 8, 8, strides=[2, 2]))
    return transposed(net, down, **({"strides": [2, 2], "pads": [1] * 4} | up))


def _not_finite_within(net: Net, x: str) -> str:
    """Logarithms of zero, of which nothing is left behind the convolution."""
    made = net.conv(net.add("Log", x), 8, 8)
    zeros = net.hold(np.zeros(1), np.float32)
    return net.add(
        "Clip",
        net.add("Where", net.add("IsNaN", made), zeros, made),
        net.hold(np.float32(-5)),
        net.hold(np.float32(5)),
    )


ODD: Mapping[str, Callable[[Net, str], str]] = {
    "plain": lambda net, x: net.conv(x, 8, 8),
    "1x1": lambda net, x: net.conv(x, 8, 8, 1),
    "shared weights": _shared,
    "two readers": lambda net, x: net.add("Add", net.conv(x, 8, 8), net.conv(x, 8, 8, 1)),
    "weights of a Constant": _constant_node,
    "uneven pads": lambda net, x: net.conv(x, 8, 8, 4, pads=[1, 2, 2, 1]),
    "SAME_UPPER": lambda net, x: net.conv(x, 8, 8, 4, auto_pad="SAME_UPPER"),
    "SAME_LOWER": lambda net, x: net.conv(x, 8, 8, 4, auto_pad="SAME_LOWER"),
    "SAME_UPPER, strides": lambda net, x: net.doubled(
        net.conv(x, 8, 8, auto_pad="SAME_UPPER", strides=[2, 2])
    ),
    "VALID": lambda net, x: net.add(
        "Pad", net.conv(x, 8, 8, auto_pad="VALID"), net.hold([0, 0, 1, 1, 0, 0, 1, 1])
    ),
    "dilations": lambda net, x: net.conv(x, 8, 8, pads=[2, 3, 2, 3], dilations=[2, 3]),
    "strides beyond the kernel": lambda net, x: net.doubled(net.conv(x, 8, 8, 1, strides=[2, 2])),
    "mirrored": _mirrored,
    "edges repeated": lambda net, x: _mirrored(net, x, "edge"),
    "doubled before": lambda net, x: net.conv(net.doubled(x), 8, 8, strides=[2, 2]),
    "mirrored, then padded": lambda net, x: net.conv(
        net.add("Pad", x, net.hold([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), 8, 8, 5, pads=[1] * 4
    ),
    "transposed": _down_and_up,
    "transposed 3x3, output padding": lambda net, x: transposed(
        net, net.conv(x, 8, 8, strides=[2, 2]), size=3, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]
    ),
    "transposed, kernel below stride": lambda net, x: transposed(
        net, net.conv(x, 8, 8, strides=[2, 2]), size=1, strides=[2, 2], output_padding=[1, 1]
    ),
    "transposed, dilations": lambda net, x: transposed(net, x, size=3, pads=[2] * 4, dilations=[2, 2]),
    "transposed, SAME": lambda net, x: transposed(
        net, net.conv(x, 8, 8, strides=[2, 2]), size=3, strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "one pixel": lambda net, x: net.add(
        "Mul", x, net.add("Sigmoid", net.conv(net.add("GlobalAveragePool", x), 8, 8, 1))
    ),
    "normalised pixel": lambda net, x: net.add(
        "Mul", x, net.conv(net.norm(net.add("GlobalAveragePool", x), 8), 8, 8, 1)
    ),
    "dead": lambda net, x: net.conv(net.add("Relu", net.add("Sub", x, net.hold(np.float32(1e3)))), 8, 8),
    "constant": lambda net, x: net.conv(
        net.add("Clip", x, net.hold(np.float32(500)), net.hold(np.float32(500))), 8, 8
    ),
    "rare": lambda net, x: net.conv(net.add("Pow", x, net.hold(np.float32(6), np.float32)), 8, 8),
    "not finite within": _not_finite_within,
    "normalised": lambda net, x: net.norm(net.conv(x, 8, 8), 8),
}


def pictures(count: int = 6, size: tuple[int, int] = (H, W), seed: int = 0) -> tuple[Picture, ...]:
    """Smooth coloured clouds, no two alike."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        small = random.integers(0, 256, (3, 4, 3), np.uint8)
        pixels = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
        found.append(Picture(f"{number}.png", np.asarray(pixels, np.uint8)))
    return tuple(found)


def sets(size: tuple[int, int] = (H, W), seed: int = 0) -> Sets:
    """6 to calibrate, 4 to search, 5 to judge, 2 and 3 in clips."""
    every = pictures(20, size, seed)
    clip = tuple(one.pixels for one in every[15:])
    return Sets(every[:6], every[6:10], every[10:15], clip[:2], clip[2:], "clouds", seed)


def weights_of(model: ModelProto) -> dict[str, np.ndarray]:
    """By the name of the initialiser, float64."""
    held = constant_values(model.graph)
    names = {name for layer in find_layers(model) for name in (layer.weights, layer.bias) if name}
    return {name: held[name].astype(np.float64) for name in names}


def opened(model: ModelProto, memo: Memo | None = None) -> tuple[Studio, Observed]:
    """A studio with six pictures that calibrate, four to draw and two in a clip."""
    layers = find_layers(model)
    observed = observe(model, layers, pictures())
    shown, clip = pictures(4, seed=1), [one.pixels for one in pictures(2, seed=2)]
    studio = Studio(model, layers, observed, weights_of(model), shown, clip, memo or Memo(None))
    return studio, observed


def inside(model: ModelProto, names: Sequence[str], shown: Sequence[Picture]) -> dict[str, np.ndarray]:
    """Tensors of a packed model, (pictures, channels, height, width), by name."""
    model = copied(model)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    run = session(model.SerializeToString(), "the model").run
    each = [run(list(names), {"input": one.pixels[None]}) for one in shown]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*each, strict=True), strict=True)}


def run_nodes(
    model: ModelProto, nodes: Sequence[str], source: str, values: np.ndarray, held: Mapping[str, np.ndarray]
) -> np.ndarray:
    """What these nodes of a model, in their order, make of other values of `source`, with some constants changed."""
    chosen = [next(node for node in model.graph.node if node.name == name) for name in nodes]
    constants = {**constant_values(model.graph), **held}
    used = {name for node in chosen for name in node.input if name in constants}
    graph = helper.make_graph(
        chosen,
        "part",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", *values.shape[1:]])],
        [helper.make_empty_tensor_value_info(chosen[-1].output[0])],
        [numpy_helper.from_array(np.ascontiguousarray(constants[name]), name) for name in sorted(used)],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    run = session(part.SerializeToString(), "a part of the model").run
    return np.concatenate([run(None, {source: one[None].astype(np.float32)})[0] for one in values])
