"""The plots of the quality report, as SVG inside the page.

x is in percent and y in pixels, so that a plot takes the width there is while its letters keep their size.
"""

import html
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Lane", "Point", "Range", "distribution_plot", "frontier_plot", "ranges_plot"]

_FORMS = {"int8": "#3aa76d", "int8 x2": "#6b7fd7", "float": "#9aa7b4"}
_GATE, _MEAN, _WORST, _DOT = "#b3261e", "#1d2329", "#d9822b", "#2f6fb0"
_LANE, _HEIGHT = 84, 240
_MOST_DOTS = 400  # of a lane
_Scale = Callable[[float], float]


@dataclass(frozen=True)
class Lane:
    """The pictures of one version. values_db: by name. Gates: the mean's and the worst picture's, or None."""

    label: str
    values_db: Sequence[tuple[str, float]]
    mean_db: float | None
    gate_mean_db: float | None
    gate_worst_db: float | None


@dataclass(frozen=True)
class Range:
    """Which activations of layer `number` are told apart: low..high, in the tensor's own unit."""

    number: int
    name: str
    form: str
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """What one share of INT8 costs. int8_ratio: 0..1."""

    int8_ratio: float
    mean_db: float
    worst_db: float
    chosen: bool


def distribution_plot(lanes: Sequence[Lane]) -> str:
    """A dot for each picture, a lane for each version, the gates as lines. Without a finite value nothing."""
    values = [value for lane in lanes for _, value in lane.values_db]
    limits = [gate for lane in lanes for gate in (lane.gate_mean_db, lane.gate_worst_db)]
    low, high = _bounds([*values, *(gate for gate in limits if gate is not None)])
    if not any(map(math.isfinite, values)):
        return ""
    x, height = _linear(low, high, 0, 100), _LANE * len(lanes)
    drawn = (_lane(lane, x, index * _LANE) for index, lane in enumerate(lanes))
    spoken = "PSNR of each picture against FP32, one lane for each version: "
    spoken += "; ".join(map(_spoken_lane, lanes))
    marks = {
        "a picture": _DOT,
        "a picture below the worst one's gate; gates are lines, the mean's is dotted": _GATE,
        "the mean": _MEAN,
    }
    return _plot(height, spoken, [*_grid_x(x, low, high, height, "dB"), *drawn]) + _legend(marks)


def ranges_plot(ranges: Sequence[Range]) -> str:
    """A bar from low to high for each layer, on a symmetrical logarithmic scale."""
    bars = [r for r in ranges if math.isfinite(r.low) and math.isfinite(r.high) and r.low < r.high]
    if not bars:
        return ""
    low, high = min(0.0, *(r.low for r in bars)), max(0.0, *(r.high for r in bars))
    y = _symmetrical(low, high)
    width = 100 / len(bars)
    step = math.ceil(len(bars) / 16)
    drawn = [_bar(r, i * width, width, y, i % step == 0) for i, r in enumerate(bars)]
    grid = (_line_y(y(value), f"{value:g}", value == 0) for value in _decades(low, high))
    spoken = (
        f"Ranges of the activations of {len(bars)} layers, from {low:.3g} to {high:.3g}; the table has each"
    )
    marks = {form: colour for form, colour in _FORMS.items() if form in {r.form for r in bars}}
    return _plot(_HEIGHT, spoken, [*grid, *drawn]) + _legend(marks)


