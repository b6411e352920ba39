"""Is it an image generator? Finds its picture input and output, or says why it has none."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.graph import described, dims_of, quoted
from edgegan.registry import did_you_mean

__all__ = ["FLOATS", "PLANES", "Form", "Interface", "find_interface", "form_of"]

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_KINDS = (*FLOATS, TensorProto.UINT8)
_SMALLEST_SIDE = 8
_TAKES = "edgegan packs generators that take one picture and draw one: RGB or grey, float or uint8"


@dataclass(frozen=True)
class Form:
    """How a picture lies in a tensor.

    kind: of the numbers, as `TensorProto` has it. channels_last: [1, H, W, 3] instead of [1, 3, H, W].
    channels: 3, red first, or 1, grey. batch: how many pictures at once; the packed model does one.
    """

    kind: int = TensorProto.FLOAT
    channels_last: bool = False
    channels: int = 3
    batch: int = 1

    def shape(self, height: int | str, width: int | str, batch: int | None = None) -> list[int | str]:
        """The tensor's shape for pictures of that size."""
        sides = [height, width]
        inner = [*sides, self.channels] if self.channels_last else [self.channels, *sides]
        return [self.batch if batch is None else batch, *inner]

    def size_in(self, dims: list[int | None]) -> tuple[int | None, int | None]:
        """(height, width) in a shape of this form."""
        return (dims[1], dims[2]) if self.channels_last else (dims[2], dims[3])


PLANES = Form()
"""float32 [1, 3, H, W], RGB: what the pixel nodes go around."""


@dataclass(frozen=True)
class Interface:
    """Names of a generator's picture input and output, what they look like, and what was guessed there.

    size: (height, width) it takes, None where dynamic.
    """

    input: str
    output: str
    size: tuple[int | None, int | None]
    taken: Form = PLANES
    drawn: Form = PLANES
    assumptions: tuple[str, ...] = ()


def find_interface(
    model: ModelProto, constants: Collection[str], output_name: str | None = None
) -> Interface:
    """The picture input and the picture output of a generator.

    constants: names of the inputs that get a constant value. output_name: which output is the picture; None:
    the one that can be one. Raises `ModelError` or `ConfigError`, which name the input or output.
    """
    held = {tensor.name for tensor in model.graph.initializer} | set(constants)
    inputs = [value for value in model.graph.input if value.name not in held]
    pictures = [value for value in inputs if not _no_picture_because(value)]
    if not pictures:
        raise _no_picture(inputs)
    if len(inputs) > 1:
        raise _too_many(inputs, pictures)
    taken = form_of(pictures[0], False)
    output, assumptions = _output_of(_with_shapes(model), output_name, taken)
    drawn = form_of(output, taken.channels_last)
    size = taken.size_in(dims_of(pictures[0]) or [])
    return Interface(pictures[0].name, output.name, size, taken, drawn, assumptions)


def form_of(value: ValueInfoProto, channels_last: bool) -> Form:
    """The form of a picture; channels_last: what to believe where the shape does not tell."""
    dims = dims_of(value) or [None] * 4
    first, last = dims[1] in (1, 3), dims[3] in (1, 3)
    if first is not last:
        channels_last = last
    elif dims[1] != dims[3]:  # one of them is 1, which a side may be as well
        channels_last = dims[3] == 3
    channels = dims[3] if channels_last else dims[1]
    return Form(value.type.tensor_type.elem_type, channels_last, channels or 3, dims[0] or 1)


def _no_picture_because(value: ValueInfoProto) -> str:
    """Empty if `value` can be a picture, [N, 3, H, W] or [N, H, W, 3] or with 1 for 3."""
    dims = dims_of(value)
    if not value.type.HasField("tensor_type"):
        return "is no tensor"
    if dims is None or len(dims) != 4 or dims[2:] == [1, 1]:
        return "is no picture but, it seems, a latent vector"
    if not {dims[1], dims[3]} & {1, 3}:
        return _wrong_channels(dims)
    if value.type.tensor_type.elem_type not in _KINDS:
        return "is neither float nor uint8"
    return ""


def _wrong_channels(dims: list[int | None]) -> str:
    if 4 in (dims[1], dims[3]):
        return "has four channels, as RGBA has"
    found = [dim for dim in (dims[1], dims[3]) if dim is not None and dim < _SMALLEST_SIDE]
    return f"has {found[0]} channels" if found else "has neither three channels nor one"


def _no_picture(inputs: list[ValueInfoProto]) -> ModelError:
    if not inputs:
        return ModelError("the model has no input left for a picture", "bind fewer inputs to constants")
    value = next((v for v in inputs if len(dims_of(v) or []) == 4), inputs[0])
    return ModelError(
        f"the model has no picture input: {described(value)} {_no_picture_because(value)}", _TAKES
    )


def _too_many(inputs: list[ValueInfoProto], pictures: list[ValueInfoProto]) -> ModelError:
    other = next((v for v in inputs if v not in pictures), pictures[-1])
    return ModelError(
        f"beside the picture {quoted(pictures[0].name)} the model has the input {described(other)}",
        f"give it a value in a recipe: 'constants: {{{quoted(other.name)[1:-1]}: …}}'",
    )


def _with_shapes(model: ModelProto) -> ModelProto:
    """With the shapes that ONNX can derive; as it was if it cannot."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # whatever its C++ core throws; who runs the model will say it better
        return model


def _output_of(model: ModelProto, name: str | None, taken: Form) -> tuple[ValueInfoProto, tuple[str, ...]]:
    outputs = {value.name: value for value in model.graph.output}
    if name is not None and name not in outputs:
        raise ConfigError(f"the model has no output {quoted(name)}", did_you_mean(name, outputs))
    chosen = list(outputs.values()) if name is None else [outputs[name]]
    pictures = [value for value in chosen if _may_be_drawn(value)]
    colour = [value for value in pictures if form_of(value, taken.channels_last).channels == 3]
    if len(pictures) > 1 and len(colour) == 1:
        pictures = colour
    if not pictures:
        raise ModelError(f"the output {described(chosen[0])} is no picture", _TAKES)
    if len(pictures) > 1:
        names = ", ".join(quoted(value.name) for value in pictures)
        mend = f"say which: --output-name {pictures[0].name}"
        raise ModelError(f"the model has {len(pictures)} outputs that may be the picture: {names}", mend)
    if len(chosen) == 1:
        return pictures[0], ()
    others = ", ".join(quoted(other) for other in outputs if other != pictures[0].name)
    return pictures[0], (f"the picture is the output {quoted(pictures[0].name)}, not {others}",)


def _may_be_drawn(value: ValueInfoProto) -> bool:
    dims = dims_of(value)
    if value.type.tensor_type.elem_type not in _KINDS:
        return False
    if dims is None:
        return True
    return len(dims) == 4 and bool({dims[1], dims[3]} & {1, 3, None}) and dims[2:] != [1, 1]
