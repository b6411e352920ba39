"""Which /dev/videoN is a camera, and why one cannot be opened.

A camera has several nodes: a webcam's second one carries metadata, a board's codecs and image processors are nodes
too. What the kernel says of each (`device_caps`) tells them apart.
"""

import errno
import grp
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.kernel import Device, System
from edgegan.camera.v4l2.modes import FORMATS, formats_of
from edgegan.errors import CameraError, ConfigError

__all__ = ["Node", "check_node", "describe", "error_from_os_error", "first_camera"]

_NO_CAMERAS = frozenset({"bcm2835-isp"})
"""Drivers whose nodes capture what a program fed to them: drivers/staging/vc04_services of Raspberry Pi's kernel."""


@dataclass(frozen=True)
class Node:
    """What the kernel says of a /dev/videoN."""

    path: str
    driver: str
    card: str
    bus: str
    caps: int

    @property
    def captures(self) -> bool:
        """True where pictures come out."""
        return bool(self.caps & kernel.CAP_VIDEO_CAPTURE and self.caps & kernel.CAP_STREAMING)


def describe(path: str, device: Device) -> Node:
    """Ask an open device; raises `OSError` if it is no V4L2 device."""
    answer = kernel.Capability()
    device.ioctl(kernel.QUERYCAP, answer)
    whole = answer.capabilities
    caps = answer.device_caps if whole & kernel.CAP_DEVICE_CAPS else whole
    driver, card, bus = (
        bytes(word).decode("utf-8", "replace") for word in (answer.driver, answer.card, answer.bus_info)
    )
    return Node(path, driver, card, bus, caps)


def first_camera(system: System) -> str:
    """The path of the first camera that gives what can be decoded, those on USB first."""
    cameras = []
    for path in system.paths():
        with suppress(OSError), closing(system.open(path)) as device:
            node = describe(path, device)
            if node.captures and node.driver not in _NO_CAMERAS and set(formats_of(device)) & set(FORMATS):
                cameras.append(node)
    if not cameras:
        raise CameraError("there is no camera", f"connect one; {_those_there(system)}")
    return min(cameras, key=lambda node: not node.bus.startswith("usb-")).path


def check_node(system: System, node: Node) -> None:
    """Raise `ConfigError` for a node that gives no pictures, with the one to use instead."""
    if node.captures:
        return
    what = "is no camera"
    if node.caps & kernel.CAP_META_CAPTURE:
        what = "carries the camera's metadata, no pictures"
    elif node.caps & kernel.CAP_VIDEO_CAPTURE_MPLANE:
        what = "gives pictures in several planes, which this driver cannot read"
    sibling = next((n for n in _nodes(system) if n.captures and n.bus == node.bus), None)
    mend = f"use v4l2://{sibling.path}" if sibling else _those_there(system)
    raise ConfigError(f"'{node.path}' ({node.card}) {what}", mend)


def error_from_os_error(system: System, path: str, error: OSError, doing: str) -> CameraError | ConfigError:
    """What the kernel refused, with what to do about it."""
    kind, text = error.errno, error.strerror or str(error)
    if kind in (errno.ENOENT, errno.ENXIO):
        return CameraError(f"there is no camera '{path}'", _those_there(system))
    if kind == errno.ENODEV:
        return CameraError(f"the camera '{path}' is gone", "was it unplugged? Check its cable and its power")
    if kind in (errno.EACCES, errno.EPERM):
        mend = f"sudo usermod -aG {_group(path)} $USER, then log in anew"
        return CameraError(f"'{path}' may not be opened by this user", mend)
    if kind == errno.EBUSY:
        holders = ", ".join(system.holders(path))
        return CameraError(
            f"the camera '{path}' is in use" + (f" by {holders}" if holders else ""), "end what uses it"
        )
    if kind == errno.ENOSPC:
        mend = "ask for a smaller size, a lower rate or format=mjpg, or use a port of its own for each camera"
        return CameraError(f"USB has no bandwidth left for '{path}'", mend)
    if kind in (errno.ENOTTY, errno.EINVAL, errno.EISDIR, errno.ENOTDIR) and doing == "open":
        return ConfigError(f"'{path}' is no camera", _those_there(system))
    return CameraError(f"the camera '{path}' cannot {doing}: {text}", "unplug it and plug it in again")


def _those_there(system: System) -> str:
    """The cameras that there are, as advice."""
    cameras = [f"v4l2://{node.path} ({node.card})" for node in _nodes(system) if node.captures]
    return f"there are: {', '.join(cameras)}" if cameras else "no /dev/video* is a camera"


def _nodes(system: System) -> list[Node]:
    """Every node that answers."""
    found = []
    for path in system.paths():
        with suppress(OSError), closing(system.open(path)) as device:
            found.append(describe(path, device))
    return found


def _group(path: str) -> str:
    """The group that may open the device."""
    with suppress(OSError, KeyError):
        group = grp.getgrgid(Path(path).stat().st_gid).gr_name
        return "video" if group == "root" else group
    return "video"