def frontier_plot(points: Sequence[Point], gate_mean_db: float | None, gate_worst_db: float | None) -> str:
    """Mean and worst PSNR over the share of MACs in INT8, the chosen point in a ring."""
    finite = sorted(
        (p for p in points if math.isfinite(p.mean_db) and math.isfinite(p.worst_db)),
        key=lambda p: p.int8_ratio,
    )
    if not finite:
        return ""
    gates = [gate for gate in (gate_mean_db, gate_worst_db) if gate is not None]
    low, high = _bounds([*(v for p in finite for v in (p.mean_db, p.worst_db)), *gates])
    left, right = _bounds([100 * p.int8_ratio for p in finite], 0, 100)
    x, y = _linear(left, right, 0, 100), _linear(low, high, _HEIGHT, 0)
    spoken = f"PSNR over the share of MACs in INT8, {len(finite)} points; the table below has each"
    drawn = _plot(
        _HEIGHT,
        spoken,
        [
            *_grid_x(x, left, right, _HEIGHT, "%"),
            *(_line_y(y(tick), f"{tick:g} dB") for tick in _ticks(low, high, 5)),
            *(_gate_line(y(gate), _DOT) for gate in (gate_mean_db,) if gate is not None),
            *(_gate_line(y(gate), _WORST) for gate in (gate_worst_db,) if gate is not None),
            *_curve([(x(100 * p.int8_ratio), y(p.mean_db)) for p in finite], _DOT, ""),
            *_curve([(x(100 * p.int8_ratio), y(p.worst_db)) for p in finite], _WORST, "5 3"),
            *(_chosen(x(100 * p.int8_ratio), (y(p.mean_db), y(p.worst_db))) for p in finite if p.chosen),
        ],
    )
    marks = {f"mean{_gate_text(gate_mean_db)}": _DOT, f"worst picture{_gate_text(gate_worst_db)}": _WORST}
    return drawn + _legend(marks)


def _lane(lane: Lane, x: _Scale, top: float) -> str:
    first, last = top + 26, top + _LANE - 8
    dots = _thinned(lane.values_db)
    parts = [
        f'<text x="0" y="{top + 16}"><tspan font-weight="600">{html.escape(lane.label)}</tspan>{_said(lane)}</text>'
    ]
    parts += (_dot(name, value, i, lane, x, (first + last) / 2) for i, (name, value) in enumerate(dots))
    if lane.mean_db is not None and math.isfinite(lane.mean_db):
        parts.append(_vertical(x(lane.mean_db), first, last, _MEAN))
    if lane.gate_worst_db is not None:
        parts.append(_vertical(x(lane.gate_worst_db), first, last, _GATE))
    if lane.gate_mean_db is not None:
        parts.append(_vertical(x(lane.gate_mean_db), first, last, _GATE, "2 3"))
    return "".join(parts)


def _said(lane: Lane) -> str:
    """What stands beside the name: labels on the lines themselves would meet where gates are close."""
    gates = {"worst": lane.gate_worst_db, "mean": lane.gate_mean_db}
    parts = [f"{what} ≥ {gate:g}" for what, gate in gates.items() if gate is not None]
    said = f" ({', '.join(parts)} dB)" if parts else ""
    return (
        said
        if any(math.isfinite(value) for _, value in lane.values_db)
        else f"{said}: every picture is equal"
    )


def _dot(name: str, value: float, index: int, lane: Lane, x: _Scale, middle: float) -> str:
    fails = lane.gate_worst_db is not None and value < lane.gate_worst_db
    y = middle + (index * 7 % 5 - 2) * 5  # neighbours stand apart
    return (
        f'<circle cx="{x(value):.2f}%" cy="{y}" r="4" fill="{_GATE if fails else _DOT}" '
        f'fill-opacity="0.7"><title>{html.escape(f"{name}: {value:.2f} dB")}</title></circle>'
    )


