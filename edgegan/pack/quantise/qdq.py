"""Pass: QuantizeLinear and DequantizeLinear around convolutions, as a scale table says.

    x -> (Mul, Add) -> Quantize -> Dequantize -> (Pad, Resize) -> Conv with Dequantize(int8 weights) -> float

Nothing is quantised behind a convolution: InstanceNormalization would amplify the error, and TensorRT and OpenVINO
fuse what follows in float. Two terms: the rounding errors of the first are quantised again, and the same weights are
applied to both.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgegan.pack.graph import PassReport, copied, drop_unused, replace_nodes
from edgegan.pack.quantise.layers import Layer
from edgegan.pack.quantise.table import Floats, LayerScale, ScaleTable
from edgegan.pack.quantise.weights import IntegerWeights

__all__ = ["Target", "quantise"]

Target = Literal["openvino", "tensorrt"]
"""Where they differ: a range that is not even around zero is bytes with a zero point for OpenVINO; TensorRT takes
int8 around zero alone, so the range is moved there by an Add, with the zeros of a padding put in before."""


def quantise(
    model: ModelProto,
    layers: Mapping[str, Layer],
    table: ScaleTable,
    weights: Mapping[str, IntegerWeights],
    target: Target = "openvino",
) -> tuple[ModelProto, PassReport]:
    """layers, weights: by the name of the layer; those whose form is "float" stay as they are."""
    model = copied(model)
    graph = model.graph
    chosen = {scale.layer: scale for scale in table.layers if scale.form != "float"}
    nodes = {node.name: node for node in graph.node}
    made: list[NodeProto] = []
    for node in graph.node:
        if node.name in chosen:
            one = _Quantised(node, layers[node.name], chosen[node.name], weights[node.name], target, nodes)
            made.extend(one.nodes())
            graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in one.constants.items())
        else:
            made.append(node)
    replace_nodes(graph, made)
    drop_unused(graph)
    twice = sum(scale.form == "int8x2" for scale in chosen.values())
    did = f"{len(chosen)} of {len(table.layers)} convolutions in INT8 for {target}"
    return model, PassReport(
        "quantise", did + (f", {twice} of them in two terms" if twice else ""), bool(chosen)
    )


class _Quantised:
    """The nodes that take one convolution's place."""

    def __init__(
        self,
        node: NodeProto,
        layer: Layer,
        scale: LayerScale,
        weights: IntegerWeights,
        target: Target,
        nodes: Mapping[str, NodeProto],
    ) -> None:
        self._node, self._layer, self._scale, self._weights = node, layer, scale, weights
        self._target, self._through = target, [nodes[name] for name in reversed(layer.through)]
        self.constants: dict[str, npt.NDArray[np.generic]] = {}

    def nodes(self) -> Iterator[NodeProto]:
        """In an order in which each finds what it reads."""
        first, second = self._node.output[0], self._name("second/sum")
        affine, shift = self._scale.affine, self._shifts()
        value = self._layer.source
        if rings := shift is not None and self._layer.padded:  # zeros belong around what has been copied
            value, self._through = self._layer.input, []
        if affine.multiply:
            yield from self._changed(
                "Mul", value, "multiply", np.array(affine.multiply, np.float32).reshape(1, -1, 1, 1)
            )
            value = self._name("multiply")
        if rings:
            yield self._zeros_around(value)
            value = self._name("zeros")
        if affine.add or shift is not None:
            add = np.array(affine.add or 0.0) + (0.0 if shift is None else shift)
            yield from self._changed("Add", value, "add", add.astype(np.float32).reshape(1, -1, 1, 1))
            value = self._name("add")
        if self._scale.form == "int8x2":
            first = self._name("first/sum")
        is_bytes = self._target == "openvino" and not self._scale.symmetric
        yield from self._copied(
            value, "first", self._scale.step, self._scale.zero_point if is_bytes else None
        )
        yield from self._convolved("first", first, with_bias=True)
        if self._scale.form == "int8x2":
            yield helper.make_node(
                "Sub", [value, self._name("first/dequantised")], [self._name("rest")], self._name("rest")
            )
            yield from self._copied(self._name("rest"), "second", self._scale.step / 254, None)
            yield from self._convolved("second", second, with_bias=False)
            yield helper.make_node("Add", [first, second], [self._node.output[0]], self._name("sum"))

    def _shifts(self) -> Floats | None:
        """What is added to each channel for a runtime that quantises around zero alone; None: nothing.

        With what is added anyway it makes numbers that float16 holds, or the bias would not take away the same.
        """
        if self._target == "openvino" or self._scale.symmetric or self._scale.zero_point == 128:
            return None
        own = np.array(self._scale.affine.add) if self._scale.affine.add else np.zeros(self._layer.channels)
        whole = own + (self._scale.zero_point - 128) * self._scale.step
        return np.asarray(whole.astype(np.float16).astype(np.float64) - own)

    def _changed(self, op: str, value: str, part: str, by: npt.NDArray[np.float32]) -> Iterator[NodeProto]:
        yield helper.make_node(
            op, [value, self._constant(part + "/constant", by)], [self._name(part)], self._name(part)
        )

    def _zeros_around(self, value: str) -> NodeProto:
        top, left, bottom, right = self._layer.pads
        pads = self._constant("zeros/pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        return helper.make_node("Pad", [value, pads], [self._name("zeros")], self._name("zeros"))

    def _copied(self, value: str, term: str, step: float, zero_point: int | None) -> Iterator[NodeProto]:
        """Quantised, back in float, and through the nodes that copy values alone."""
        zero = np.int8(0) if zero_point is None else np.uint8(zero_point)
        by = [self._constant(f"{term}/step", np.float32(step)), self._constant(f"{term}/zero", zero)]
        levels, value_again = self._name(f"{term}/quantised"), self._name(f"{term}/dequantised")
        yield helper.make_node("QuantizeLinear", [value, *by], [levels], levels)
        yield helper.make_node("DequantizeLinear", [levels, *by], [value_again], value_again)
        for node in self._through:
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.name = self._name(f"{term}/{node.name}")
            copy.input[0], copy.output[0] = value_again, copy.name
            value_again = copy.name
            yield copy

    def _convolved(self, term: str, output: str, with_bias: bool) -> Iterator[NodeProto]:
        weights = self._name("weights")
        if with_bias:
            yield self._dequantised_weights(weights)
        copy = NodeProto()
        copy.CopyFrom(self._node)
        copy.name = self._node.name if with_bias else self._name(term)
        value = self._name(f"{term}/{self._through[-1].name}" if self._through else f"{term}/dequantised")
        bias = self._bias() if with_bias else None
        del copy.input[:]
        copy.input.extend([value, weights] + ([self._constant("bias", bias)] if bias is not None else []))
        copy.output[0] = output
        if self._shifts() is not None and self._layer.padded:
            kept = [attribute for attribute in copy.attribute if attribute.name not in ("pads", "auto_pad")]
            del copy.attribute[:]
            copy.attribute.extend(kept)
        yield copy

    def _dequantised_weights(self, output: str) -> NodeProto:
        levels, scales = self._weights.levels, self._weights.scales
        inputs = [
            self._constant("weights/levels", levels),
            self._constant("weights/scales", scales),
            self._constant("weights/zero", np.zeros(len(scales), np.int8)),
        ]
        return helper.make_node("DequantizeLinear", inputs, [output], output, axis=self._layer.axis)

    def _bias(self) -> npt.NDArray[np.float32] | None:
        """Without what the shift for TensorRT adds."""
        shifts = self._shifts()
        if shifts is None:
            return self._weights.bias
        levels = self._weights.levels.sum(axis=(2, 3), dtype=np.int64)  # a transposed one is never shifted
        sums = (levels @ shifts) * self._weights.scales.astype(np.float64)
        bias = 0.0 if self._weights.bias is None else self._weights.bias.astype(np.float64)
        return np.asarray(bias - sums, np.float32)

    def _constant(self, part: str, value: npt.NDArray[np.generic] | np.generic) -> str:
        self.constants[self._name(part)] = np.asarray(value)
        return self._name(part)

    def _name(self, part: str) -> str:
        return f"int8/{self._node.name}/{part}"
