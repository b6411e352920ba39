"""Cameras and screens."""

import fcntl
import os
import struct
from pathlib import Path

from edgegan.doctor.check import Check, Host
from edgegan.doctor.child import run_child
from edgegan.extras import install_command

__all__ = ["cameras", "connectors", "screen"]

_SCREEN_LIMIT_S = 10.0
_NO_SDL = ("SDL2 is missing", "No module named 'sdl2'")
_VIDIOC_QUERYCAP = 0x80685600  # linux/videodev2.h: _IOR('V', 0, struct v4l2_capability), 104 bytes
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_CAPTURES = 0x00000001 | 0x00001000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE


def cameras(host: Host) -> list[Check]:
    """Each device that gives pictures, and whether this user may open it."""
    checks = [check for node in host.glob("dev/video*") if (check := _camera(host, node))]
    if checks:
        return checks
    mend = "connect one; until then: --camera pattern://, or file://clip.mp4"
    return [Check("cameras", "absent", "none at /dev/video*", mend)]


def _camera(host: Host, node: Path) -> Check | None:
    """None for a node that gives no pictures: metadata, an encoder."""
    name = f"camera /dev/{node.name}"
    label = host.text(f"sys/class/video4linux/{node.name}/name") or "unnamed"
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        mend = "sudo usermod -aG video $USER, then log out and in again"
        return Check(name, "warning", f"{label}: this user may not open it", mend)
    except OSError as error:
        mend = "check its cable, then `dmesg | tail`"
        return Check(name, "warning", f"{label}: cannot be opened: {error.strerror}", mend)
    try:
        return Check(name, "ok", label) if _captures(descriptor) else None
    finally:
        os.close(descriptor)


def _captures(descriptor: int) -> bool:
    try:
        answer = fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:  # no V4L2 at all: whatever it is, it was opened
        return True
    *_, device_capabilities = _CAPABILITY.unpack(answer)
    return bool(device_capabilities & _CAPTURES)


def screen(host: Host) -> list[Check]:
    """The desktop that a window would open on."""
    variables = ("DISPLAY", "WAYLAND_DISPLAY")
    named = [f"{name}={host.environment[name]}" for name in variables if host.environment.get(name)]
    if not named:
        mend = "for a window, start edgegan on the desktop; without: --display file://out.mp4"
        return [Check("screen", "absent", "neither DISPLAY nor WAYLAND_DISPLAY is set", mend)]
    outcome = run_child("screen", limit_s=_SCREEN_LIMIT_S)
    if outcome.said:
        seen = outcome.said[0]
        found = f"{seen['driver']}, {seen['width']} x {seen['height']}, {seen['hertz']} Hz"
        return [Check("screen", "ok", f"{', '.join(named)}: {found}")]
    if any(words in (outcome.death or "") for words in _NO_SDL):
        return [Check("screen", "absent", f"{', '.join(named)}, but no SDL2", install_command("window"))]
    mend = "start edgegan on the desktop, as its user, or unset the variable"
    return [Check("screen", "warning", f"{', '.join(named)} cannot be reached: {outcome.death}", mend)]


def connectors(host: Host) -> list[Check]:
    """The sockets of the graphics card, as the kernel sees them."""
    found = []
    for status in host.glob("sys/class/drm/card*-*/status"):
        socket = status.parent.name.partition("-")[2]
        if host.text(str(status.relative_to(host.root))) == "connected":
            modes = (host.text(str(status.with_name("modes").relative_to(host.root))) or "").splitlines()
            found.append(f"{socket} {modes[0]}" if modes else socket)
    if found:
        return [Check("connectors", "ok", "connected: " + ", ".join(found))]
    why = "nothing is connected" if any(host.glob("sys/class/drm/card*-*")) else "the kernel names none"
    return [Check("connectors", "absent", why)]
