import math

import numpy as np
import pytest

from edgegan.quality import max_difference, psnr_db, ssim


def _grey(level, shape=(16, 20, 3)):
    return np.full(shape, level, np.uint8)


@pytest.fixture
def pictures():
    random = np.random.default_rng(3)
    a = random.integers(0, 256, (15, 18, 3), np.uint8)
    return a, np.clip(a.astype(int) + random.integers(-40, 41, a.shape), 0, 255).astype(np.uint8)


def test_difference_of_bytes_does_not_wrap():
    assert max_difference(_grey(3), _grey(250)) == 247
    assert max_difference(_grey(250), _grey(3)) == 247
    assert max_difference(_grey(9), _grey(9)) == 0


def test_psnr_of_known_errors():
    assert psnr_db(_grey(7), _grey(7)) == math.inf
    assert psnr_db(_grey(0), _grey(255)) == 0
    assert psnr_db(_grey(100), _grey(101)) == pytest.approx(48.1308, abs=1e-4)  # 20 log10 255
    half = _grey(100)
    half[:8] += 1
    assert psnr_db(_grey(100), half) == pytest.approx(48.1308 + 3.0103, abs=1e-4)


def test_ssim_of_flat_pictures_is_the_luminance_term():
    c1 = (0.01 * 255) ** 2
    assert ssim(_grey(60), _grey(90)) == pytest.approx((2 * 60 * 90 + c1) / (60**2 + 90**2 + c1), abs=1e-9)
    assert ssim(_grey(60), _grey(60)) == pytest.approx(1)


def test_ssim_is_what_the_paper_says(pictures):
    """Window by window, with loops."""
    weights = np.array([[math.exp(-(y * y + x * x) / 4.5) for x in range(-5, 6)] for y in range(-5, 6)])
    weights /= weights.sum()
    x, y = (p[..., 0] * 0.114 + p[..., 1] * 0.587 + p[..., 2] * 0.299 for p in pictures)
    c1, c2, values = 6.5025, 58.5225, []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            u, v = (plane[top : top + 11, left : left + 11] for plane in (x, y))
            mu, mv = (weights * u).sum(), (weights * v).sum()
            uu, vv = (weights * (u - mu) ** 2).sum(), (weights * (v - mv) ** 2).sum()
            uv = (weights * (u - mu) * (v - mv)).sum()
            values.append((2 * mu * mv + c1) * (2 * uv + c2) / ((mu**2 + mv**2 + c1) * (uu + vv + c2)))
    assert ssim(*pictures) == pytest.approx(np.mean(values), abs=1e-9)
    assert 0.5 < ssim(*pictures) < 0.99


def test_ssim_falls_with_noise_and_is_symmetric(pictures):
    a, b = pictures
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert ssim(a, 255 - a) < 0 < ssim(a, b) < ssim(a, a) == pytest.approx(1)


@pytest.mark.parametrize("measure", [max_difference, psnr_db, ssim])
def test_what_cannot_be_compared_is_refused(measure):
    for other in (_grey(0, (16, 16, 3)), np.zeros((16, 20, 3), np.float32), np.zeros((16, 20), np.uint8)):
        with pytest.raises(ValueError, match="cannot compare"):
            measure(_grey(0), other)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(_grey(0, (10, 40, 3)), _grey(0, (10, 40, 3)))
