"""One candidate in a process of its own: loaded, judged by its pictures, timed; it may crash or hang there.

The two talk in lines of JSON. To the child: {"do": "load" | "draw" | "time", …}. Back: what was found, or
{"error": words, "mend": words, "kind": the error's class}.
"""

import json
import logging
import os
import re
import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from edgegan import errors
from edgegan.bundle import Bundle
from edgegan.clock import sleep_until
from edgegan.engine.candidates import CACHING, Candidate
from edgegan.errors import BundleError, EdgeganError, GeneratorError, user_error_from_os_error
from edgegan.frame import Pixels
from edgegan.generator import Generator
from edgegan.process import die_with_parent, how_it_ended, start
from edgegan.registry import GENERATORS, Uri, open_driver

__all__ = ["Timing", "Trial", "main", "open_candidate", "picture_from_png", "reference_pictures"]

_WARM_UP_SECONDS = 0.3
_KILL_TIMEOUT_S = 5.0


def open_candidate(
    candidate: Candidate, bundle: Bundle, threads: int | None, cache: Path | None = None
) -> Generator:
    """The generator of a bundle, opened in this process. Raises what its driver raises.

    cache: a folder in which its runtime may keep what it compiled, if it does that.
    """
    further = {"cache": str(cache)} if cache and candidate.runtime in CACHING else {}
    generator: Generator = open_driver(
        "generator",
        GENERATORS,
        Uri(candidate.runtime, ""),
        model=bundle.read_model(candidate.model),
        threads=threads,
        **candidate.options,
        **further,
    )
    if (generator.input_size, generator.output_size) != (bundle.input_size, bundle.output_size):
        generator.close()
        raise BundleError(
            f"the generator takes and draws {generator.input_size} and {generator.output_size}, the manifest of "
            f"'{bundle.name}' says {bundle.input_size} and {bundle.output_size} (height, width)",
            "pack the model again",
        )
    return generator


@dataclass(frozen=True)
class Timing:
    """What drawing for a while gave: latencies, CPU time a picture, peak resident memory (2**20 bytes)."""

    latencies_ms: list[float]
    cpu_ms: float
    peak_memory_mb: float
    seconds: float


