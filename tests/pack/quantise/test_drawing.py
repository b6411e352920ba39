"""Drawing with versions, and a memory of what came of it that survives being broken off."""

import json
import os

import numpy as np
import pytest

from edgegan.pack.compare import Packed
from edgegan.pack.quantise.candidates import one_term
from edgegan.pack.quantise.drawing import Memo, Outcome
from edgegan.pack.quantise.table import ScaleTable
from edgegan.quality import psnr_db, ssim
from tests.pack.quantise import odd

OUTCOME = Outcome((1.5, 0.1), (0.9, 1.0), 1.25)


class _Measure:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return OUTCOME


def test_an_outcome_is_measured_once(tmp_path):
    memo, measure = Memo(tmp_path / "new" / "folder" / "m.jsonl"), _Measure()
    assert [memo.get("a", measure), memo.get("a", measure)] == [OUTCOME] * 2
    assert measure.count == 1
    memo.get("b", measure)
    assert measure.count == 2


def test_another_search_takes_up_what_is_known(tmp_path):
    measure = _Measure()
    Memo(tmp_path / "m.jsonl").get("a", measure)
    assert Memo(tmp_path / "m.jsonl").get("a", measure) == OUTCOME
    assert measure.count == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2],
        lambda line: "",
        lambda line: "\0" * 30,
        lambda line: "[1, 2]",
        lambda line: '{"key": "a"}',
        lambda line: '{"key": "a", "squared_errors": 3, "likeness": 4}',
        lambda line: '{"key": ["a"], "squared_errors": [1], "likeness": [1], "flicker": 1}',
        lambda line: '{"key": "a", "squared_errors": [1], "likeness": [1], "flicker": "much"}',
        lambda line: line + line,
    ],
    ids=[
        "broken off",
        "empty",
        "zeros",
        "a list",
        "half of it",
        "numbers",
        "a key that is none",
        "a flicker that is none",
        "twice",
    ],
)
def test_a_damaged_line_is_measured_again_and_the_others_are_kept(tmp_path, damage):
    path, measure = tmp_path / "m.jsonl", _Measure()
    memo = Memo(path)
    for key in "abc":
        memo.get(key, measure)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[1], damage(lines[0]), lines[2]]) + "\n")
    again = _Measure()
    memo = Memo(path)
    assert [memo.get(key, again) for key in "abc"] == [OUTCOME] * 3
    assert again.count == 1
    last = _Measure()
    Memo(path).get("a", last)
    assert last.count == 0, "it was written again"


def test_a_file_that_ends_in_the_middle_of_a_line_goes_on(tmp_path):
    path, measure = tmp_path / "m.jsonl", _Measure()
    Memo(path).get("a", measure)
    Memo(path).get("b", measure)
    path.write_bytes(path.read_bytes()[:-9])
    Memo(path).get("b", measure)
    Memo(path).get("c", measure)
    count = measure.count
    for key in "abc":
        Memo(path).get(key, measure)
    assert measure.count <= count + 1, "the line after the broken one may be lost, no more"


@pytest.mark.parametrize("place", ["file/in/a/file", "/sys/kernel/edgegan/m.jsonl", "folder"])
def test_where_nothing_can_be_written_it_works_all_the_same(tmp_path, place):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    memo, measure = Memo(tmp_path / place), _Measure()
    assert [memo.get("a", measure), memo.get("a", measure)] == [OUTCOME] * 2
    assert measure.count == 1
    memo.forget()
    assert (tmp_path / "folder").is_dir()


def test_what_is_forgotten_is_gone(tmp_path):
    memo = Memo(tmp_path / "m.jsonl")
    memo.get("a", _Measure())
    memo.forget()
    memo.forget()
    assert os.listdir(tmp_path) == []


def test_no_path_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    memo = Memo(None)
    memo.get("a", _Measure())
    memo.forget()
    assert os.listdir(tmp_path) == []


def test_figures_of_an_outcome():
    found = Outcome((1.0, 100.0, 0.0), (0.9, 0.8, 1.0))
    each = [10 * np.log10(255**2 / e) for e in (1, 100)] + [99]
    assert found.psnr_db == pytest.approx(np.mean(each))
    assert found.psnr_worst_db == pytest.approx(each[1])
    assert found.ssim == pytest.approx(0.9)


# -- The studio


def _tables(studio, observed, model):
    weights = odd.weights_of(model)
    for layer in studio.layers.values():
        yield from one_term(layer, weights[layer.weights], observed.tensors[layer.source], (-1.0, 1.0))


def test_errors_are_those_of_the_pictures_that_are_drawn(tmp_path):
    model = odd.around(odd.ODD["plain"])
    studio, observed = odd.opened(model)
    scales = {scale.layer: scale for scale in _tables(studio, observed, model)}
    table = ScaleTable(tuple(scales.values()))
    outcome = studio.outcome(table)
    version, plain = Packed(studio.version(table)), Packed(model)
    drawn = [(version.draw(one.pixels), plain.draw(one.pixels)) for one in odd.pictures(4, seed=1)]
    assert outcome.psnr_db == pytest.approx(np.mean([psnr_db(*pair) for pair in drawn]), abs=1e-6)
    assert outcome.likeness == pytest.approx([ssim(*pair) for pair in drawn])
    some = studio.outcome(table, [2, 0])
    assert some.squared_errors == (outcome.squared_errors[2], outcome.squared_errors[0])


def test_nothing_quantised_is_no_error():
    model = odd.around(odd.ODD["plain"])
    outcome = odd.opened(model)[0].outcome(ScaleTable(()))
    assert (outcome.psnr_db, outcome.ssim) == (99, 1)


def test_float_layers_do_not_make_another_version(tmp_path, monkeypatch):
    from dataclasses import replace

    model = odd.around(odd.ODD["plain"])
    studio, observed = odd.opened(model, Memo(tmp_path / "m.jsonl"))
    first, *_, last = _tables(studio, observed, model)
    studio.outcome(ScaleTable((first,)))
    studio.outcome(ScaleTable((first, replace(last, form="float"))))
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 1
    studio.outcome(ScaleTable((first, last)))
    studio.outcome(ScaleTable((first,)), [0])
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert len({line["key"] for line in lines}) == 3
    assert [len(line["squared_errors"]) for line in lines] == [4, 4, 1]


def test_weights_are_rounded_once_for_each_change_of_the_input():
    model = odd.around(odd.ODD["plain"])
    studio, observed = odd.opened(model)
    scale = list(_tables(studio, observed, model))[-1]
    from dataclasses import replace

    assert studio.integer_weights(scale) is studio.integer_weights(
        replace(scale, high=scale.high / 2, form="int8x2")
    )
    other = replace(scale.affine, multiply=(1.5,) * studio.layers[scale.layer].channels)
    assert studio.integer_weights(scale) is not studio.integer_weights(replace(scale, affine=other))


def test_a_picture_too_small_for_likeness_is_judged_by_its_errors():
    size = (8, 10)
    model = odd.around(odd.ODD["plain"], size=size)
    from edgegan.pack.quantise.drawing import Studio
    from edgegan.pack.quantise.layers import find_layers
    from edgegan.pack.quantise.observing import observe

    layers, shown = find_layers(model), odd.pictures(3, size)
    studio = Studio(
        model, layers, observe(model, layers, shown), odd.weights_of(model), shown, (), Memo(None)
    )
    assert studio.outcome(ScaleTable(())).likeness == (1, 1, 1)
