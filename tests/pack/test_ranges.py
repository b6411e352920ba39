"""What follows from what was found; docs/pack.md has the measurements behind the thresholds."""

from dataclasses import astuple

import numpy as np
import pytest

from edgegan.pack.ranges import USUAL, Likeness, Spread, choose_input, usual_range

FULL, UNIT, SIGNED, HALF = USUAL
BY_CHANNEL = "ImageNet's mean and deviation"


def spread(low, high, stray_low=None, stray_high=None):
    middle = (low + high) / 2
    return Spread(low if stray_low is None else stray_low, low, middle, high, stray_high or high)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (spread(-8.4, 269, -37.9, 295), FULL),  # fns_candy: beyond both ends, as all that are not clipped
        (spread(0.21, 0.90, 0.15, 0.93), UNIT),  # multistyle26, style 12: pale
        (spread(0.05, 0.59, 0.02, 0.67), None),  # style 6: so pale that 0..1 is a guess
        (spread(-0.93, 0.90), SIGNED),  # cyclegan
        (spread(-0.34, 0.76), SIGNED),  # multistyle26, style 14, if it drew in -1..1
        (spread(-0.2, 0.9), None),  # a bright -1..1, or 0..1 that overshoots
        (spread(0.0, 0.95, -0.3), None),  # black lines in a white -1..1 are few
        (spread(-0.45, 0.45), None),  # -0.5..0.5, or a pale -1..1
        (spread(-0.2, 0.4), None),
        (spread(2, 98), None),
        (spread(-1.46, 1.23), None),  # cartoongan_hayao without its Tanh
        (spread(np.nan, np.nan), None),
    ],
)
def test_drawn_values_fill_one_range_or_none(values, found):
    assert values.range() == found


def test_the_spread_of_drawings():
    drawings = [np.linspace(0, 500, 501).reshape(1, 3, 167, 1), np.linspace(501, 1000, 500)]
    assert astuple(Spread.of(drawings)) == pytest.approx((1, 10, 500, 990, 999))
    assert str(Spread.of(drawings)) == "1, 10, 500, 990, 999"
    assert np.isnan(Spread.of([np.array([0, np.inf])]).p50)


def test_ends_of_a_usual_range_but_for_rounding():
    assert usual_range(0.0, 254.99999) == FULL
    assert usual_range(-0.5, 0.5) == HALF
    assert usual_range(-22.5, 277.5) is None
    assert usual_range(0.0, 6.0) is None


def choose(full, unit, signed, half, by_channel, bounded=None, *, contrast=50.0, signed_contrast=50.0):
    """The choice for these similarities."""
    found = {
        values: Likeness(ssim, signed_contrast if values == SIGNED else contrast, 0.0)
        for values, ssim in zip(USUAL, (full, unit, signed, half), strict=True)
    }
    return choose_input(found, {BY_CHANNEL: Likeness(by_channel, 50.0, 0.0)}, bounded)


def test_what_is_clearly_most_like_the_photos_is_right_whatever_bounds_the_output():
    for bounded in (None, UNIT, SIGNED):
        assert choose(0.28, 0.81, 0.27, 0.14, 0.36, bounded).range == UNIT
    assert "0 to 1 0.81, -1 to 1 0.27" in choose(0.28, 0.81, 0.27, 0.14, 0.36).why


def test_a_small_lead_is_enough_only_where_the_output_agrees():
    assert choose(0.28, 0.80, 0.6, 0.5, 0.73).range is None
    assert choose(0.28, 0.80, 0.6, 0.5, 0.73, UNIT).range == UNIT
    assert choose(0.28, 0.80, 0.6, 0.5, 0.77, UNIT).range is None


def test_little_likeness_is_no_evidence():
    """A darkening net for -1..1 that ends in a Sigmoid: both witnesses would be wrong."""
    assert choose(0.23, 0.44, 0.38, 0.42, 0.32, UNIT).range is None


def test_a_tanh_decides_what_the_drawings_do_not():
    light_shinkai = (0.56, 0.57, 0.75, 0.54, 0.85)
    emoji_of_edges = (0.16, 0.45, 0.34, 0.33, 0.23)
    for found in (light_shinkai, emoji_of_edges):
        assert choose(*found, SIGNED).range == SIGNED
        assert "nothing drawn contradicts it" in choose(*found, SIGNED).why
        assert choose(*found).range is None


def test_a_tanh_is_contradicted():
    assert choose(0.28, 0.3, 0.68, 0.3, 0.82, SIGNED).range is None, "clearly better by channel"
    assert choose(0.02, 0.36, 0.10, 0.03, 0.15, SIGNED).range is None, "much better in another range"
    assert choose(-0.2, 0.28, 0.28, 0.28, 0.28, SIGNED, signed_contrast=4.3).range is None, "draws nothing"


def test_an_empty_drawing_is_never_the_best():
    assert choose(0.1, 0.9, 0.2, 0.1, 0.3, contrast=3).range is None


def test_where_nothing_is_drawn_in_any_range_the_tanh_stays():
    empty = Likeness(0.1, 1.0, 0.0)
    assert choose_input(dict.fromkeys(USUAL, empty), {}, SIGNED).range == SIGNED