class Trial:
    """A candidate's process. In `with`; leaves nothing behind.

    timeout_s: for loading and for each picture; a process that takes longer is killed.
    Each method raises what the driver raised, and `GeneratorError` where the process crashed or hung.
    """

    def __init__(
        self, candidate: Candidate, bundle: Path, threads: int | None, timeout_s: float = 120.0
    ) -> None:
        self.candidate = candidate
        self._task = {
            "runtime": candidate.runtime,
            "precision": candidate.precision,
            "model": candidate.model,
            "options": dict(candidate.options),
            "bundle": str(bundle),
            "threads": threads,
        }
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Trial":
        ours, theirs = socket.socketpair()
        self._socket, self._lines = ours, ours.makefile("rwb")
        with theirs:
            try:
                self._process = start("edgegan.engine.trial", theirs.fileno())
            except OSError as error:
                self._close()
                raise GeneratorError(
                    f"no process can be started: {error.strerror or error}", "free some memory"
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    @property
    def pid(self) -> int:
        """Of the candidate's process."""
        assert self._process is not None
        return self._process.pid

    def load(self) -> dict[str, Any]:
        """Load the model; returns `load_s` and the driver's `description`."""
        return self._ask(self._timeout_s, do="load", **self._task)

    def draw(self, pictures: list[Path], folder: Path) -> list[Pixels]:
        """Draw pictures, PNG files of the generator's size, by way of PNG files in `folder`."""
        drawn = [folder / f"{self.candidate.name}-{number}.png" for number in range(len(pictures))]
        self._ask(
            self._timeout_s * len(pictures),
            do="draw",
            pictures=[str(path) for path in pictures],
            drawn=[str(path) for path in drawn],
        )
        return [picture_from_png(path.read_bytes()) for path in drawn]

    def time(self, seconds: float, rate_hertz: float | None = None) -> Timing:
        """Draw noise for so long, at least once, after a short warm-up the first time.

        rate_hertz: pictures a second, as from a camera; None: one after the other.
        """
        found = self._ask(seconds + self._timeout_s, do="time", seconds=seconds, rate_hertz=rate_hertz)
        return Timing(**found)

    def _ask(self, timeout_s: float, **message: Any) -> dict[str, Any]:
        self._socket.settimeout(timeout_s)
        try:
            self._lines.write(json.dumps(message).encode() + b"\n")
            self._lines.flush()
            line = self._lines.readline()
        except TimeoutError:
            self._kill()  # lest it disturbs what is timed beside it
            raise GeneratorError(f"it did not answer within {timeout_s:g} s") from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise GeneratorError(self._death())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"], GeneratorError)(answer["error"], answer["mend"])
        return answer

    def _death(self) -> str:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return f"its process died: {how_it_ended(self._process.wait(_KILL_TIMEOUT_S))}"
        return "its process closed its end"

    def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that the kernel cannot end is left to be reaped later
            self._process.wait(_KILL_TIMEOUT_S)

    def _close(self) -> None:
        if self._process is not None:
            self._kill()
        with suppress(OSError):
            self._lines.close()
        self._socket.close()


def reference_pictures(bundle: Bundle) -> tuple[Pixels, Pixels]:
    """What the bundle's reference shows, and what must be drawn of it: uint8 (H, W, 3) BGR. Raises `BundleError`."""
    seen, drawn = (
        picture_from_png(bundle.read_file(f"reference_{side}.png")) for side in ("input", "output")
    )
    if (seen.shape[:2], drawn.shape[:2]) != (bundle.input_size, bundle.output_size):
        raise BundleError(
            f"the reference pictures of '{bundle.name}' have {seen.shape[:2]} and {drawn.shape[:2]}, its manifest "
            f"says {bundle.input_size} and {bundle.output_size} (height, width)",
            "pack the model again",
        )
    return seen, drawn


def picture_from_png(data: bytes) -> Pixels:
    """uint8 (H, W, 3) BGR. Raises `BundleError` for what is no picture."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise BundleError("a reference picture is damaged", "copy the bundle again, or pack it again")
    return np.asarray(pixels, np.uint8)


# -- The child


def main(control_fd: int) -> int:
    """Entry point of the process; the descriptor is the control socket's."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s trial: %(message)s")
    cv2.setNumThreads(1)
    with socket.socket(fileno=control_fd) as connection, connection.makefile("rwb") as lines:
        child = _Child()
        for line in lines:
            lines.write(json.dumps(_answer(child, json.loads(line))).encode() + b"\n")
            lines.flush()
    os._exit(0)  # a runtime's own tidying up may hang


def _answer(child: "_Child", message: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(child, message.pop("do"))(**message)
    except EdgeganError as error:
        return {"error": error.message, "mend": error.mend, "kind": type(error).__name__}
    except Exception as error:  # whatever a runtime throws is its failure, not ours
        return {"error": f"{type(error).__name__}: {error}", "mend": "", "kind": "GeneratorError"}
    return answer


class _Child:
    """What the parent asks for."""

    def __init__(self) -> None:
        self._generator: Generator | None = None
        self._warm = False

    def load(
        self,
        bundle: str,
        model: str,
        runtime: str,
        precision: str,
        options: dict[str, Any],
        threads: int | None,
    ) -> dict[str, Any]:
        start_ns = time.monotonic_ns()
        candidate = Candidate(runtime, precision, model, options)
        self._generator = open_candidate(candidate, Bundle.open(Path(bundle)), threads)
        load_s = (time.monotonic_ns() - start_ns) / 1e9
        return {"load_s": round(load_s, 3), "description": self._generator.description}

    def draw(self, pictures: list[str], drawn: list[str]) -> dict[str, Any]:
        out = np.empty((*self._loaded().output_size, 3), np.uint8)
        for source, target in zip(pictures, drawn, strict=True):
            self._loaded().infer(picture_from_png(Path(source).read_bytes()), out)
            _write(Path(target), bytes(cv2.imencode(".png", out)[1]))
        return {}

    def time(self, seconds: float, rate_hertz: float | None) -> dict[str, Any]:
        generator = self._loaded()
        pixels = np.random.default_rng(0).integers(0, 256, (*generator.input_size, 3), np.uint8)
        out = np.empty((*generator.output_size, 3), np.uint8)
        if not self._warm:
            _repeat(generator, pixels, out, _WARM_UP_SECONDS, None)
            self._warm = True
        cpu_ns, start_ns = time.process_time_ns(), time.monotonic_ns()
        latencies_ms = _repeat(generator, pixels, out, seconds, rate_hertz)
        return {
            "latencies_ms": latencies_ms,
            "cpu_ms": (time.process_time_ns() - cpu_ns) / 1e6 / len(latencies_ms),
            "peak_memory_mb": _peak_memory_mb(),
            "seconds": (time.monotonic_ns() - start_ns) / 1e9,
        }

    def _loaded(self) -> Generator:
        if self._generator is None:
            raise GeneratorError("nothing was loaded")
        return self._generator


def _write(path: Path, data: bytes) -> None:
    """A disk that is full is no fault of the candidate's."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write into '{path.parent}'") from error


def _peak_memory_mb() -> float:
    """Peak resident memory of this process in 2**20 bytes (proc(5)).

    That of getrusage(2) holds the parent's, too, which a process inherits when it is started.
    """
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    kilobytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / 1024, 1)


def _repeat(
    generator: Generator, pixels: Pixels, out: Pixels, seconds: float, rate_hertz: float | None
) -> list[float]:
    """Latencies in ms of drawing for so long, once at least."""
    latencies_ms: list[float] = []
    start_ns = before_ns = time.monotonic_ns()
    while not latencies_ms or before_ns < start_ns + int(seconds * 1e9):
        generator.infer(pixels, out)
        latencies_ms.append(round((time.monotonic_ns() - before_ns) / 1e6, 4))
        if rate_hertz is not None:
            sleep_until(start_ns + int(len(latencies_ms) / rate_hertz * 1e9))
        before_ns = time.monotonic_ns()
    return latencies_ms
