"""Weights as levels, and what rounding them does to what a convolution gives."""

import numpy as np
import pytest

from edgegan.pack.quantise.rounding import rounded, weight_scales

RANDOM = np.random.default_rng(2)
TAPS, OUT = 96, 8


def _weights(taps=TAPS):
    return np.random.default_rng(7).normal(0, 0.1, (OUT, taps))


def _inputs(alike, taps=TAPS, count=3000):
    """Of unit variance; alike: the covariance of neighbours."""
    where = np.arange(taps)
    mixer = np.linalg.cholesky(alike ** np.abs(where[:, None] - where[None]) + 1e-9 * np.eye(taps))
    return np.random.default_rng(3).normal(size=(count, taps)) @ mixer.T


def _output_error(weights, levels, scales, inputs):
    return float(np.mean((inputs @ (levels * scales[:, None] - weights).T) ** 2))


def _errors(weights, inputs, covariance):
    scales = weight_scales(weights)
    nearest, careful = rounded(weights, scales, None), rounded(weights, scales, covariance)
    return [_output_error(weights, levels, scales, inputs) for levels in (nearest, careful)]


def test_the_largest_weight_of_each_row_is_the_last_level():
    weights = _weights()
    scales = weight_scales(weights)
    np.testing.assert_allclose(scales * 127, np.abs(weights).max(axis=1))
    assert np.abs(rounded(weights, scales, None)).max(axis=1).tolist() == [127] * OUT


def test_without_a_covariance_each_weight_goes_to_its_nearest_level():
    weights = _weights()
    scales = weight_scales(weights)
    error = rounded(weights, scales, None) * scales[:, None] - weights
    assert np.abs(error / scales[:, None]).max() <= 0.5 + 1e-9


def test_inputs_that_are_alike_leave_much_less_error_than_nearest_rounding():
    inputs = _inputs(0.95)
    nearest, careful = _errors(_weights(), inputs, np.cov(inputs.T, bias=True))
    assert careful < nearest / 4, "6 dB"


def test_it_also_helps_on_inputs_that_it_has_not_seen():
    inputs, others = _inputs(0.95), np.random.default_rng(9).permutation(_inputs(0.95, count=6000))[:2000]
    nearest, careful = _errors(_weights(), others, np.cov(inputs[:2500].T, bias=True))
    assert careful < nearest / 3


def test_inputs_that_have_nothing_in_common_are_rounded_to_nearest():
    nearest, careful = _errors(_weights(), _inputs(0), np.eye(TAPS))
    assert careful == pytest.approx(nearest, rel=1e-6)
    nearest, careful = _errors(_weights(), inputs := _inputs(0), np.cov(inputs.T, bias=True))
    assert careful == pytest.approx(nearest, rel=0.1)


def test_blocks_make_no_difference(monkeypatch):
    from edgegan.pack.quantise import rounding

    weights, covariance = _weights(), np.cov(_inputs(0.9).T, bias=True)
    scales = weight_scales(weights)
    found = rounded(weights, scales, covariance)
    monkeypatch.setattr(rounding, "_BLOCK", 1000)
    whole = rounded(weights, scales, covariance)
    assert np.mean(found == whole) > 0.999
    monkeypatch.setattr(rounding, "_BLOCK", 7)
    assert np.mean(found == rounded(weights, scales, covariance)) > 0.999


SINGULAR = {
    "zero": np.zeros((TAPS, TAPS)),
    "all the same": np.ones((TAPS, TAPS)),
    "one tap alone": np.diag(np.arange(TAPS) == 3).astype(float),
    "not positive": np.full((TAPS, TAPS), -1.0) + 1e-3 * np.eye(TAPS),
    "noise": np.random.default_rng(0).normal(0, 1e-9, (TAPS, TAPS)),
    "tiny": 1e-30 * np.eye(TAPS),
    "huge": 1e30 * np.ones((TAPS, TAPS)),
    "NaN": np.full((TAPS, TAPS), np.nan),
    "infinite": np.full((TAPS, TAPS), np.inf),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_covariance_that_has_no_inverse_still_gives_levels(name):
    weights = _weights()
    scales = weight_scales(weights)
    levels = rounded(weights, scales, SINGULAR[name].astype(np.float32))
    assert levels.dtype == np.int8
    assert np.abs(levels.astype(int)).max() <= 127
    assert _output_error(weights, levels, scales, np.eye(TAPS)) < 30 * np.square(scales).mean()


def test_levels_never_leave_127_to_either_side():
    """Errors that are passed on would push a weight at the end of its range beyond it."""
    weights = np.where(RANDOM.uniform(size=(OUT, TAPS)) < 0.5, 1.0, -1.0) * RANDOM.uniform(
        0.98, 1, (OUT, TAPS)
    )
    levels = rounded(weights, weight_scales(weights), np.cov(_inputs(0.99).T, bias=True))
    assert (levels.min(), levels.max()) == (-127, 127)


def test_a_row_of_zeros_stays_zero():
    weights = _weights()
    weights[3] = 0
    scales = weight_scales(weights)
    assert scales[3] > 0
    for covariance in (None, np.cov(_inputs(0.9).T, bias=True)):
        assert not rounded(weights, scales, covariance)[3].any()


def test_the_weights_are_left_as_they_were():
    weights = _weights()
    before = weights.copy()
    rounded(weights, weight_scales(weights), np.cov(_inputs(0.9).T, bias=True))
    np.testing.assert_array_equal(weights, before)


def test_a_row_of_zeros_has_a_scale_that_float16_holds():
    weights = _weights()
    weights[3] = 0
    weights[4] = 1e-12
    scales = weight_scales(weights)
    assert scales[[3, 4]].tolist() == [pytest.approx(np.abs(weights).max() / 127)] * 2
    assert not rounded(weights, scales, None)[[3, 4]].any()
    assert np.isfinite(weight_scales(np.zeros((2, 4)))).all()
