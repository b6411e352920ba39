"""The kernel's side of a V4L2 camera: structures and request numbers of <linux/videodev2.h>, and a device that is open.

Only what this driver needs. Sizes, offsets and numbers are compared with the header's own by
tests/camera/test_v4l2_kernel.py. A structure is handed to `ioctl` as it is, and comes back filled.
"""

import ctypes
import fcntl
import mmap
import os
import re
import select
from contextlib import suppress
from ctypes import c_char, c_int32, c_int64, c_long, c_ubyte, c_uint32, c_ulong
from pathlib import Path
from typing import Protocol

__all__ = ["Device", "LinuxSystem", "System"]

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
MMAP = 1  # V4L2_MEMORY_MMAP

CAP_VIDEO_CAPTURE = 0x1
CAP_VIDEO_CAPTURE_MPLANE = 0x1000
CAP_META_CAPTURE = 0x800000
CAP_STREAMING = 0x4000000
CAP_DEVICE_CAPS = 0x80000000
CAP_TIMEPERFRAME = 0x1000  # of v4l2_captureparm

DISCRETE = 1  # of sizes and of intervals; 2 is continuous, 3 stepwise

BUFFER_ERROR = 0x40
BUFFER_CLOCK_MASK = 0xE000
BUFFER_CLOCK_MONOTONIC = 0x2000

CONTROL_DISABLED = 0x1
CONTROL_READ_ONLY = 0x4
CONTROL_NEXT = 0x80000000

POWER_LINE_FREQUENCY = 0x980918
AUTO_WHITE_BALANCE = 0x98090C
WHITE_BALANCE_TEMPERATURE = 0x98091A
AUTOGAIN = 0x980912
EXPOSURE_AUTO = 0x9A0901
EXPOSURE_ABSOLUTE = 0x9A0902

_NODE = re.compile(r"video(\d+)")


class Capability(ctypes.Structure):
    """v4l2_capability."""

    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """v4l2_fmtdesc."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FrameSize(ctypes.Structure):
    """v4l2_frmsizeenum; a discrete size lies in the first two fields of the steps."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("min_width", c_uint32),  # discrete: width
        ("max_width", c_uint32),  # discrete: height
        ("step_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
        ("step_height", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class Fraction(ctypes.Structure):
    """v4l2_fract, seconds."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class FrameInterval(ctypes.Structure):
    """v4l2_frmivalenum; a discrete interval lies in `shortest`."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("shortest", Fraction),
        ("longest", Fraction),
        ("step", Fraction),
        ("reserved", c_uint32 * 2),
    )


class PixelFormat(ctypes.Structure):
    """v4l2_pix_format."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )


class _FormatUnion(ctypes.Union):
    # `aligned`: other members of the kernel's union hold pointers.
    _fields_ = (("pix", PixelFormat), ("aligned", ctypes.c_void_p), ("raw", c_ubyte * 200))


class Format(ctypes.Structure):
    """v4l2_format."""

    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class CaptureParameters(ctypes.Structure):
    """v4l2_captureparm."""

    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fraction),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _ParametersUnion(ctypes.Union):
    _fields_ = (("capture", CaptureParameters), ("raw", c_ubyte * 200))


class StreamParameters(ctypes.Structure):
    """v4l2_streamparm."""

    _fields_ = (("type", c_uint32), ("parm", _ParametersUnion))


class RequestBuffers(ctypes.Structure):
    """v4l2_requestbuffers."""

    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_ubyte),
        ("reserved", c_ubyte * 3),
    )


class _Time(ctypes.Structure):
    """timeval. Of two longs also on 32 bit, which is the form whose request numbers then follow from the size."""

    _fields_ = (("seconds", c_long), ("microseconds", c_long))


class _Timecode(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("flags", c_uint32), ("rest", c_ubyte * 8))


class _BufferPlace(ctypes.Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong))


class Buffer(ctypes.Structure):
    """v4l2_buffer."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", _Time),
        ("timecode", _Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _BufferPlace),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


class QueryControl(ctypes.Structure):
    """v4l2_queryctrl."""

    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class _MenuUnion(ctypes.Union):
    _pack_ = 1
    _fields_ = (("name", c_char * 32), ("value", c_int64))


