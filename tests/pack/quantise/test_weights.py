"""INT8 weights and the bias that belongs to them, against the convolution in floats."""

from dataclasses import replace

import numpy as np
import pytest

from edgegan.pack.quantise import weights as module
from edgegan.pack.quantise.layers import find_layers
from edgegan.pack.quantise.observing import observe
from edgegan.pack.quantise.table import Affine
from edgegan.pack.quantise.weights import integer_weights
from tests.pack.quantise import odd

PICTURES = odd.pictures(6)
NOTHING = Affine()
KINDS = {
    "plain": "Conv",
    "1x1": "Conv",
    "SAME_LOWER": "Conv",
    "dilations": "Conv",
    "transposed": "ConvTranspose",
    "transposed 3x3, output padding": "ConvTranspose",
    "transposed, kernel below stride": "ConvTranspose",
    "transposed, dilations": "ConvTranspose",
}


class _Case:
    """One convolution in the middle of a net."""

    def __init__(self, name, op="Conv"):
        self.model = odd.around(odd.ODD[name])
        self.layer = next(one for one in find_layers(self.model)[1:] if one.op == op)
        self.node = next(node for node in self.model.graph.node if node.name == self.layer.name)
        held = odd.weights_of(self.model)
        self.weights, self.bias = held[self.layer.weights], held.get(self.layer.bias)
        self.moments = observe(self.model, [self.layer], PICTURES).moments.get(self.layer.name)
        self.taken = odd.inside(self.model, [self.layer.input], PICTURES)[self.layer.input]

    def integers(self, affine=NOTHING, moments=None, layer=None):
        return integer_weights(self.node, layer or self.layer, self.weights, self.bias, affine, moments)

    def real(self, integers):
        """What the levels stand for."""
        shape = [-1 if axis == self.layer.axis else 1 for axis in range(4)]
        return integers.levels * integers.scales.reshape(shape).astype(np.float64)

    def outputs(self, values, weights, bias):
        """Of the convolution alone."""
        held = {self.layer.weights: weights.astype(np.float32)}
        held |= {} if bias is None else {self.layer.bias: bias.astype(np.float32)}
        return odd.run_nodes(self.model, [self.layer.name], self.layer.input, values, held)


@pytest.mark.parametrize("name", KINDS)
def test_scales_lie_along_the_output_channels(name):
    case = _Case(name, KINDS[name])
    integers = case.integers(moments=case.moments)
    assert integers.levels.shape == case.weights.shape
    assert integers.levels.dtype == np.int8
    assert integers.scales.shape == (8,)
    others = tuple(axis for axis in range(4) if axis != case.layer.axis)
    np.testing.assert_allclose(integers.scales * 127, np.abs(case.weights).max(axis=others), rtol=1e-5)
    assert np.abs(integers.levels.astype(int)).max() <= 127


@pytest.mark.parametrize("name", KINDS)
def test_levels_are_near_the_weights_also_where_errors_are_passed_on(name):
    case = _Case(name, KINDS[name])
    nearest = case.real(case.integers()) - case.weights
    careful = case.real(case.integers(moments=case.moments)) - case.weights
    step = np.abs(case.weights).max() / 127
    assert np.abs(nearest).max() <= 0.51 * step
    assert np.abs(careful).max() <= 12 * step
    assert np.sqrt(np.mean(careful**2)) <= 3 * step


@pytest.mark.parametrize("name", ["plain", "SAME_LOWER", "transposed", "transposed 3x3, output padding"])
def test_what_the_convolution_gives_is_nearer_than_with_nearest_rounding(name):
    case = _Case(name, KINDS[name])
    wanted = case.outputs(case.taken, case.weights, case.bias)
    errors = []
    for moments in (None, case.moments):
        integers = case.integers(moments=moments)
        given = case.outputs(case.taken, case.real(integers), case.bias)
        error = given - wanted
        if (
            case.bias is not None and not case.layer.transposed
        ):  # its phases share one bias, which takes none away
            error = error - error.mean(axis=(0, 2, 3), keepdims=True)
        errors.append(float(np.mean(error**2)))
    assert errors[1] < errors[0] / 1.5


