"""Which operators a bundle can hold, whatever the runtime."""

from onnx import ModelProto, NodeProto

from edgegan.errors import ModelError
from edgegan.pack.graph import node_text, nodes_in, quoted

__all__ = ["check_operators"]

_ONNX = ("", "ai.onnx")
_QUANTISED = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"),
)
_RANDOM = (
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Bernoulli", "Multinomial"),
)


def check_operators(model: ModelProto) -> None:
    """Raise `ModelError`, naming the node, for what is quantised, random, or of one runtime alone."""
    for node in nodes_in(model.graph):
        if node.name.endswith("pixels/before/Cast") and node.input[0] == model.graph.input[0].name:
            raise ModelError(
                "the model is packed already: edgegan's own nodes convert its pixels",
                "use the bundle that it is from, or pack the float model",
            )
        if _is_quantised(node):
            raise ModelError(
                f"the model is quantised: it has {node_text(node)}",
                "pack the float model it was made of: a bundle begins with float32, its int8 is made from that",
            )
        if node.domain not in _ONNX:
            raise ModelError(
                f"{node_text(node)} is no operator of ONNX but of {quoted(node.domain)}",
                "export the model with ONNX's own operators alone",
            )
        if node.op_type in _RANDOM:
            raise ModelError(
                f"{node_text(node)} draws something else each time",
                "export the model with its noise as an input, and give that a value in a recipe",
            )


def _is_quantised(node: NodeProto) -> bool:
    own = node.domain not in _ONNX and node.op_type.startswith(
        ("QLinear", "QAttention", "QGemm", "Dequantize")
    )
    return own or node.op_type in _QUANTISED
