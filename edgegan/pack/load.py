"""Read an ONNX file, or say in one sentence why it cannot be packed."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import ModelProto, external_data_helper, inliner, numpy_helper

from edgegan.errors import ModelError

__all__ = ["OPSETS", "load_model", "opset_of"]

OPSETS = range(11, 22)
_MOST_BYTES = 2**31 - 1  # of one protobuf message, and so of the model that a bundle holds
_EXPORT_AGAIN = "export or copy it again"


def load_model(path: Path) -> ModelProto:
    """The ONNX model at `path`, checked, with its weights, local functions inlined.

    Raises `ModelError`: no file, a folder, empty, no ONNX, truncated, too large, opset not in 11 to 21.
    """
    model = _parsed(path, _content(path))
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"'{path}' is no ONNX model: it holds no graph", _EXPORT_AGAIN)
    _load_external_data(path, model)
    _check_opset(path, model)
    try:
        onnx.checker.check_model(model)
        for tensor in model.graph.initializer:
            numpy_helper.to_array(tensor)  # the checker does not count what a shape promises
    except (onnx.checker.ValidationError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"'{path}' is no valid ONNX model: {_first_line(error)}", _EXPORT_AGAIN) from error
    return inliner.inline_local_functions(model) if model.functions else model


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators; 0 if the model names none."""
    return max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=0)


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder", "name the .onnx file in it")
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
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        mend = "its weights are in a second file: put that beside it"
        raise ModelError(f"'{path}' lacks its weights: {_first_line(error)}", mend) from error
    if model.ByteSize() > _MOST_BYTES:
        raise ModelError(
            f"'{path}' has more than 2 GB of weights", "a generator for a device must stay under 2 GB"
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
