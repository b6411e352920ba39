"""Each way to choose a range, on values whose best range is known."""

import numpy as np
import pytest

from edgegan.pack.quantise.candidates import one_term, two_terms
from edgegan.pack.quantise.layers import find_layers
from edgegan.pack.quantise.ranges import (
    METHODS,
    TensorStatistics,
    affines,
    candidate_ranges,
    entropy_range,
    squared_error_range,
)
from edgegan.pack.quantise.table import Affine, LayerScale
from tests.pack.nets import Net
from tests.pack.quantise import odd

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(0, 1, 60_000)
RARE = np.concatenate([NORMAL, [-40.0, 40.0]])
POSITIVE = np.maximum(NORMAL, 0)
UNIFORM = RANDOM.uniform(-1, 1, 60_000)


def _whole(values):
    return min(values.min(), 0.0), max(values.max(), 0.0)


def _statistics(samples):
    return TensorStatistics(samples.min(axis=1), samples.max(axis=1), samples.astype(np.float32))


def _ranges(values, affine=None):
    return candidate_ranges(_statistics(np.atleast_2d(values)), affine or Affine())


def _error(values, low, high):
    """By the definition of 256 levels with one at zero, written again."""
    step = (high - low) / 255
    zero = np.clip(round(-low / step), 0, 255)
    levels = np.clip(np.rint(values / step) + zero, 0, 255) - zero
    return float(np.mean((levels * step - values) ** 2))


def test_min_max_has_all_that_was_seen():
    assert _ranges(RARE)["min-max"] == (-40.0, 40.0)


def test_the_percentile_leaves_out_one_value_in_ten_thousand_at_either_end():
    low, high = _ranges(NORMAL)["percentile 99.99"]
    assert np.mean(low > NORMAL) == pytest.approx(1e-4, abs=3e-5)
    assert np.mean(high < NORMAL) == pytest.approx(1e-4, abs=3e-5)
    low, high = _ranges(POSITIVE)["percentile 99.99"]
    assert low == 0
    assert np.mean(high < POSITIVE) == pytest.approx(1e-4, abs=3e-5)


def test_squared_error_finds_what_a_search_of_all_ranges_finds():
    for values in (RARE[::10], np.concatenate([NORMAL[:5000], [40.0, -40.0]]), RANDOM.laplace(0, 1, 5000)):
        whole = _whole(values)
        found = squared_error_range(values, whole)
        errors = [_error(values, whole[0] * k, whole[1] * k) for k in np.linspace(1, 0.3, 141)]
        assert _error(values, *found) <= 1.03 * min(errors)
    assert squared_error_range(UNIFORM, _whole(UNIFORM)) == pytest.approx(_whole(UNIFORM), rel=0.03)


def test_squared_error_weighs_what_it_cuts_off():
    """One value of 40 among a hundred normal ones costs more cut than kept; among 60,000 less is better."""
    few, many = np.concatenate([NORMAL[:100], [40.0]]), np.concatenate([NORMAL, [40.0]])
    assert squared_error_range(few, _whole(few))[1] > 39
    assert squared_error_range(many, _whole(many))[1] < 38


def test_entropy_cuts_off_what_is_rare_and_is_not_min_max():
    low, high = entropy_range(RARE, _whole(RARE))
    assert (low, high) == pytest.approx((-12, 12)), "the narrowest that is tried, 0.3 of the whole"
    whole = np.concatenate([NORMAL, [-9.0, 9.0]])
    low, high = entropy_range(whole, _whole(whole))
    assert 3 < high < 7
    assert -7 < low < -3
    assert _ranges(RARE)["entropy"] != _ranges(RARE)["min-max"]


def test_entropy_keeps_what_is_even():
    low, high = entropy_range(UNIFORM, _whole(UNIFORM))
    assert high - low > 1.9


