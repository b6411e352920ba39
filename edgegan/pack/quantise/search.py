"""Which layers in INT8, how, and which ones left in float: what draws well enough and costs least.

1. For each layer, alone: every range worth trying, and two terms, drawn with on a few pictures.
2. Errors of layers are nearly independent, so the error of a whole is about the sum of theirs. A price for the error
   gives each layer its form; a low price gives the cheapest version, a high one the best.
3. The price is halved and doubled, each time drawing the whole search set, until the cheapest that passes is found.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgegan.pack.quantise.candidates import one_term, two_terms
from edgegan.pack.quantise.drawing import Outcome, Studio
from edgegan.pack.quantise.layers import Layer, whole_macs
from edgegan.pack.quantise.observing import Observed
from edgegan.pack.quantise.ranges import METHODS
from edgegan.pack.quantise.table import Floats, Form, LayerScale, ScaleTable

__all__ = ["Alone", "Found", "Goal", "Point", "cost_of", "search"]

_FEW = 5
"""Pictures that each layer is tried on alone."""
_STEPS = 9
_NEARLY = 1.25
"""So much more error, 1 dB, is taken for a safer range."""
_INT8_MAC, _FEW_CHANNELS, _OF_FEW = 0.27, 8, 1.6
_READ_INT8, _READ_TWICE, _WRITTEN_TWICE = 8.0, 20.0, 15.0
"""What INT8 costs in MACs of float: a MAC (more where a kernel reads few channels), and each value read (or, in two
terms, written again). Of times measured on OpenVINO with VNNI (docs/pack.md); only their ratios matter."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Goal:
    """What the search set must reach, as `edgegan.pack.judging.Gate` has it. int8_share: of the MACs, in INT8."""

    psnr_db: float
    psnr_worst_db: float
    ssim: float
    int8_share: float = 0.0
    flicker_ratio: float = math.inf
    channel_shift_levels: float = math.inf
    delta_e: float = math.inf
    high_frequency_ratio: tuple[float, float] = (0.0, math.inf)
    checkerboard_db: float = math.inf

    def is_met(self, outcome: Outcome, share: float) -> bool:
        """Whether all of it is reached."""
        least, most = self.high_frequency_ratio
        return (
            outcome.psnr_db >= self.psnr_db
            and outcome.psnr_worst_db >= self.psnr_worst_db
            and outcome.ssim >= self.ssim
            and share >= self.int8_share
            and outcome.flicker <= self.flicker_ratio
            and outcome.shift_levels <= self.channel_shift_levels
            and outcome.delta_e <= self.delta_e
            and least <= outcome.detail_ratio <= most
            and outcome.checkerboard_db <= self.checkerboard_db
        )


@dataclass(frozen=True)
class Alone:
    """A way to quantise a layer, and what comes of it while all other layers are float."""

    scale: LayerScale
    outcome: Outcome


@dataclass(frozen=True)
class Point:
    """A version that was drawn with: what it costs, in MACs of the float model, and how it draws."""

    table: ScaleTable
    outcome: Outcome
    int8_share: float
    cost: float


@dataclass(frozen=True)
class Found:
    """best: the cheapest version that met the goal, or None. frontier: all that were drawn with, the cheapest first.

    alone: what was tried of each layer.
    """

    best: Point | None
    frontier: tuple[Point, ...]
    alone: tuple[Alone, ...]


def search(
    studio: Studio,
    observed: Observed,
    weights: dict[str, Floats],
    taken: tuple[float, float],
    goal: Goal,
    progress: Progress = lambda what, share: None,
) -> Found:
    """taken: what black and white are to the generator."""
    layers, ways = list(studio.layers.values()), {}
    for number, layer in enumerate(layers):
        progress("finding ranges", 0.05 * number / len(layers))
        statistics = observed.tensors[layer.source]
        ways[layer.name] = one_term(layer, weights[layer.weights], statistics, taken)
        ways[layer.name] += [] if layer.takes_pixels else [two_terms(layer, statistics)]
    progress("trying all layers in INT8", 0.05)
    few = _telling(studio.outcome(ScaleTable(tuple(ways[layer.name][0] for layer in layers))))
    alone: list[Alone] = []
    for number, layer in enumerate(layers):
        progress("trying each layer in INT8", 0.1 + 0.6 * number / len(layers))
        alone += [Alone(way, studio.outcome(ScaleTable((way,)), few)) for way in ways[layer.name]]
    return _cheapest(studio, layers, alone, goal, progress)


