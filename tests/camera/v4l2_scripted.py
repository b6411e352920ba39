"""A machine with scripted V4L2 devices: they answer each request as the kernel's documentation says a driver does.

But for `vivid`, nothing here was recorded from a device by this project. Where a list of modes or controls was read in
a public thread, that is named beside it; the rest follows the V4L2 documentation and the kernel's source. Pictures
become due in real time, are stamped and numbered, and are lost where no buffer is queued.
"""

import errno
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.modes import code_from_fourcc, fourcc_from_code
from tests.camera.conftest import numbered_picture

MENU, INTEGER, BOOLEAN = 3, 1, 2  # V4L2_CTRL_TYPE_…


@dataclass(frozen=True)
class SizeOffer:
    """width x height, or a range in steps; rates discrete, or the two ends of a continuous range."""

    least: tuple[int, int]
    rates: tuple[float, ...]
    most: tuple[int, int] | None = None
    step: tuple[int, int] = (1, 1)
    continuous: bool = False


@dataclass
class ControlOffer:
    """A control with its present value; menu: the indices that exist."""

    name: str
    minimum: int
    maximum: int
    value: int
    menu: tuple[int, ...] = ()
    flags: int = 0


@dataclass
class Script:
    """What a device is and offers."""

    card: str
    driver: str = "uvcvideo"
    bus: str = "usb-0000:00:14.0-1"
    capabilities: int = 0x84A00001
    device_caps: int = 0x04200001
    formats: dict[str, list[SizeOffer]] = field(default_factory=dict)
    controls: dict[int, ControlOffer] = field(default_factory=dict)
    knows_rates: bool = True
    knows_sizes: bool = True


def _sizes(text: str, rates: tuple[float, ...]) -> list[SizeOffer]:
    return [SizeOffer(tuple(map(int, size.split("x"))), rates) for size in text.split()]


def uvc_controls(**changed: ControlOffer) -> dict[int, ControlOffer]:
    """Names, ranges and menus as listed for a C920 in bigtreetech/CB2 issue 128 and on linux-media."""
    controls = {
        0x980900: ControlOffer("Brightness", 0, 255, 128),
        kernel.AUTO_WHITE_BALANCE: ControlOffer("White Balance, Automatic", 0, 1, 1),
        0x980913: ControlOffer("Gain", 0, 255, 0),
        kernel.POWER_LINE_FREQUENCY: ControlOffer("Power Line Frequency", 0, 2, 2, menu=(0, 1, 2)),
        kernel.WHITE_BALANCE_TEMPERATURE: ControlOffer("White Balance Temperature", 2000, 6500, 4000),
        kernel.EXPOSURE_AUTO: ControlOffer("Auto Exposure", 0, 3, 3, menu=(1, 3)),
        kernel.EXPOSURE_ABSOLUTE: ControlOffer("Exposure Time, Absolute", 3, 2047, 250),
    }
    return controls | {getattr(kernel, name): control for name, control in changed.items()}


def webcam() -> Script:
    """YUYV as listed for a C930e in ros-drivers/usb_cam issue 287 (in part); MJPG after other webcams, not captured."""
    return Script(
        "Logitech Webcam C930e",
        formats={
            "YUYV": [
                *_sizes("640x480", (30, 25, 20, 15, 10, 5, 30, 25)),  # twice, as there
                *_sizes("1920x1080", (5,)),
                *_sizes("1280x720", (10,)),
                *_sizes("800x600", (20, 15, 10, 5)),
                *_sizes("640x360 320x240 160x90", (30,)),
            ],
            "MJPG": _sizes("640x480 320x240 800x600 1280x720 1920x1080", (30, 24, 20, 15, 10, 7.5, 5)),
        },
        controls=uvc_controls(),
    )


def grabber() -> Script:
    """A capture stick with MJPG alone, as listed in hyperion-project/hyperion.ng issue 1180 (in part)."""
    sizes = "1920x1080 1600x1200 1360x768 1280x1024"
    return Script(
        "USB Video: USB Video",
        formats={"MJPG": _sizes(sizes, (30, 25, 20, 10, 5))},
        controls={0x980900: ControlOffer("Brightness", -128, 127, -11)},
    )


