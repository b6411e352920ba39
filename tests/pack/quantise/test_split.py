"""A convolution, split into the columns of its kernel, draws what it drew."""

import numpy as np
import onnxruntime
import pytest

from edgegan.pack.quantise.split import split_columns
from tests.pack.nets import Net

HEIGHT, WIDTH = 13, 18


def last(drawn=3, size=(7, 7), bias=True, channels=6, **given):
    net = Net()
    weights = net.weight(drawn, channels // given.get("group", 1), *size)
    net.finish(net.add("Conv", "x", weights, *([net.weight(drawn)] if bias else []), **given))
    return net.model([1, channels, HEIGHT, WIDTH], [None] * 4)


def drawn(model):
    value = np.random.default_rng(2).normal(0, 1, (1, 6, HEIGHT, WIDTH)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": value})[0]


@pytest.mark.parametrize(
    "given",
    [
        {"pads": [3] * 4},
        {},
        {"pads": [0, 1, 2, 3]},
        {"pads": [1, 4, 1, 4], "size": (3, 9)},
        {"size": (1, 5), "drawn": 1},
        {"bias": False, "size": (5, 6), "drawn": 4},
    ],
    ids=["zeros around", "none", "uneven zeros", "wide", "one line", "no bias"],
)
def test_it_draws_the_same(given):
    model = last(**given)
    split, report = split_columns(model)
    assert report.changed
    assert [node.op_type for node in split.graph.node].count("Slice") == given.get("size", (7, 7))[1]
    before, after = drawn(model), drawn(split)
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before, atol=2e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"drawn": 5},
        {"size": (7, 4)},
        {"strides": [1, 2]},
        {"dilations": [2, 1]},
        {"group": 3},
        {"auto_pad": "SAME_UPPER"},
    ],
)
def test_another_stays_as_it_is(given):
    model = last(**given)
    same, report = split_columns(model)
    assert not report.changed
    assert [node.op_type for node in same.graph.node] == ["Conv", "Tanh"]
