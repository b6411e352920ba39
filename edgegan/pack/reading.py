"""The generator as it was given, without any pass: what it takes and draws is what a packed model is held to.

Where the file cannot be run as it is, only what is named in `Reading.how` is changed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator

from edgegan.errors import ModelError
from edgegan.pack.batch_statistics import training_norms
from edgegan.pack.check import Interface
from edgegan.pack.dropout import training_dropouts
from edgegan.pack.graph import copied, quoted
from edgegan.pack.load import external_files
from edgegan.pack.names import name_nodes, shared_names

__all__ = [
    "AS_IT_IS",
    "Arrays",
    "Reading",
    "Run",
    "in_float32",
    "on_onnxruntime",
    "reading_of",
    "run_session",
    "session",
]

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Arrays], npt.NDArray[Any]]
"""From arrays by input name to the picture output."""

AS_IT_IS = "the file as it is"
_ERRORS_OFF = 4  # what goes wrong is raised, and said in a sentence


@dataclass(frozen=True)
class Reading:
    """What ONNX Runtime is given as the original, and how that differs from the file, in words."""

    source: Path | bytes
    how: str

    def model(self) -> ModelProto:
        """Parsed."""
        if isinstance(self.source, bytes):
            return onnx.load_model_from_string(self.source)
        return onnx.load_model(self.source)


def reading_of(path: Path, model: ModelProto, interface: Interface, size: tuple[int, int]) -> Reading:
    """The file itself; else a copy with the least changed that lets it draw pictures of `size` repeatably.

    model: as it lies in `path`.
    """
    edited, how = copied(model), []
    if _declare(edited, interface, size):
        how.append(f"its input declared {interface.taken.shape(*size)}")
    if count := _still(edited):
        how.append(f"{count} Dropout in training mode replaced by Identity")
    if count := _name_statistics(edited):
        how.append(f"the unused outputs of {count} BatchNormalization named")
    if shared_names(edited):
        how.append("a name of its own for each node")
    if not how and not external_files(onnx.load_model(path, load_external_data=False)):
        return Reading(path, AS_IT_IS)
    edited, _ = name_nodes(edited)
    return Reading(edited.SerializeToString(), "the file with " + ", ".join(how) if how else AS_IT_IS)


def _declare(model: ModelProto, interface: Interface, size: tuple[int, int]) -> bool:
    """Declare the input for `size`, where the file says something else; True if it did."""
    if all(own in (None, side) for own, side in zip(interface.size, size, strict=True)):
        return False
    for value in model.graph.input:
        if value.name == interface.input:
            shape = interface.taken.shape(*size)
            value.CopyFrom(helper.make_tensor_value_info(value.name, interface.taken.kind, shape))
    for value in (*model.graph.output, *model.graph.value_info):
        value.type.tensor_type.ClearField("shape")
    return True


def _still(model: ModelProto) -> int:
    dropouts = training_dropouts(model)
    for node in dropouts:
        node.op_type = "Identity"
        del node.input[1:], node.output[1:], node.attribute[:]
    return len(dropouts)


def _name_statistics(model: ModelProto) -> int:
    """ONNX Runtime wants the running statistics named, ONNX does not."""
    lacking = [node for node in training_norms(model) if not all(node.output[1:3]) or len(node.output) < 3]
    for node in lacking:
        names = [*node.output, "", ""][:3]
        del node.output[1:]
        node.output.extend(name or f"{names[0]}/statistics_{n}" for n, name in enumerate(names) if n)
    return len(lacking)


def on_onnxruntime(reading: Reading, output: str) -> Run:
    """Run it on ONNX Runtime's CPU, as it is exported."""
    opened = session(reading.source, "the model")
    return lambda feeds: run_session(opened, dict(feeds), output)


def in_float32(model: ModelProto, output: str) -> Run:
    """Let ONNX's own reference evaluator compute a model of narrower floats in float32: slow, and no pass of ours.

    Its weights are handed over as float32 arrays, and numpy does the rest.
    """
    evaluator = ReferenceEvaluator(model)
    for name, array in evaluator.rt_inits_.items():
        evaluator.rt_inits_[name] = _widened(array)

    def run(feeds: Arrays) -> npt.NDArray[Any]:
        with np.errstate(all="ignore"):
            drawn: Any = evaluator.run([output], {n: _widened(a) for n, a in feeds.items()})
        return np.asarray(drawn[0])

    return run


def _widened(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind not in "biuOSU" else array


def session(model: Path | bytes, name: str) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU. Raises `ModelError` if it cannot load the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_OFF
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise ModelError(
            f"ONNX Runtime cannot load {name}: {_reason(error)}", "check how it was exported"
        ) from error


def run_session(
    opened: onnxruntime.InferenceSession, feeds: dict[str, npt.NDArray[Any]], output: str
) -> npt.NDArray[Any]:
    """Raises `ModelError`, which names the node if ONNX Runtime does."""
    try:
        drawn: npt.NDArray[Any] = opened.run([output], feeds)[0]
    except Exception as error:  # as above
        mend = "a model exported for another size, or too large for this machine's memory?"
        raise ModelError(f"ONNX Runtime cannot run the model: {_reason(error)}", mend) from error
    return drawn


_PLACE = re.compile(r"^\S+\.(cc|h):\d+ (\S+::.*\) (?=\S+ was false)|\w+ )")
_WHERE = (
    re.compile(r"while running (?P<kind>\w+) node\. Name:'(?P<name>.*?)' Status Message: (?P<why>.*)", re.S),
    re.compile(r"Node \((?P<name>.*?)\) Op \((?P<kind>\w+)\) (?P<why>.*)", re.S),
    re.compile(r"an implementation for (?P<kind>\w+)\(\d+\) node with name '(?P<name>.*?)'(?P<why>)", re.S),
)


def _reason(error: Exception) -> str:
    """ONNX Runtime's text on one line: the node, and what it says about it."""
    text = re.sub(r"Load model from .*? failed: ?", "", str(error).strip())
    for pattern in _WHERE:
        if found := pattern.search(text):
            why = _short(_PLACE.sub("", found["why"]))
            return f"{found['kind']} {quoted(found['name'])}" + (f": {why}" if why else " is not implemented")
    return _short(re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)) or type(error).__name__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 240 else line[:237] + "..."
