"""A packed model on ONNX Runtime's CPU provider: `onnxruntime://model.onnx?threads=2&spinning=auto`.

Its defaults were chosen by measurement (docs/runtimes.md, tests/benchmarks/bench_onnxruntime_options.py).
"""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from edgegan.errors import GeneratorError
from edgegan.frame import Pixels
from edgegan.generator.cores import usable_cores
from edgegan.generator.packed import Tensor, check_memory, packed_tensor

__all__ = ["OnnxRuntimeGenerator"]

_ERRORS_ONLY = 3
_SPIN = "session.intra_op.allow_spinning"
_SPINNING = {
    # Threads spin for 0.3 ms between layers, then sleep, and sleep at once when a picture is done. As fast as "on",
    # for a third of its CPU time at a camera's pace. Releases that do not know the last key ignore it.
    "auto": {_SPIN: "1", "session.force_spinning_stop": "1", "session.intra_op.spin_duration_us": "300"},
    # ONNX Runtime's own default: threads wait for the next picture at full power.
    "on": {_SPIN: "1"},
    # Least power, but each layer waits until its threads have woken.
    "off": {_SPIN: "0"},
}


class OnnxRuntimeGenerator:
    """Runs a packed model: uint8 (1, H, W, 3) BGR in and out, in the caller's memory, without a copy.

    path: the .onnx file, unless its bytes are given as `model`.
    threads: None is one for each physical core that this process may use.
    spinning: what the threads do between pictures; see `docs/runtimes.md`.
    """

    def __init__(
        self,
        path: str = "",
        *,
        model: bytes | None = None,
        threads: int | None = None,
        spinning: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        if model is None and not Path(path).is_file():
            raise GeneratorError(f"there is no model '{path}'", "name a packed .onnx file")
        if threads is not None and threads < 1:
            raise GeneratorError(f"ONNX Runtime cannot run on {threads} threads", "use 1 or more")
        self._threads = threads or usable_cores()
        try:
            self._session = onnxruntime.InferenceSession(
                model if model is not None else path,
                _options(self._threads, spinning),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise GeneratorError(
                f"ONNX Runtime cannot load the model: {_shortened(error)}", "pack it anew"
            ) from error
        self._input = packed_tensor("input", _tensors(self._session.get_inputs()))
        self._output = packed_tensor("output", _tensors(self._session.get_outputs()))
        self.input_size, self.output_size = self._input.size, self._output.size
        self._binding = self._session.io_binding()
        self.description: dict[str, Any] = {
            "runtime": "onnxruntime",
            "version": onnxruntime.__version__,
            "threads": self._threads,
            "spinning": spinning,
        }

    def infer(self, pixels: Pixels, out: Pixels) -> None:
        """Draw `pixels` into `out`, uint8 (H, W, 3) BGR, C-contiguous, of `input_size` and `output_size`."""
        self._binding.bind_input(*_bound(self._input, pixels))
        self._binding.bind_output(*_bound(self._output, out))
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise GeneratorError(f"ONNX Runtime failed on a picture: {_shortened(error)}") from error

    def close(self) -> None:
        """Free the network."""
        self._binding = self._session = None


def _options(threads: int, spinning: str) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    for key, value in _SPINNING[spinning].items():
        options.add_session_config_entry(key, value)
    return options


def _tensors(described: list[Any]) -> list[Tensor]:
    return [Tensor(t.name, t.type.removeprefix("tensor")[1:-1], tuple(t.shape)) for t in described]


def _bound(tensor: Tensor, pixels: Pixels) -> tuple[Any, ...]:
    """The arguments that bind a tensor to memory."""
    check_memory(tensor, pixels)
    return tensor.name, "cpu", 0, np.uint8, (1, *tensor.size, 3), pixels.ctypes.data


def _shortened(error: Exception) -> str:
    """The first line of ONNX Runtime's message, less '[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : '."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().splitlines()[0])
    return text.rstrip(".") if len(text) <= 200 else text[:199] + "…"