def _thinned(values: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sorted and finite, evenly thinned where there are too many; the lowest and the highest stay."""
    finite = sorted((v for v in values if math.isfinite(v[1])), key=lambda v: v[1])
    if len(finite) <= _MOST_DOTS:
        return finite
    return [finite[i] for i in np.linspace(0, len(finite) - 1, _MOST_DOTS).round().astype(int)]


def _spoken_lane(lane: Lane) -> str:
    values = [value for _, value in lane.values_db if math.isfinite(value)]
    if not values:
        return f"{lane.label} has none"
    return f"{lane.label} from {min(values):.1f} to {max(values):.1f} dB"


def _bar(r: Range, left: float, width: float, y: _Scale, is_numbered: bool) -> str:
    top, bottom = y(r.high), y(r.low)
    colour = _FORMS.get(r.form, _DOT)
    tip = html.escape(f"{r.number} {r.name}, {r.form}: {r.low:.4g} to {r.high:.4g}")
    bar = (
        f'<rect x="{left + width * 0.2:.2f}%" width="{width * 0.6:.2f}%" y="{top:.1f}" '
        f'height="{max(1.0, bottom - top):.1f}" fill="{colour}"><title>{tip}</title></rect>'
    )
    if not is_numbered:
        return bar
    return f'{bar}<text x="{left + width / 2:.2f}%" y="{_HEIGHT + 18}" text-anchor="middle">{r.number}</text>'


def _chosen(x: float, ys: Sequence[float]) -> str:
    rings = (
        f'<circle cx="{x:.2f}%" cy="{y:.1f}" r="9" fill="none" stroke="{_MEAN}" stroke-width="2.5"/>'
        for y in ys
    )
    anchor = "start" if x < 25 else "end"
    label = f'<text x="{x:.2f}%" y="{ys[0] - 15:.1f}" text-anchor="{anchor}" font-weight="600">chosen</text>'
    return "".join([*rings, label])


def _curve(points: Sequence[tuple[float, float]], colour: str, dashes: str) -> Iterator[str]:
    # A polyline knows no percent.
    for (x1, y1), (x2, y2) in pairwise(points):
        yield (
            f'<line x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        )
    for x, y in points:
        yield f'<circle cx="{x:.2f}%" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _gate_text(gate: float | None) -> str:
    return "" if gate is None else f" (dotted: its gate, {gate:g} dB)"


def _gate_line(y: float, colour: str) -> str:
    return _horizontal(y, f'stroke="{colour}" stroke-width="2" stroke-dasharray="2 4"')


def _horizontal(y: float, look: str) -> str:
    return f'<line x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}" {look}/>'


def _vertical(x: float, top: float, bottom: float, colour: str, dashes: str = "") -> str:
    return (
        f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{top}" y2="{bottom}" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _grid_x(x: _Scale, low: float, high: float, height: float, unit: str) -> Iterator[str]:
    for tick in _ticks(low, high, 6):
        yield (
            f'<line x1="{x(tick):.2f}%" x2="{x(tick):.2f}%" y1="0" y2="{height}" stroke="#0002"/>'
            f'<text x="{x(tick):.2f}%" y="{height + 18}" text-anchor="middle">{tick:g} {unit}</text>'
        )


def _line_y(y: float, label: str, is_zero: bool = False) -> str:
    line = _horizontal(y, f'stroke="{"#0008" if is_zero else "#0002"}"')
    return f'{line}<text x="-8" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _plot(height: float, spoken: str, parts: Iterable[str]) -> str:
    label = html.escape(spoken)
    return (
        f'<div class="plot"><svg role="img" aria-label="{label}" width="100%" height="{height}">'
        f"{''.join(parts)}</svg></div>"
    )


def _legend(marks: Mapping[str, str]) -> str:
    items = (
        f'<li><span class="swatch" style="background:{colour}"></span>{html.escape(meaning)}</li>'
        for meaning, colour in marks.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _linear(low: float, high: float, start: float, end: float) -> _Scale:
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _symmetrical(low: float, high: float) -> _Scale:
    """asinh: linear around 0, logarithmic far from it; a thousandth of the largest value is where it bends."""
    bend = max(abs(low), abs(high)) / 1000
    inner = _linear(math.asinh(low / bend), math.asinh(high / bend), _HEIGHT, 0)
    return lambda value: inner(math.asinh(value / bend))


def _decades(low: float, high: float) -> list[float]:
    largest = math.floor(math.log10(max(abs(low), abs(high))))
    sizes = [10.0**power for power in range(largest - 2, largest + 1)]
    return [v for v in [*(-s for s in sizes), 0.0, *sizes] if low <= v <= high]


def _bounds(
    values: Iterable[float], floor: float = -math.inf, ceiling: float = math.inf
) -> tuple[float, float]:
    """A little more than the finite values take, within floor..ceiling."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    margin = max(0.08 * (max(finite) - min(finite)), 0.5)
    return max(floor, min(finite) - margin), min(ceiling, max(finite) + margin)


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= rough)
    return [round(n * step, 6) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
