"""The window, on a screen of its own (X11 without a window manager, and Wayland)."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgegan.camera.pattern import PatternCamera, read_stamp
from edgegan.display import screen_present
from edgegan.errors import DisplayError
from edgegan.registry import Size
from tests.display.conftest import SCREEN, screenshot, x11_server

window = pytest.importorskip(
    "edgegan.display.window", reason="PySDL2 is not installed: pip install edgegan[window]"
)

BLUE, GREEN, RED, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255)


def quarters() -> np.ndarray:
    """Blue, green / red, yellow."""
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:32, :32], pixels[:32, 32:], pixels[32:, :32], pixels[32:, 32:] = BLUE, GREEN, RED, YELLOW
    return pixels


def wait_for(condition: Callable[[], bool], display: "window.WindowDisplay") -> bool:
    """Poll as the daemon does until `condition`, for at most 5 s."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        display.poll()
        if condition():
            return True
        time.sleep(0.02)
    return False


def left(display: "window.WindowDisplay") -> bool:
    """Whether `poll` says within 5 s that the person left."""
    end = time.monotonic() + 5
    while display.poll() and time.monotonic() < end:
        time.sleep(0.02)
    return time.monotonic() < end


def number_of(display: "window.WindowDisplay") -> str:
    """The X11 window, for xdotool."""
    info = window.sdl2.SDL_SysWMinfo()
    window.sdl2.SDL_VERSION(info.version)
    assert window.sdl2.SDL_GetWindowWMInfo(display._window, info)
    return str(info.info.x11.window)


