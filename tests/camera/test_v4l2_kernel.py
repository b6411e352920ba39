"""The structures and request numbers are the kernel's, and what this machine says about its devices."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.kernel import LinuxDevice, LinuxSystem

# Printed by the program below, compiled against Linux 6.1's <linux/videodev2.h> for x86-64 and, the same, for aarch64.
STRUCTURES = {
    "Capability": ("v4l2_capability", 104, {"bus_info": 48, "device_caps": 88}),
    "FormatDescription": ("v4l2_fmtdesc", 64, {"pixelformat": 44}),
    "FrameSize": ("v4l2_frmsizeenum", 44, {}),
    "FrameInterval": ("v4l2_frmivalenum", 52, {}),
    "Format": ("v4l2_format", 208, {"fmt": 8}),
    "PixelFormat": ("v4l2_pix_format", 48, {"bytesperline": 16, "sizeimage": 20}),
    "StreamParameters": ("v4l2_streamparm", 204, {"parm": 4}),
    "CaptureParameters": ("v4l2_captureparm", 40, {"timeperframe": 8}),
    "RequestBuffers": ("v4l2_requestbuffers", 20, {}),
    "Buffer": ("v4l2_buffer", 88, {"timestamp": 24, "sequence": 56, "memory": 60, "m": 64, "length": 72}),
    "QueryControl": ("v4l2_queryctrl", 68, {"minimum": 40, "flags": 56}),
    "QueryMenu": ("v4l2_querymenu", 44, {}),
    "Control": ("v4l2_control", 8, {"value": 4}),
}
REQUESTS = {
    "QUERYCAP": 0x80685600,
    "ENUM_FMT": 0xC0405602,
    "S_FMT": 0xC0D05605,
    "REQBUFS": 0xC0145608,
    "QUERYBUF": 0xC0585609,
    "QBUF": 0xC058560F,
    "DQBUF": 0xC0585611,
    "STREAMON": 0x40045612,
    "STREAMOFF": 0x40045613,
    "G_PARM": 0xC0CC5615,
    "S_PARM": 0xC0CC5616,
    "G_CTRL": 0xC008561B,
    "S_CTRL": 0xC008561C,
    "QUERYCTRL": 0xC0445624,
    "QUERYMENU": 0xC02C5625,
    "ENUM_FRAMESIZES": 0xC02C564A,
    "ENUM_FRAMEINTERVALS": 0xC034564B,
}
VALUES = {
    "CAP_VIDEO_CAPTURE": "V4L2_CAP_VIDEO_CAPTURE",
    "CAP_VIDEO_CAPTURE_MPLANE": "V4L2_CAP_VIDEO_CAPTURE_MPLANE",
    "CAP_META_CAPTURE": "V4L2_CAP_META_CAPTURE",
    "CAP_STREAMING": "V4L2_CAP_STREAMING",
    "CAP_DEVICE_CAPS": "V4L2_CAP_DEVICE_CAPS",
    "CAP_TIMEPERFRAME": "V4L2_CAP_TIMEPERFRAME",
    "CAPTURE": "V4L2_BUF_TYPE_VIDEO_CAPTURE",
    "MMAP": "V4L2_MEMORY_MMAP",
    "DISCRETE": "V4L2_FRMSIZE_TYPE_DISCRETE",
    "BUFFER_ERROR": "V4L2_BUF_FLAG_ERROR",
    "BUFFER_CLOCK_MASK": "V4L2_BUF_FLAG_TIMESTAMP_MASK",
    "BUFFER_CLOCK_MONOTONIC": "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC",
    "CONTROL_DISABLED": "V4L2_CTRL_FLAG_DISABLED",
    "CONTROL_READ_ONLY": "V4L2_CTRL_FLAG_READ_ONLY",
    "CONTROL_NEXT": "V4L2_CTRL_FLAG_NEXT_CTRL",
    "POWER_LINE_FREQUENCY": "V4L2_CID_POWER_LINE_FREQUENCY",
    "AUTO_WHITE_BALANCE": "V4L2_CID_AUTO_WHITE_BALANCE",
    "WHITE_BALANCE_TEMPERATURE": "V4L2_CID_WHITE_BALANCE_TEMPERATURE",
    "AUTOGAIN": "V4L2_CID_AUTOGAIN",
    "EXPOSURE_AUTO": "V4L2_CID_EXPOSURE_AUTO",
    "EXPOSURE_ABSOLUTE": "V4L2_CID_EXPOSURE_ABSOLUTE",
}


def test_structures_are_as_large_as_recorded_and_their_fields_where_they_were() -> None:
    found = {
        name: (
            kind,
            ctypes.sizeof(getattr(kernel, name)),
            {f: getattr(getattr(kernel, name), f).offset for f in fields},
        )
        for name, (kind, _, fields) in STRUCTURES.items()
    }
    assert found == STRUCTURES


def test_requests_have_their_recorded_numbers() -> None:
    assert {name: getattr(kernel, name) for name in REQUESTS} == REQUESTS


@pytest.mark.skipif(
    not shutil.which("cc") or not Path("/usr/include/linux/videodev2.h").exists(),
    reason="needs a C compiler and the kernel's headers (build-essential)",
)
def test_this_machines_own_header_says_the_same(tmp_path: Path) -> None:
    expected = {f"sizeof(struct {kind})": size for kind, size, _ in STRUCTURES.values()}
    for kind, _, fields in STRUCTURES.values():
        expected |= {f"offsetof(struct {kind}, {field})": offset for field, offset in fields.items()}
    expected |= {f"VIDIOC_{name}": number for name, number in REQUESTS.items()}
    expected |= {theirs: getattr(kernel, ours) for ours, theirs in VALUES.items()}
    lines = "".join(f'printf("%lu\\n", (unsigned long)(unsigned)({text}));' for text in expected)
    headers = "#include <stdio.h>\n#include <stddef.h>\n#include <linux/videodev2.h>\n"
    (tmp_path / "probe.c").write_text(f"{headers}int main(void) {{ {lines} return 0; }}\n")
    subprocess.run(["cc", "probe.c", "-o", "probe"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "probe"], capture_output=True, text=True, check=True).stdout.split()
    assert dict(zip(expected, map(int, printed), strict=True)) == expected


def test_nodes_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("video10", "video2", "video0", "v4l", "videodev", "media0"):
        (tmp_path / "dev" / name).touch()
    assert [Path(path).name for path in LinuxSystem(tmp_path).paths()] == ["video0", "video2", "video10"]


def test_who_holds_a_device_is_named(tmp_path: Path) -> None:
    held = tmp_path / "video0"
    held.touch()
    (tmp_path / "by-id").symlink_to(held)
    with subprocess.Popen(["sleep", "60"], stdin=held.open()) as process:
        try:
            assert LinuxSystem().holders(str(tmp_path / "by-id")) == [f"sleep (process {process.pid})"]
        finally:
            process.kill()
    assert LinuxSystem().holders(str(held)) == []


def test_a_device_is_asked_mapped_and_waited_for(tmp_path: Path) -> None:
    """On a pseudo-terminal, which is no camera but answers as any device does."""
    ours, theirs = os.openpty()
    device = LinuxDevice(os.ttyname(theirs))
    try:
        with pytest.raises(OSError, match="Inappropriate ioctl") as caught:
            device.ioctl(kernel.QUERYCAP, kernel.Capability())
        assert caught.value.errno == 25
        assert not device.wait(0.01)
        os.write(ours, b"x\n")
        assert device.wait(1.0)
    finally:
        device.close()
        device.close()
        os.close(ours)
        os.close(theirs)
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 64)
    plain = LinuxDevice(str(file))
    assert plain.map(4096, 4096)[:3] == b"\0\1\2"
    plain.close()