def pi_camera() -> Script:
    """Stepwise sizes of bcm2835-v4l2, as listed in Motion-Project/motion issue 940; its intervals from its source."""
    wide = [SizeOffer((32, 32), (1, 90), (2592, 1944), (2, 2), continuous=True)]
    return Script(
        "mmal service 16.1",
        driver="bm2835 mmal",
        bus="platform:bcm2835-v4l2-0",
        capabilities=0x85200005,
        device_caps=0x05200005,
        formats=dict.fromkeys(["YU12", "YUYV", "RGB3", "JPEG", "H264", "MJPG", "YVYU", "NV12"], wide),
        controls={
            kernel.POWER_LINE_FREQUENCY: ControlOffer("Power Line Frequency", 0, 3, 1, menu=(0, 1, 2, 3))
        },
    )


def vivid() -> Script:
    """The kernel's virtual video test driver as a webcam: recorded in part from Linux 6.1 in an emulator."""
    rates = (1, 2, 4, 5, 10, 12.5, 15, 25, 30, 40, 50, 60)
    lengths = {"320x180": 12, "640x360": 10, "640x480": 8, "1280x720": 6, "1920x1080": 4, "3840x2160": 2}
    sizes = [offer for size, length in lengths.items() for offer in _sizes(size, rates[:length])]
    return Script(
        "vivid",
        driver="vivid",
        bus="platform:vivid-000",
        capabilities=0x85A00005,
        device_caps=0x05200005,
        formats=dict.fromkeys(["YUYV", "UYVY", "YVYU", "VYUY", "NV12", "RGB3"], sizes),
        controls={
            kernel.AUTOGAIN: ControlOffer("Gain, Automatic", 0, 1, 1),
            0x980913: ControlOffer("Gain", 0, 255, 100),
        },
    )


def any_rate() -> Script:
    """What no camera is: small pictures of any size at any rate, for the contract's tests."""
    wide = [SizeOffer((16, 16), (1, 1000), (2048, 2048), (2, 1), continuous=True)]
    return Script("scripted camera", formats={"YUYV": wide, "MJPG": wide}, controls=uvc_controls())


def metadata(of: Script) -> Script:
    """The second node of a UVC camera: V4L2_CAP_META_CAPTURE."""
    return replace(of, device_caps=0x04A00000, formats={})


def codec() -> Script:
    """A board's H.264 encoder: V4L2_CAP_VIDEO_M2M_MPLANE."""
    return Script(
        "bcm2835-codec-encode",
        "bcm2835-codec",
        "platform:bcm2835-codec",
        0x84204000,
        0x04204000,
        {"H264": []},
    )


class ScriptedSystem:
    """Devices by path. `refuse`: errno by path, on opening. `opened`: every device that was opened."""

    def __init__(self, **scripts: Script) -> None:
        self.scripts = {f"/dev/{name}": script for name, script in scripts.items()}
        self.refuse: dict[str, int] = {}
        self.held_by: list[str] = []
        self.opened: list[ScriptedDevice] = []
        self.prepare: Callable[[ScriptedDevice], None] = lambda device: None

    def paths(self) -> list[str]:
        return list(self.scripts)

    def open(self, path: str) -> "ScriptedDevice":
        kind = self.refuse.get(path, 0 if path in self.scripts else errno.ENOENT)
        if kind:
            raise OSError(kind, "refused", path)
        self.opened.append(ScriptedDevice(self.scripts[path]))
        self.prepare(self.opened[-1])
        return self.opened[-1]

    def holders(self, path: str) -> list[str]:
        return self.held_by


