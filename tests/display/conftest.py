"""Screens that the tests of this folder start themselves: Xvfb (X11) and Weston (Wayland), both without hardware."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

SCREEN = (600, 800)
"""Height and width."""


@contextmanager
def x11_server() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """An X server without window manager, and the name of its screen."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SCREEN[1]}x{SCREEN[0]}x24", "-noreset"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        if not number:
            pytest.fail("Xvfb did not start")
        yield server, f":{number}"
        server.terminate()


@pytest.fixture(scope="session")
def xvfb() -> Iterator[str]:
    """The name of an X11 screen without window manager."""
    for program in ("Xvfb", "xdotool", "import"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt install xvfb xdotool imagemagick")
    with x11_server() as (_, name):
        yield name


@pytest.fixture
def x11(xvfb: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The X11 screen, as this process's own."""
    pytest.importorskip("sdl2", reason="PySDL2 is not installed: pip install edgegan[window]")
    monkeypatch.setenv("DISPLAY", xvfb)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    subprocess.run(["xdotool", "mousemove", str(SCREEN[1] // 2), str(SCREEN[0] // 2)], check=True)
    return xvfb


def screenshot() -> np.ndarray:
    """uint8 (H, W, 3) BGR: what is on the X11 screen."""
    png = subprocess.run(["import", "-window", "root", "png:-"], check=True, stdout=subprocess.PIPE).stdout
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


@pytest.fixture
def wayland(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Wayland screen, as this process's own; its log."""
    pytest.importorskip("sdl2", reason="PySDL2 is not installed: pip install edgegan[window]")
    if shutil.which("weston") is None or shutil.which("weston-screenshooter") is None:
        pytest.skip("weston is not installed: apt install weston")
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "edgegan-test")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    command = ["weston", "--backend=headless-backend.so", "--socket=edgegan-test", "--use-pixman", "--debug"]
    log = tmp_path / "weston.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        for _ in range(100):
            if (tmp_path / "edgegan-test").exists() or server.poll() is not None:
                break
            time.sleep(0.05)
        if server.poll() is not None:
            pytest.skip(f"weston does not run here: {log.read_text().splitlines()[-1]}")
        yield log
        server.terminate()