class QueryMenu(ctypes.Structure):
    """v4l2_querymenu (packed)."""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("index", c_uint32), ("menu", _MenuUnion), ("reserved", c_uint32))


class Control(ctypes.Structure):
    """v4l2_control."""

    _fields_ = (("id", c_uint32), ("value", c_int32))


def _read(number: int, structure: type) -> int:
    return _request(2, number, structure)


def _write(number: int, structure: type) -> int:
    return _request(1, number, structure)


def _both(number: int, structure: type) -> int:
    return _request(3, number, structure)


def _request(direction: int, number: int, structure: type) -> int:
    """_IOC of <asm-generic/ioctl.h>: direction 2 bits, size 14, type 8, number 8."""
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord("V") << 8 | number


QUERYCAP = _read(0, Capability)
ENUM_FMT = _both(2, FormatDescription)
S_FMT = _both(5, Format)
REQBUFS = _both(8, RequestBuffers)
QUERYBUF = _both(9, Buffer)
QBUF = _both(15, Buffer)
DQBUF = _both(17, Buffer)
STREAMON = _write(18, c_int32)
STREAMOFF = _write(19, c_int32)
G_PARM = _both(21, StreamParameters)
S_PARM = _both(22, StreamParameters)
G_CTRL = _both(27, Control)
S_CTRL = _both(28, Control)
QUERYCTRL = _both(36, QueryControl)
QUERYMENU = _both(37, QueryMenu)
ENUM_FRAMESIZES = _both(74, FrameSize)
ENUM_FRAMEINTERVALS = _both(75, FrameInterval)


class Device(Protocol):
    """An open /dev/videoN."""

    def ioctl(self, request: int, argument: ctypes.Structure | ctypes.c_int32) -> None:
        """Ask the kernel; `argument` is filled in place. Raises `OSError`."""

    def map(self, length: int, offset: int) -> mmap.mmap:
        """Map a buffer that `QUERYBUF` described. Raises `OSError`."""

    def wait(self, timeout_s: float) -> bool:
        """True as soon as a buffer can be taken, or an error be told; False after the time-out."""

    def close(self) -> None:
        """Close it. May be called twice."""


class System(Protocol):
    """The machine as far as cameras are concerned."""

    def paths(self) -> list[str]:
        """Every /dev/videoN there is, in the order of N."""

    def open(self, path: str) -> Device:
        """Open a device; raises `OSError`."""

    def holders(self, path: str) -> list[str]:
        """Processes that have the device open, as far as this user may know: `guvcview (process 812)`."""


class LinuxDevice:
    """A device of this machine."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def ioctl(self, request: int, argument: ctypes.Structure | ctypes.c_int32) -> None:
        """Ask the kernel; `argument` is filled in place."""
        while True:
            try:
                fcntl.ioctl(self._fd, request, argument)
            except InterruptedError:
                continue
            return

    def map(self, length: int, offset: int) -> mmap.mmap:
        """The buffer's memory, to be read."""
        return mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def wait(self, timeout_s: float) -> bool:
        """poll(2)."""
        return bool(self._poll.poll(max(0.0, timeout_s) * 1e3))

    def close(self) -> None:
        """Close it. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class LinuxSystem:
    """This machine. root: where `dev` and `proc` are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def paths(self) -> list[str]:
        """Every /dev/videoN there is, in the order of N."""
        names = [_NODE.fullmatch(name) for name in os.listdir(self._root / "dev")]
        numbers = sorted(int(match[1]) for match in names if match)
        return [str(self._root / "dev" / f"video{number}") for number in numbers]

    def open(self, path: str) -> Device:
        """Open a device; raises `OSError`."""
        return LinuxDevice(path)

    def holders(self, path: str) -> list[str]:
        """Processes with a descriptor that leads to the same file; those of other users stay unseen."""
        real, found = os.path.realpath(path), []
        for process in (self._root / "proc").glob("[0-9]*"):
            with suppress(OSError):
                if process.name != str(os.getpid()) and _has_open(process, real):
                    found.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        return found


def _has_open(process: Path, real: str) -> bool:
    return any(str(descriptor.readlink()) == real for descriptor in (process / "fd").iterdir())
