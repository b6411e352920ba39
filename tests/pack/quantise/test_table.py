"""The scale table: a value that survives being written, and refuses what is none."""

import json

import numpy as np
import pytest

from edgegan.pack.quantise.table import Affine, LayerScale, ScaleTable

TABLE = ScaleTable(
    (
        LayerScale("first", "pixels/taken", "int8", -1.0, 1.0, "exact", False, Affine(add=(0.1, -0.2, 0.0))),
        LayerScale(
            "döwn/1",
            "a",
            "int8x2",
            -3.0,
            5.5,
            "min-max",
            True,
            Affine((1.5, 0.25), (0.0, 1e-7)),
            (0.1, 1 / 3),
        ),
        LayerScale("last", "b", "float", 0.0, 1e-30, "squared error"),
    )
)


def test_what_is_written_is_read_again():
    data = TABLE.to_json()
    assert ScaleTable.from_json(data) == TABLE
    assert ScaleTable.from_json(data).to_json() == data
    assert json.loads(data)["layers"][1]["form"] == "int8x2"


def test_a_layer_is_found_by_its_name():
    assert TABLE["döwn/1"].step == pytest.approx(5.5 / 127)


def _spoilt(**changes):
    data = json.loads(TABLE.to_json())
    data["layers"][1] |= changes
    return json.dumps(data).encode()


def _without(name):
    data = json.loads(TABLE.to_json())
    del data["layers"][0][name]
    return json.dumps(data).encode()


DAMAGED = {
    "nothing": b"",
    "broken off": TABLE.to_json()[:200],
    "no JSON": b"layers: []",
    "a list": b"[]",
    "no layers": b"{}",
    "layers that are none": b'{"layers": [1, 2]}',
    "bytes": b"\xff\xfe\x00",
    "another form": _spoilt(form="int4"),
    "no affine": _without("affine"),
    "no range": _without("low"),
    "one key more": _spoilt(zero=3),
    "an affine that is none": _spoilt(affine=[1]),
    "scales that are none": _spoilt(weight_scales=3),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused(name):
    with pytest.raises((ValueError, TypeError, KeyError)):
        ScaleTable.from_json(DAMAGED[name])


def test_256_levels_lie_in_a_range_and_255_around_zero():
    scale = LayerScale("", "", "int8", -1.0, 3.0, "")
    assert (scale.step, scale.zero_point) == (4 / 255, 64)
    many = np.linspace(-9, 9, 9001)
    assert len(set(scale.quantised(many).round(9))) == 256
    even = LayerScale("", "", "int8", -1.0, 3.0, "", symmetric=True)
    assert (even.step, even.zero_point) == (3 / 127, 128)
    assert len(set(even.quantised(many).round(9))) == 255
    assert even.quantised(many).min() == -3
    for one in (scale, even):
        inside = (many >= one.step - one.zero_point * one.step) & (many <= 3 - one.step)
        assert np.abs(one.quantised(many) - many)[inside].max() <= one.step / 2 + 1e-9


def test_an_affine_is_applied_by_channel():
    values = np.ones((2, 3, 4))
    np.testing.assert_array_equal(Affine((2.0, 3.0), (1.0, 0.0)).applied(values)[:, 0, 0], [3, 3])
    np.testing.assert_array_equal(Affine((2.0, 4.0)).applied(values)[:, 0, 0], [2, 4])
    np.testing.assert_array_equal(Affine(add=(1.0, 5.0)).applied(values)[:, 0, 0], [2, 6])
    assert Affine().applied(values) is values


@pytest.mark.parametrize("symmetric", [False, True])
def test_an_input_that_is_always_zero_has_an_ordinary_step(symmetric):
    scale = LayerScale("", "", "int8", 0.0, 0.0, "", symmetric)
    assert 1 / 256 < scale.step < 1 / 126
    assert scale.quantised(np.zeros(2)).tolist() == [0, 0]