def test_entropy_counts_what_it_cuts_off():
    """A tenth of all values lies far out: not rare, so not to be cut off."""
    values = np.concatenate([np.abs(UNIFORM), RANDOM.uniform(3.5, 4, len(UNIFORM) // 10)])
    assert entropy_range(values, _whole(values))[1] > 3.4


def test_entropy_is_not_misled_by_the_zeros_of_a_relu():
    """Half of all values, in one bin."""
    many_zeros = np.concatenate([POSITIVE[POSITIVE > 0], np.zeros(600_000)])
    some = POSITIVE[POSITIVE > 0]
    assert entropy_range(many_zeros, _whole(many_zeros)) == entropy_range(some, _whole(some))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "values",
    [
        NORMAL + 30,
        NORMAL - 30,
        POSITIVE,
        -POSITIVE,
        np.zeros(500),
        np.full(500, 7.5),
        np.full(500, -7.5),
        np.array([1e-20, 2e-20]),
        np.array([1e20, -1e19]),
    ],
    ids=["above", "below", "positive", "negative", "zeros", "7.5", "-7.5", "tiny", "huge"],
)
def test_zero_is_always_inside_and_on_a_level(method, values):
    low, high = _ranges(values)[method]
    assert low <= 0 <= high
    whole = _whole(values)
    assert whole[0] <= low
    assert high <= whole[1]
    scale = LayerScale("", "", "int8", low, high, method)
    assert scale.step > 0
    assert 0 <= scale.zero_point <= 255
    assert scale.quantised(np.zeros(3)).tolist() == [0, 0, 0]
    if not values.any():
        assert (low, high) == (0, 0)


@pytest.mark.parametrize("value", [7.5, -7.5])
def test_a_constant_keeps_its_value(value):
    for low, high in _ranges(np.full(500, value)).values():
        scale = LayerScale("", "", "int8", low, high, "")
        if (low, high) == (min(value, 0), max(value, 0)):
            assert scale.quantised(np.array([value])) == pytest.approx(value)
    best = squared_error_range(np.full(500, value), (min(value, 0.0), max(value, 0.0)))
    assert best == (min(value, 0), max(value, 0))


# -- Channels scaled alike first


def _uneven():
    """Channels of 1, 10 and 0.1."""
    return np.stack([UNIFORM * k for k in (1, 10, 0.1)])


def test_nothing_comes_first_and_shifting_only_where_no_zeros_are_put_in():
    assert [bool(one.add) for one in affines(_statistics(_uneven()), may_shift=True)] == [False] * 3 + [True]
    assert [bool(one.add) for one in affines(_statistics(_uneven()), may_shift=False)] == [False] * 3
    assert next(affines(_statistics(_uneven()), may_shift=True)) == Affine()


def test_channels_are_made_even_fully_and_half():
    _, fully, half = affines(_statistics(_uneven()), may_shift=False)
    np.testing.assert_allclose(fully.multiply, [1, 0.1, 10], rtol=0.01)
    np.testing.assert_allclose(half.multiply, np.sqrt([1, 0.1, 10]), rtol=0.01)
    np.testing.assert_allclose(np.abs(fully.applied(_uneven())).max(axis=1), 1, rtol=0.01)


def test_moved_channels_have_their_middle_at_zero():
    samples = _uneven() + np.array([[5], [0], [-3]])
    *_, moved = affines(_statistics(samples), may_shift=True)
    after = moved.applied(samples)
    np.testing.assert_allclose(after.max(axis=1), -after.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(after.max(axis=1), after.max(), rtol=0.01)


@pytest.mark.parametrize(
    "samples", [np.zeros((3, 99)), np.full((3, 99), 5.0), np.stack([np.zeros(99), np.ones(99)])]
)
def test_dead_and_constant_channels_have_finite_factors(samples):
    for affine in affines(_statistics(samples), may_shift=True):
        assert np.isfinite(affine.multiply).all()
        assert np.isfinite(affine.add).all()
        assert all(1 / 256 <= one <= 256 for one in affine.multiply)
        for low, high in candidate_ranges(_statistics(samples), affine).values():
            assert np.isfinite([low, high]).all()


def test_ranges_are_those_after_the_change():
    affine = Affine((1.0, 0.1, 10.0), (0.5, 0.0, 0.0))
    assert _ranges(_uneven(), affine)["min-max"] == pytest.approx((-1, 1.5), rel=0.01)


# -- The ways of one layer


def _ways(name, taken=(-1.0, 1.0), which=1):
    model = odd.around(odd.ODD[name])
    studio, observed = odd.opened(model)
    layer = list(studio.layers.values())[which]
    statistics = observed.tensors[layer.source]
    return layer, statistics, one_term(layer, odd.weights_of(model)[layer.weights], statistics, taken)


def test_the_ways_of_a_layer_differ_and_the_likeliest_is_first():
    layer, statistics, ways = _ways("rare")
    assert 1 < len(ways) <= len(METHODS)
    assert len({one.method for one in ways}) == len(ways)
    errors = [
        np.mean((one.quantised(v := one.affine.applied(statistics.samples.astype(float))) - v) ** 2)
        for one in ways
        if not one.affine.multiply
    ]
    assert errors == sorted(errors)
    assert not any(one.affine.add for one in ways), f"{layer.name} is padded"


def test_two_terms_have_room_beyond_all_that_was_seen():
    layer, statistics, _ = _ways("plain")
    scale = two_terms(layer, statistics)
    assert scale.form == "int8x2"
    assert scale.high == pytest.approx(3 * statistics.highest.max())
    assert scale.low <= 3 * statistics.lowest.min()


def test_a_transposed_layer_is_even_around_zero():
    layer, statistics, ways = _ways("transposed", which=2)
    assert layer.transposed
    assert all(one.symmetric for one in (*ways, two_terms(layer, statistics)))
    assert all(one.zero_point == 128 for one in ways)


@pytest.mark.parametrize("taken", [(16, 235), (-300, -10)])
def test_a_picture_without_zero_is_given_a_range_that_has_it(taken):
    """Zeros around a picture must be a level, and are none of the 256 between these."""
    net = Net()
    net.finish(net.conv("x", 3, 3))
    layer = find_layers(odd.packed(net))[0]
    (way,) = one_term(layer, np.ones((3, 3, 3, 3)), _statistics(np.zeros((3, 9))), taken)
    assert (way.low, way.high, way.method) == (min(taken[0], 0), max(taken[1], 0), "min-max")
    values = np.repeat(np.linspace(*taken, 256)[None], 3, axis=0)
    assert np.abs(way.quantised(values) - values).max() <= 0.51 * way.step


@pytest.mark.parametrize("taken", [(-1, 1), (0, 1), (0, 255), (-128, 127), (-0.3, 0.7), (-2.1, 2.6)])
def test_each_of_256_grey_levels_has_a_level_of_its_own(taken):
    net = Net()
    net.finish(net.conv("x", 3, 3))
    layer = find_layers(odd.packed(net))[0]
    statistics = _statistics(np.zeros((3, 9)))
    (way,) = one_term(layer, np.ones((3, 3, 3, 3)), statistics, taken)
    values = np.repeat(np.linspace(*taken, 256)[None], 3, axis=0)
    moved = way.affine.applied(values)
    step = (taken[1] - taken[0]) / 255
    np.testing.assert_allclose(way.quantised(moved), moved, atol=1e-4 * step)
    assert np.abs(moved - values).max() <= 0.5001 * step
    assert way.method == "exact"