class ScriptedDevice:
    """An open device. `fail`: errno by request. `asked`: every request, in order."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.fail: dict[int, int] = {}
        self.asked: list[int] = []
        self.written: list[tuple[int, int]] = []
        self.unplugged = self.silent = self.streaming = self.closed = False
        self.cut_off: set[int] = set()
        self.flagged: set[int] = set()
        self.lost: set[int] = set()
        self.clock = kernel.BUFFER_CLOCK_MONOTONIC
        self.stamp_offset_ns = 0
        self.first_number = 0
        self.spare_line_bytes = 0
        self.pixelformat, self.width, self.height, self.rate = 0, 0, 0, 30.0
        self._memory: list[mmap.mmap] = []
        self._empty: list[int] = []
        self._full: list[kernel.Buffer] = []
        self._due = 0
        self._started_ns = 0

    # The device

    def ioctl(self, request: int, argument: object) -> None:
        assert not self.closed, "a closed device was asked"
        self.asked.append(request)
        kind = errno.ENODEV if self.unplugged else self.fail.get(request, 0)
        kind = kind or getattr(self, "_" + _NAMES[request])(argument) or 0
        if kind:
            raise OSError(kind, "refused") if kind != errno.EAGAIN else BlockingIOError(kind, "empty")

    def map(self, length: int, offset: int) -> mmap.mmap:
        return self._memory[offset // mmap.PAGESIZE]

    def wait(self, timeout_s: float) -> bool:
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        while time.monotonic_ns() < deadline_ns and not self.unplugged:
            self._advance()
            if self._full:
                return True
            time.sleep(0.0005)
        return self.unplugged

    def close(self) -> None:
        self.closed = True

    # Its answers: an errno, or nothing

    def _querycap(self, answer: kernel.Capability) -> None:
        answer.driver, answer.card = self.script.driver.encode(), self.script.card.encode()
        answer.bus_info, answer.capabilities = self.script.bus.encode(), self.script.capabilities
        answer.device_caps = self.script.device_caps

    def _enum_fmt(self, answer: kernel.FormatDescription) -> int | None:
        if answer.index >= len(self.script.formats):
            return errno.EINVAL
        answer.pixelformat = code_from_fourcc(list(self.script.formats)[answer.index])
        return None

    def _sizes_of(self, code: int) -> list[SizeOffer]:
        return self.script.formats.get(fourcc_from_code(code), [])

    def _enum_framesizes(self, answer: kernel.FrameSize) -> int | None:
        sizes = self._sizes_of(answer.pixel_format)
        if not self.script.knows_sizes:
            return errno.ENOTTY
        if answer.index >= len(sizes):
            return errno.EINVAL
        one = sizes[answer.index]
        if one.most is None:
            answer.type, answer.min_width, answer.max_width = kernel.DISCRETE, *one.least
        else:
            answer.type = 3
            answer.min_width, answer.max_width, answer.step_width = one.least[0], one.most[0], one.step[0]
            answer.min_height, answer.max_height, answer.step_height = one.least[1], one.most[1], one.step[1]
        return None

    def _offer(self, code: int, width: int, height: int) -> SizeOffer | None:
        for one in self._sizes_of(code):
            most = one.most or one.least
            if one.least[0] <= width <= most[0] and one.least[1] <= height <= most[1]:
                return one
        return None

    def _enum_frameintervals(self, answer: kernel.FrameInterval) -> int | None:
        one = self._offer(answer.pixel_format, answer.width, answer.height)
        if one is None or answer.index >= (1 if one.continuous else len(one.rates)):
            return errno.EINVAL
        if one.continuous:
            answer.type = 2
            answer.shortest, answer.longest = _interval(max(one.rates)), _interval(min(one.rates))
        else:
            answer.type, answer.shortest = kernel.DISCRETE, _interval(one.rates[answer.index])
        return None

    def _s_fmt(self, answer: kernel.Format) -> None:
        pix = answer.fmt.pix
        if self._offer(pix.pixelformat, pix.width, pix.height) is None:
            pix.pixelformat = code_from_fourcc(next(iter(self.script.formats)))
            pix.width, pix.height = next(iter(self.script.formats.values()))[0].least
        self.pixelformat, self.width, self.height = pix.pixelformat, pix.width, pix.height
        pix.bytesperline = self._line_bytes()
        pix.sizeimage = self.width * self.height * 2 + self.height * self.spare_line_bytes

    def _line_bytes(self) -> int:
        return 2 * self.width + self.spare_line_bytes if fourcc_from_code(self.pixelformat) == "YUYV" else 0

    def _g_parm(self, answer: kernel.StreamParameters) -> int | None:
        if not self.script.knows_rates:
            return errno.ENOTTY
        answer.parm.capture.capability = kernel.CAP_TIMEPERFRAME
        answer.parm.capture.timeperframe = _interval(self.rate)
        return None

    def _s_parm(self, answer: kernel.StreamParameters) -> None:
        interval = answer.parm.capture.timeperframe
        one = self._offer(self.pixelformat, self.width, self.height)
        asked = interval.denominator / interval.numerator
        assert one is not None
        self.rate = min(one.rates, key=lambda rate: abs(rate - asked)) if not one.continuous else asked
        answer.parm.capture.timeperframe = _interval(self.rate)

    def _queryctrl(self, answer: kernel.QueryControl) -> int | None:
        asked = answer.id & ~kernel.CONTROL_NEXT
        following = sorted(i for i in self.script.controls if i > asked)
        found = following[0] if answer.id & kernel.CONTROL_NEXT and following else asked
        if found not in self.script.controls or (answer.id & kernel.CONTROL_NEXT and not following):
            return errno.EINVAL
        one = self.script.controls[found]
        answer.id, answer.name, answer.flags = found, one.name.encode(), one.flags
        answer.minimum, answer.maximum = one.minimum, one.maximum
        return None

    def _querymenu(self, answer: kernel.QueryMenu) -> int | None:
        return None if answer.index in self.script.controls[answer.id].menu else errno.EINVAL

    def _g_ctrl(self, answer: kernel.Control) -> int | None:
        if answer.id not in self.script.controls:
            return errno.EINVAL
        answer.value = self.script.controls[answer.id].value
        return None

    def _s_ctrl(self, answer: kernel.Control) -> int | None:
        one = self.script.controls.get(answer.id)
        if one is None or (one.menu and answer.value not in one.menu):
            return errno.EINVAL
        if not one.minimum <= answer.value <= one.maximum:
            return errno.ERANGE
        one.value = answer.value
        self.written.append((answer.id, answer.value))
        return None

    def _reqbufs(self, answer: kernel.RequestBuffers) -> None:
        length = self.width * self.height * 2 + self.height * self.spare_line_bytes + mmap.PAGESIZE
        self._memory = [mmap.mmap(-1, length) for _ in range(answer.count)]

    def _querybuf(self, answer: kernel.Buffer) -> None:
        answer.length, answer.m.offset = len(self._memory[answer.index]), answer.index * mmap.PAGESIZE

    def _qbuf(self, answer: kernel.Buffer) -> int | None:
        self._advance()
        if answer.index in self._empty or answer.index in [full.index for full in self._full]:
            return errno.EINVAL
        self._empty.append(answer.index)
        return None

    def _dqbuf(self, answer: kernel.Buffer) -> int | None:
        self._advance()
        if not self._full:
            return errno.EAGAIN
        full = self._full.pop(0)
        for name in ("index", "bytesused", "flags", "timestamp", "sequence"):
            setattr(answer, name, getattr(full, name))
        return None

    def _streamon(self, _: object) -> None:
        self.streaming, self._started_ns = True, time.monotonic_ns()

    def _streamoff(self, _: object) -> None:
        self.streaming = False

    # Its pictures

    def _advance(self) -> None:
        """Fill buffers with all that has become due; what finds no buffer is lost, but counted."""
        while self.streaming and not self.silent:
            due_ns = self._started_ns + round((self._due + 1) * 1e9 / self.rate)
            if due_ns > time.monotonic_ns():
                return
            if self._empty and self._due not in self.lost:
                self._full.append(self._filled(self._empty.pop(0), due_ns))
            self._due += 1

    def _filled(self, index: int, due_ns: int) -> kernel.Buffer:
        data = self._picture()
        memory = self._memory[index]
        memory[: len(data)] = data
        stamp_ns = due_ns + self.stamp_offset_ns
        buffer = kernel.Buffer(index=index, bytesused=len(data), flags=self.clock)
        buffer.sequence = (self.first_number + self._due) % 2**32
        buffer.timestamp.seconds, buffer.timestamp.microseconds = divmod(stamp_ns // 1000, 1_000_000)
        if self._due in self.flagged:
            buffer.flags |= kernel.BUFFER_ERROR
        return buffer

    def _picture(self) -> bytes:
        pixels = cv2.resize(numbered_picture(self._due % 64), (self.width, self.height), interpolation=0)
        if fourcc_from_code(self.pixelformat) == "YUYV":
            lines = np.full((self.height, self._line_bytes()), 77, np.uint8)
            lines[:, : 2 * self.width : 2] = pixels[:, :, 0]
            lines[:, 1 : 2 * self.width : 2] = 128
            return lines.tobytes()
        data = cv2.imencode(".jpg", pixels)[1].tobytes() + bytes(6)  # drivers leave zeros behind the end
        return data[: len(data) // 2] if self._due in self.cut_off else data


def _interval(rate: float) -> kernel.Fraction:
    return kernel.Fraction(10_000, round(rate * 10_000))


_REQUESTS = """
QUERYCAP ENUM_FMT S_FMT REQBUFS QUERYBUF QBUF DQBUF STREAMON STREAMOFF G_PARM S_PARM
G_CTRL S_CTRL QUERYCTRL QUERYMENU ENUM_FRAMESIZES ENUM_FRAMEINTERVALS
"""
_NAMES = {getattr(kernel, name): name.lower() for name in _REQUESTS.split()}