@pytest.mark.parametrize(
    ("name", "with_add"),
    [("plain", False), ("plain", True), ("dilations", True), ("transposed", False)],  # this is never shifted
)
def test_scaling_the_input_first_changes_nothing(name, with_add, monkeypatch):
    """The convolution of x * multiply + add with the changed weights and bias is that of x: no rounding here."""
    case = _Case(name, KINDS[name])
    random = np.random.default_rng(0)
    affine = Affine(tuple(random.uniform(0.2, 5, 8)), tuple(random.uniform(-2, 2, 8)) if with_add else ())
    monkeypatch.setattr(
        module, "rounded", lambda weights, scales, covariance: np.round(weights / scales[:, None], 9)
    )
    monkeypatch.setattr(module.np, "int8", np.float64)
    integers = case.integers(affine)
    values = case.taken.astype(np.float64) if not with_add else random.normal(0, 1, case.taken.shape)
    changed = np.stack([affine.applied(one) for one in values])
    inside = (..., slice(4, -4), slice(4, -4))  # at the edge zeros stand for x, not for x * multiply + add
    wanted = case.outputs(values, case.weights, case.bias)[inside]
    given = case.outputs(changed, case.real(integers), integers.bias if with_add else case.bias)[inside]
    np.testing.assert_allclose(given, wanted, atol=1e-4)


def test_a_shift_alone_is_taken_back_in_the_bias():
    case = _Case("mirrored")
    affine = Affine(add=tuple(np.linspace(-1, 1, 8)))
    integers = case.integers(affine)
    wanted = case.outputs(case.taken, case.weights, case.bias)
    changed = np.stack([affine.applied(one.astype(np.float64)) for one in case.taken])
    given = case.outputs(changed, case.real(integers), integers.bias)
    error = (given - wanted).mean(axis=(0, 2, 3))
    unshifted = case.outputs(changed, case.real(integers), case.bias) - wanted
    assert np.abs(error).max() < 0.02 * np.abs(unshifted).max()


def test_the_bias_makes_up_for_the_mean_error():
    for name in ("plain", "1x1"):
        case = _Case(name)
        wanted = case.outputs(case.taken, case.weights, case.bias)
        integers = case.integers(
            moments=replace(case.moments, covariance=np.eye(len(case.moments.mean), dtype="f"))
        )
        errors = [
            np.abs((case.outputs(case.taken, case.real(integers), bias) - wanted).mean(axis=(0, 2, 3)))
            for bias in (case.bias, integers.bias)
        ]
        assert errors[1].mean() < errors[0].mean() / 4, name


def test_no_bias_is_made_for_what_a_norm_takes_away_again():
    case = _Case("plain")
    case.bias = None
    assert case.integers(moments=case.moments).bias is not None
    layer = replace(case.layer, normalised=True)
    assert case.integers(moments=case.moments, layer=layer).bias is None
    assert case.integers(Affine(add=(1.0,) * 8), case.moments, layer).bias is not None, (
        "but a shift must be undone"
    )


def test_a_transposed_convolutions_bias_stays():
    case = _Case("transposed", "ConvTranspose")
    np.testing.assert_allclose(case.integers(moments=case.moments).bias, case.bias, rtol=1e-6)


def test_each_phase_of_a_transposed_kernel_is_rounded_once():
    """Of a 3 x 3 kernel with stride 2: 4, 2, 2 and 1 weights meet in one output."""
    case = _Case("transposed 3x3, output padding", "ConvTranspose")
    places = list(module._taps(case.node, case.layer, case.weights.shape))
    assert [len(taps) for taps, _ in places] == [8 * 4, 8 * 2, 8 * 2, 8]
    seen = np.zeros(case.weights.shape, int)
    for _, (down, right) in places:
        seen[:, :, down, right] += 1
    assert seen.min() == seen.max() == 1
