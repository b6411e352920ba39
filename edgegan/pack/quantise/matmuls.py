"""Pass, for ONNX Runtime on a CPU: convolutions as products of integer matrices, as a scale table says.

    x -> (Mul, Add) -> Quantize -> Transpose to NHWC -> (H * W, C) -> Gather -> MatMulIntegerToFloat -> NCHW

The same numbers as Q/DQ around a convolution, which ONNX Runtime computes in float: it has fast code for products of
uint8 and int8 matrices, and none for convolutions that nothing quantises behind (docs/runtimes.md). Gather lays what
each kernel sees side by side; padding, strides, and the nodes that copy values alone are in its indices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgegan.pack.graph import PassReport, constant_values, copied
from edgegan.pack.macs import known_shapes
from edgegan.pack.quantise.layers import Layer
from edgegan.pack.quantise.laying import lay_out
from edgegan.pack.quantise.making import Making
from edgegan.pack.quantise.table import Form, LayerScale, ScaleTable
from edgegan.pack.quantise.weights import IntegerWeights
from edgegan.pack.quantise.windows import Windows, windows_of

__all__ = ["DOMAIN", "as_matmuls", "reckoned", "table_for_matmuls"]

DOMAIN = "com.microsoft"
"""Of MatMulIntegerToFloat. Source: docs/ContribOperators.md of ONNX Runtime."""
_LEAST_CHANNELS = 32
"""With fewer, Gather copies so few bytes at a time that it takes longer than the convolution."""
_INT8_MAC, _GATHERED, _READ, _WRITTEN, _TWO_TERMS = 0.22, 8.0, 26.0, 26.0, 3.0
"""What INT8 costs in MACs of float: a MAC, each byte that is laid out, each value that is quantised or written; and how
much more two terms are. Of times measured with VNNI: docs/runtimes.md."""
_MIDDLE = 128
"""The level of zero where a range is even around it: x86 has fast code for uint8 times int8 alone."""


def table_for_matmuls(
    model: ModelProto, layers: Mapping[str, Layer], table: ScaleTable
) -> tuple[ScaleTable, dict[str, Windows]]:
    """The table with all layers in float that would be slower as products, and where the others' kernels look.

    layers: by name.
    """
    constants, shapes = constant_values(model.graph), known_shapes(model)
    kept: list[LayerScale] = []
    windows: dict[str, Windows] = {}
    for scale in table.layers:
        layer = layers[scale.layer]
        found = windows_of(model, layer, constants, shapes) if _pays(layer, scale, shapes) else None
        if found:
            windows[layer.name] = found
        kept.append(scale if found else replace(scale, form="float"))
    return ScaleTable(tuple(kept)), windows


def as_matmuls(
    model: ModelProto,
    layers: Mapping[str, Layer],
    table: ScaleTable,
    weights: Mapping[str, IntegerWeights],
    windows: Mapping[str, Windows],
) -> tuple[ModelProto, PassReport]:
    """layers, weights, windows: by the name of the layer; those whose form is "float" stay as they are.

    What comes of it runs on ONNX Runtime alone, and right only where `edgegan.engine.dot_product.lacking` says
    nothing.
    """
    model = copied(model)
    chosen = {scale.layer: scale for scale in table.layers if scale.form != "float"}
    shapes, making = known_shapes(model), Making()
    for node in model.graph.node:
        if scale := chosen.get(node.name):
            one = _Product(making, layers[node.name], scale, weights[node.name], windows[node.name])
            one.make(node, shapes[node.output[0]])
        else:
            making.keep(node)
    making.put_into(model.graph)
    if chosen and all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    did = f"{len(chosen)} of {len(table.layers)} convolutions as integer products for onnxruntime"
    return model, PassReport("matmuls", did, bool(chosen))


def reckoned(layer: Layer, form: Form, shapes: Mapping[str, Sequence[int]]) -> float:
    """What a convolution costs here as one or two products, in multiply-accumulates of float."""
    laid_out = layer.macs / shapes[layer.weights][0]
    cost = _INT8_MAC * layer.macs + _GATHERED * laid_out + _READ * layer.read + _WRITTEN * layer.written
    return cost * (_TWO_TERMS if form == "int8x2" else 1)


def _pays(layer: Layer, scale: LayerScale, shapes: Mapping[str, Sequence[int]]) -> bool:
    if scale.form == "float" or layer.transposed or layer.channels < _LEAST_CHANNELS:
        return False
    return reckoned(layer, scale.form, shapes) < layer.macs


class _Product:
    """The nodes that take one convolution's place."""

    def __init__(
        self, making: Making, layer: Layer, scale: LayerScale, weights: IntegerWeights, windows: Windows
    ) -> None:
        self._making, self._layer, self._scale = making, layer, scale
        self._weights, self._windows = weights, windows

    def make(self, node: NodeProto, drawn: Sequence[int]) -> None:
        """drawn: the shape of what the convolution gives."""
        value, zero = self._changed(), _MIDDLE if self._scale.symmetric else self._scale.zero_point
        given = self._weights.bias
        bias = [] if given is None else [self._making.constant(self._name("bias"), given)]
        product = self._multiplied("first", value, self._scale.step, zero, bias)
        if self._scale.form == "int8x2":
            second = self._multiplied("second", self._rest(value), self._scale.step / 254, _MIDDLE, [])
            product = self._making.add("Add", [product, second], self._name("sum"))
        batch, channels, height, width = drawn
        pixels = self._reshaped(product, "pixels", batch, height, width, channels)
        turned = helper.make_node("Transpose", [pixels], [node.output[0]], node.name, perm=[0, 3, 1, 2])
        self._making.keep(turned)

    def _changed(self) -> str:
        """The source, after what is done to it before it is quantised."""
        value, affine = self._layer.source, self._scale.affine
        for op, by in (("Mul", affine.multiply), ("Add", affine.add)):
            if by:
                constant = np.array(by, np.float32).reshape(1, -1, 1, 1)
                inputs = [value, self._making.constant(self._name(f"{op}/constant"), constant)]
                value = self._making.add(op, inputs, self._name(op))
        return value

    def _rest(self, value: str) -> str:
        """What rounding the first term has lost."""
        first = [self._name(f"first/{part}") for part in ("quantised", "step", "zero")]
        again = self._making.add("DequantizeLinear", first, self._name("first/dequantised"))
        return self._making.add("Sub", [value, again], self._name("rest"))

    def _multiplied(self, term: str, value: str, step: float, zero: int, bias: list[str]) -> str:
        """Of one term: float (rows drawn * columns drawn, channels drawn)."""
        making, channels, windows = self._making, self._layer.channels, self._windows
        steps = making.constant(self._name(f"{term}/step"), np.float32(step))
        zeros = making.constant(self._name(f"{term}/zero"), np.uint8(zero))
        levels = making.add("QuantizeLinear", [value, steps, zeros], self._name(f"{term}/quantised"))
        turned = making.add("Transpose", [levels], self._name(f"{term}/turned"), perm=[0, 2, 3, 1])
        rows = self._reshaped(turned, f"{term}/rows", windows.height * windows.width, channels)
        laid = lay_out(making, rows, self._name(term), windows, channels, zero)
        matrix, scales, no_shift = self._matrix()
        product = self._name(f"{term}/product")
        places = len(windows.rows) * len(windows.columns)
        making.say(product, TensorProto.FLOAT, [places, len(self._weights.scales)])
        inputs = [laid, matrix, steps, scales, zeros, no_shift, *bias]
        return making.add("MatMulIntegerToFloat", inputs, product, domain=DOMAIN)

    def _matrix(self) -> tuple[str, str, str]:
        """The weights, (taps down * taps across * channels, channels drawn), their scales, and their zeros: 0."""
        levels, scales = self._weights.levels, self._weights.scales
        matrix = np.ascontiguousarray(levels.transpose(2, 3, 1, 0).reshape(-1, len(scales)))
        parts = {"levels": matrix, "scales": scales, "zeros": np.zeros(len(scales), np.int8)}
        made = [self._making.constant(self._name(f"weights/{part}"), parts[part]) for part in parts]
        return made[0], made[1], made[2]

    def _reshaped(self, value: str, part: str, *sizes: int) -> str:
        shape = self._making.constant(self._name(f"{part}/shape"), np.array(sizes, np.int64))
        return self._making.add("Reshape", [value, shape], self._name(part))

    def _name(self, part: str) -> str:
        return f"int8/{self._layer.name}/{part}"
