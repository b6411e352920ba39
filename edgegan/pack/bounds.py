"""Between which numbers must the output of a generator lie? Read from the graph."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto, helper

from edgegan.pack.graph import constant_values

__all__ = ["Bounds", "output_bounds"]


@dataclass(frozen=True)
class Bounds:
    """low <= values <= high; node: the operator that bounds them; as_is: nothing scales them after it."""

    low: float = -math.inf
    high: float = math.inf
    node: str = ""
    as_is: bool = True

    def clipped(self, low: float, high: float, node: str) -> "Bounds":
        """Both bounds together. Those of the earlier node stay where the later one changes nothing."""
        if low <= self.low and high >= self.high:
            return self
        return Bounds(max(low, self.low), min(high, self.high), node)

    def scaled(self, scale: float, offset: float) -> "Bounds":
        """Of values * scale + offset."""
        if not scale:
            return Bounds()
        ends = sorted((self.low * scale + offset, self.high * scale + offset))
        return replace(self, low=ends[0], high=ends[1], as_is=False)


_UNBOUNDED = Bounds()
_Of = Callable[[str], Bounds]
_Constant = Callable[[str], float | None]

_ACTIVATIONS = {
    "Tanh": (-1.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Relu": (0.0, math.inf),
}
_MOVED = {  # these choose and arrange values, or average them, and so keep their bounds
    *(
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Expand",
        "Slice",
        "Split",
        "Gather",
    ),
    *("DepthToSpace", "SpaceToDepth", "Tile", "MaxPool"),
}
_CONSTANT_STILL = {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Expand"}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def output_bounds(graph: GraphProto) -> Bounds | None:
    """The bounds of the graph's first output, over all pictures; None if nothing bounds it on both sides.

    graph: with its nodes in order, each behind those that it reads from.

    A scale or offset that differs by channel is no bound: black and white would be different numbers in each.
    """
    bounds = _Reader(graph).bounds(graph.output[0].name)
    return bounds if math.isfinite(bounds.low) and math.isfinite(bounds.high) else None


class _Reader:
    """Reads the nodes in their order, each once: a chain may be longer than Python's stack."""

    def __init__(self, graph: GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._constants = constant_values(graph)
        self._known: dict[str, Bounds] = {}
        for node in graph.node:
            self._known |= dict.fromkeys(node.output, self._of_node(node))

    def bounds(self, tensor: str) -> Bounds:
        """Nothing bounds the graph's inputs."""
        return self._known.get(tensor, _UNBOUNDED)

    def constant(self, tensor: str) -> float | None:
        """The number of which a constant tensor is full; None if it is not constant, or not of one number."""
        maker = self._makers.get(tensor)
        while maker is not None and maker.op_type in _CONSTANT_STILL:
            tensor = maker.input[0]
            maker = self._makers.get(tensor)
        return _only_number(self._constants, tensor)

    def _of_node(self, node: NodeProto) -> Bounds:
        operator = node.op_type
        if operator in _MOVED or _keeps_bounds(node):
            return self.bounds(node.input[0])
        if operator == "Concat":
            return _together([self.bounds(name) for name in node.input])
        if operator in _ACTIVATIONS:
            return self.bounds(node.input[0]).clipped(*_ACTIVATIONS[operator], _name(node))
        reader = _OPERATORS.get(operator)
        return reader(node, self.bounds, self.constant) if reader else _UNBOUNDED


def _clip(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    given = [constant(name) if name else None for name in node.input[1:]]
    low, high = (*given, None, None)[:2]
    return of(node.input[0]).clipped(
        -math.inf if low is None else low, math.inf if high is None else high, _name(node)
    )


def _least(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    tensor, number = _tensor_and_number(node, constant)
    return _UNBOUNDED if number is None else of(tensor).clipped(-math.inf, number, _name(node))


def _greatest(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    tensor, number = _tensor_and_number(node, constant)
    return _UNBOUNDED if number is None else of(tensor).clipped(number, math.inf, _name(node))


def _multiplied(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    tensor, number = _tensor_and_number(node, constant)
    return _UNBOUNDED if number is None else of(tensor).scaled(number, 0)


def _added(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    tensor, number = _tensor_and_number(node, constant)
    return _UNBOUNDED if number is None else of(tensor).scaled(1, number)


def _subtracted(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    first, second = (constant(name) for name in node.input)
    if second is not None:
        return of(node.input[0]).scaled(1, -second)
    return _UNBOUNDED if first is None else of(node.input[1]).scaled(-1, first)


def _divided(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    number = constant(node.input[1])
    return of(node.input[0]).scaled(1 / number, 0) if number else _UNBOUNDED


def _negated(node: NodeProto, of: _Of, constant: _Constant) -> Bounds:
    return of(node.input[0]).scaled(-1, 0)


_OPERATORS: dict[str, Callable[[NodeProto, _Of, _Constant], Bounds]] = {
    "Clip": _clip,
    "Min": _least,
    "Max": _greatest,
    "Mul": _multiplied,
    "Add": _added,
    "Sub": _subtracted,
    "Div": _divided,
    "Neg": _negated,
}


def _keeps_bounds(node: NodeProto) -> bool:
    """For operators of which some settings keep bounds: cubic resizing overshoots, zero padding adds zeros."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Cast":
        return attributes.get("to") in _FLOATS
    if node.op_type == "Pad":
        return attributes.get("mode") in (b"reflect", b"edge", b"wrap")
    if node.op_type in ("Resize", "Upsample"):
        crops = attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
        return attributes.get("mode", b"nearest") in (b"nearest", b"linear") and not crops
    return False


def _together(parts: list[Bounds]) -> Bounds:
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    return replace(parts[0], low=low, high=high)


def _tensor_and_number(node: NodeProto, constant: _Constant) -> tuple[str, float | None]:
    """Of two inputs the tensor and the constant, in either order; the number is None if neither is constant."""
    if len(node.input) != 2:
        return node.input[0], None
    first, second = node.input
    number = constant(second)
    return (first, number) if number is not None else (second, constant(first))


def _only_number(constants: Mapping[str, npt.NDArray[np.generic]], tensor: str) -> float | None:
    values = constants.get(tensor)
    if values is None or not values.size or not np.issubdtype(values.dtype, np.number):
        return None
    return float(values.flat[0]) if (values == values.flat[0]).all() else None


def _name(node: NodeProto) -> str:
    return f"{node.op_type} '{node.name}'" if node.name else str(node.op_type)
