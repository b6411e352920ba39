"""What is tried in a process of its own, because native code there may crash or hang.

The parent calls `run_child`. The child loads whatever its errand needs, keeps its standard output clean, and writes
one JSON object a line there.
"""

import importlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegan.errors import EdgeganError
from edgegan.process import die_with_parent, how_it_ended
from edgegan.registry import GENERATORS, Uri, open_driver

__all__ = ["Outcome", "main", "run_child"]

# Like a worker, the child searches where this process does, and nowhere else: `python -m` would begin with the
# working directory.
_BOOT = "import sys; sys.path[:] = sys.argv[1].split('\\n'); from edgegan.doctor.child import main; main()"


@dataclass(frozen=True)
class Outcome:
    """What a child said before it ended, and, unless it ended well, how."""

    said: list[dict[str, Any]]
    death: str | None


def run_child(errand: str, *arguments: str, limit_s: float) -> Outcome:
    """Run an errand of `ERRANDS` in a process of its own, for at most so long."""
    command = [sys.executable, "-c", _BOOT, "\n".join(sys.path), errand, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
            death = _death(process.returncode, err)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            death = f"it did not end within {limit_s:g} s"
    return Outcome([answer for line in out.splitlines() for answer in _answers(line)], death)


def _answers(line: bytes) -> list[dict[str, Any]]:
    """The answer in a line; none in one that was cut short by the child's death."""
    try:
        return [json.loads(line)]
    except ValueError:
        return []


def _death(code: int, err: bytes) -> str | None:
    last = err.decode("utf-8", "replace").strip().splitlines()[-1:] if code > 0 else []
    return (last or [how_it_ended(code)])[0] if code else None


# -- In the child


def main() -> None:
    """Entry point: argument 2 is the errand, the rest are its arguments."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not the answer

    def say(**answer: Any) -> None:
        print(json.dumps(answer, default=str), file=answers, flush=True)

    try:
        ERRANDS[sys.argv[2]](say, *sys.argv[3:])
    except EdgeganError as error:
        sys.exit(error.message)


Say = Callable[..., None]


def _import(say: Say, *names: str) -> None:
    """Import modules one after the other, as the programs do: some do not get along with one another."""
    for name in names:
        try:
            module = importlib.import_module(name)
        except BaseException as error:  # SystemExit too
            say(module=name, error=f"{type(error).__name__}: {error}".strip(": "))
        else:
            empty = None if getattr(module, "__file__", None) else [*getattr(module, "__path__", ())]
            say(module=name, version=getattr(module, "__version__", None), empty=empty)


def _draw(say: Say, runtime: str, bundle: str) -> None:
    """Let a runtime draw a bundle's reference picture, then time it."""
    import cv2
    import numpy as np

    from edgegan.bundle import Bundle
    from edgegan.quality import max_difference

    opened = Bundle.open(Path(bundle))
    given, wanted = (
        np.asarray(cv2.imdecode(np.frombuffer(opened.read_file(name), np.uint8), cv2.IMREAD_COLOR), np.uint8)
        for name in ("reference_input.png", "reference_output.png")
    )
    started = time.perf_counter()
    generator = open_driver("generator", GENERATORS, Uri(runtime, ""), model=opened.read_model("fp32"))
    loaded = time.perf_counter()
    drawn = np.empty_like(wanted)
    generator.infer(given, drawn)
    difference, times = max_difference(drawn, wanted), []
    for _ in range(5):
        begun = time.perf_counter()
        generator.infer(given, drawn)
        times.append(time.perf_counter() - begun)
    say(
        difference=difference,
        load_ms=(loaded - started) * 1e3,
        draw_ms=min(times) * 1e3,  # other examinations run beside it
        version=generator.description.get("version"),
    )


def _encode(say: Say) -> None:
    """Ten pictures to H.264 in MP4 and back, in memory."""
    import av
    import numpy as np

    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for level in range(0, 250, 25):
            pixels = np.full((64, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    say(pictures=pictures, version=av.__version__)


def _screen(say: Say) -> None:
    """Connect to the desktop without opening a window."""
    import ctypes

    from edgegan.display import window

    import sdl2  # isort: skip (the line above says what is missing without it)

    window._connect()
    area = window._screen_area()
    rate = sdl2.SDL_DisplayMode()
    sdl2.SDL_GetCurrentDisplayMode(0, ctypes.byref(rate))
    driver = sdl2.SDL_GetCurrentVideoDriver().decode()
    say(driver=driver, width=area.w, height=area.h, hertz=rate.refresh_rate)


ERRANDS: dict[str, Callable[..., None]] = {
    "import": _import,
    "draw": _draw,
    "encode": _encode,
    "screen": _screen,
}
