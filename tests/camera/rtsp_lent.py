"""Starts, stalls and kills the RTSP server of `rtsp_server.py`."""

import signal
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest

from edgegan.frame import Pixels

PYTHON = "/usr/bin/python3"  # the system's, which sees Debian's packages
_PROBE = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert all(map(Gst.ElementFactory.find, ("x264enc", "rtph264pay", "jpegenc", "appsrc", "videoconvert")))
"""
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,ugly}"


@cache
def is_there() -> bool:
    """True where the server can run."""
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", _PROBE], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server on a port of its own; `start` again after `kill` is the camera that comes back."""

    def __init__(self, *options: str) -> None:
        if not is_there():
            pytest.skip(f"needs Debian's packages {PACKAGES}")
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def url(self, query: str = "", login: str = "") -> str:
        return f"{login}127.0.0.1:{self.port}/live{query}"

    def start(self) -> None:
        program = Path(__file__).with_name("rtsp_server.py")
        command = [PYTHON, str(program), "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stall(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def stamp_in(pixels: Pixels) -> tuple[int, int]:
    """The number of the picture, and the instant at which it was drawn, in 0.1 ms modulo 2**32."""
    bits = pixels[32, 2::4, 1] > 128
    value = int("".join("01"[int(bit)] for bit in bits), 2)
    return value >> 32, value % 2**32
