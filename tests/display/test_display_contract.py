"""What every display driver must do (`edgegan/display/__init__.py`)."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgegan.display import Display
from edgegan.registry import DISPLAYS, Uri, open_driver

DRIVERS = [
    "null://",
    "null://?size=320x200&fit=cover",
    "file://{}/out.mp4",
    "file://{}/frames/",
    "window://?size=300x200",
]


@pytest.fixture(params=DRIVERS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Display]:
    """Opens one kind of display."""
    if request.param.startswith("window"):
        request.getfixturevalue("x11")

    def open_display() -> Display:
        display: Display = open_driver("display", DISPLAYS, Uri.parse(request.param.format(tmp_path)))
        return display

    return open_display


def test_it_shows_pictures_of_any_size(opened: Callable[[], Display]) -> None:
    with closing(opened()) as display:
        assert isinstance(display, Display)
        assert display.description
        for number, shape in enumerate([(64, 64, 3), (64, 64, 3), (33, 101, 3), (64, 64, 3)]):
            before_ns = time.monotonic_ns()
            shown_ns = display.show(np.full(shape, 40 * number, np.uint8), before_ns)
            assert before_ns <= shown_ns <= time.monotonic_ns()
            assert display.poll()


def test_it_neither_changes_nor_keeps_the_picture(opened: Callable[[], Display]) -> None:
    with closing(opened()) as display:
        slot = np.full((64, 64, 3), 77, np.uint8)
        slot.flags.writeable = False
        display.show(slot, time.monotonic_ns())
        assert (slot == 77).all()
        slot.flags.writeable = True
        slot[:] = 200
        display.poll()
        display.show(slot, time.monotonic_ns())


def test_closing_twice_is_harmless(opened: Callable[[], Display]) -> None:
    display = opened()
    display.show(np.zeros((64, 64, 3), np.uint8), time.monotonic_ns())
    display.close()
    display.close()


def test_closing_before_the_first_picture_is_harmless(opened: Callable[[], Display]) -> None:
    opened().close()
