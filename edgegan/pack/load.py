"""Read an ONNX file, or say in one sentence why it cannot be packed."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import ModelProto, TensorProto, external_data_helper, inliner, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.graph import graphs_in, nodes_in, opset_of, quoted
from edgegan.pack.group_norm import replace_old_group_norm
from edgegan.pack.order import sort_nodes

__all__ = ["OPSETS", "external_files", "load_model"]

OPSETS = range(11, 22)
_MOST_BYTES = 2**31 - 1  # of one protobuf message, and so of the model that a bundle holds
_EXPORT_AGAIN = "export or copy it again"


def load_model(path: Path) -> ModelProto:
    """The ONNX model at `path`, checked, with its weights, its nodes in order, local functions inlined.

    Raises `ModelError`: no file, a folder, empty, no ONNX, truncated, too large, opset not in 11 to 21.
    """
    model = _parsed(path, _content(path))
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"'{path}' is no ONNX model: it holds no graph", _EXPORT_AGAIN)
    _check_names(path, model)
    _load_external_data(path, model)
    _check_opset(path, model)
    model, _ = sort_nodes(model)
    try:
        onnx.checker.check_model(replace_old_group_norm(model)[0])
        for tensor in model.graph.initializer:
            numpy_helper.to_array(tensor)  # the checker does not count what a shape promises
    except (onnx.checker.ValidationError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"'{path}' is no valid ONNX model: {_first_line(error)}", _EXPORT_AGAIN) from error
    return inliner.inline_local_functions(model) if model.functions else model


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder", "name the .onnx file in it")
        if not path.is_file():
            path.stat()
            raise ModelError(f"'{path}' is no file but a pipe or a device", "name the .onnx file itself")
        size = path.stat().st_size
        if size == 0:
            raise ModelError(f"'{path}' is empty", _EXPORT_AGAIN)
        if size > _MOST_BYTES:
            raise ModelError(
                f"'{path}' has {size / 1e9:.1f} GB", "a generator for a device must stay under 2 GB"
            )
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"cannot read '{path}': {reason}", "check the path and its permissions") from error


def _parsed(path: Path, data: bytes) -> ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ModelError(f"'{path}' is no ONNX model, or is cut short: {error}", _EXPORT_AGAIN) from error


def _load_external_data(path: Path, model: ModelProto) -> None:
    for name in external_files(model):
        _check_external(path, name)
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"'{path}' lacks its weights: {_first_line(error)}", _EXPORT_AGAIN) from error
    if model.ByteSize() > _MOST_BYTES:
        raise ModelError(
            f"'{path}' has more than 2 GB of weights", "a generator for a device must stay under 2 GB"
        )


def _check_names(path: Path, model: ModelProto) -> None:
    """What is no UTF-8 comes as bytes."""
    for graph in graphs_in(model.graph):
        names: list[object] = [v.name for v in (*graph.input, *graph.output, *graph.initializer)]
        for node in graph.node:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
            names += [attribute.name for attribute in node.attribute]
        for name in names:
            if isinstance(name, bytes):
                raise ModelError(f"'{path}' is damaged: the name {name!r} is not UTF-8", _EXPORT_AGAIN)


def external_files(model: ModelProto) -> set[str]:
    """The files in which weights of a model lie that are not loaded yet."""
    tensors = [tensor for graph in graphs_in(model.graph) for tensor in graph.initializer]
    for node in nodes_in(model.graph):
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    return {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _check_external(path: Path, name: str) -> None:
    """A second file lies in the folder of the first; a pipe would block."""
    second, folder = path.parent / name, path.parent.resolve()
    if Path(name).is_absolute() or not second.resolve().is_relative_to(folder):
        raise ModelError(
            f"'{path}' wants weights from {quoted(name)}, outside of its folder",
            "put that file beside the model, and export or save the model again",
        )
    if not second.is_file():
        found = "is no file" if second.exists() else "is not there"
        raise ModelError(
            f"'{path}' lacks its weights: {quoted(name)} {found}",
            "its weights are in a second file: put that beside it",
        )


def _check_opset(path: Path, model: ModelProto) -> None:
    opset = opset_of(model)
    if opset not in OPSETS:
        raise ModelError(
            f"'{path}' has opset {opset}, edgegan packs {OPSETS[0]} to {OPSETS[-1]}",
            "export it with opset_version=17, or convert it: onnx.version_converter.convert_version(m, 17)",
        )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
