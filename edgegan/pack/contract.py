"""What must hold of every packed model, whichever passes made it: the pixel contract.

Runtimes differ in what they do with bytes: TensorRT converts them in a Cast alone, truncates where others
round, and leaves what is out of 0..255 undefined. So a uint8 tensor touches exactly one Cast, and the output
is Round, Clip 0..255, Transpose, Cast.
"""

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from edgegan.errors import ModelError
from edgegan.pack.graph import constant_values, described, dims_of, nodes_in, producer_of
from edgegan.pack.pixels import INPUT, OUTPUT, PIXELS_FROM_PLANES

__all__ = ["check_contract"]

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_QUANTISERS = (
    "QuantizeLinear",
    "DequantizeLinear",
)  # bytes between these two, with a zero point, are OpenVINO's
_PRODUCT = "MatMulIntegerToFloat"
_COPYING = ("Transpose", "Reshape", "Concat", "Gather")
"""What may lie between QuantizeLinear and a product: these bytes are ONNX Runtime's."""


def check_contract(model: ModelProto) -> None:
    """Raise `ModelError`, which names the node or the tensor, unless the model keeps the pixel contract."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    _check_picture(list(graph.input), INPUT)
    _check_picture(list(graph.output), OUTPUT)
    _check_input_side(graph)
    _check_output_side(graph)
    _check_no_other_bytes(graph)


def _check_picture(values: list[ValueInfoProto], name: str) -> None:
    if [value.name for value in values] != [name]:
        raise _broken(f"it must have one {name} of that name, not {[value.name for value in values]}")
    dims = dims_of(values[0]) or []
    is_picture = len(dims) == 4 and None not in dims and (dims[0], dims[3]) == (1, 3)
    if values[0].type.tensor_type.elem_type != TensorProto.UINT8 or not is_picture:
        raise _broken(f"{described(values[0])} is not uint8 [1, H, W, 3]")


def _check_input_side(graph: GraphProto) -> None:
    readers = _readers(graph, INPUT)
    if len(readers) != 1 or readers[0].op_type != "Cast" or _cast_to(readers[0]) not in _FLOATS:
        raise _broken(f"{_names(readers)} reads '{INPUT}', which one Cast to float must do")


def _check_output_side(graph: GraphProto) -> None:
    tensor = OUTPUT
    for operator in ("Cast", "Transpose", "Clip", "Round"):
        node = producer_of(graph, tensor)
        if node.op_type != operator:
            raise _broken(f"{_names([node])} makes '{tensor}', which {operator} must do")
        if len(_readers(graph, tensor)) != (tensor != OUTPUT):
            raise _broken(f"'{tensor}', on the way to the output, is read elsewhere too")
        _check_output_node(graph, node)
        tensor = node.input[0]


def _check_output_node(graph: GraphProto, node: NodeProto) -> None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Transpose" and attributes.get("perm") != PIXELS_FROM_PLANES:
        raise _broken(f"{_names([node])} must have perm {PIXELS_FROM_PLANES}, has {attributes.get('perm')}")
    if node.op_type == "Clip":
        values = constant_values(graph)
        bounds = [values[name].item() if name in values else None for name in node.input[1:]]
        if bounds != [0, 255]:
            raise _broken(f"{_names([node])} must clip to 0..255, has {bounds}")


def _check_no_other_bytes(graph: GraphProto) -> None:
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    products = _on_the_way_to_products(graph)
    for node in nodes_in(graph):
        if node.op_type in _QUANTISERS or node.output[0] in products:
            continue
        for name in {*node.input, *node.output} - {INPUT, OUTPUT}:
            if kinds.get(name) == TensorProto.UINT8:
                raise _broken(f"{_names([node])} touches '{name}', which is uint8 too")


def _on_the_way_to_products(graph: GraphProto) -> set[str]:
    """What integer products give, and what copies bytes for them alone: names of first outputs."""
    makers = {name: node for node in graph.node for name in node.output}
    found = {node.output[0] for node in graph.node if node.op_type == _PRODUCT}
    left = [makers[name] for name in found]
    while left:
        for name in left.pop().input:
            maker = makers.get(name)
            if maker is not None and maker.op_type in _COPYING and name not in found:
                found.add(name)
                left.append(maker)
    return found


def _readers(graph: GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in nodes_in(graph) for name in node.input if name == tensor]


def _cast_to(node: NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "to"), TensorProto.UNDEFINED)


def _names(nodes: list[NodeProto]) -> str:
    return ", ".join(f"{node.op_type} '{node.name or node.output[0]}'" for node in nodes) or "no node"


def _broken(what: str) -> ModelError:
    return ModelError(f"the packed model breaks the pixel contract: {what}", "pack the float generator again")
