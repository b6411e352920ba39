"""Damaged models are refused in one line, whatever is damaged; none is taken for an error of the program."""

import random

import pytest

from edgegan.errors import UserError
from edgegan.pack import PackOptions
from edgegan.pack.preparing import prepare
from tests.pack import exports

_MODELS = [
    *(exports.plain(), exports.unet(), exports.computed_sizes(), exports.of_bytes(exports.LAST)),
    *(exports.looping(), exports.half_inside(), exports.few_bit_weights(), exports.outputs("mask")),
]
_FILES = [model.SerializeToString() for model in _MODELS]


@pytest.mark.parametrize("seed", range(80))
def test_a_damaged_model_is_refused_or_prepared(seed, tmp_path):
    chance = random.Random(seed)
    path = tmp_path / "model.onnx"
    path.write_bytes(_damaged(bytearray(chance.choice(_FILES)), chance))
    options = PackOptions(batch_statistics=chance.random() < 0.3, size=chance.choice((None, (24, 40))))
    said = _said(path, options)
    assert said is None or (said and "\n" not in said)


def _said(path, options):
    try:
        prepare(path, options)
    except UserError as error:
        return str(error)
    return None


def _damaged(data: bytearray, chance: random.Random) -> bytes:
    """Some bytes changed, taken out or put in; rather in names and structure than in weights."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = _place(data, chance)
        how = chance.random()
        if how < 0.6:
            data[place] = chance.randrange(256)
        elif how < 0.8:
            del data[place : place + chance.randrange(1, 9)]
        else:
            data[place:place] = chance.randbytes(3)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    places = (chance.randrange(1, len(data) - 1) for _ in range(50))
    place = 1
    for place in places:
        if any(32 < byte < 127 for byte in data[place - 1 : place + 2]):
            break
    return place