def close_politely(number: str) -> None:
    """Send WM_DELETE_WINDOW, as a window manager does when its cross is clicked (ICCCM 4.1.2.7)."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(None))
    protocols, delete = (
        x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    event = (
        ctypes.c_long * 24
    )()  # XEvent; of an XClientMessageEvent: type, …, window, message_type, format, data
    event[0], event[4], event[5], event[6], event[7] = 33, int(number), protocols, 32, delete
    x11.XSendEvent(connection, ctypes.c_ulong(int(number)), 0, ctypes.c_long(0), ctypes.byref(event))
    x11.XCloseDisplay(connection)


def caught_signals() -> str:
    """The mask of signals that this process, in Python or in C, has a handler for (proc_pid_status(5))."""
    return next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt")
    )


def shown(display: "window.WindowDisplay", expected: np.ndarray) -> bool:
    """Whether the screen looks like `expected`, scaled edges apart."""

    def same() -> bool:
        return bool((np.abs(screenshot().astype(int) - expected).max(axis=2) > 8).mean() < 0.06)

    return wait_for(same, display)


def enlarged(height: int, width: int, top: int, left: int) -> np.ndarray:
    """The screen with `quarters` at that place."""
    expected = np.zeros((*SCREEN, 3), np.uint8)
    picture = cv2.resize(quarters(), (width, height), interpolation=cv2.INTER_NEAREST)
    seen = picture[max(0, -top) :, max(0, -left) :][: SCREEN[0], : SCREEN[1]]
    expected[max(0, top) :, max(0, left) :][: seen.shape[0], : seen.shape[1]] = seen
    return expected


@pytest.mark.usefixtures("x11")
def test_the_whole_picture_between_black_bars() -> None:
    with closing(window.WindowDisplay(fullscreen=True)) as display:
        display.show(quarters(), 0)
        assert shown(display, enlarged(600, 600, 0, 100))


@pytest.mark.usefixtures("x11")
def test_cover_fills_the_screen() -> None:
    with closing(window.WindowDisplay(fullscreen=True, fit="cover")) as display:
        display.show(quarters(), 0)
        assert shown(display, enlarged(800, 800, -100, 0))


@pytest.mark.usefixtures("x11")
def test_a_window_in_the_middle_and_f_for_the_full_screen_and_back() -> None:
    with closing(window.WindowDisplay(size=Size((300, 300)))) as display:
        display.show(quarters(), 0)
        assert shown(display, enlarged(300, 300, 150, 250))
        subprocess.run(["xdotool", "key", "f"], check=True)
        assert shown(display, enlarged(600, 600, 0, 100))
        subprocess.run(["xdotool", "key", "f"], check=True)
        assert shown(display, enlarged(300, 300, 150, 250))


@pytest.mark.usefixtures("x11")
def test_it_is_drawn_again_when_the_window_was_resized() -> None:
    with closing(window.WindowDisplay(size=Size((300, 300)))) as display:
        display.show(quarters(), 0)
        assert shown(display, enlarged(300, 300, 150, 250))
        number = number_of(display)
        subprocess.run(
            ["xdotool", "windowmove", number, "0", "0", "windowsize", number, "800", "400"], check=True
        )
        assert shown(display, enlarged(400, 400, 0, 200))


@pytest.mark.usefixtures("x11")
@pytest.mark.parametrize("key", ["Escape", "q"])
def test_a_key_ends_the_run(key: str) -> None:
    with closing(window.WindowDisplay()) as display:
        display.show(quarters(), 0)
        assert wait_for(lambda: bool(screenshot().any()), display)
        subprocess.run(["xdotool", "key", "x"], check=True)
        time.sleep(0.1)
        assert display.poll()
        subprocess.run(["xdotool", "key", key], check=True)
        assert left(display)


@pytest.mark.usefixtures("x11")
def test_the_cross_of_the_window_ends_the_run() -> None:
    with closing(window.WindowDisplay()) as display:
        display.show(quarters(), 0)
        assert wait_for(lambda: bool(screenshot().any()), display)
        close_politely(number_of(display))
        assert left(display)


@pytest.mark.usefixtures("x11")
def test_a_hidden_window_holds_nothing_up() -> None:
    with closing(window.WindowDisplay()) as display:
        display.show(quarters(), 0)
        window.sdl2.SDL_HideWindow(display._window)
        started = time.monotonic()
        for _ in range(20):
            display.show(quarters(), 0)
            assert display.poll()
        assert time.monotonic() - started < 2


@pytest.mark.usefixtures("x11")
def test_the_cursor_is_hidden() -> None:
    with closing(window.WindowDisplay()):
        assert window.sdl2.SDL_ShowCursor(window.sdl2.SDL_QUERY) == window.sdl2.SDL_DISABLE


@pytest.mark.usefixtures("x11")
def test_signals_stay_with_the_process() -> None:
    handler, caught = signal.getsignal(signal.SIGINT), caught_signals()
    with closing(window.WindowDisplay()) as display:
        assert caught_signals() == caught
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 (the signal may come a moment later)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert display.poll()
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("x11")
def test_the_stamp_of_the_pattern_arrives_on_the_screen() -> None:
    frame = PatternCamera(size=Size((256, 256)), pace="max").read(1.0)
    with closing(window.WindowDisplay(fullscreen=True)) as display:
        display.show(frame.pixels, frame.captured_ns)
        assert wait_for(lambda: read_stamp(screenshot()) == read_stamp(frame.pixels), display)


@pytest.mark.usefixtures("wayland")
def test_it_is_shown_on_wayland(tmp_path: Path) -> None:
    frame = PatternCamera(size=Size((256, 256)), pace="max").read(1.0)
    with closing(window.WindowDisplay(fullscreen=True)) as display:
        assert "wayland" in display.description
        display.show(frame.pixels, frame.captured_ns)

        def arrived() -> bool:
            subprocess.run(["weston-screenshooter"], check=True, cwd=tmp_path)
            newest = max(tmp_path.glob("wayland-screenshot*.png"))
            pixels = cv2.imread(str(newest))
            newest.unlink()
            return pixels is not None and read_stamp(np.asarray(pixels, np.uint8)) == read_stamp(frame.pixels)

        assert wait_for(arrived, display)


def test_without_a_screen_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DisplayError, match="there is no screen"):
        window.WindowDisplay()


def test_a_screen_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9999")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    with pytest.raises(DisplayError, match="9999"):
        window.WindowDisplay()


def test_a_server_that_is_killed_is_an_error_and_not_the_end_of_the_process() -> None:
    """In a process of its own, which Xlib would end, and on a server of its own."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: apt install xvfb")
    script = (
        "import numpy, os, sys, time\n"
        "from contextlib import closing\n"
        "from edgegan.display.window import WindowDisplay\n"
        "from edgegan.errors import DisplayError\n"
        "pixels = numpy.zeros((64, 64, 3), numpy.uint8)\n"
        "def use(display):\n"
        "    for _ in range(100):\n"
        "        display.show(pixels, 0) if sys.argv[1] == 'show' else display.poll()\n"
        "        time.sleep(0.02)\n"
        "with closing(WindowDisplay()) as display:\n"
        "    display.show(pixels, 0)\n"
        "    os.kill(int(sys.argv[2]), 9)\n"
        "    for attempt in (use, use, lambda _: WindowDisplay()):\n"
        "        try: attempt(display)\n"
        "        except DisplayError as error: print(error)\n"
    )
    for doing in ("show", "poll"):
        with x11_server() as (server, number):
            environment = {**os.environ, "DISPLAY": number, "PYTHONPATH": os.pathsep.join(sys.path)}
            for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
                environment.pop(name, None)
            done = subprocess.run(
                [sys.executable, "-c", script, doing, str(server.pid)],
                capture_output=True,
                text=True,
                timeout=30,
                env=environment,
            )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("the screen is gone") == 3
        assert "XIO" not in done.stderr


def test_whether_there_is_a_screen() -> None:
    assert screen_present({"DISPLAY": ":0"})
    assert screen_present({"WAYLAND_DISPLAY": "wayland-0"})
    assert not screen_present({"DISPLAY": ""})
