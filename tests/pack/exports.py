"""Awkward exports: each function makes one, as an exporter or a converter would have written it."""

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.pack.nets import BYTES, FLOAT, HALF, Net

H, W = 32, 48
PLANES, LAST = [1, 3, H, W], [1, H, W, 3]
DYNAMIC = ["n", 3, "h", "w"]
"""All static exports take 32 x 48."""


def plain(
    opset: int = 17, shape: list[Any] | None = None, kind: int = FLOAT, last: str = "Tanh"
) -> ModelProto:
    """Down, normalised, up again: what most generators are made of."""
    net = Net(opset, kind)
    a = net.add("Relu", net.norm(net.conv("x", 3, 8, strides=[2, 2]), 8))
    b = net.add("Add", a, net.norm(net.conv(a, 8, 8), 8))
    net.finish(net.conv(net.doubled(b), 8, 3), last)
    return net.model(shape or PLANES)


# -- Training mode


def unet(
    opset: int = 17,
    norms: int = 3,
    dropout: bool = True,
    training: bool = True,
    still: bool = False,
    kind: int = FLOAT,
    normal: bool = False,
) -> ModelProto:
    """pix2pix's U-Net in small, down to one pixel. norms: outputs of each BatchNormalization.

    still: without its Dropouts, which is the truth that a packed one is held to. normal: with BatchNormalization
    in evaluation mode all the same.
    """
    net = Net(opset, kind)
    on = net.hold(np.array(training), np.bool_, "training")

    def norm(x: str, channels: int) -> str:
        statistics = [
            net.hold(np.full(channels, v), name=f"{n}_{len(net.held)}") for n, v in (("m", 0.1), ("v", 2.0))
        ]
        mode: dict[str, Any] = {"training_mode": int(training and not normal)} if opset >= 14 else {}
        mode["epsilon"] = 0.05
        gain, bias = net.gain_and_bias(channels)
        return net.add(
            "BatchNormalization",
            x,
            gain,
            bias,
            *statistics,
            outputs=norms,
            name=f"norm_{len(net.nodes)}",
            **mode,
        )

    def drop(x: str) -> str:
        if still or not dropout:
            return x
        more = [net.hold(np.float32(0.5), np.float32), on] if opset >= 12 else []
        return net.add("Dropout", x, *more, name=f"drop_{len(net.nodes)}")

    downs, x, channels = [], "x", 3
    for level in range(4):
        x = net.conv(x, channels, 8, 4, strides=[2, 2], pads=[1] * 4)
        x = norm(x, 8) if level else x
        downs.append(x)
        x, channels = net.add("LeakyRelu", x, alpha=0.2), 8
    for level in reversed(range(4)):
        after = 3 if level == 0 else 8
        weight = net.weight(channels, after, 4, 4)
        x = net.add("ConvTranspose", x, weight, strides=[2, 2], pads=[1] * 4)
        if level:
            x = net.add("Concat", drop(norm(x, 8)), downs[level - 1], axis=1)
            x, channels = net.add("Relu", x), 16
    net.finish(x)
    return net.model([1, 3, 16, 16])


def lone_pixel_norm() -> ModelProto:
    """A training-mode BatchNormalization of 1 x 1 maps, as a style branch has it: its variance is 0."""
    net = Net()
    pooled = net.conv(net.add("GlobalAveragePool", "x"), 3, 8, 1, pads=[0] * 4)
    gain, bias = net.gain_and_bias(8)
    running = net.hold(np.zeros(8)), net.hold(np.ones(8))
    style = net.add("BatchNormalization", pooled, gain, bias, *running, outputs=3, training_mode=1)
    net.finish(net.conv(net.add("Mul", net.conv("x", 3, 8), style), 8, 3))
    return net.model(PLANES)


def statistics_read() -> ModelProto:
    """The running mean of a training-mode normalisation goes into the picture."""
    net = Net()
    gain, bias = net.gain_and_bias(3)
    running = net.hold(np.zeros(3)), net.hold(np.ones(3))
    a = net.add(
        "BatchNormalization",
        "x",
        gain,
        bias,
        *running,
        outputs=["a", "mean", "v"],
        name="norm",
        training_mode=1,
    )
    net.finish(net.add("Add", a, net.add("Reshape", "mean", net.hold([1, 3, 1, 1]))))
    return net.model(PLANES)


