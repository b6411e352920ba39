"""Is it an image generator? Finds its picture input and output, or says why it has none."""

from collections.abc import Collection
from dataclasses import dataclass

from onnx import ModelProto, TensorProto, ValueInfoProto

from edgegan.errors import ModelError
from edgegan.pack.graph import described, dims_of

__all__ = ["Interface", "find_interface"]

_LATER = "this version packs generators that take one picture, float32 [1, 3, H, W]; a later one takes more"


@dataclass(frozen=True)
class Interface:
    """Names of a generator's picture input and output; size: (height, width) it takes, None where dynamic."""

    input: str
    output: str
    size: tuple[int | None, int | None]


def find_interface(model: ModelProto, constants: Collection[str]) -> Interface:
    """The picture input and the output of a generator; both are float32 [1, 3, H, W], RGB.

    constants: names of the inputs that get a constant value.
    Raises `ModelError`, which names the input or output.
    """
    held = {tensor.name for tensor in model.graph.initializer} | set(constants)
    inputs = [value for value in model.graph.input if value.name not in held]
    pictures = [value for value in inputs if not _no_picture_because(value)]
    if not pictures:
        raise _no_picture(inputs)
    if len(inputs) > 1:
        raise _too_many(inputs, pictures)
    dims = dims_of(pictures[0]) or []
    return Interface(pictures[0].name, _output_of(model), (dims[2], dims[3]))


def _no_picture_because(value: ValueInfoProto) -> str:
    """Empty if `value` is a picture, float32 [1 or ?, 3, H or ?, W or ?]."""
    kind, dims = value.type.tensor_type.elem_type, dims_of(value)
    if kind == TensorProto.UINT8:
        return "takes bytes, as a model does that is packed already"
    if dims is None or len(dims) != 4 or dims[2:] == [1, 1]:
        return "is no picture but, it seems, a latent vector"
    if dims[1] != 3:
        return "is laid out NHWC" if dims[3] == 3 else "has not three channels"
    if kind != TensorProto.FLOAT:
        return "is not float32"
    return "" if dims[0] in (None, 1) else f"takes {dims[0]} pictures at once"


def _no_picture(inputs: list[ValueInfoProto]) -> ModelError:
    if not inputs:
        return ModelError("the model has no input left for a picture", "bind fewer inputs to constants")
    value = next((v for v in inputs if len(dims_of(v) or []) == 4), inputs[0])
    return ModelError(
        f"the model has no picture input: {described(value)} {_no_picture_because(value)}", _LATER
    )


def _too_many(inputs: list[ValueInfoProto], pictures: list[ValueInfoProto]) -> ModelError:
    other = next((v for v in inputs if v not in pictures), pictures[-1])
    return ModelError(
        f"beside the picture '{pictures[0].name}' the model has the input {described(other)}",
        f"give it a value in a recipe: 'constants: {{{other.name}: …}}'",
    )


def _output_of(model: ModelProto) -> str:
    output = model.graph.output[0]
    if len(model.graph.output) > 1:
        names = ", ".join(f"'{value.name}'" for value in model.graph.output)
        raise ModelError(
            f"the model has {len(model.graph.output)} outputs: {names}", "export the picture alone"
        )
    dims = dims_of(output)
    right_shape = dims is None or (len(dims) == 4 and dims[0] in (None, 1) and dims[1] in (None, 3))
    if output.type.tensor_type.elem_type != TensorProto.FLOAT or not right_shape:
        raise ModelError(f"the output {described(output)} is no picture", _LATER)
    return str(output.name)
