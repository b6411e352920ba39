"""What every camera driver without hardware must do (`edgegan/camera/__init__.py`)."""

import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgegan.camera import Camera
from edgegan.errors import CameraTimeout
from edgegan.registry import CAMERAS, Uri, open_driver

Opener = Callable[[str], Camera]


@pytest.fixture(params=["clip", "photos", "pattern"])
def opened(request: pytest.FixtureRequest, clip: Path, photos: Path) -> Opener:
    """Opens one kind of camera with the given options."""
    base = {"clip": f"file://{clip}", "photos": f"file://{photos}/", "pattern": "pattern://"}[request.param]
    loop = "" if request.param == "pattern" else "&loop=1"

    def open_camera(options: str) -> Camera:
        camera: Camera = open_driver("camera", CAMERAS, Uri.parse(f"{base}?{options}{loop}"))
        return camera

    return open_camera


@pytest.mark.parametrize("pace", ["real", "max"])
def test_frames_are_what_the_contract_says(opened: Opener, pace: str) -> None:
    before_ns = time.monotonic_ns()
    with closing(opened(f"pace={pace}&rate=100")) as camera:
        assert isinstance(camera, Camera)
        assert camera.live is (pace == "real")
        assert camera.rate_hertz == 100
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


def test_at_real_a_picture_comes_when_it_is_due_and_not_before(opened: Opener) -> None:
    with closing(opened("pace=real&rate=50")) as camera:
        first = camera.read(1.0)
        for _ in range(10):
            frame = camera.read(1.0)
            late_ns = time.monotonic_ns() - frame.captured_ns
            assert late_ns >= 0
            assert frame.captured_ns == pytest.approx(first.captured_ns + frame.sequence * 20_000_000, abs=2)


def test_at_real_a_late_reader_gets_the_newest_picture(opened: Opener) -> None:
    with closing(opened("pace=real&rate=50")) as camera:
        first = camera.read(1.0)
        time.sleep(0.25)
        frame = camera.read(1.0)
        age_ns = time.monotonic_ns() - frame.captured_ns
        assert frame.sequence >= 12
        assert age_ns < 150_000_000
        assert frame.captured_ns == pytest.approx(first.captured_ns + frame.sequence * 20_000_000, abs=2)


def test_at_real_a_time_out_can_be_tried_again(opened: Opener) -> None:
    with closing(opened("pace=real&rate=4")) as camera:
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


def test_closing_twice_is_harmless(opened: Opener) -> None:
    camera = opened("pace=max")
    camera.read(1.0)
    camera.close()
    camera.close()
