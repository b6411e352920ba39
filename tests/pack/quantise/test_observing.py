"""What is gathered of the tensors, against numpy on all their values."""

import numpy as np
import pytest

from edgegan.pack.quantise import observing
from edgegan.pack.quantise.layers import find_layers
from edgegan.pack.quantise.observing import observe
from tests.pack.nets import Net
from tests.pack.quantise import odd

PICTURES = odd.pictures(4)


def _layer(model, op="Conv"):
    return next(layer for layer in find_layers(model)[1:] if layer.op == op)


def test_ends_are_those_of_all_values_by_channel():
    model = odd.around(odd.ODD["mirrored"])
    layers = find_layers(model)
    seen = observe(model, layers, PICTURES)
    values = odd.inside(model, [layer.source for layer in layers], PICTURES)
    for layer in layers:
        found, every = seen.tensors[layer.source], values[layer.source]
        np.testing.assert_array_equal(found.lowest, every.min(axis=(0, 2, 3)))
        np.testing.assert_array_equal(found.highest, every.max(axis=(0, 2, 3)))


def test_samples_are_the_tensors_values():
    model = odd.around(odd.ODD["plain"])
    layer = _layer(model)
    samples = observe(model, [layer], PICTURES).tensors[layer.source].samples
    every = odd.inside(model, [layer.source], PICTURES)[layer.source]
    assert samples.shape[0] == 8
    assert samples.shape[1] >= 4 * 64
    for channel in range(8):
        assert set(samples[channel].tolist()) <= set(every[:, channel].ravel().tolist())
        assert abs(samples[channel].mean() - every[:, channel].mean()) < 0.1 * every[:, channel].std() + 1e-6


def _windows_of_conv(values, layer, kernel=(3, 3), strides=(1, 1), dilations=(1, 1)):
    """(places, taps) by loops."""
    top, left, bottom, right = layer.pads
    rows = []
    for planes in values:
        padded = np.pad(planes, ((0, 0), (top, bottom), (left, right)))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        for y in range(0, padded.shape[1] - reach[0] + 1, strides[0]):
            for x in range(0, padded.shape[2] - reach[1] + 1, strides[1]):
                part = padded[:, y : y + reach[0] : dilations[0], x : x + reach[1] : dilations[1]]
                rows.append(part.ravel())
    return np.array(rows, np.float64)


