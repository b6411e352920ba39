"""Crop, scale and turn, against OpenCV's own slow but exact ways."""

import cv2
import numpy as np
import pytest

from edgegan.errors import ConfigError
from edgegan.framing import Framing, shrink, split_framing
from edgegan.registry import Uri


def photo(height: int, width: int) -> np.ndarray:
    """Smooth shapes with edges and some grain, as a photograph has."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (9, 9, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    cv2.circle(smooth, (width // 2, height // 2), height // 4, (20, 200, 250), cv2.FILLED)
    return np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.mark.parametrize("side", [256, 272, 360, 480, 540, 720, 1080, 1440])
def test_scaling_down_averages_areas(side: int) -> None:
    pixels = photo(side, side)
    out = np.empty((256, 256, 3), np.uint8)
    shrink(pixels, out)
    assert psnr_db(out, cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)) > 40


@pytest.mark.parametrize("factor", [2, 4, 7])
def test_thin_lines_turn_grey_and_do_not_vanish(factor: int) -> None:
    pixels = np.zeros((64 * factor, 64 * factor, 3), np.uint8)
    pixels[:, ::factor] = 255
    out = np.empty((64, 64, 3), np.uint8)
    shrink(pixels, out)
    assert out.mean() == pytest.approx(255 / factor, rel=0.1)
    assert out.std() < 20


def test_cover_cuts_the_sides_off() -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 255
    assert Framing((20, 20))(pixels).min() == 255


def test_contain_adds_black_bars() -> None:
    framed = Framing((20, 20), crop="contain")(np.full((10, 20, 3), 255, np.uint8))
    assert framed[5:15].min() == 255
    assert framed[:5].max() == framed[15:].max() == 0


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_turning_then_mirroring(rotate: int, mirror: bool) -> None:
    pixels = photo(48, 64)
    size = (48, 64) if rotate in (0, 180) else (64, 48)
    expected = np.rot90(pixels, -rotate // 90)
    expected = expected[:, ::-1] if mirror else expected
    framed = Framing(size, rotate=rotate, mirror=mirror)(pixels)  # type: ignore[arg-type]
    np.testing.assert_array_equal(framed, expected)
    assert framed.flags.c_contiguous


def test_it_writes_into_the_array_that_it_is_given() -> None:
    out = np.zeros((2, 8, 8, 3), np.uint8)
    framed = Framing((8, 8), mirror=True)(photo(16, 16), out[1])
    assert framed is not None
    assert np.shares_memory(framed, out)
    assert out[1].any()
    assert not out[0].any()


def test_the_source_may_be_read_only_and_stays_as_it_was() -> None:
    pixels = photo(30, 50)
    before = pixels.copy()
    pixels.flags.writeable = False
    Framing((20, 20), rotate=90, mirror=True)(pixels)
    np.testing.assert_array_equal(pixels, before)


def test_options_of_a_uri_are_split_off() -> None:
    uri, options = split_framing(Uri.parse("file://x.mp4?crop=contain&rotate=270&mirror=1&loop=1"))
    assert uri == Uri("file", "x.mp4", {"loop": "1"})
    assert Framing((4, 6), **options) == Framing((4, 6), crop="contain", rotate=270, mirror=True)


def test_a_wrong_angle_is_refused() -> None:
    with pytest.raises(ConfigError, match="rotate"):
        split_framing(Uri.parse("file://x.mp4?rotate=45"))
