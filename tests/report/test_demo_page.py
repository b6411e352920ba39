"""The demo's page: the pictures beside one another belong together."""

from contextlib import closing
from pathlib import Path

import numpy as np

from edgegan.camera.pattern import PatternCamera, read_stamp
from edgegan.display.file import FileDisplay
from edgegan.report.demo_page import _pairs, pictures_of_clip


def test_pictures_are_found_by_number_in_a_clip_of_variable_rate(tmp_path: Path) -> None:
    camera, times = (
        PatternCamera(pace="max"),
        np.cumsum(np.random.default_rng(0).integers(10, 300, 60)) * 10**6,
    )
    with closing(FileDisplay(str(tmp_path / "clip.mp4"))) as display:
        for captured_ns in times:
            display.show(np.array(camera.read(1).pixels), int(captured_ns))
    pictures, count = pictures_of_clip(tmp_path / "clip.mp4", [5, 31, 59])
    stamps = {number: read_stamp(pixels) for number, pixels in pictures.items()}
    assert count == 60
    assert {number: stamp and stamp.sequence for number, stamp in stamps.items()} == {5: 5, 31: 31, 59: 59}


def test_a_run_that_showed_nothing_left_no_video_to_take_pictures_from(tmp_path: Path) -> None:
    assert list(_pairs(np.empty((0, 6), np.int64), tmp_path / "none.mp4", tmp_path / "none.mp4")) == []
