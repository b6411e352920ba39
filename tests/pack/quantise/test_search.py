"""What the search chooses, against what it may choose from."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from edgegan.pack.quantise import search as module
from edgegan.pack.quantise.drawing import Memo, Outcome
from edgegan.pack.quantise.search import Alone, Goal, cost_of, search
from edgegan.pack.quantise.table import LayerScale, ScaleTable
from tests.pack.quantise import odd

ANYTHING = Goal(0, 0, 0)


@pytest.fixture(scope="module")
def memo(tmp_path_factory):
    """One for all searches here, which then draw but what no other one has."""
    return tmp_path_factory.mktemp("search") / "memo.jsonl"


def _searched(goal, memo=None, name="transposed", **more):
    model = odd.around(odd.ODD[name])
    studio, observed = odd.opened(model, Memo(memo))
    return studio, search(studio, observed, odd.weights_of(model), (-1.0, 1.0), goal, **more)


def _forms(point):
    return [scale.form for scale in point.table.layers]


def test_a_low_goal_takes_the_cheapest_version_there_is(memo):
    studio, found = _searched(ANYTHING, memo)
    layers = list(studio.layers.values())
    least = sum(min(cost_of(layer, form) for form in ("int8", "float")) for layer in layers)
    assert found.best is not None
    assert found.best.cost == pytest.approx(least)
    assert set(_forms(found.best)) == {"int8"}
    assert found.best.int8_share == 1


def test_the_cheapest_that_meets_the_goal_is_taken(memo):
    _, low = _searched(ANYTHING, memo)
    goal = Goal(low.best.outcome.psnr_db + 3, 0, 0)
    _, found = _searched(goal, memo)
    assert found.best is not None
    assert found.best.outcome.psnr_db >= goal.psnr_db
    assert found.best.cost > low.best.cost
    costs = [point.cost for point in found.frontier]
    assert costs == sorted(costs)
    for point in found.frontier:
        if goal.is_met(point.outcome, point.int8_share):
            assert point.cost >= found.best.cost


def test_colour_that_is_demanded_steers_the_search(memo):
    _, low = _searched(ANYTHING, memo)
    most = 0.7 * low.best.outcome.delta_e
    _, found = _searched(replace(ANYTHING, delta_e=most), memo)
    assert found.best is not None
    assert 0 < found.best.outcome.delta_e <= most
    assert found.best.cost > low.best.cost


def test_no_other_choice_of_forms_is_much_cheaper(memo):
    """Against all of them, with the ranges that the search took."""
    studio, low = _searched(ANYTHING, memo)
    goal = Goal(low.best.outcome.psnr_db + 3, 0, 0)
    _, found = _searched(goal, memo)
    tried = {}
    for one in found.alone:
        tried.setdefault(one.scale.layer, {}).setdefault(one.scale.form, []).append(one)
    best = np.inf
    for forms in itertools.product(("int8", "float"), repeat=len(studio.layers)):
        layers = list(studio.layers.values())
        cost = sum(cost_of(layer, form) for layer, form in zip(layers, forms, strict=True))
        if cost < min(best, found.best.cost):
            ways = [replace(min(tried[layer.name]["int8"], key=module._error).scale, form=form)
                    for layer, form in zip(layers, forms, strict=True)]  # fmt: skip
            if goal.is_met(studio.outcome(ScaleTable(tuple(ways))), 1):
                best = cost
    assert found.best.cost <= 1.35 * best


def test_layers_that_cost_the_picture_most_are_left_in_float(memo):
    _, low = _searched(ANYTHING, memo)
    _, found = _searched(Goal(low.best.outcome.psnr_db + 3, 0, 0), memo)
    assert "float" in _forms(found.best)
    assert found.best.int8_share < 1
    assert found.best.outcome.psnr_db > low.best.outcome.psnr_db


def test_a_share_of_int8_is_kept_by_a_second_term(memo):
    """Where it may not be float, two terms are what is left."""
    _, low = _searched(ANYTHING, memo)
    goal = Goal(low.best.outcome.psnr_db + 3, 0, 0, int8_share=1.0)
    _, found = _searched(goal, memo)
    assert found.best is not None
    assert "int8x2" in _forms(found.best)
    assert "float" not in _forms(found.best)
    assert found.best.int8_share == 1


@pytest.mark.parametrize("share", [0.0, 0.4, 0.7, 1.0])
def test_no_more_is_float_than_the_share_allows(memo, share):
    _, found = _searched(Goal(90, 90, 1, share), memo)
    for point in found.frontier:
        assert point.int8_share >= share


@pytest.mark.parametrize(
    "goal", [Goal(98, 0, 0, 0.5), Goal(0, 98, 0, 0.5), Goal(0, 0, 1.01), Goal(0, 0, 0, 1.01)]
)
def test_what_cannot_be_reached_is_not_said_to_be(memo, goal):
    _, found = _searched(goal, memo)
    assert found.best is None
    assert len(found.frontier) >= 1, "and what was reached is told"


def test_the_same_search_finds_the_same_table():
    first, again = (_searched(Goal(46, 0, 0), None)[1] for _ in range(2))
    assert first.frontier == again.frontier
    assert first.alone == again.alone


def test_a_search_that_was_broken_off_draws_nothing_twice(tmp_path, monkeypatch):
    """Broken off after the n-th drawing, by Ctrl-C."""
    whole = _searched(Goal(46, 0, 0), tmp_path / "whole")[1]
    count, stop = 0, 7

    def counting(measured):
        def measure(self, table, numbers):
            nonlocal count
            if count == stop:
                raise KeyboardInterrupt
            count += 1
            return measured(self, table, numbers)

        return measure

    from edgegan.pack.quantise.drawing import Studio

    monkeypatch.setattr(Studio, "_measured", counting(Studio._measured))
    with pytest.raises(KeyboardInterrupt):
        _searched(Goal(46, 0, 0), tmp_path / "memo")
    assert len((tmp_path / "memo").read_text().splitlines()) == 7
    stop = 10_000
    found = _searched(Goal(46, 0, 0), tmp_path / "memo")[1]
    assert found == whole
    assert count == len((tmp_path / "whole").read_text().splitlines()), "7 before and the rest after"


def test_progress_goes_forward(memo):
    seen = []
    _searched(Goal(46, 0, 0), memo, progress=lambda what, share: seen.append((share, what)))
    assert seen == sorted(seen, key=lambda one: one[0])
    assert 0 <= seen[0][0] <= seen[-1][0] <= 1
    assert len({what for _, what in seen}) == 4


# -- Its parts


def test_the_price_of_forms():
    layer = odd.find_layers(odd.around(odd.ODD["plain"]))[1]
    large = replace(layer, macs=layer.macs * 100)
    assert cost_of(large, "int8") < cost_of(large, "int8x2") < cost_of(large, "float") == large.macs
    thin = replace(layer, macs=layer.read)
    assert cost_of(thin, "float") < cost_of(thin, "int8"), "what hardly computes gains nothing"


def test_of_ranges_that_are_nearly_as_good_the_safest_is_taken():
    def way(method, error):
        return Alone(LayerScale("a", "t", "int8", 0, 1, method), Outcome((error,), (1,)))

    ways = [way("squared error", 1.0), way("min-max", 1.2), way("entropy", 1.1)]
    assert module._sturdy(ways)[0].scale.method == "min-max"
    assert module._sturdy([*ways[:1], way("min-max", 1.3), ways[2]])[0].scale.method == "entropy"
    assert module._sturdy([*ways[:1], way("min-max", 1.3)])[0].scale.method == "squared error"


def test_the_telling_pictures_are_the_worst_two_and_some_others():
    outcome = Outcome(tuple(float(n) for n in range(20)), (1.0,) * 20)
    few = module._telling(outcome)
    assert few[:2] == [19, 18]
    assert few[-1] == 0
    assert len(few) == len(set(few)) == 5
    for count in range(1, 5):
        assert sorted(module._telling(Outcome((1.0,) * count, (1.0,) * count))) == list(range(count))


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"psnr_db": 41.0}, False),
        ({"psnr_worst_db": 36.0}, False),
        ({"ssim": 0.96}, False),
        ({"int8_share": 0.6}, False),
        ({"flicker_ratio": 1.1}, False),
        ({"channel_shift_levels": 0.3}, False),
        ({"delta_e": 0.5}, False),
        ({"high_frequency_ratio": (0.98, 1.02)}, False),
        ({"high_frequency_ratio": (0.9, 1.1)}, True),
        ({"checkerboard_db": 1.0}, False),
    ],
)
def test_each_part_of_a_goal_must_be_met(changes, met):
    db = [10 ** ((20 * np.log10(255) - d) / 10) for d in (45, 35)]
    goal = replace(Goal(39.9, 34.9, 0.95, 0.5), **changes)
    assert goal.is_met(Outcome(tuple(db), (0.95, 0.96), 1.2, 0.4, 0.6, 1.05, 1.5), 0.5) is met
