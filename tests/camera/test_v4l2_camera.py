"""The driver `v4l2` on scripted devices: what it says, what it loses, how it fails."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.driver import V4l2Camera
from edgegan.errors import CameraError, CameraTimeout, ConfigError
from edgegan.registry import Size
from tests.camera.conftest import number_in, without_rights
from tests.camera.v4l2_scripted import (
    ScriptedDevice,
    ScriptedSystem,
    any_rate,
    codec,
    grabber,
    metadata,
    pi_camera,
    webcam,
)

SMALL = Size((48, 64))
Opener = Callable[..., V4l2Camera]


@pytest.fixture
def system() -> ScriptedSystem:
    return ScriptedSystem(video0=any_rate(), video1=metadata(any_rate()))


@pytest.fixture
def opened(system: ScriptedSystem) -> Iterator[Opener]:
    """Opens /dev/video0 at 64 x 48 and 100 pictures a second."""
    cameras = []

    def open_camera(**options: object) -> V4l2Camera:
        cameras.append(V4l2Camera("/dev/video0", system, **{"size": SMALL, "rate": 100.0, **options}))
        return cameras[-1]

    yield open_camera
    for camera in cameras:
        camera.close()


def error_of(system: ScriptedSystem, path: str = "/dev/video0") -> str:
    with pytest.raises((CameraError, ConfigError)) as caught:
        V4l2Camera(path, system)
    assert all(device.closed for device in system.opened)
    return str(caught.value)


# Pictures


@pytest.mark.parametrize("form", ["yuyv", "mjpg"])
def test_pictures_are_decoded_numbered_and_stamped_by_the_driver(opened: Opener, form: str) -> None:
    camera = opened(format=form)
    first_number = number_in(camera.read(1.0).pixels)
    for _ in range(10):
        frame = camera.read(1.0)
        assert frame.pixels.shape == (48, 64, 3)
        assert number_in(frame.pixels) == (first_number + frame.sequence) % 64
        assert 0 <= time.monotonic_ns() - frame.captured_ns < 1_000_000_000


def test_grey_is_grey(opened: Opener) -> None:
    """YUYV is read with its own order and range: 128 is neutral, luma 220 is bright."""
    pixels = opened(format="yuyv").read(1.0).pixels.astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1
    assert set(np.unique(pixels // 100)) <= {0, 2}


@pytest.mark.parametrize("form", ["yuyv", "mjpg"])
def test_a_picture_keeps_its_pixels_when_its_buffer_is_filled_again(opened: Opener, form: str) -> None:
    camera = opened(format=form)
    frames = [camera.read(1.0) for _ in range(12)]
    numbers = [number_in(frame.pixels) for frame in frames]
    assert numbers == [(numbers[0] + frame.sequence) % 64 for frame in frames]
    assert len(set(numbers)) == 12


def test_lines_that_are_longer_than_the_picture_are_cut(system: ScriptedSystem, opened: Opener) -> None:
    system.prepare = lambda device: setattr(device, "spare_line_bytes", 40)
    camera = opened(format="yuyv")
    pictures = [camera.read(1.0).pixels for _ in range(4)]
    assert all(np.ptp(pixels, axis=1).max() == 0 for pixels in pictures)  # each line is of one colour
    assert all(np.ptp(pixels) > 100 for pixels in pictures[1:])


def test_what_was_asked_and_what_was_got_is_said(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    camera = opened()
    assert camera.description == (
        "scripted camera (/dev/video0), YUYV 64 x 48 at 100 pictures a second; "
        "asked for 64 x 48 at 100 pictures a second, auto"
    )
    assert camera.description in caplog.text
    assert camera.rate_hertz == 100
    assert camera.live


def test_three_buffers_and_no_more(opened: Opener, system: ScriptedSystem) -> None:
    opened()
    assert system.opened[-1].asked.count(kernel.QUERYBUF) == 3


def test_what_the_driver_lost_is_a_gap(opened: Opener, system: ScriptedSystem) -> None:
    camera = opened()
    camera.read(1.0)
    due = system.opened[-1]._due
    system.opened[-1].lost = set(range(due + 2, due + 5))
    sequences = [camera.read(1.0).sequence for _ in range(6)]
    gaps = [b - a for a, b in pairwise(sequences)]
    assert max(gaps) == 4
    assert gaps.count(1) >= 3


def test_a_late_reader_waits_for_a_fresh_picture_when_every_buffer_is_stale(opened: Opener) -> None:
    camera = opened(rate=50.0)
    camera.read(1.0)
    time.sleep(0.4)
    frame = camera.read(1.0)
    assert time.monotonic_ns() - frame.captured_ns < 15_000_000
    assert frame.sequence >= 19


def test_numbers_begin_with_0_and_survive_the_end_of_32_bits(system: ScriptedSystem, opened: Opener) -> None:
    system.prepare = lambda device: setattr(device, "first_number", 2**32 - 3)
    camera = opened()
    sequences = [camera.read(1.0).sequence for _ in range(8)]
    assert sequences[0] == 0
    assert 7 <= sequences[-1] < 20
    assert sequences == sorted(set(sequences))


def test_a_driver_that_does_not_count_is_counted_for(system: ScriptedSystem, opened: Opener) -> None:
    camera = opened()
    fill = system.opened[-1]._filled

    def unnumbered(index: int, due_ns: int) -> kernel.Buffer:
        buffer = fill(index, due_ns)
        buffer.sequence = 0
        return buffer

    system.opened[-1]._filled = unnumbered
    assert [camera.read(1.0).sequence for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("clock", "offset_s"), [(0, 0), (0x4000, 0), (0x2000, 5), (0x2000, -60)])
def test_a_stamp_that_cannot_be_true_gives_way_to_the_arrival(
    system: ScriptedSystem, opened: Opener, clock: int, offset_s: int
) -> None:
    """Of another clock, in the future, a minute old."""
    camera = opened()
    system.opened[-1].clock, system.opened[-1].stamp_offset_ns = clock, offset_s * 10**9
    camera.read(1.0)
    before_ns = time.monotonic_ns()
    frames = [camera.read(1.0) for _ in range(5)]
    assert all(before_ns <= frame.captured_ns <= time.monotonic_ns() for frame in frames)
    assert all(a.captured_ns < b.captured_ns for a, b in pairwise(frames))


# Damage


@pytest.mark.parametrize("damage", ["cut_off", "flagged"])
def test_a_damaged_picture_is_left_out_and_counted(
    opened: Opener, system: ScriptedSystem, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    camera = opened(format="mjpg")
    first = camera.read(1.0)
    due = system.opened[-1]._due
    setattr(system.opened[-1], damage, {due + 1, due + 2})
    frames = [camera.read(1.0) for _ in range(5)]
    assert camera.damaged == 2
    assert "2 damaged pictures so far" in caplog.text
    assert all(number_in(f.pixels) == (number_in(first.pixels) + f.sequence) % 64 for f in frames)
    assert frames[-1].sequence >= 7


def test_nothing_but_damage_is_a_time_out_and_not_a_storm_of_words(
    opened: Opener, system: ScriptedSystem, caplog: pytest.LogCaptureFixture
) -> None:
    system.prepare = lambda device: setattr(device, "flagged", set(range(1000)))
    camera = opened()
    with pytest.raises(CameraTimeout):
        camera.read(0.3)
    assert camera.damaged >= 15
    assert len([r for r in caplog.records if "damaged" in r.message]) <= 6


def test_a_buffer_that_is_too_short_is_damage(opened: Opener, system: ScriptedSystem) -> None:
    camera = opened(format="yuyv")
    system.opened[-1]._picture = lambda: bytes(100)
    with pytest.raises(CameraTimeout):
        camera.read(0.1)
    assert camera.damaged


# Ends


def test_a_silent_camera_is_a_time_out_and_in_the_end_an_error(
    opened: Opener, system: ScriptedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgegan.camera.v4l2.driver._SILENT_S", 0.3)
    camera = opened()
    camera.read(1.0)
    system.opened[-1].silent = True
    started = time.monotonic()
    with pytest.raises(CameraTimeout):
        camera.read(0.1)
    assert 0.09 < time.monotonic() - started < 0.2
    time.sleep(0.3)
    with pytest.raises(CameraError, match="has given no picture for") as caught:
        camera.read(0.1)
    assert not isinstance(caught.value, CameraTimeout)


def test_an_unplugged_camera_is_an_error_and_can_still_be_closed(
    opened: Opener, system: ScriptedSystem
) -> None:
    camera = opened()
    camera.read(1.0)
    system.opened[-1].unplugged = True
    with pytest.raises(CameraError, match="'/dev/video0' is gone: was it unplugged"):
        camera.read(1.0)
    camera.close()
    camera.close()
    assert system.opened[-1].closed


def test_exposure_is_locked_after_two_seconds_of_pictures(
    opened: Opener, system: ScriptedSystem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("edgegan.camera.v4l2.driver._SETTLE_NS", 200_000_000)
    camera = opened(exposure="lock")
    automatic, held = (kernel.EXPOSURE_AUTO, 3), (kernel.EXPOSURE_AUTO, 1)
    camera.read(1.0)
    time.sleep(0.1)
    camera.read(1.0)
    assert system.opened[-1].written == [automatic]
    time.sleep(0.15)
    for _ in range(3):
        camera.read(1.0)
    assert system.opened[-1].written == [automatic, held, (kernel.EXPOSURE_ABSOLUTE, 250)]
    assert "holding exposure at 25 ms" in caplog.text


# Which device


def test_without_a_path_the_first_camera_on_usb_is_taken() -> None:
    system = ScriptedSystem(
        video0=codec(), video1=pi_camera(), video2=metadata(webcam()), video3=webcam(), video4=grabber()
    )
    camera = V4l2Camera("", system)
    assert "/dev/video3" in camera.description
    camera.close()
    assert all(device.closed for device in system.opened)


def test_without_a_path_any_other_camera_will_do() -> None:
    isp = pi_camera()
    isp.driver = "bcm2835-isp"
    camera = V4l2Camera("", ScriptedSystem(video0=isp, video1=pi_camera()))
    assert "/dev/video1" in camera.description


def test_a_node_of_metadata_is_refused_with_the_one_to_use() -> None:
    system = ScriptedSystem(video0=webcam(), video1=metadata(webcam()), video2=codec())
    assert error_of(system, "/dev/video1") == (
        "'/dev/video1' (Logitech Webcam C930e) carries the camera's metadata, no pictures: use v4l2:///dev/video0"
    )
    assert "'/dev/video2' (bcm2835-codec-encode) is no camera: there are: v4l2:///dev/video0" in error_of(
        system, "/dev/video2"
    )


def test_what_is_not_there_is_said_with_what_is() -> None:
    assert error_of(ScriptedSystem(video0=webcam()), "/dev/video7") == (
        "there is no camera '/dev/video7': there are: v4l2:///dev/video0 (Logitech Webcam C930e)"
    )
    nothing = "no /dev/video* is a camera"
    assert error_of(ScriptedSystem(), "/dev/video0") == f"there is no camera '/dev/video0': {nothing}"
    assert error_of(ScriptedSystem(video0=codec()), "") == f"there is no camera: connect one; {nothing}"


@pytest.mark.parametrize("request_name", ["S_FMT", "REQBUFS", "STREAMON"])
def test_a_busy_camera_says_who_has_it(request_name: str) -> None:
    system = ScriptedSystem(video0=webcam())
    system.held_by = ["guvcview (process 812)"]
    system.prepare = lambda device: device.fail.update({getattr(kernel, request_name): errno.EBUSY})
    assert (
        error_of(system) == "the camera '/dev/video0' is in use by guvcview (process 812): end what uses it"
    )


def test_other_refusals_say_what_to_do() -> None:
    system = ScriptedSystem(video0=webcam())
    system.refuse["/dev/video0"] = errno.EACCES
    assert "may not be opened by this user: sudo usermod -aG video" in error_of(system)
    system.refuse.clear()
    for request_name, kind, words in (
        ("STREAMON", errno.ENOSPC, "USB has no bandwidth left.*format=mjpg"),
        ("S_FMT", errno.EIO, "cannot be set up: refused: unplug it and plug it in again"),
        ("QUERYCAP", errno.ENOTTY, "is no camera"),
        ("REQBUFS", errno.ENOMEM, "cannot be set up"),
        ("QUERYCAP", errno.ENODEV, "is gone"),
    ):
        system.prepare = lambda device, r=request_name, k=kind: device.fail.update({getattr(kernel, r): k})
        with pytest.raises((CameraError, ConfigError), match=words):
            V4l2Camera("/dev/video0", system)


def test_a_driver_with_one_buffer_is_refused() -> None:
    system = ScriptedSystem(video0=webcam())

    def one_buffer(device: ScriptedDevice) -> None:
        device._reqbufs = lambda answer: setattr(answer, "count", 1)

    system.prepare = one_buffer
    assert "no memory for its buffers" in error_of(system)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"size": Size((9999, 9999))},
        {"exposure": float("nan")},
        {"exposure": 0.0},
        {"white_balance": -1},
    ],
)
def test_impossible_wishes_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        V4l2Camera("/dev/video0", ScriptedSystem(video0=webcam()), **options)


# On this machine, which need have no camera


def test_a_file_is_no_camera(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.touch()
    with pytest.raises(ConfigError, match=r"clip.mp4' is no camera"):
        V4l2Camera(str(file))
    with pytest.raises((ConfigError, CameraError), match=r"is no camera|cannot open"):
        V4l2Camera(str(tmp_path))


def test_what_may_not_be_opened_names_the_group() -> None:
    with without_rights() as folder:
        (folder / "video0").touch(0o000)
        with pytest.raises(CameraError, match="sudo usermod -aG video"):
            V4l2Camera(str(folder / "video0"))


def test_a_camera_that_is_not_there_ends_the_run_at_once_in_one_line() -> None:
    arguments = [
        "run",
        "--camera",
        "v4l2:///dev/video99",
        "--generator",
        "passthrough://",
        "--display",
        "null://",
    ]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "edgegan", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert time.monotonic() - started < 20
    errors = [line for line in done.stderr.splitlines() if line.startswith("edgegan: error:")]
    assert len(errors) == 1
    assert "there is no camera '/dev/video99'" in errors[0]
    assert "worker is gone" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_that_no_file_can_have_is_a_mistake():
    with pytest.raises(ConfigError, match="holds a zero byte"):
        V4l2Camera("/dev/video0\0")
