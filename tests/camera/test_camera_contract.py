"""What every camera driver must do (`edgegan/camera/__init__.py`); `v4l2` on a scripted device, `rtsp` on loopback."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgegan.camera import Camera
from edgegan.errors import CameraTimeout
from edgegan.registry import CAMERAS, Uri, open_driver
from tests.camera.rtsp_lent import Server
from tests.camera.v4l2_scripted import ScriptedSystem, any_rate

Opener = Callable[[str], Camera]


@pytest.fixture(params=["clip", "photos", "pattern"])
def opened(request: pytest.FixtureRequest, clip: Path, photos: Path) -> Opener:
    """Opens one kind of camera that can be read on demand, with the given options."""
    return lambda options: _opened(request.param, options, clip, photos)


def _opened(kind: str, options: str, clip: Path, photos: Path) -> Camera:
    base = {"clip": f"file://{clip}", "photos": f"file://{photos}/", "pattern": "pattern://"}[kind]
    loop = "" if kind == "pattern" else "&loop=1"
    camera: Camera = open_driver("camera", CAMERAS, Uri.parse(f"{base}?{options}{loop}"))
    return camera


@pytest.fixture(params=["clip", "photos", "pattern", "v4l2"])
def live(request: pytest.FixtureRequest, clip: Path, photos: Path) -> Opener:
    """Opens one kind of camera, so that time passes without it."""

    def open_camera(options: str) -> Camera:
        if request.param == "v4l2":
            uri = Uri.parse(f"v4l2:///dev/video0?size=64x48&{options}")
            camera: Camera = open_driver("camera", CAMERAS, uri, system=ScriptedSystem(video0=any_rate()))
            return camera
        return _opened(request.param, f"pace=real&{options}", clip, photos)

    return open_camera


@pytest.fixture
def network() -> Iterator[Opener]:
    """Opens a network camera; its rate is the server's."""
    server = Server()
    yield lambda options: open_driver("camera", CAMERAS, Uri.parse(f"rtsp://{server.url()}"))
    server.kill()


def test_frames_of_a_live_camera_are_what_the_contract_says(live: Opener) -> None:
    _check_frames(live, "rate=100", live=True)


def test_frames_of_a_network_camera_are_what_the_contract_says(network: Opener) -> None:
    _check_frames(network, "", live=True, rate_hertz=25)


def test_closing_a_network_camera_twice_is_harmless(network: Opener) -> None:
    test_closing_twice_is_harmless(network)


def test_frames_read_on_demand_are_what_the_contract_says(opened: Opener) -> None:
    _check_frames(opened, "pace=max&rate=100", live=False)


def _check_frames(opener: Opener, options: str, *, live: bool, rate_hertz: float = 100) -> None:
    before_ns = time.monotonic_ns()
    with closing(opener(options)) as camera:
        assert isinstance(camera, Camera)
        assert camera.live is live
        assert camera.rate_hertz == rate_hertz
        assert camera.description
        frames = [camera.read(1.0) for _ in range(5)]
    for frame in frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.ndim == 3
        assert frame.pixels.shape[2] == 3
        assert frame.pixels.flags.c_contiguous
        assert not frame.pixels.flags.writeable
        assert before_ns <= frame.captured_ns <= time.monotonic_ns()
    assert frames[0].sequence == 0
    assert all(a.sequence < b.sequence and a.captured_ns < b.captured_ns for a, b in pairwise(frames))


def test_size_is_width_by_height(opened: Opener) -> None:
    with closing(opened("pace=max&size=100x90")) as camera:
        assert camera.read(1.0).pixels.shape == (90, 100, 3)


def test_at_max_no_picture_is_lost_and_none_waited_for(opened: Opener) -> None:
    with closing(opened("pace=max&rate=1")) as camera:
        started = time.monotonic()
        assert [camera.read(1.0).sequence for _ in range(40)] == list(range(40))
        assert time.monotonic() - started < 10


def test_at_real_a_picture_comes_when_it_is_due_and_not_before(live: Opener) -> None:
    with closing(live("rate=50")) as camera:
        first = camera.read(1.0)
        for _ in range(10):
            frame = camera.read(1.0)
            late_ns = time.monotonic_ns() - frame.captured_ns
            assert late_ns >= 0
            assert frame.captured_ns == pytest.approx(
                first.captured_ns + frame.sequence * 20_000_000, abs=2000
            )


def test_at_real_a_late_reader_gets_the_newest_picture(live: Opener) -> None:
    with closing(live("rate=50")) as camera:
        first = camera.read(1.0)
        time.sleep(0.25)
        frame = camera.read(1.0)
        age_ns = time.monotonic_ns() - frame.captured_ns
        assert frame.sequence >= 12
        assert age_ns < 150_000_000
        assert frame.captured_ns == pytest.approx(first.captured_ns + frame.sequence * 20_000_000, abs=2000)


def test_at_real_a_time_out_can_be_tried_again(live: Opener) -> None:
    with closing(live("rate=4")) as camera:
        camera.read(1.0)
        started = time.monotonic()
        with pytest.raises(CameraTimeout):
            camera.read(0.05)
        assert 0.04 < time.monotonic() - started < 0.2
        assert camera.read(1.0).sequence == 1


def test_what_is_skipped_is_counted_and_the_rest_is_as_if_it_had_been_read(opened: Opener) -> None:
    with closing(opened("pace=max")) as camera, closing(opened("pace=max")) as reader:
        for count in (0, 3, 40, 1):
            camera.skip(count)
            for _ in range(count):
                reader.read(1.0)
            skipped, read = camera.read(1.0), reader.read(1.0)
            assert skipped.sequence == read.sequence
            if "pattern" not in camera.description:  # its stamp says when it was read
                np.testing.assert_array_equal(skipped.pixels, read.pixels)


def test_closing_twice_is_harmless(live: Opener) -> None:
    camera = live("rate=100")
    camera.read(1.0)
    camera.close()
    camera.close()
