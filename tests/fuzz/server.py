"""Runs command lines one after another in one process, hundreds a second, for `tests.fuzz.cage`.

    python -m tests.fuzz.server STDOUT STDERR

Each line of standard input is a JSON list: the arguments of `edgegan`, or ["!open", kind, uri] to open a driver and
use it once, or ["!read", "bundle", path] to read all of a bundle. What the command prints goes into the two files. The
answer is a line of JSON on the original standard output.
"""

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import psutil

from edgegan import cli, registry
from edgegan.bundle import Bundle
from edgegan.errors import CameraTimeout, EndOfStream
from edgegan.framing import Framing, split_framing
from edgegan.registry import Uri, open_driver


def main() -> None:
    """Serve until standard input ends."""
    cv2.setNumThreads(1)  # else its threads come and go with the first large picture
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for line in requests:
        arguments = json.loads(line)
        redirect(*sys.argv[1:3])
        sys.argv[0] = "edgegan"
        answer = {"code": command(arguments), **belongings()}
        sys.stdout.flush()
        sys.stderr.flush()
        say(answers, answer)


def redirect(*files: str) -> None:
    """Begin new files for standard output and standard error."""
    for descriptor, file in enumerate(files, start=1):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def command(arguments: list[str]) -> int:
    """The exit code of a command line, or of an attempt to open a driver."""
    if arguments[0] not in OWN:
        return cli.main(arguments)
    try:
        OWN[arguments[0]](arguments[1], arguments[2])
    except Exception as error:
        return cli._failed(error, as_json=False, verbose=False)
    return 0


def use_driver(kind: str, text: str) -> None:
    """Open what a URI names, use it once, close it twice."""
    uri, framing = Uri.parse(text), {}
    if kind == "camera":
        uri, framing = split_framing(uri)
    if kind == "generator":
        registry.check_generator_uri(uri)
    drivers = {"camera": registry.CAMERAS, "generator": registry.GENERATORS, "display": registry.DISPLAYS}[
        kind
    ]
    driver = open_driver(kind, drivers, uri)
    try:
        USE[kind](driver, framing)
    finally:
        driver.close()
        driver.close()


def read_all(kind: str, path: str) -> None:
    """Read every file of a bundle."""
    bundle = Bundle.open(Path(path))
    for name in bundle.manifest["files"]:
        bundle.read_file(name)


OWN = {"!open": use_driver, "!read": read_all}


def use_camera(camera: Any, framing: dict[str, Any]) -> None:
    """One picture, framed."""
    try:
        Framing((48, 64), **framing)(camera.read(0.05).pixels)
    except (CameraTimeout, EndOfStream):
        pass


def use_generator(generator: Any, _: dict[str, Any]) -> None:
    """One picture of noise."""
    generator.infer(
        np.zeros((*generator.input_size, 3), np.uint8), np.empty((*generator.output_size, 3), np.uint8)
    )


def use_display(display: Any, _: dict[str, Any]) -> None:
    """Two pictures."""
    for captured_ns in (0, 40_000_000):
        display.show(np.zeros((48, 64, 3), np.uint8), captured_ns)
    if display.poll_interval_s is not None:
        display.poll()


USE = {"camera": use_camera, "generator": use_generator, "display": use_display}


def belongings() -> dict[str, Any]:
    """What this process holds that one command should not leave to the next."""
    return {
        "descriptors": sorted(names_of_descriptors()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "children": [child.pid for child in psutil.Process().children()],
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def names_of_descriptors() -> list[str]:
    """What each open descriptor is; the folder that is listed here is closed again before it is read."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            names.append(str(entry.readlink()).partition(":[")[0])
        except FileNotFoundError:
            continue
    return names


def say(answers: TextIO, answer: dict[str, Any]) -> None:
    """One line, at once."""
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
