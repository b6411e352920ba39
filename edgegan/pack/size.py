"""Pass: every dimension of the picture becomes a number."""

import onnx
from onnx import ModelProto, TensorProto, helper

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.check import Interface
from edgegan.pack.graph import PassReport, copied, described, dims_of

__all__ = ["DEFAULT_SIZE", "chosen_size", "fix_size", "output_size"]

DEFAULT_SIZE = (256, 256)
_SIDES = range(8, 4097)


def chosen_size(interface: Interface, asked: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width): the model's own where it is static, else `asked`, else 256 x 256.

    Raises `ConfigError` if `asked` contradicts a static model, `ModelError` for a size that is no picture's.
    """
    default = asked or DEFAULT_SIZE
    size = (interface.size[0] or default[0], interface.size[1] or default[1])
    if any(side not in _SIDES for side in size):
        error = ConfigError if size == asked else ModelError
        raise error(
            f"pictures of {_text(size)} are out of bounds",
            f"each side must have {_SIDES[0]} to {_SIDES[-1]} pixels",
        )
    if asked is not None and size != asked:
        raise ConfigError(
            f"the model is made for {_text(size)}, not for {_text(asked)}",
            "leave the size out, or export the model with a dynamic height and width",
        )
    return size


def fix_size(model: ModelProto, interface: Interface, size: tuple[int, int]) -> tuple[ModelProto, PassReport]:
    """Set the picture input to [1, 3, *size] and forget every shape that was derived before."""
    model = copied(model)
    picture = next(value for value in model.graph.input if value.name == interface.input)
    before = dims_of(picture)
    picture.CopyFrom(helper.make_tensor_value_info(interface.input, TensorProto.FLOAT, [1, 3, *size]))
    del model.graph.value_info[:]
    drawn = helper.make_tensor_value_info(
        interface.output, TensorProto.FLOAT, [1, 3, "drawn_height", "drawn_width"]
    )
    model.graph.output[0].CopyFrom(drawn)
    changed = before != [1, 3, *size]
    return model, PassReport(
        "size", f"fixed to {_text(size)}" if changed else f"{_text(size)} already", changed
    )


def output_size(model: ModelProto) -> tuple[int, int]:
    """(height, width) of what a model of fixed size draws. Raises `ModelError` if that cannot be derived."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        mend = "export it for this size, or with a dynamic height and width"
        raise ModelError(f"the model's shapes contradict each other: {error}", mend) from error
    dims = dims_of(inferred.graph.output[0])
    if dims is None or len(dims) != 4 or dims[:2] != [1, 3] or any(d not in _SIDES for d in dims[2:]):
        raise ModelError(
            f"the output {described(inferred.graph.output[0])} is not float32 [1, 3, H, W] of a sane size",
            "export the model for one size, with static shapes",
        )
    return dims[2] or 0, dims[3] or 0


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (height x width)"
