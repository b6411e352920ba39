import math
import time

import cv2
import numpy as np
import pytest

from edgegan.quality import (
    channel_shift,
    checkerboard_db,
    ciede2000,
    delta_e,
    flicker_ratio,
    high_frequency_ratio,
    max_difference,
    psnr_db,
    ssim,
)


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


@pytest.mark.parametrize(
    "measure",
    [max_difference, psnr_db, ssim, channel_shift, delta_e, high_frequency_ratio, checkerboard_db],
)
def test_what_cannot_be_compared_is_refused(measure):
    for other in (_grey(0, (16, 16, 3)), np.zeros((16, 20, 3), np.float32), np.zeros((16, 20), np.uint8)):
        with pytest.raises(ValueError, match="cannot compare"):
            measure(_grey(0), other)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(_grey(0, (10, 40, 3)), _grey(0, (10, 40, 3)))


def _noise(sigma, shape=(64, 96, 3), seed=1):
    return np.random.default_rng(seed).normal(0, sigma, shape)


def _pixels(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _chequered(shape, period=2):
    y, x = np.indices(shape[:2]) // (period // 2)
    return (1 - 2 * ((x + y) % 2))[..., None] * np.ones(3)


@pytest.fixture(scope="module")
def scene():
    """Edges, texture and a gradient, 96 x 128."""
    y, x = np.mgrid[0:96, 0:128]
    picture = np.stack([40 + x, 200 - y, 90 + 60 * (x > y)], -1) + 15 * np.sin(x * y / 70)[..., None]
    return _pixels(picture + _noise(4, (96, 128, 3)))


def test_the_shift_of_each_channel_has_its_sign():
    a = _grey(100)
    a[..., 0] += 3
    a[:4, :, 2] -= 8
    shift = channel_shift(a, _grey(100))
    assert (shift.blue, shift.green, shift.red) == pytest.approx((3, 0, -2))
    assert shift.largest_levels == pytest.approx(3)
    assert channel_shift(_grey(100), a).blue == pytest.approx(-3)
    assert channel_shift(_grey(100), a).largest_levels == pytest.approx(3)


def test_noise_shifts_no_channel(scene):
    noisy = _pixels(scene + _noise(3, scene.shape))
    assert psnr_db(noisy, scene) < 40
    assert channel_shift(noisy, scene).largest_levels < 0.1


# Sharma, Wu, Dalal 2005, table 1: where the formula is discontinuous, and where implementations go wrong
@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_is_what_its_authors_publish(one, other, difference):
    a, b = np.array(one, float), np.array(other, float)
    assert ciede2000(a, b) == pytest.approx(difference, abs=1e-4)
    assert ciede2000(b, a) == pytest.approx(difference, abs=1e-4)
    assert ciede2000(a, a) == 0


def test_delta_e_of_flat_colours():
    """Black to white is L 0 to 100; pure red and green of sRGB as published in many places."""
    assert delta_e(_grey(0), _grey(255)) == pytest.approx(100, abs=1e-3)
    red, green = _grey(0), _grey(0)
    red[..., 2], green[..., 1] = 255, 255
    lab_red, lab_green = np.array([53.24, 80.09, 67.20]), np.array([87.73, -86.18, 83.18])
    assert delta_e(red, green) == pytest.approx(float(ciede2000(lab_red, lab_green)), abs=0.02)


def test_delta_e_sees_a_cast_in_a_part_and_not_noise(scene):
    noisy, cast = _pixels(scene + _noise(1.4, scene.shape)), scene.copy()
    cast[:, :64, 2] += 3
    cast[:, 64:, 2] -= 3
    assert channel_shift(cast, scene).largest_levels < 0.01
    assert delta_e(cast, scene) > 0.8 > 4 * delta_e(noisy, scene)


def test_high_frequency_energy_of_a_wave():
    """A wave of f periods a pixel is left with 1 - exp(-2 pi² f² sigma²) of its amplitude."""
    wave = np.cos(2 * np.pi * np.arange(256) / 4)
    a = _pixels(np.broadcast_to((120 + 40 * wave)[None, :, None], (64, 256, 3)))
    left = 40 * (1 - math.exp(-2 * math.pi**2 / 16))
    assert high_frequency_ratio(a, _grey(120, a.shape)) == pytest.approx(1 + left**2 / 2, rel=0.01)


def test_high_frequency_falls_with_blur_and_rises_with_grain(scene):
    assert high_frequency_ratio(scene, scene) == 1
    assert high_frequency_ratio(cv2.GaussianBlur(scene, (0, 0), 0.5), scene) < 0.8
    assert high_frequency_ratio(_pixels(scene + _noise(4, scene.shape)), scene) > 1.2
    assert 0.95 < high_frequency_ratio(_pixels(scene + 3.0), scene) < 1.05


@pytest.mark.parametrize("way", ["both", "rows", "columns"])
@pytest.mark.parametrize("amplitude", [1, 8])
def test_a_pattern_in_a_flat_picture_has_the_height_that_the_window_gives(amplitude, way):
    """Coherent power (sum of w)² A² against one grey level of white noise, sum of w²: (32 / 1.5)² A²."""
    y, x = np.indices((64, 96))
    phase = {"both": x + y, "rows": y, "columns": x}[way]
    a = _pixels(128 + amplitude * (1 - 2 * (phase % 2))[..., None] * np.ones(3))
    power = (32 / 1.5) ** 2 * amplitude**2 + 1
    assert checkerboard_db(a, _grey(128, a.shape)) == pytest.approx(10 * math.log10(power), abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_diagonal_waves_of_period_4_stand_out_either_way(sign):
    """Half of the amplitude each at f and at -f."""
    y, x = np.indices((64, 96))
    a = _pixels(128 + 8 * np.cos(np.pi / 2 * (x + sign * y))[..., None] * np.ones(3))
    power = (32 / 1.5) ** 2 * (8 / 2) ** 2 + 1
    assert checkerboard_db(a, _grey(128, a.shape)) == pytest.approx(10 * math.log10(power), abs=0.1)


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("way", ["both", "rows", "columns"])
def test_checkerboards_and_stripes_of_both_periods_stand_out(scene, period, way):
    y, x = np.indices(scene.shape[:2]) // (period // 2)
    phase = {"both": x + y, "rows": y, "columns": x}[way]
    a = _pixels(scene + 3.0 * (1 - 2 * (phase % 2))[..., None])
    assert checkerboard_db(a, scene) > 6


def test_other_changes_are_no_checkerboard(scene):
    period_3 = 1 - 2 * (np.arange(scene.shape[1]) % 3 > 1)
    for a in (scene + _noise(3, scene.shape), scene + 3.0, scene + 3.0 * period_3[None, :, None]):
        assert checkerboard_db(_pixels(a), scene) < 2.5
    assert checkerboard_db(scene, scene) == 0


def test_a_checkerboard_that_fp32_has_too_does_not_count():
    chequered = _pixels(128 + 8 * _chequered((64, 96)))
    assert checkerboard_db(chequered, chequered) == 0
    assert checkerboard_db(_grey(128, chequered.shape), chequered) < 2, "what is gone is no fault"


def _clip(change, sigma=0.0, length=6):
    """A static scene whose grey level goes up and down by `change`, with noise of its own in each frame."""
    return [
        _pixels(100 + change * (n % 2) + sigma * _noise(1, (64, 96, 3), seed=n + 1)) for n in range(length)
    ]


def test_flicker_of_known_changes():
    """Frames that change by 4 against such that change by 2, with the level that is added to both squares."""
    assert flicker_ratio(_clip(4), _clip(2)) == pytest.approx(math.sqrt(17 / 5))
    assert flicker_ratio(_clip(3), _clip(0)) == pytest.approx(math.sqrt(10))
    assert flicker_ratio(_clip(2), _clip(2)) == 1


def test_a_constant_difference_does_not_flicker_and_amplified_noise_does():
    calm = _clip(0, 2)
    pattern = _pixels(10 + 5 * _chequered((64, 96))).astype(int)
    assert flicker_ratio([_pixels(frame + pattern) for frame in calm], calm) == pytest.approx(1, abs=0.01)
    assert flicker_ratio(_clip(0, 4), calm) > 1.7


def test_flicker_is_looked_for_where_nothing_moves():
    """Half of the picture moves wildly: noise of one grey level in the other half is found in it."""
    moving = _clip(0, 1)
    for n, frame in enumerate(moving):
        frame[:, 48:] = 255 * (n % 2)
    noisy = [_pixels(frame + _noise(2, frame.shape, seed=50 + n)) for n, frame in enumerate(moving)]
    assert flicker_ratio(noisy, moving) > 1.5


def test_repeated_frames_and_black_bars_hide_no_flicker():
    """A clip of 30 pictures a second, every one of them shown five times, with black bars."""
    calm, noisy = _clip(0, 1, 4), _clip(0, 4, 4)
    for frame in (*calm, *noisy):
        frame[:, :32] = 0
    slow = [[frame for frame in clip for _ in range(5)] for clip in (noisy, calm)]
    assert flicker_ratio(*slow) == pytest.approx(flicker_ratio(noisy, calm))
    assert flicker_ratio(*slow) > 2
    still = [calm[0]] * 3
    assert flicker_ratio(still, still) == 1


def test_clips_that_cannot_be_compared_are_refused():
    for a, b in ((_clip(1), _clip(1)[:-1]), (_clip(1)[:1], _clip(1)[:1])):
        with pytest.raises(ValueError, match="two clips"):
            flicker_ratio(a, b)
    with pytest.raises(ValueError, match="cannot compare"):
        flicker_ratio(_clip(1), [frame[:-1] for frame in _clip(1)])
    with pytest.raises(ValueError, match="32 x 32"):
        checkerboard_db(_grey(0, (31, 64, 3)), _grey(0, (31, 64, 3)))


def test_all_figures_of_a_picture_are_fast():
    """Less than 30 ms for 256 x 256, asserted with room for a busy machine: CPU time of the fastest of five."""
    a = _pixels(128 + _noise(30, (256, 256, 3)))
    b = _pixels(a + _noise(2, (256, 256, 3), seed=2))
    took = []
    for _ in range(5):
        start = time.thread_time()
        for measure in (psnr_db, ssim, channel_shift, delta_e, high_frequency_ratio, checkerboard_db):
            measure(a, b)
        took.append(time.thread_time() - start)
    assert min(took) < 0.06
