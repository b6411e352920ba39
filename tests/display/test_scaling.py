"""Scaling to a screen in the processor."""

import cv2
import numpy as np
import pytest

from edgegan.display.scaling import Scaler


def picture(height: int, width: int) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(1, 256, (6, 6, 3), np.uint8)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8) | 1


def test_contain_centres_the_whole_picture() -> None:
    shown = Scaler((108, 192))(picture(32, 32))
    np.testing.assert_array_equal(shown[:, 42:150], cv2.resize(picture(32, 32), (108, 108)))
    assert not shown[:, :42].any()
    assert not shown[:, 150:].any()


def test_cover_leaves_nothing_black() -> None:
    shown = Scaler((108, 192), "cover")(picture(64, 64))
    assert shown.min() > 0
    np.testing.assert_array_equal(shown, cv2.resize(picture(64, 64)[14:50], (192, 108)))


def test_the_buffer_is_the_same_each_time_and_bars_follow_the_picture() -> None:
    scaler = Scaler((100, 100))
    first = scaler(picture(50, 100))
    assert not first[:25].any()
    second = scaler(picture(100, 50))
    assert second is first
    assert not second[:, :25].any()
    assert second[:25, 50].all()


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (101, 33)])
def test_any_size_fits(size: tuple[int, int]) -> None:
    for fit in ("contain", "cover"):
        assert Scaler((60, 80), fit)(picture(*size)).any()
