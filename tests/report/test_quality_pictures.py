"""Pictures side by side: what is shown is what was drawn, and all of it together stays small."""

import base64
import re

import cv2
import numpy as np
import pytest

from edgegan.frame import Pixels
from edgegan.report.quality_pictures import GAIN, Compared, Drawn, compared_pictures, difference_picture


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def images(page: str) -> list[Pixels]:
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [
        np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(s), np.uint8), cv2.IMREAD_COLOR))
        for s in sources
    ]


def flat(level: int, height: int = 64, width: int = 64) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def compared(fp32: Pixels, *drawn: Pixels) -> Compared:
    versions = [Drawn(f"v{i}", pixels, "40 dB") for i, pixels in enumerate(drawn)]
    return Compared("a.png", "", flat(10), fp32, versions)


def test_input_fp32_version_and_difference_stand_in_this_order() -> None:
    shown = images(compared_pictures([compared(flat(100), flat(103))]))
    assert [int(pixels.mean().round()) for pixels in shown] == [10, 100, 103, 3 * GAIN]


def test_each_picture_keeps_its_own_images() -> None:
    page = compared_pictures([compared(flat(100), flat(103)), compared(flat(200), flat(201), flat(198))])
    levels = [int(pixels.mean().round()) for pixels in images(page)]
    assert levels == [10, 100, 103, 3 * GAIN, 10, 200, 201, GAIN, 198, 2 * GAIN]


def test_a_difference_is_amplified_and_cut_never_wrapped() -> None:
    fp32, drawn = flat(100, 8, 8), flat(100, 8, 8)
    drawn[0, 0], drawn[0, 1] = (98, 100, 105), (200, 0, 100)
    difference = difference_picture(drawn, fp32, 512)
    assert difference[0, 0].tolist() == [2 * GAIN, 0, 5 * GAIN]
    assert difference[0, 1].tolist() == [255, 255, 0]
    assert not difference[1:].any()


def test_differences_of_both_signs_do_not_cancel_when_scaled_down() -> None:
    fp32, drawn = flat(100, 512, 512), flat(102, 512, 512)
    drawn[::2] = 98
    scaled = difference_picture(drawn, fp32, 64)
    assert scaled.shape == (64, 64, 3)
    assert (scaled == 2 * GAIN).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (1080, 1920), (3000, 2)])
def test_pictures_of_any_size_are_shown_with_their_shape(size: tuple[int, int]) -> None:
    page = compared_pictures(
        [Compared("a", "", noise(*size), noise(*size), [Drawn("int8", noise(*size), "")])]
    )
    shown = images(page)
    assert len(shown) == 4
    assert all(max(pixels.shape) <= 512 for pixels in shown)
    assert f'width="{size[1]}" height="{size[0]}"' in page
    if min(size) > 100:
        assert all(abs(p.shape[1] / p.shape[0] - size[1] / size[0]) < 0.01 for p in shown)


def test_however_many_pictures_there_are_they_fit_the_budget() -> None:
    many = [compared(noise(512, 512, seed), *[noise(512, 512, seed + 100)] * 3) for seed in range(12)]
    page = compared_pictures(many)
    assert len(images(page)) == 12 * 8
    assert len(page) < 2_200_000


def test_a_few_large_pictures_keep_their_size() -> None:
    assert max(images(compared_pictures([compared(flat(1, 600, 900), flat(2, 600, 900))]))[1].shape) == 512
