"""Which convolutions can be quantised, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from onnx import ModelProto, NodeProto, helper

from edgegan.pack.graph import constant_values
from edgegan.pack.macs import known_shapes, macs_by_node

__all__ = ["Layer", "attributes", "find_layers", "whole_macs"]

_MIRRORS = (b"reflect", b"edge", b"wrap")
_SAME = (b"SAME_UPPER", b"SAME_LOWER")


@dataclass(frozen=True)
class Layer:
    """A convolution that can be quantised.

    name: of its node. weights: of its initialiser, with the output channels along `axis`. bias: of its
    initialiser, or empty. input: what the node reads. source: the tensor that is quantised, which is the input
    or lies before `through`: nodes that copy values alone (reflecting Pad, nearest Resize), last one first.
    macs: a picture. read, written: values a picture, of `source` and of the output. pads: zeros around the input,
    (top, left, bottom, right); of a transposed convolution none, it puts zeros in between.
    normalised: InstanceNormalization alone reads what it gives, so a constant in its output is without effect.
    """

    name: str
    op: str
    weights: str
    bias: str
    input: str
    source: str
    through: tuple[str, ...]
    macs: int
    read: int
    written: int
    channels: int
    pads: tuple[int, ...]
    normalised: bool

    @property
    def takes_pixels(self) -> bool:
        """Whether it reads the picture itself, 256 values; a transposed one has but 255 levels for them."""
        return self.source.lstrip("_") == "pixels/taken" and not self.transposed

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution, whose weights are (in, out, *kernel)."""
        return self.op == "ConvTranspose"

    @property
    def axis(self) -> int:
        """Where the output channels lie in the weights."""
        return 1 if self.transposed else 0

    @property
    def padded(self) -> bool:
        """Whether it meets zeros that are not in its input, so that zero must stay zero."""
        return self.transposed or any(self.pads)


def find_layers(model: ModelProto) -> list[Layer]:
    """All Conv and ConvTranspose with constant weights and one group, in the graph's order.

    Depthwise and other grouped convolutions are left alone: they gain nothing in INT8, and TensorRT's plan grows.
    """
    graph, shapes = model.graph, known_shapes(model)
    values, macs = constant_values(graph), macs_by_node(model)
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in values:
            continue
        bias = node.input[2] if len(node.input) > 2 else ""
        is_plane = len(shapes[node.input[1]]) == 4 and attributes(node).get("group", 1) == 1
        is_plane &= shapes[node.input[0]][0] == 1  # some networks fold space into a batch
        if not is_plane or (bias and bias not in values):
            continue
        source, through = _source(node.input[0], makers)
        if shapes[source][:2] != shapes[node.input[0]][:2]:  # channels were copied too
            source, through = node.input[0], ()
        found.append(
            Layer(
                node.name,
                node.op_type,
                node.input[1],
                bias,
                node.input[0],
                source,
                through,
                macs[node.name],
                prod(shapes[source]),
                prod(shapes[node.output[0]]),
                shapes[node.input[0]][1],
                _pads(node, shapes) if node.op_type == "Conv" else (),
                _is_normalised(node, readers),
            )
        )
    return found


def whole_macs(model: ModelProto) -> int:
    """Multiply-accumulates of the whole model, a picture."""
    return sum(macs_by_node(model).values())


def attributes(node: NodeProto) -> Mapping[str, Any]:
    """The attributes of a node by name, as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _source(name: str, makers: Mapping[str, NodeProto]) -> tuple[str, tuple[str, ...]]:
    through = []
    while name in makers and _copies(makers[name]):
        through.append(makers[name].name)
        name = makers[name].input[0]
    return name, tuple(through)


def _copies(node: NodeProto) -> bool:
    """Whether every value that it gives is one that it takes, so that quantising may come before it."""
    mode = attributes(node).get("mode")
    return (node.op_type == "Pad" and mode in _MIRRORS) or (
        node.op_type == "Resize" and mode in (None, b"nearest")
    )


def _pads(node: NodeProto, shapes: Mapping[str, list[int]]) -> tuple[int, ...]:
    """(top, left, bottom, right) of a convolution, also where `auto_pad` leaves them to the runtime."""
    given = attributes(node)
    how = given.get("auto_pad", b"NOTSET")
    if how not in _SAME:
        return tuple(given.get("pads", (0, 0, 0, 0))) if how == b"NOTSET" else (0, 0, 0, 0)
    taken, made, kernel = shapes[node.input[0]], shapes[node.output[0]], shapes[node.input[1]]
    strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
    first, last = [], []
    for axis in range(2):
        reach = (made[axis + 2] - 1) * strides[axis] + (kernel[axis + 2] - 1) * dilations[axis] + 1
        missing = max(reach - taken[axis + 2], 0)
        fewer = missing // 2
        first.append(fewer if how == b"SAME_UPPER" else missing - fewer)
        last.append(missing - first[axis])
    return (*first, *last)


def _is_normalised(node: NodeProto, readers: Mapping[str, list[NodeProto]]) -> bool:
    following = readers.get(node.output[0], [])
    return len(following) == 1 and following[0].op_type == "InstanceNormalization"
