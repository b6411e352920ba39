"""A packed model on ONNX Runtime's CPU provider: `onnxruntime://model.onnx?threads=2&spinning=auto`.

Its defaults were chosen by measurement (docs/runtimes.md, tests/benchmarks/bench_onnxruntime_options.py).
"""

import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import psutil

from edgegan.errors import GeneratorError
from edgegan.frame import Pixels

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
        self._threads = threads or _usable_cores()
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
        self._input, self.input_size = _pixels("input", self._session.get_inputs())
        self._output, self.output_size = _pixels("output", self._session.get_outputs())
        self._binding = self._session.io_binding()
        self.description: dict[str, Any] = {
            "runtime": "onnxruntime",
            "version": onnxruntime.__version__,
            "threads": self._threads,
            "spinning": spinning,
        }

    def infer(self, pixels: Pixels, out: Pixels) -> None:
        """Draw `pixels` into `out`, uint8 (H, W, 3) BGR, C-contiguous, of `input_size` and `output_size`."""
        self._binding.bind_input(*_bound(self._input, self.input_size, pixels))
        self._binding.bind_output(*_bound(self._output, self.output_size, out))
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


def _usable_cores() -> int:
    """Physical cores, but no more than this process may use (taskset, containers' cpusets).

    Where the kernel does not tell cores from threads (ARM without a topology), all that it may use.
    """
    usable = len(os.sched_getaffinity(0))
    return min(psutil.cpu_count(logical=False) or usable, usable)


def _pixels(what: str, tensors: list[Any]) -> tuple[str, tuple[int, int]]:
    """Name and (height, width) of the model's one input or output, if it is a packed model's."""
    found = ", ".join(f"{t.name} {t.type.removeprefix('tensor')[1:-1]} {t.shape}" for t in tensors)
    shape = tensors[0].shape if len(tensors) == 1 and tensors[0].type == "tensor(uint8)" else []
    if len(shape) != 4 or not all(isinstance(n, int) for n in shape) or (shape[0], shape[3]) != (1, 3):
        raise GeneratorError(
            f"this is no packed model: its {what} is {found} instead of one uint8 (1, H, W, 3)",
            "make one with: edgegan pack MODEL.onnx -o BUNDLE",
        )
    return tensors[0].name, (shape[1], shape[2])


def _bound(name: str, size: tuple[int, int], pixels: Pixels) -> tuple[Any, ...]:
    """The arguments that bind a tensor to memory."""
    if pixels.shape != (*size, 3) or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise GeneratorError(
            f"'{name}' takes uint8 {(*size, 3)} in one piece, and was given {pixels.dtype} {pixels.shape}",
            "crop and scale with edgegan.framing",
        )
    return name, "cpu", 0, np.uint8, (1, *size, 3), pixels.ctypes.data


def _shortened(error: Exception) -> str:
    """The first line of ONNX Runtime's message, less '[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : '."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().splitlines()[0])
    return text.rstrip(".") if len(text) <= 200 else text[:199] + "…"
