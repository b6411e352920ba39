"""Pass: every dimension of the picture becomes a number."""

import onnx
from onnx import ModelProto, helper

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.check import Interface
from edgegan.pack.graph import PassReport, copied, described, dims_of, graphs_in

__all__ = ["DEFAULT_SIZE", "SIDES", "chosen_size", "fix_size", "output_size"]

DEFAULT_SIZE = (256, 256)
SIDES = range(8, 4097)


def chosen_size(interface: Interface, asked: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width): `asked`, else the model's own where it is static, else 256 x 256.

    Raises `ConfigError` or `ModelError` for a size that is no picture's.
    """
    size = asked or (interface.size[0] or DEFAULT_SIZE[0], interface.size[1] or DEFAULT_SIZE[1])
    if any(side not in SIDES for side in size):
        error = ConfigError if size == asked else ModelError
        raise error(
            f"pictures of the size {_text(size)} are out of bounds",
            f"each side must have {SIDES[0]} to {SIDES[-1]} pixels",
        )
    return size


def fix_size(model: ModelProto, interface: Interface, size: tuple[int, int]) -> tuple[ModelProto, PassReport]:
    """Set the picture input to one picture of `size`, and forget every shape that was derived before."""
    model = copied(model)
    picture = next(value for value in model.graph.input if value.name == interface.input)
    before, wanted = dims_of(picture), interface.taken.shape(*size, batch=1)
    kind = picture.type.tensor_type.elem_type
    picture.CopyFrom(helper.make_tensor_value_info(interface.input, kind, wanted))
    for graph in graphs_in(model.graph):
        del graph.value_info[:]
    drawn = next(value for value in model.graph.output if value.name == interface.output)
    shape = interface.drawn.shape("drawn_height", "drawn_width", batch=1)
    kind = drawn.type.tensor_type.elem_type
    drawn.CopyFrom(helper.make_tensor_value_info(interface.output, kind, shape))
    changed = before != wanted
    did = f"fixed to {_text(size)}" if changed else f"{_text(size)} already"
    if interface.taken.batch > 1:
        did += f", one picture instead of {interface.taken.batch}"
    return model, PassReport("size", did, changed)


def output_size(model: ModelProto) -> tuple[int, int]:
    """(height, width) of what a model of fixed size draws. Raises `ModelError` if that cannot be derived."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        mend = "export it for this size, or with a dynamic height and width"
        raise ModelError(f"the model's shapes contradict each other: {error}", mend) from error
    dims = dims_of(inferred.graph.output[0])
    if dims is None or len(dims) != 4 or dims[:2] != [1, 3] or any(d not in SIDES for d in dims[2:]):
        raise ModelError(
            f"the output {described(inferred.graph.output[0])} is not float32 [1, 3, H, W] of a sane size",
            "export the model for one size, with static shapes",
        )
    return dims[2] or 0, dims[3] or 0


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (height x width)"
