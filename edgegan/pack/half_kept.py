"""Which nodes stay in float32 when a packed model becomes float16, and why."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto, defs

from edgegan.errors import ModelError
from edgegan.pack.graph import constant_values, node_text
from edgegan.pack.half_ends import first_layers, scaling
from edgegan.pack.pixels import INPUT, OUTPUT

__all__ = ["ANY_FLOAT", "CONSTANT", "Formals", "kept_in_float32"]

REDUCES, POWER, PIXELS, FIRST, CONSTANT, ALONG, NO_HALF, ASKED = (
    "reductions",
    "powers",
    "pixels",
    "first layers of pixels 0 to 255",
    "constants",
    "what is computed of these alone",
    "operators that ONNX has in float32 alone",
    "asked for",
)
"""Reasons, in the words of the report. A constant's reason is `CONSTANT` and the constant's name and value."""

ANY_FLOAT = ("Cast", "Shape", "Size")
"""Operators that take a tensor as it comes, and whose result has another type."""

_STATISTICS = (
    *("GlobalAveragePool", "GlobalLpPool", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"),
    *("ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "CumSum"),
)
_NORMALISATIONS = (
    *("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"),
    *("LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "LRN", "LogSoftmax", "Softmax"),
)
_POWERS = ("Pow", "Exp")  # 256 squared, and e to the 12th, are beyond float16
_ARITHMETIC = (
    *("Abs", "Add", "Clip", "Div", "Expand", "Identity", "Log", "Max", "Mul", "Neg", "Pow", "Reciprocal"),
    *("Reshape", "Sqrt", "Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze"),
)
_INTO_PIXELS = (
    *_ARITHMETIC,
    *("Gather", "HardSigmoid", "Min", "Round", "Sigmoid", "Softsign", "Tanh"),
)
_SCALES = ("Div", "DequantizeLinear", "QuantizeLinear")  # each element of their second input counts alone
_LAYERS, _BIAS = (
    ("Conv", "ConvTranspose", "Gemm"),
    2,
)  # trained next to a normalisation a bias is 1e-10: it may go
_TENSOR_LOSS, _ELEMENT_LOSS = 2.0**-10, 2.0**-9
_OWN_TYPE = (("Resize", "T2"),)  # the region of interest has a type of its own, and float32 is right for it

Kinds = Mapping[str, int]
_Values = Mapping[str, npt.NDArray[np.generic]]


class Formals:
    """What ONNX says about the types of a node's inputs and outputs, in the given opset."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._known: dict[str, defs.OpSchema] = {}

    def halved(self, node: NodeProto, kinds: Kinds) -> set[str]:
        """The type variables that become float16 where this node does: those of float32 inputs that may."""
        if node.op_type in ANY_FLOAT:
            return set()
        inputs = [f for name, f in self.of_inputs(node) if kinds.get(name) == TensorProto.FLOAT]
        able = {f.type_str for f in inputs if "tensor(float16)" in f.types and "(" not in f.type_str}
        return able - {variable for operator, variable in _OWN_TYPE if operator == node.op_type}

    def of_inputs(self, node: NodeProto) -> Iterator[tuple[str, defs.OpSchema.FormalParameter]]:
        """Each input, also one that is left out, with what ONNX says of it."""
        return self._paired(node.input, self._schema(node).inputs)

    def of_outputs(self, node: NodeProto) -> Iterator[tuple[str, defs.OpSchema.FormalParameter]]:
        """Each output with what ONNX says of it."""
        return self._paired(node.output, self._schema(node).outputs)

    def holds_sequences(self, node: NodeProto) -> bool:
        """Whether it takes or gives a list of tensors."""
        schema = self._schema(node)
        return any("seq(" in kind for f in (*schema.inputs, *schema.outputs) for kind in f.types)

    def _schema(self, node: NodeProto) -> defs.OpSchema:
        if node.op_type not in self._known:
            try:
                self._known[node.op_type] = defs.get_schema(node.op_type, self._opset, node.domain)
            except defs.SchemaError as error:
                raise ModelError(
                    f"{node_text(node)} is no operator of ONNX", "float16 needs ONNX's own operators alone"
                ) from error
        return self._known[node.op_type]

    @staticmethod
    def _paired(
        names: Iterable[str], formals: Iterable[defs.OpSchema.FormalParameter]
    ) -> Iterator[tuple[str, defs.OpSchema.FormalParameter]]:
        listed = list(formals)  # the last may stand for any number
        return ((name, listed[min(i, len(listed) - 1)]) for i, name in enumerate(names))


def kept_in_float32(
    graph: GraphProto, kinds: Kinds, formals: Formals, asked: Collection[str] = ()
) -> dict[int, str]:
    """The reason for each node of `graph`, by its index, that is to be computed in float32.

    kinds: element type of each tensor; asked: names of nodes that are kept because somebody says so.
    """
    search = _Search(graph, kinds, formals, asked)
    search.first_layers()
    search.by_themselves()
    search.before_powers()
    search.along()
    search.before_the_picture()
    return search.kept


