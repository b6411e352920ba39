"""From somebody's file to float32 [1, 3, H, W] RGB in and out, of one size; it reads downwards."""

from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from edgegan.errors import ModelError
from edgegan.pack.batch_statistics import check_asked_for, take_batch_statistics, training_norms
from edgegan.pack.bytes import floats_for_bytes
from edgegan.pack.check import Interface, find_interface, form_of
from edgegan.pack.constants import bind_constants, constant_arrays
from edgegan.pack.dropout import remove_dropout, training_dropouts
from edgegan.pack.finite import check_finite
from edgegan.pack.graph import PassReport, described, dims_of
from edgegan.pack.group_norm import replace_old_group_norm
from edgegan.pack.load import load_model
from edgegan.pack.names import name_nodes
from edgegan.pack.operators import check_operators
from edgegan.pack.outputs import keep_output
from edgegan.pack.planes import add_planes
from edgegan.pack.reading import Arrays, Reading, reading_of
from edgegan.pack.recipe import PackOptions
from edgegan.pack.size import SIDES, chosen_size, fix_size
from edgegan.pack.trial import drawn_shape
from edgegan.pack.weights import dequantise_weights
from edgegan.pack.widen import widen

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A generator ready for its pixels, and what is needed to compare it with the file it came from.

    original: as it lies in the file. model: float32 [1, 3, H, W] in and out. size: (height, width) it takes.
    """

    original: ModelProto
    reading: Reading
    interface: Interface
    constants: Arrays
    size: tuple[int, int]
    model: ModelProto
    reports: tuple[PassReport, ...]
    assumptions: tuple[str, ...]


def prepare(path: Path, options: PackOptions) -> Prepared:
    """Raises `ModelError` or `ConfigError`, naming the node or the input, for what cannot be packed."""
    original = load_model(path)
    check_finite(original)
    interface = find_interface(original, options.constants, options.output_name)
    constants = constant_arrays(original, options.constants)
    size = chosen_size(interface, options.size)

    allowed, reports = options.batch_statistics, []
    model, report = bind_constants(original, constants)
    reports.append(report)
    model, report = name_nodes(model)
    reports.append(report)
    model, report = replace_old_group_norm(model)
    reports.append(report)
    model, report = keep_output(model, interface.output)
    reports.append(report)
    model, report = dequantise_weights(model)
    reports.append(report)
    check_operators(model)
    if allowed:
        check_asked_for(model)
    random, normal = len(training_dropouts(model)), len(training_norms(model))
    model, report = take_batch_statistics(model, allowed)
    reports.append(report)
    model, report = remove_dropout(model, allowed)
    reports.append(report)

    reading = reading_of(path, original, interface, size)
    interface, drawn_size = _with_drawn(interface, drawn_shape(reading, original, interface, size, constants))
    model, report = widen(model)
    reports.append(report)
    model, report = floats_for_bytes(model)
    reports.append(report)
    model, report = fix_size(model, interface, size)
    reports.append(report)
    model, report = add_planes(model, interface.taken, interface.drawn, drawn_size)
    reports.append(report)
    assumptions = (*interface.assumptions, *_assumed(interface, random, normal))
    return Prepared(original, reading, interface, constants, size, model, tuple(reports), assumptions)


def _with_drawn(interface: Interface, dims: list[int | None]) -> tuple[Interface, tuple[int, int]]:
    """The interface with the form of what is really drawn, and that picture's size."""
    shape = [dim or "?" for dim in dims]
    value: ValueInfoProto = helper.make_tensor_value_info(interface.output, interface.drawn.kind, shape)
    if len(dims) != 4 or not {dims[1], dims[3]} & {1, 3}:
        raise _no_picture(value)
    drawn = form_of(value, interface.taken.channels_last)
    height, width = drawn.size_in(dims_of(value) or [])
    if height not in SIDES or width not in SIDES:
        raise _no_picture(value)
    return replace(interface, drawn=drawn), (height or 0, width or 0)


def _no_picture(value: ValueInfoProto) -> ModelError:
    return ModelError(
        f"the output {described(value)} is no picture of {SIDES[0]} to {SIDES[-1]} pixels a side",
        "export the model so that it draws [1, 3, H, W] or [1, H, W, 3]",
    )


def _assumed(interface: Interface, random: int, normal: int) -> list[str]:
    """What a person should know who looks at the pictures."""
    said = [f"{random} Dropout in training mode left out: the original draws at random"] if random else []
    if random and not normal:
        said.append(
            "no BatchNormalization is in training mode, Dropout is: PyTorch's newer exporter writes it so; "
            "if each picture's statistics are meant, export with dynamo=False"
        )
    if interface.taken.kind == TensorProto.UINT8:
        said.append("bytes that it takes are 0 to 255, red first")
    if interface.drawn.kind == TensorProto.UINT8:
        said.append("bytes that it draws are 0 to 255, red first")
    if interface.taken.batch > 1:
        said.append(f"one picture at a time, not {interface.taken.batch}")
    return said