def eval_dropout(opset: int) -> ModelProto:
    net = Net(opset)
    a = net.conv("x", 3, 8)
    off = [net.hold(np.float32(0.5), np.float32), net.hold(np.array(False), np.bool_)] if opset > 11 else []
    net.finish(net.conv(net.add("Dropout", a, *off, **({} if off else {"ratio": 0.5})), 8, 3))
    return net.model(PLANES)


# -- Sizes


def computed_sizes(shape: list[Any] | None = None) -> ModelProto:
    """Up to the size of an earlier map, which Shape, Slice, Concat and Cast work out, as torch's interpolate does."""
    net = Net(13)
    a = net.conv("x", 3, 8)
    b = net.add("Relu", net.conv(a, 8, 8, strides=[2, 2]))
    size = net.add("Slice", net.add("Shape", a), net.hold([2]), net.hold([4]), net.hold([0]))
    head = net.add("Slice", net.add("Shape", b), net.hold([0]), net.hold([2]), net.hold([0]))
    sizes = net.add("Concat", head, net.add("Cast", size, to=TensorProto.INT64), axis=0)
    up = net.add("Resize", b, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    net.finish(net.conv(net.add("Add", up, a), 8, 3))
    return net.model(shape or DYNAMIC, ["n", 3, "oh", "ow"])


def unsorted() -> ModelProto:
    """Nodes behind those that read their results, as a popular converter to float16 leaves its Casts."""
    model = half_inside()
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def gathered_shape() -> ModelProto:
    """Shape, Gather, Unsqueeze, Concat, Reshape: `view(b, c, -1)` of a dynamic batch, and back."""
    net = Net(13)
    a = net.conv("x", 3, 8)
    shape = net.add("Shape", a)
    axis = net.hold([0])
    one = [net.add("Unsqueeze", net.add("Gather", shape, net.hold(i)), axis) for i in range(4)]
    flat = net.add("Reshape", a, net.add("Concat", one[0], one[1], net.hold([-1]), axis=0))
    mean = net.add("ReduceMean", flat, axes=[2], keepdims=1)
    back = net.add("Reshape", net.add("Sub", flat, mean), net.add("Concat", *one, axis=0))
    net.finish(net.conv(back, 8, 3))
    return net.model(DYNAMIC, [None, None, None, None])


def minus_one_reshape() -> ModelProto:
    """A Reshape to [0, 2, -1], which fits any size, in a model whose batch alone is dynamic."""
    net = Net()
    a = net.conv("x", 3, 8)
    flat = net.add("Reshape", a, net.hold([0, 2, -1]))
    b = net.add("InstanceNormalization", flat, *net.gain_and_bias(2))
    net.finish(net.conv(net.add("Reshape", b, net.add("Shape", a)), 8, 3))
    return net.model(["n", 3, H, W])


def fixed_reshape() -> ModelProto:
    """A channel shuffle whose Reshapes hold the size."""
    net = Net()
    a = net.conv("x", 3, 8)
    split = net.add("Reshape", a, net.hold([1, 2, 4, H, W]), name="shuffle/split")
    turned = net.add("Transpose", split, perm=[0, 2, 1, 3, 4])
    net.finish(net.conv(net.add("Reshape", turned, net.hold([1, 8, H, W])), 8, 3))
    return net.model(PLANES)


def fixed_resize() -> ModelProto:
    """Resize to a size that is written down: at any other size it would draw the old one."""
    net = Net()
    a = net.add("Relu", net.conv("x", 3, 8, strides=[2, 2]))
    up = net.add("Resize", a, "", "", net.hold([1, 8, H, W]), name="decoder/up", mode="nearest")
    net.finish(net.conv(up, 8, 3))
    return net.model(PLANES)


def skips(shape: list[Any]) -> ModelProto:
    """Two levels of a U-Net: sides must be multiples of 4."""
    net = Net()
    a = net.conv("x", 3, 4, strides=[2, 2])
    b = net.conv(net.add("Relu", a), 4, 4, strides=[2, 2])
    up = net.add("ConvTranspose", b, net.weight(4, 4, 4, 4), strides=[2, 2], pads=[1] * 4)
    both = net.add("Concat", up, a, axis=1, name="skip")
    net.finish(net.add("ConvTranspose", both, net.weight(8, 3, 4, 4), strides=[2, 2], pads=[1] * 4))
    return net.model(shape)


def enlarging(times: int) -> ModelProto:
    """Super-resolution: the drawing is larger than the picture."""
    net = Net(11)
    a = net.conv(net.add("Relu", net.conv("x", 3, 8)), 8, 3 * times * times)
    net.finish(net.add("DepthToSpace", a, blocksize=times, mode="CRD"), "Sigmoid")
    return net.model(PLANES, [1, 3, H * times, W * times])


def halving() -> ModelProto:
    net = Net()
    net.finish(net.conv("x", 3, 3, strides=[2, 2]))
    return net.model(PLANES, [1, 3, H // 2, W // 2])


def huge_constant() -> ModelProto:
    """4 KB of file that would become 40 GB."""
    net = Net()
    ones = net.add("ConstantOfShape", net.hold([1, 3, 60_000, 60_000]), name="ones")
    net.finish(net.add("Add", "x", net.add("ReduceMean", ones, axes=[2, 3])))
    return net.model(PLANES)


# -- Weights


def shared_weights() -> ModelProto:
    """One initialiser for two convolutions, and one for a gain, a bias and a variance, as deduplication leaves it."""
    net = Net()
    weight, ones = net.weight(3, 3, 3, 3), net.hold(np.ones(3))
    x = net.add("Conv", "x", weight, pads=[1] * 4)
    x = net.add("BatchNormalization", x, ones, ones, ones, ones)
    net.finish(net.add("Conv", x, weight, pads=[1] * 4))
    return net.model(PLANES)


def aliased_weights() -> ModelProto:
    """Weights behind Identity nodes, as torch writes equal ones."""
    net = Net()
    weight, bias = net.weight(8, 8, 3, 3), net.hold(np.full(8, 0.1))
    alias = net.add("Identity", net.add("Identity", weight))
    x = net.add("Conv", net.conv("x", 3, 8), weight, bias, pads=[1] * 4)
    x = net.add("Conv", x, alias, net.add("Identity", bias), pads=[1] * 4)
    net.finish(net.conv(x, 8, 3))
    return net.model(PLANES)


def weights_as_inputs() -> ModelProto:
    """IR version 3: every initialiser is listed as an input too."""
    model = plain(11)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.ir_version = 3
    return model


def weights_by_nodes() -> ModelProto:
    """Weights from Constant nodes, as a converter from TensorFlow writes them."""
    model = plain()
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    del model.graph.initializer[:]
    nodes += list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def weights_of_shape() -> ModelProto:
    """Gain and bias of a normalisation from ConstantOfShape."""
    net = Net()
    eight = net.hold([8])
    one = helper.make_tensor("one", FLOAT, [1], [1.0])
    gain, bias = net.add("ConstantOfShape", eight, value=one), net.add("ConstantOfShape", eight)
    net.finish(net.conv(net.add("InstanceNormalization", net.conv("x", 3, 8), gain, bias), 8, 3))
    return net.model(PLANES)


def spoilt(value: float) -> ModelProto:
    model = plain()
    tensor = model.graph.initializer[0]
    array = numpy_helper.to_array(tensor).copy()
    array[0, 0, 0, 0] = value
    tensor.CopyFrom(numpy_helper.from_array(array, "encoder.weight"))
    model.graph.node[0].input[1] = "encoder.weight"
    return model


def few_bit_weights() -> ModelProto:
    """Weights in int8 with DequantizeLinear before them; all arithmetic is float."""
    net = Net()
    stored = net.hold(np.arange(-108, 108).reshape(8, 3, 3, 3), np.int8)
    scale, zero = net.hold(np.full(8, 0.002)), net.hold(np.zeros(8), np.int8)
    weight = net.add("DequantizeLinear", stored, scale, zero, axis=0)
    net.finish(net.conv(net.add("Conv", "x", weight, pads=[1] * 4), 8, 3))
    return net.model(PLANES)


# -- Precisions


def rounded_to_bfloat16() -> ModelProto:
    """The plain generator in float32, with weights that bfloat16 has too."""
    model = plain()
    for narrow, tensor in zip(
        plain(kind=TensorProto.BFLOAT16).graph.initializer, model.graph.initializer, strict=True
    ):
        array = numpy_helper.to_array(narrow).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def half_inside(mixed: bool = False) -> ModelProto:
    """float16 weights between Casts; mixed: the normalisation in float32."""
    net = Net(17, HALF)
    x = net.conv(net.add("Cast", "x", to=HALF), 3, 8)
    if mixed:
        wide = net.add("Cast", x, to=FLOAT)
        gain, bias = (net.hold(v, np.float32) for v in (np.full(8, 1.1), np.full(8, 0.1)))
        x = net.add("Cast", net.add("InstanceNormalization", wide, gain, bias), to=HALF)
    x = net.add("Cast", net.conv(net.add("Relu", x), 8, 3), to=FLOAT)
    net.finish(x)
    return net.model(PLANES, kinds=(FLOAT, FLOAT))


def deep_half(kind: int = HALF) -> ModelProto:
    """So many layers in float16 that their rounding can be seen. kind: FLOAT computes with the same weights."""
    net = Net(17, kind, rounded=kind == FLOAT)
    x = net.conv("x", 3, 8)
    for _ in range(12):
        x = net.add("Add", x, net.conv(net.add("Relu", net.norm(x, 8)), 8, 8))
    net.finish(net.add("Mul", net.conv(net.norm(x, 8), 8, 3), net.hold(np.float64(3.0))))
    return net.model(PLANES)


def quantised(form: str) -> ModelProto:
    net = Net()
    scale, zero = net.hold(np.float32(0.02), np.float32), net.hold(np.uint8(128), np.uint8)
    if form == "QDQ":
        pair = net.add("QuantizeLinear", "x", scale, zero, name="quantise_input")
        x = net.conv(net.add("DequantizeLinear", pair, scale, zero), 3, 3)
    else:
        weight = net.hold(np.arange(-40, 41).reshape(3, 3, 3, 3), np.int8)
        byte = net.add("QuantizeLinear", "x", scale, zero, name="quantise_input")
        if form == "QLinearConv":
            weight_zero = net.hold(np.int8(0), np.int8)
            y = net.add(form, byte, scale, zero, weight, scale, weight_zero, scale, zero, pads=[1] * 4)
            x = net.add("DequantizeLinear", y, scale, zero)
        else:
            x = net.add(
                "Mul", net.add("Cast", net.add(form, byte, weight, zero, pads=[1] * 4), to=FLOAT), scale
            )
    net.finish(x)
    return net.model(PLANES)


# -- Layouts, types, channels


def tensorflow(shape: list[Any], turn_back: bool = True) -> ModelProto:
    """Channels last outside, first inside, as tf2onnx writes it. turn_back: the output too."""
    net = Net(13)
    x = net.conv(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 3, 8)
    x = net.add("Tanh", net.conv(net.add("Relu", x), 8, 3))
    net.add("Transpose", x, perm=[0, 2, 3, 1], outputs=["y"]) if turn_back else net.add(
        "Identity", x, outputs=["y"]
    )
    return net.model(shape, shape if turn_back else PLANES)


def of_bytes(shape: list[Any], kinds: tuple[int, int] = (BYTES, BYTES)) -> ModelProto:
    """Casts of its own on both sides; the way back drops what is behind the point."""
    net = Net()
    last = shape == LAST
    x = net.add("Transpose", "x", perm=[0, 3, 1, 2]) if last else "x"
    x = (
        net.add("Div", net.add("Cast", x, to=FLOAT), net.hold(np.float32(255), np.float32))
        if kinds[0] == BYTES
        else x
    )
    x = net.add("Sigmoid", net.conv(net.add("Relu", net.conv(x, 3, 8)), 8, 3))
    if kinds[1] == BYTES:
        x = net.add("Mul", x, net.hold(np.float32(255), np.float32))
        x = net.add(
            "Cast",
            net.add("Clip", x, net.hold(np.float32(0), np.float32), net.hold(np.float32(255), np.float32)),
            to=BYTES,
        )
    net.add("Transpose", x, perm=[0, 2, 3, 1], outputs=["y"]) if last else net.add(
        "Identity", x, outputs=["y"]
    )
    return net.model(shape, kinds=kinds)


def bytes_padded() -> ModelProto:
    """Bytes that are computed with before they become floats."""
    net = Net()
    x = net.add(
        "Pad", "x", net.hold([0, 0, 1, 1, 0, 0, 1, 1]), net.hold(np.uint8(7), np.uint8), name="border"
    )
    net.finish(net.conv(net.add("Cast", x, to=FLOAT), 3, 3, pads=[0] * 4))
    return net.model(PLANES, kinds=(BYTES, FLOAT))


def channels(taken: int, drawn: int, last: bool = False) -> ModelProto:
    net = Net()
    x = net.add("Transpose", "x", perm=[0, 3, 1, 2]) if last else "x"
    x = net.add("Tanh", net.conv(net.add("Relu", net.conv(x, taken, 8)), 8, drawn))
    net.add("Transpose", x, perm=[0, 2, 3, 1], outputs=["y"]) if last else net.add(
        "Identity", x, outputs=["y"]
    )
    shapes = [[1, H, W, n] if last else [1, n, H, W] for n in (taken, drawn)]
    return net.model(*shapes)


def latent() -> ModelProto:
    net = Net()
    net.finish(net.add("ConvTranspose", "x", net.weight(100, 3, 16, 16)))
    return net.model([1, 100, 1, 1], [1, 3, 16, 16])


# -- Several inputs and outputs


def outputs(kind: str) -> ModelProto:
    net = Net()
    features = net.conv("x", 3, 8)
    mask = net.add("Sigmoid", net.conv(features, 8, 1), outputs=["mask"])
    first = net.add("Tanh", net.conv(features, 8, 3), outputs=["coarse"])
    net.finish(net.conv(net.add("Mul", first, mask), 3, 3))
    net.add("GlobalAveragePool", features, outputs=["code"])
    picked = {
        "features": {"code": [1, 8, 1, 1], "y": PLANES},
        "mask": {"mask": [1, 1, H, W], "y": PLANES},
        "two": {"coarse": PLANES, "y": PLANES},
    }
    return net.model(PLANES, outputs=picked[kind])


def second_input(shape: list[Any]) -> ModelProto:
    net = Net()
    a = net.conv("x", 3, 8)
    net.finish(net.conv(net.add("Mul", a, "strength"), 8, 3))
    return net.model(PLANES, more_inputs={"strength": shape})


# -- Names


def named(case: str) -> ModelProto:
    """The plain generator with its names changed: {tensor: name}, node names by `each`."""
    model = plain()
    names = [v.name for v in model.graph.input] + [o for n in model.graph.node for o in n.output]
    held = [t.name for t in model.graph.initializer]
    new = {
        "unicode": {n: f"слой {i}/生成 «{n}»" for i, n in enumerate(names + held)},
        "crossed": {"x": "output", "y": "input", names[1]: "pixels/before/Cast", names[2]: "planes/taken"},
        "spaces": {n: f" a {i}\n\tb " for i, n in enumerate(names + held)},
    }.get(case, {})
    for node in model.graph.node:
        node.input[:] = [new.get(n, n) for n in node.input]
        node.output[:] = [new.get(n, n) for n in node.output]
        node.name = {"nameless": "", "shared": "layer"}.get(case, node.name)
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = new.get(value.name, value.name)
    if case == "crossed":
        model.graph.node[1].name = "pixels/before/Cast"
    return model


# -- Spellings


def shuffle(spelling: str) -> ModelProto:
    """PixelShuffle by DepthToSpace, by Reshapes of a static model, or by Reshapes that read the shape."""
    net = Net(13)
    a = net.conv("x", 3, 12)
    if spelling == "DepthToSpace":
        b = net.add("DepthToSpace", a, blocksize=2, mode="CRD")
    else:
        sizes = (H, W)
        apart, back = net.hold([1, 3, 2, 2, *sizes]), net.hold([1, 3, 2 * H, 2 * W])
        if spelling == "dynamic":
            shape = net.add("Shape", a)
            spatial = net.add("Slice", shape, net.hold([2]), net.hold([4]))
            apart = net.add("Concat", net.hold([-1, 3, 2, 2]), spatial, axis=0)
            back = net.add("Concat", net.hold([-1, 3]), net.add("Mul", spatial, net.hold([2])), axis=0)
        b = net.add(
            "Reshape", net.add("Transpose", net.add("Reshape", a, apart), perm=[0, 1, 4, 2, 5, 3]), back
        )
    net.finish(net.conv(b, 3, 3))
    dynamic = spelling == "dynamic"
    return net.model(
        DYNAMIC if dynamic else PLANES, ["n", 3, "oh", "ow"] if dynamic else [1, 3, 2 * H, 2 * W]
    )


def group_norm(spelling: str) -> ModelProto:
    net = Net(21 if spelling == "operator 21" else 18 if spelling == "operator 18" else 17)
    a, gain, bias = (
        net.conv("x", 3, 8),
        *(net.hold(np.linspace(*ends, 8)) for ends in ((0.5, 1.5), (-0.2, 0.2))),
    )
    if spelling.startswith("operator"):
        if net.opset == 18:
            gain, bias = net.hold([0.7, 1.3]), net.hold([-0.1, 0.2])  # one for each group
        b = net.add("GroupNormalization", a, gain, bias, num_groups=2, epsilon=1e-5)
    else:
        flat = net.add("Reshape", a, net.hold([0, 2, -1]))
        if spelling == "InstanceNormalization":
            flat = net.add("InstanceNormalization", flat, net.hold(np.ones(2)), net.hold(np.zeros(2)))
        else:
            centred = net.add("Sub", flat, net.add("ReduceMean", flat, axes=[2]))
            squares = net.add(
                "ReduceMean", net.add("Pow", centred, net.hold(np.float32(2), np.float32)), axes=[2]
            )
            root = net.add("Sqrt", net.add("Add", squares, net.hold(np.float32(1e-5), np.float32)))
            flat = net.add("Div", centred, root)
        b = net.add("Reshape", flat, net.add("Shape", a))
        scaled = net.add("Mul", b, net.add("Unsqueeze", gain, net.hold([1, 2])))
        b = net.add("Add", scaled, net.add("Unsqueeze", bias, net.hold([1, 2])))
    net.finish(net.conv(b, 8, 3))
    return net.model(PLANES)


def layer_norm() -> ModelProto:
    """LayerNormalization over the channels, between Transposes."""
    net = Net()
    a = net.add("Transpose", net.conv("x", 3, 8), perm=[0, 2, 3, 1])
    b = net.add("LayerNormalization", a, *net.gain_and_bias(8))
    net.finish(net.conv(net.add("Transpose", b, perm=[0, 3, 1, 2]), 8, 3))
    return net.model(PLANES)


def reflect(spelling: str) -> ModelProto:
    """Reflection padding; computed: as torch up to opset 17 writes it, from (left, right, top, bottom)."""
    net = Net(11)
    if spelling == "input":
        pads = net.hold([0, 0, 2, 2, 0, 0, 2, 2])
    else:
        given = net.add("Constant", value=helper.make_tensor("v", TensorProto.INT64, [4], [2, 2, 2, 2]))
        zeros = net.add(
            "ConstantOfShape", net.hold([4]), value=helper.make_tensor("z", TensorProto.INT64, [1], [0])
        )
        pairs = net.add("Reshape", net.add("Concat", given, zeros, axis=0), net.hold([-1, 2]))
        turned = net.add(
            "Slice", pairs, net.hold([-1]), net.hold([-(2**63) + 1]), net.hold([0]), net.hold([-1])
        )
        flat = net.add("Reshape", net.add("Transpose", turned, perm=[1, 0]), net.hold([-1]))
        pads = net.add("Cast", flat, to=TensorProto.INT64)
    net.finish(net.conv(net.add("Pad", "x", pads, mode="reflect"), 3, 3, 5, pads=[0] * 4))
    return net.model(PLANES)


def transposed(**attributes: Any) -> ModelProto:
    """A transposed convolution, twice as large as what it is given."""
    net = Net()
    a = net.add("Relu", net.conv("x", 3, 8, strides=[2, 2]))
    net.finish(net.add("ConvTranspose", a, net.weight(8, 3, 3, 3), strides=[2, 2], **attributes))
    return net.model(PLANES)


def resized(mode: str, coordinates: str) -> ModelProto:
    net = Net(13)
    a = net.conv("x", 3, 8, strides=[2, 2])
    up = net.doubled(a, mode, coordinate_transformation_mode=coordinates)
    net.finish(net.conv(up, 8, 3))
    return net.model(PLANES)


# -- Operators of other kinds


def foreign(domain: str, operator: str) -> ModelProto:
    net = Net()
    net.finish(net.add(operator, net.conv("x", 3, 3), name="deform", domain=domain))
    return net.model(PLANES)


def noisy() -> ModelProto:
    net = Net()
    net.finish(net.add("Add", net.conv("x", 3, 3), net.add("RandomNormalLike", "x", name="noise")))
    return net.model(PLANES)


def branching(constant: bool) -> ModelProto:
    """If: on a constant, or on whether the picture is dark."""
    net = Net()
    value = helper.make_tensor_value_info("branch", FLOAT, PLANES)
    dark = net.add("Less", net.add("ReduceMean", "x", keepdims=0), net.hold(np.float32(0), np.float32))
    condition = net.hold(np.array(True), np.bool_) if constant else dark
    then = helper.make_graph([helper.make_node("Neg", ["x"], ["branch"])], "then", [], [value])
    other = helper.make_graph([helper.make_node("Abs", ["x"], ["branch"])], "else", [], [value])
    net.finish(net.conv(net.add("If", condition, then_branch=then, else_branch=other), 3, 3))
    return net.model(PLANES)


def looping() -> ModelProto:
    """The same block three times, in a Loop that captures its weights."""
    net = Net()
    weight = net.weight(3, 3, 3, 3)
    values = {
        name: helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("going", TensorProto.BOOL, []),
            ("carried", FLOAT, PLANES), ("output", FLOAT, PLANES),
        )
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["carried", weight], ["c"], pads=[1] * 4),
        helper.make_node("Tanh", ["c"], ["output"]),
        helper.make_node("Identity", ["go"], ["going"]),
    ]
    body = helper.make_graph(
        nodes, "body", [values[n] for n in ("i", "go", "carried")], [values[n] for n in ("going", "output")]
    )
    net.finish(net.add("Loop", net.hold(3), net.hold(np.array(True), np.bool_), "x", body=body))
    return net.model(PLANES)


def scanning() -> ModelProto:
    """A Scan down the rows: each is blended with the one above."""
    net = Net()
    rows = [helper.make_tensor_value_info(n, FLOAT, [1, 3, W]) for n in ("above", "row", "blend", "kept")]
    nodes = [
        helper.make_node("Mean", ["above", "row"], ["blend"]),
        helper.make_node("Identity", ["blend"], ["kept"]),
    ]
    body = helper.make_graph(nodes, "body", rows[:2], rows[2:])
    start = net.hold(np.zeros((1, 3, W)))
    net.add(
        "Scan",
        start,
        "x",
        outputs=["end", "all"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[2],
        scan_output_axes=[2],
    )
    net.finish(net.conv("all", 3, 3))
    return net.model(PLANES)


def sequenced() -> ModelProto:
    """The colours apart in a sequence, and together again in another order."""
    net = Net()
    colours = net.add("SplitToSequence", "x", axis=1)
    planes = [net.add("SequenceAt", colours, net.hold(n)) for n in (2, 0, 1)]
    back = net.add("ConcatFromSequence", net.add("SequenceConstruct", *planes), axis=1)
    net.finish(net.conv(back, 3, 3))
    return net.model(PLANES)


def with_function() -> ModelProto:
    """A local function, as torch's newer exporter writes modules."""
    model = plain()
    body = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Sqrt", ["b"], ["c"])]
    function = helper.make_function("local", "Magnitude", ["a"], ["c"], body, [helper.make_opsetid("", 17)])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type, relu.domain = "Magnitude", "local"
    return model


def packed_already() -> ModelProto:
    """What edgegan itself wrote."""
    from edgegan.pack.pixels import add_pixels
    from edgegan.pack.ranges import ValueRanges

    return add_pixels(onnx.shape_inference.infer_shapes(plain()), ValueRanges((-1, 1), (-1, 1)))[0]