CONVOLUTIONS = {
    "plain": {},
    "uneven pads": {"kernel": (4, 4)},
    "SAME_UPPER": {"kernel": (4, 4)},
    "SAME_LOWER": {"kernel": (4, 4)},
    "SAME_UPPER, strides": {"strides": (2, 2)},
    "dilations": {"dilations": (2, 3)},
    "mirrored": {},
    "1x1": {"kernel": (1, 1)},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_mean_and_covariance_are_those_of_what_the_kernel_sees(name, monkeypatch):
    """Of every place, which are few here; against the definition."""
    model = odd.around(odd.ODD[name])
    layer = _layer(model)
    monkeypatch.setattr(observing, "_WINDOWS", 4 * 40_000)
    found = observe(model, [layer], PICTURES).moments[layer.name]
    windows = _windows_of_conv(
        odd.inside(model, [layer.input], PICTURES)[layer.input], layer, **CONVOLUTIONS[name]
    )
    spread = np.sqrt(np.diag(np.cov(windows.T, bias=True)))
    assert found.mean.shape == (windows.shape[1],)
    np.testing.assert_allclose(found.mean, windows.mean(axis=0), atol=0.35 * spread.max())
    wanted = np.cov(windows.T, bias=True)
    assert np.abs(found.covariance - wanted).max() < 0.35 * np.abs(wanted).max()
    assert np.corrcoef(found.covariance.ravel(), wanted.ravel())[0, 1] > 0.97, "each tap in its place"


def test_the_outputs_mean_follows_from_the_windows_mean():
    """Mean output = weights x mean window + bias, which a wrong order of the taps would break."""
    for name in ("plain", "SAME_LOWER", "dilations", "uneven pads"):
        model = odd.around(odd.ODD[name])
        layer = _layer(model)
        node = next(n for n in model.graph.node if n.name == layer.name)
        moments = observe(model, [layer], PICTURES).moments[layer.name]
        held = odd.weights_of(model)
        expected = held[layer.weights].reshape(8, -1) @ moments.mean + held[layer.bias]
        given = odd.inside(model, [node.output[0]], PICTURES)[node.output[0]]
        # Places are drawn at random, so the mean is the sampled one.
        error = np.abs(expected - given.mean(axis=(0, 2, 3)))
        assert np.all(error < 0.25 * given.std(axis=(0, 2, 3))), name


def test_windows_of_a_transposed_convolution_are_in_the_order_of_its_weights():
    """Output (2 y + 1, 2 x) of a 4 x 4 kernel with stride 2: weights 1 and 3 down, 0 and 2 right."""
    planes = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    net = Net()
    odd.transposed(net, "x", 5, 2, 4, strides=[2, 2])
    node, weights = net.nodes[0], np.random.default_rng(1).normal(size=(5, 2, 4, 4))
    windows = observing._windows(planes, node, (), weights.shape)
    assert windows.shape == (5, 6, 7, 2, 2)
    whole = np.zeros((2, 14, 16))
    for y in range(6):
        for x in range(7):
            whole[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += np.einsum(
                "c,cokl->okl", planes[:, y, x], weights
            )
    for down in range(2):
        for right in range(2):
            phase = np.einsum("cyxkl,cokl->oyx", windows, weights[:, :, down::2, right::2])
            np.testing.assert_allclose(phase, whole[:, down:12:2, right:14:2], atol=1e-5)


def test_a_large_constant_does_not_drown_a_small_spread():
    """In float32 the square of a thousand has no room for a millionth."""

    def build(net, x):
        small = net.add("Mul", net.add("Tanh", x), net.hold(np.float32(1e-3)))
        return net.conv(net.add("Add", small, net.hold(np.float32(100))), 8, 8, 1)

    model = odd.around(build)
    layer = _layer(model)
    found = observe(model, [layer], PICTURES).moments[layer.name]
    every = odd.inside(model, [layer.source], PICTURES)[layer.source]
    wanted = every.astype(np.float64).var(axis=(0, 2, 3))
    np.testing.assert_allclose(np.diag(found.covariance), wanted, rtol=0.3, atol=2e-9)
    np.testing.assert_allclose(found.mean, every.mean(axis=(0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("most", [1, 20_000])
def test_a_model_that_does_not_fit_is_looked_at_in_parts_with_the_same_result(most, monkeypatch):
    model = odd.around(odd.ODD["transposed"])
    layers = find_layers(model)
    whole = observe(model, layers, PICTURES)
    shares = []
    monkeypatch.setattr(observing, "_MOST_BYTES", most)
    parts = observe(model, layers, PICTURES, progress=shares.append)
    assert len(shares) > len(PICTURES), "it was run several times"
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    for name, seen in whole.tensors.items():
        np.testing.assert_array_equal(seen.samples, parts.tensors[name].samples)
        np.testing.assert_array_equal(seen.highest, parts.tensors[name].highest)
    for name, moments in whole.moments.items():
        np.testing.assert_allclose(moments.covariance, parts.moments[name].covariance, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(moments.mean, parts.moments[name].mean, rtol=1e-5, atol=1e-6)


def test_a_seed_gives_the_same_samples_and_another_others():
    model = odd.around(odd.ODD["plain"])
    layer = _layer(model)
    first, again, other = (
        observe(model, [layer], PICTURES, seed).tensors[layer.source].samples for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_of_a_kernel_of_too_many_inputs_only_the_mean_is_taken(monkeypatch):
    model = odd.around(odd.ODD["plain"])
    first, layer, _ = find_layers(model)
    whole = observe(model, [first, layer], PICTURES).moments
    monkeypatch.setattr(observing, "MOST_TAPS", 71)
    found = observe(model, [first, layer], PICTURES).moments
    assert found[first.name].covariance is not None, "27 taps; the other has 72"
    assert found[layer.name].covariance is None
    np.testing.assert_allclose(found[layer.name].mean, whole[layer.name].mean, rtol=1e-6)


def test_a_transposed_and_dilated_kernel_has_no_moments():
    model = odd.around(odd.ODD["transposed, dilations"])
    layer = _layer(model, "ConvTranspose")
    assert layer.name not in observe(model, find_layers(model), PICTURES).moments


def test_what_is_not_finite_is_told():
    model = odd.around(odd.ODD["not finite within"])
    layers = find_layers(model)
    seen = observe(model, layers, PICTURES)
    assert [seen.is_finite(layer) for layer in layers] == [True, False, True]
