import json

import numpy as np
import pytest

from edgegan.engine.gate import gate_pictures, judged, why_not

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def noisy(levels: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, levels, PICTURE.shape)
    return np.clip(PICTURE + noise, 0, 255).astype(np.uint8)


def test_the_four_pictures_differ_and_fit_the_generator():
    pictures = gate_pictures(PICTURE)
    assert [p.shape for p in pictures] == [PICTURE.shape] * 4
    assert len({p.tobytes() for p in pictures}) == 4
    assert all(p.flags.c_contiguous and p.dtype == np.uint8 for p in pictures)


def test_equal_pictures_pass_and_can_be_written_as_json():
    quality = judged([PICTURE], [PICTURE])
    assert (quality["psnr_db"], quality["ssim"], quality["max_grey_levels"]) == (99.0, 1.0, 0)
    assert json.loads(json.dumps(quality, allow_nan=False)) == quality
    assert why_not("fp32", quality) == ""


def test_the_worst_picture_decides():
    quality = judged([PICTURE, noisy(20)], [PICTURE, PICTURE])
    assert quality["psnr_db"] > 45
    assert "its worst picture has" in why_not("fp32", quality)


@pytest.mark.parametrize(("levels", "passes"), [(0.5, True), (4, True), (12, False)])
def test_bf16_may_differ_a_little(levels, passes):
    assert (why_not("bf16", judged([noisy(levels)], [PICTURE])) == "") is passes


def test_a_picture_too_small_for_ssim_is_judged_by_the_rest():
    tiny = PICTURE[:8, :8]
    assert judged([tiny], [tiny])["ssim"] == 1.0