class _Search:
    def __init__(self, graph: GraphProto, kinds: Kinds, formals: Formals, asked: Collection[str]) -> None:
        self._graph = graph
        self._nodes: list[NodeProto] = list(graph.node)
        self._kinds, self._formals, self._asked = kinds, formals, asked
        self._values: _Values = {
            name: value
            for name, value in constant_values(graph).items()
            if kinds.get(name) == TensorProto.FLOAT
        }
        self._taken = {name for node in graph.node if INPUT in node.input for name in node.output}
        self.kept: dict[int, str] = {}

    def first_layers(self) -> None:
        """Pixels that are not scaled down make sums of thousands, and a normalisation that divides by the small
        deviation of a flat picture makes their rounding visible: its epsilon is nothing beside such numbers.
        """
        values = constant_values(self._graph)
        mul, _, taken = scaling(self._graph, values)
        names = (
            {node.output[0] for node in first_layers(self._graph, values, taken)} if mul is None else set()
        )
        for index, node in enumerate(self._nodes):
            readers = [self._nodes[r].op_type for r in self._readers.get(node.output[0], [])]
            if names.intersection(node.output) and readers and set(readers) <= set(_NORMALISATIONS):
                self.kept[index] = FIRST

    def by_themselves(self) -> None:
        for index, node in enumerate(self._nodes):
            if index not in self.kept and self._floats(node) and (reason := self._own_reason(node)):
                self.kept[index] = reason

    def before_powers(self) -> None:
        """A difference that is squared: rounded, it would spoil a variance."""
        squared = {name for i in self.kept for name in self._nodes[i].input if self.kept[i] == POWER}
        for index, node in enumerate(self._nodes):
            if node.op_type == "Sub" and squared.intersection(node.output):
                self.kept.setdefault(index, ALONG)

    def along(self) -> None:
        """Forward: arithmetic on what is in float32 anyway, and on constants, needs no cast in between."""
        wide = dict.fromkeys(self._taken, PIXELS)
        for index, node in enumerate(self._nodes):
            floats = self._varying(node)
            able = node.op_type in _ARITHMETIC or (node.op_type == "Gather" and set(floats) & set(wide))
            if able and floats and all(name in wide for name in floats):
                reason = PIXELS if {wide[name] for name in floats} == {PIXELS} else ALONG
                self.kept.setdefault(index, reason)
            if index in self.kept and node.op_type not in _NORMALISATIONS:
                wide.update(dict.fromkeys(node.output, self.kept[index]))

    def before_the_picture(self) -> None:
        """Backward from the output: half a grey level of 255 is all that float16 would leave to round."""
        for index in reversed(range(len(self._nodes))):
            node = self._nodes[index]
            readers = [r for name in node.output for r in self._readers.get(name, [])]
            if OUTPUT in node.output or (
                node.op_type in _INTO_PIXELS and readers and all(self.kept.get(r) == PIXELS for r in readers)
            ):
                self.kept[index] = PIXELS

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        readers: dict[str, list[int]] = {}
        for index, node in enumerate(self._nodes):
            for name in node.input:
                readers.setdefault(name, []).append(index)
        return readers

    def _floats(self, node: NodeProto) -> list[str]:
        return [name for name in node.input if self._kinds.get(name) == TensorProto.FLOAT]

    def _varying(self, node: NodeProto) -> list[str]:
        return [name for name in self._floats(node) if name not in self._values]

    def _own_reason(self, node: NodeProto) -> str | None:
        if node.name in self._asked:
            return ASKED
        if node.op_type in (*_STATISTICS, *_NORMALISATIONS):
            return REDUCES
        if node.op_type in _POWERS or (node.op_type == "Mul" and node.input[0] == node.input[1]):
            return POWER
        if not self._formals.halved(node, self._kinds) and node.op_type not in ANY_FLOAT:
            return NO_HALF
        if self._formals.holds_sequences(node):
            return NO_HALF
        return self._lost_constant(node)

    def _lost_constant(self, node: NodeProto) -> str | None:
        halved = self._formals.halved(node, self._kinds)
        for index, (name, formal) in enumerate(self._formals.of_inputs(node)):
            if (
                name in self._values
                and formal.type_str in halved
                and _is_lost(self._values[name], node, index)
            ):
                return f"{CONSTANT} {name} {_extreme(self._values[name])}"
        return None


def _is_lost(values: npt.NDArray[np.generic], node: NodeProto, index: int) -> bool:
    """Whether float16 would spoil this input: beyond its range, or so small that little or nothing is left."""
    wide = np.abs(values[np.isfinite(values)].astype(np.float64))
    if not wide.size:
        return False
    with np.errstate(over="ignore"):
        error = np.abs(wide.astype(np.float16).astype(np.float64) - wide)
    if index == _BIAS and node.op_type in _LAYERS:
        return bool(np.isinf(error).any())
    if index == 1 and node.op_type in _SCALES:
        return bool((error > wide * _ELEMENT_LOSS).any())
    return bool(error.max() > wide.max() * _TENSOR_LOSS)


def _extreme(values: npt.NDArray[np.generic]) -> str:
    wide = np.abs(values[np.isfinite(values) & (values != 0)].astype(np.float64))
    return f"{wide.max():.3g}" if wide.max() > 1 else f"{wide.min():.3g}"
