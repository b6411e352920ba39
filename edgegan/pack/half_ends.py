"""Pass: pictures come into and out of a float16 generator with what float16 can hold of them.

A byte scaled to 0..1 or -1..1 is no float16 number, and normalisation makes a visible error of that on flat
pictures (multistyle26: 57 dB instead of 62). Scaled by the next power of two it is one; the rest of the scale goes
into the weights of the first convolutions. A last convolution that draws 0..255 has steps of an eighth of a grey
level above 128; drawn around 0, with the middle added in float32, the steps are half as large.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import PassReport, constant_values, copied, drop_unused, fresh_name
from edgegan.pack.pixels import INPUT, OUTPUT

__all__ = ["first_layers", "fit_ends", "replace_constant", "scaling"]

_MIDDLE, _CENTRED, _SAME = 127.5, 1e-3, 1e-6
_LAYERS = ("Conv", "ConvTranspose")
_Values = dict[str, npt.NDArray[np.generic]]


def fit_ends(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Make the input exact in float16 and centre the output, where the generator begins and ends with convolutions.

    model: packed, float32; the result draws the same but for the rounding of float32.
    """
    model = copied(model)
    did = [*_fit_input(model.graph), *_fit_output(model.graph)]
    if did:
        drop_unused(model.graph)
    return model, PassReport("ends", " and ".join(did) or "nothing to fit", bool(did))


def _fit_input(graph: GraphProto) -> Iterator[str]:
    values = constant_values(graph)
    mul, add, taken = scaling(graph, values)
    layers = first_layers(graph, values, taken)
    if mul is None or not layers or any(layer.input[1] not in values for layer in layers):
        return
    scale, offset = _number(mul, values), _number(add, values) if add else 0.0
    fitted = math.copysign(2.0 ** round(math.log2(abs(scale))), scale)
    rest = scale / fitted
    start = round(2 * offset / scale) / 2 * fitted  # -127.5 levels, where float32 has made -127.500003 of it
    if rest == 1 or abs(start * rest - offset) > _SAME * abs(offset) or not _is_exact(fitted, start):
        return
    for node, number in ((mul, fitted), (add, start)):
        if node is not None:
            _revalue(graph, node, _place(node, values), np.float32(number))
    for layer in layers:
        weight = values[layer.input[1]].astype(np.float64) * rest
        _revalue(graph, layer, 1, weight.astype(np.float32))
    yield f"pixels scaled by {fitted:g}, the rest of {scale:.4g} in the first weights"


def scaling(graph: GraphProto, values: _Values) -> tuple[NodeProto | None, NodeProto | None, str]:
    """The Mul and the Add of the input, and the tensor that they make."""
    found: dict[str, NodeProto] = {}
    tensor = INPUT
    while len(readers := _readers(graph, tensor)) == 1:
        node = readers[0]
        if node.op_type in ("Mul", "Add") and "Add" not in found and node.op_type not in found:
            if not _number(node, values):
                break
            found[node.op_type] = node
        elif node.op_type not in ("Cast", "Transpose", "Gather"):
            break
        tensor = node.output[0]
    return found.get("Mul"), found.get("Add"), tensor


def _place(node: NodeProto, values: _Values) -> int:
    """Where a node has its one number; -1 if nowhere."""
    return next((i for i, name in enumerate(node.input) if name in values and values[name].size == 1), -1)


def _number(node: NodeProto, values: _Values) -> float:
    place = _place(node, values)
    return float(values[node.input[place]].item()) if place >= 0 else 0.0


def first_layers(graph: GraphProto, values: _Values, tensor: str) -> list[NodeProto]:
    """The convolutions that alone read `tensor`, also through padding that a scale does not change; else none."""
    layers: list[NodeProto] = []
    for node in _readers(graph, tensor):
        found = [node] if node.op_type in _LAYERS and node.input[0] == tensor else []
        if node.op_type == "Pad" and not any(values.get(n, np.ones(1)).any() for n in node.input[2:3] if n):
            found = first_layers(graph, values, node.output[0])
        if not found:
            return []
        layers += found
    return layers


def _is_exact(scale: float, offset: float) -> bool:
    levels = np.arange(256) * np.float32(scale) + np.float32(offset)
    return bool((levels.astype(np.float16) == levels).all())


def _fit_output(graph: GraphProto) -> Iterator[str]:
    values = constant_values(graph)
    layer, middle = _last_layer(graph, values)
    if layer is None or abs(middle) < _CENTRED or (len(layer.input) > 2 and layer.input[2] not in values):
        return
    if len(layer.input) == 2:
        layer.input.append(
            _held(graph, layer.output[0] + "/bias", np.zeros(_channels(layer, values), np.float32))
        )
        values = constant_values(graph)
    bias = values[layer.input[2]].astype(np.float32)
    rounded = (bias - middle).astype(np.float16).astype(np.float32)  # what it loses is added with the middle
    _revalue(graph, layer, 2, rounded)
    drawn = layer.output[0]
    layer.output[0] = fresh_name(graph, drawn + "/centred")
    number = _held(graph, drawn + "/middle", (bias - rounded).reshape(1, -1, 1, 1))
    add = helper.make_node("Add", [layer.output[0], number], [drawn], drawn + "/add_middle")
    graph.node.insert(list(graph.node).index(layer) + 1, add)
    yield f"the last layer draws around 0 instead of {middle:g}"


def _last_layer(graph: GraphProto, values: _Values) -> tuple[NodeProto | None, float]:
    """The convolution whose result is drawn as it is, and which of its values is the middle of 0..255."""
    makers = {name: node for node in graph.node for name in node.output}
    node, middle = makers[OUTPUT], _MIDDLE
    while node.op_type not in _LAYERS:
        number = _number(node, values)
        if node.op_type in ("Mul", "Add") and number:
            middle = middle / number if node.op_type == "Mul" else middle - number
        elif node.op_type not in ("Cast", "Transpose", "Clip", "Round", "Gather"):
            return None, 0.0
        tensor = next((name for name in node.input if name not in values), "")
        if tensor not in makers or len(_readers(graph, tensor)) != 1:
            return None, 0.0
        node = makers[tensor]
    known = len(node.input) > 2 or node.input[1] in values
    return (node, middle) if known else (None, 0.0)


def _channels(layer: NodeProto, values: _Values) -> int:
    shape = values[layer.input[1]].shape
    group = next((a.i for a in layer.attribute if a.name == "group"), 1)
    return int(shape[0] if layer.op_type == "Conv" else shape[1] * group)


def _revalue(graph: GraphProto, node: NodeProto, place: int, value: npt.NDArray[Any] | np.float32) -> None:
    """Give an input that is a constant another value; what else reads the constant keeps the old one."""
    name = node.input[place]
    array = np.asarray(value).reshape(constant_values(graph)[name].shape)
    if len(_readers(graph, name)) > 1:
        node.input[place] = _held(graph, name + "/fitted", array)
    else:
        replace_constant(graph, numpy_helper.from_array(array, name))


def replace_constant(graph: GraphProto, tensor: TensorProto) -> None:
    """Give an initialiser or a Constant node another value, in place; it goes by the name of `tensor`."""
    for held in graph.initializer:
        if held.name == tensor.name:
            held.CopyFrom(tensor)
    for node in graph.node:
        if tensor.name in node.output:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", tensor))


def _held(graph: GraphProto, name: str, value: npt.NDArray[Any] | np.float32) -> str:
    name = fresh_name(graph, name)
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _readers(graph: GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in graph.node if tensor in node.input]