def _sturdy(ways: Sequence[Alone]) -> list[Alone]:
    """Of one layer: the float-like two terms, and of the ranges of one term the safest that is nearly the best.

    A range that cuts off what is rare draws a little better, until a picture comes of which it is the most.
    """
    ones = [one for one in ways if one.scale.form == "int8"]
    best = min(_error(one) for one in ones)
    safe = [name for name in METHODS if name != "squared error"] + ["squared error", "exact"]
    nearly = [one for one in ones if _error(one) <= _NEARLY * best]
    return [
        min(nearly, key=lambda one: safe.index(one.scale.method)),
        *(one for one in ways if one not in ones),
    ]


def _error(one: Alone) -> float:
    """Of the mean picture and of the worst one alike."""
    errors = one.outcome.squared_errors
    return float(np.mean(errors) + np.max(errors)) / 2


def _telling(outcome: Outcome) -> list[int]:
    """The numbers of a few pictures from the worst to the best drawn, the worst two among them."""
    order = np.argsort(-np.array(outcome.squared_errors), kind="stable")
    places = {*range(2), *np.linspace(1, len(order) - 1, _FEW - 1).round().astype(int).tolist()}
    return [int(order[place]) for place in sorted(places) if place < len(order)]


def cost_of(layer: Layer, form: Form) -> float:
    """In multiply-accumulates of float, for comparison alone."""
    if form == "float":
        return float(layer.macs)
    macs = _INT8_MAC * layer.macs * (_OF_FEW if layer.channels < _FEW_CHANNELS else 1)
    if form == "int8":
        return macs + _READ_INT8 * layer.read
    return 2 * macs + _READ_TWICE * layer.read + _WRITTEN_TWICE * layer.written


def _cheapest(
    studio: Studio, layers: Sequence[Layer], alone: Sequence[Alone], goal: Goal, progress: Progress
) -> Found:
    """Bisect the price of error: between the lowest, of the cheapest version, and the highest, of the best.

    A goal that the best misses leaves an outline of what there is, from the cheapest to the best.
    """
    tried = {layer.name: _sturdy([one for one in alone if one.scale.layer == layer.name]) for layer in layers}
    points: dict[ScaleTable, Point] = {}
    steps = 0

    def meets(price: float) -> bool:
        nonlocal steps
        progress("looking for the cheapest that draws well", 0.7 + 0.3 * steps / _STEPS)
        steps += 1
        point = _drawn_at(price, studio, layers, tried, goal)
        points[point.table] = point
        return goal.is_met(point.outcome, point.int8_share)

    low, high = _prices(layers, alone)
    if not meets(high):
        for price in np.geomspace(low, high, _STEPS)[:-1]:
            meets(float(price))
    elif not meets(low):
        while steps < _STEPS:
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if meets(middle) else (middle, high)
    frontier = sorted(points.values(), key=lambda point: point.cost)
    passing = [point for point in frontier if goal.is_met(point.outcome, point.int8_share)]
    return Found(passing[0] if passing else None, tuple(frontier), tuple(alone))


def _prices(layers: Sequence[Layer], alone: Sequence[Alone]) -> tuple[float, float]:
    """Of a unit of error, in MACs: what hardly matters, and what outweighs everything."""
    errors = [max(float(np.mean(one.outcome.squared_errors)), 1e-9) for one in alone]
    whole = sum(layer.macs for layer in layers)
    return 1e-3 * whole / sum(errors), 1e3 * whole / min(errors)


def _drawn_at(
    price: float, studio: Studio, layers: Sequence[Layer], tried: Mapping[str, Sequence[Alone]], goal: Goal
) -> Point:
    whole = whole_macs(studio.model)
    table = _table_at(price, layers, tried, goal, whole)
    forms = {scale.layer: scale.form for scale in table.layers}
    share = sum(layer.macs for layer in layers if forms[layer.name] != "float") / max(whole, 1)
    cost = whole + sum(cost_of(layer, forms[layer.name]) - layer.macs for layer in layers)
    return Point(table, studio.outcome(table), share, cost)


def _table_at(
    price: float, layers: Sequence[Layer], tried: Mapping[str, Sequence[Alone]], goal: Goal, whole: int
) -> ScaleTable:
    """Each layer in the form whose cost and error, at this price, are least; float only where the share allows it."""
    chosen: dict[str, LayerScale] = {}
    loss: dict[str, float] = {}
    for layer in layers:
        ways = tried[layer.name]
        costs = [cost_of(layer, one.scale.form) + price * _error(one) for one in ways]
        best = int(np.argmin(costs))
        chosen[layer.name] = ways[best].scale
        loss[layer.name] = costs[best] - cost_of(layer, "float")
    room = sum(layer.macs for layer in layers) - goal.int8_share * whole
    for layer in sorted(layers, key=lambda one: -loss[one.name] / max(one.macs, 1)):
        if loss[layer.name] > 0 and layer.macs <= room:
            room -= layer.macs
            chosen[layer.name] = replace(chosen[layer.name], form="float")
    return ScaleTable(tuple(chosen[layer.name] for layer in layers))
