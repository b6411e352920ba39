"""A packed model on OpenVINO's CPU plugin: `openvino://model.onnx?threads=2&precision=bf16`.

Its settings were chosen by measurement (docs/runtimes.md, tests/benchmarks/bench_runtimes.py).
"""

import contextlib
import ctypes
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgegan.errors import GeneratorError
from edgegan.frame import Pixels
from edgegan.generator import blobs
from edgegan.generator.cores import usable_cores
from edgegan.generator.packed import Tensor, check_memory, packed_tensor

__all__ = ["OpenVinoGenerator"]

_TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Importing openvino forks a process that reports to Google Analytics, and writes to ~/intel.

    Where the package openvino_telemetry cannot be imported, it uses its own stub, which does nothing.
    """
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # what an import of it is refused by
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        if before is not None:
            sys.modules[_TELEMETRY] = before


with _without_telemetry():
    import openvino
    from openvino.frontend import FrontEndManager

_DEVICE = "CPU"
_HINTS = {"fp32": "f32", "bf16": "bf16"}
_KINDS = {"u8": "uint8"}
_BESIDE_THE_POINT = re.compile(
    r"(Exception from|Check '.*?' failed at) \S+:\d+:|FrontEnd API failed with \w+:"
    r"|Model wasn't fully converted\.\s+Summary:\s+--|To facilitate the conversion .*"
)


class OpenVinoGenerator:
    """Runs a packed model: uint8 (1, H, W, 3) BGR in and out, in the caller's memory, without a copy.

    path: the .onnx file, unless its bytes are given as `model`.
    threads: None is one for each physical core that this process may use.
    precision: what those operations are computed in that the model leaves in floating point. Left to itself,
        OpenVINO takes bf16 or fp16 wherever the CPU has it; here that is asked for. What is quantised stays so.
    cache: a folder for what was compiled, or empty. It may be missing, damaged, of another CPU or read-only.
    """

    def __init__(
        self,
        path: str = "",
        *,
        model: bytes | None = None,
        threads: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        cache: str = "",
    ) -> None:
        content = _read(path) if model is None else model
        if threads is not None and threads < 1:
            raise GeneratorError(f"OpenVINO cannot run on {threads} threads", "use 1 or more")
        core = openvino.Core()
        _check_cpu(core, precision)
        options = _options(threads or usable_cores(), precision)
        try:
            compiled, from_cache = _compiled(core, content, options, cache)
        except GeneratorError:
            raise
        except Exception as error:  # its exceptions share no base class of their own
            raise GeneratorError(
                f"OpenVINO cannot load the model: {_shortened(error)}",
                "pack it anew, or use the runtime onnxruntime",
            ) from error
        _check_precision(compiled, precision)
        self._input = packed_tensor("input", _tensors(compiled.inputs))
        self._output = packed_tensor("output", _tensors(compiled.outputs))
        self.input_size, self.output_size = self._input.size, self._output.size
        self._request = compiled.create_infer_request()
        self.description: dict[str, Any] = {
            "runtime": "openvino",
            "version": openvino.__version__.partition("-")[0],
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "precision": precision,
            "from_cache": from_cache,
        }

    def infer(self, pixels: Pixels, out: Pixels) -> None:
        """Draw `pixels` into `out`, uint8 (H, W, 3) BGR, C-contiguous, of `input_size` and `output_size`."""
        check_memory(self._input, pixels)
        check_memory(self._output, out)
        try:
            self._request.set_input_tensor(_tensor_at(pixels))
            self._request.set_output_tensor(_tensor_at(out))
            self._request.infer(share_outputs=True)  # else it would copy the result once more
        except Exception as error:
            raise GeneratorError(f"OpenVINO failed on a picture: {_shortened(error)}") from error

    def close(self) -> None:
        """Free the network."""
        self._request = None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise GeneratorError(f"there is no model '{path}'", "name a packed .onnx file") from error


def _options(threads: int, precision: str) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "ENABLE_CPU_PINNING": False,  # camera, daemon and desktop need the cores too
    }


def _check_cpu(core: Any, precision: str) -> None:
    """OpenVINO would emulate bf16 where the CPU has none, or quietly take another precision."""
    if precision == "bf16" and "BF16" not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
        raise GeneratorError("this CPU does not compute in bf16", "use the precision fp32")


def _check_precision(compiled: Any, precision: str) -> None:
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != _HINTS[precision]:
        raise GeneratorError(f"asked for {precision}, OpenVINO computes in {taken} on this CPU")


def _compiled(core: Any, content: bytes, options: dict[str, Any], cache: str) -> tuple[Any, bool]:
    """The model, ready to run, and whether it came from the cache."""
    if not cache:
        return core.compile_model(_model(content), _DEVICE, options), False
    cpu = [core.get_property(_DEVICE, what) for what in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    key = blobs.key_of("openvino", openvino.__version__, cpu, sorted(options.items()), content)
    blob = blobs.kept(Path(cache), key)
    if blob is not None:
        with contextlib.suppress(Exception):  # it was made here and is whole: if it is refused still, compile
            return core.import_model(io.BytesIO(blob), _DEVICE, options), True
    compiled, exported = core.compile_model(_model(content), _DEVICE, options), io.BytesIO()
    with contextlib.suppress(Exception):  # what cannot be exported runs all the same
        compiled.export_model(exported)
        blobs.keep(Path(cache), key, exported.getvalue())
    return compiled, False


def _model(content: bytes) -> Any:
    """The ONNX model in OpenVINO's form, if it is a packed one.

    Core.read_model would offer a damaged file to the readers of all other formats too.
    """
    reader = FrontEndManager().load_by_framework("onnx")
    model = reader.convert(reader.load(io.BytesIO(content)))
    packed_tensor("input", _tensors(model.inputs))
    packed_tensor("output", _tensors(model.outputs))
    return model


def _tensors(ports: list[Any]) -> list[Tensor]:
    def shape(port: Any) -> tuple[int | str, ...]:
        if port.partial_shape.rank.is_dynamic:
            return ("...",)
        return tuple(d.get_length() if d.is_static else str(d) for d in port.partial_shape)

    def kind(port: Any) -> str:
        name: str = port.element_type.get_type_name()
        return _KINDS.get(name, name)

    return [Tensor(port.any_name, kind(port), shape(port)) for port in ports]


def _tensor_at(pixels: Pixels) -> Any:
    """OpenVINO's view of the memory of `pixels`, uint8 (H, W, 3), as (1, H, W, 3).

    By its address: OpenVINO takes no read-only array, as the camera's are.
    """
    memory: Any = (ctypes.c_uint8 * pixels.nbytes).from_address(pixels.ctypes.data)
    return openvino.Tensor(np.ndarray((1, *pixels.shape), np.uint8, memory), shared_memory=True)


def _shortened(error: Exception) -> str:
    """The sentence in OpenVINO's message, less the places in its source that it passed."""
    text = " ".join(_BESIDE_THE_POINT.sub(" ", str(error)).split()) or type(error).__name__
    return text.rstrip(".") if len(text) <= 200 else text[:199] + "…"
