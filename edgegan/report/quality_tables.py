"""The tables of the quality report."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgegan.report.quality_report import FrontierPoint, LayerRow, Version
from edgegan.report.text import counted

__all__ = ["figures_table", "form_list", "frontier_table", "layer_table", "number_text", "percent_text"]


@dataclass(frozen=True)
class _Measure:
    key: str
    name: str
    note: str
    digits: int
    better: str  # "more", "less" or "one": the closer to 1


_MEASURES = (
    _Measure("psnr_db", "PSNR, mean", "dB; from 40 on a difference is hard to see", 2, "more"),
    _Measure("psnr_p5_db", "PSNR, 5th percentile", "dB; 95 of 100 pictures are better", 2, "more"),
    _Measure("psnr_worst_db", "PSNR, worst picture", "dB", 2, "more"),
    _Measure("ssim", "SSIM, mean", "structure; 1 is equal", 4, "more"),
    _Measure("ssim_p5", "SSIM, 5th percentile", "", 4, "more"),
    _Measure("ssim_worst", "SSIM, worst picture", "", 4, "more"),
    _Measure("st_lpips", "ST-LPIPS, mean", "perceptual distance; 0 is equal", 4, "less"),
    _Measure(
        "channel_shift_levels", "Channel shift, largest", "of a colour's mean, in levels of 255", 2, "less"
    ),
    _Measure("delta_e", "Colour shift ΔE", "CIEDE2000; about 1 is just visible", 2, "less"),
    _Measure(
        "high_frequency_ratio", "High-frequency energy", "of FP32's; below 1 softer, above noisier", 3, "one"
    ),
    _Measure("checkerboard_db", "Checkerboard peak", "dB above FP32's", 2, "less"),
    _Measure("flicker_ratio", "Temporal flicker", "on a clip, of FP32's", 3, "less"),
)
_FORMS = {
    "int8": "8-bit weights and activations",
    "int8 x2": "activations as the sum of two 8-bit terms, at about twice the price of int8",
    "float": "left in floating point",
}


def figures_table(versions: Sequence[Version]) -> str:
    """A row for each measure, a column for each version, the gate below the figure."""
    rows = [[_measure_head(m), *(_figure(m, v) for v in versions)] for m in _measures(versions)]
    return _table("figures", [_th("Measure", "text"), *(_th(v.precision) for v in versions)], rows)


def _measures(versions: Sequence[Version]) -> list[_Measure]:
    """Those that a version has a figure or a gate for, also gates that are not known here."""
    used = {key for v in versions for key in v.gate}
    known = {m.key for m in _MEASURES} | {"pictures"}
    used |= {key for v in versions for key, value in v.figures.items() if key in known and value is not None}
    strange = (_Measure(key, key, "", 4, "") for key in sorted(used - known))
    return [*(m for m in _MEASURES if m.key in used), *strange]


def _measure_head(measure: _Measure) -> str:
    note = f"<small>{html.escape(measure.note)}</small>" if measure.note else ""
    return f'<th scope="row" class="text">{html.escape(measure.name)}{note}</th>'


def _figure(measure: _Measure, version: Version) -> str:
    value, gate = version.figures.get(measure.key), version.gate.get(measure.key)
    text = "not measured" if value is None else number_text(value, measure.digits)
    if gate is None:
        return f"<td>{text}</td>"
    low, high = _limits(measure, gate)
    if value is None or not measure.better:
        return f"<td>{text}<small>{_said(low, high)}</small></td>"
    if low <= value <= high:
        return f'<td><span class="holds">{text} ✓</span><small>{_said(low, high)}</small></td>'
    return (
        f'<td><span class="misses">{text} ✗<span class="word"> misses</span></span>'
        f"<small>{_said(low, high)}</small></td>"
    )


def _limits(measure: _Measure, gate: Any) -> tuple[float, float]:
    if isinstance(gate, Sequence):
        low, high = gate
        return (-math.inf if low is None else low), (math.inf if high is None else high)
    if measure.better == "one":
        return min(gate, 1 / gate), max(gate, 1 / gate)
    return (-math.inf, gate) if measure.better == "less" else (gate, math.inf)


def _said(low: float, high: float) -> str:
    if math.isinf(low):
        return f"≤ {high:.4g}"
    return f"≥ {low:.4g}" if math.isinf(high) else f"{low:.3g} to {high:.3g}"


def layer_table(layers: Sequence[LayerRow]) -> str:
    """A row for each layer; what it costs alone also as a bar."""
    total, widest = sum(r.macs for r in layers), max(map(_error_levels, layers))
    heads = [
        _th("No."),
        _th("Layer", "text"),
        _th("Form", "text"),
        _th("Share of MACs"),
        _th("Range found by", "text"),
        _th("Range"),
        _th("Alone"),
        _th("Why", "text"),
    ]
    return _table("layers", heads, (_layer(i, r, total, widest) for i, r in enumerate(layers, start=1)))


def form_list(layers: Sequence[LayerRow]) -> str:
    """How many layers and MACs are in each form, and what the form means."""
    total = sum(r.macs for r in layers)
    forms = [form for form in _FORMS if any(r.form == form for r in layers)]
    return f"<ul>{''.join(_form(f, [r.macs for r in layers if r.form == f], total) for f in forms)}</ul>"


def _form(form: str, macs: Sequence[int], total: int) -> str:
    share = f"{counted(len(macs), 'layer')}, {_share(sum(macs), total)} of MACs"
    return f"<li><b>{form}</b>: {share}; {_FORMS[form]}.</li>"


def _layer(number: int, row: LayerRow, total: int, widest: float) -> list[str]:
    has_range = math.isfinite(row.low) and math.isfinite(row.high)
    return [
        _td(str(number), "number"),
        f'<th scope="row" class="text name">{_breakable(row.name)}<small>{html.escape(row.op)}</small></th>',
        _td(row.form, "text number"),
        _td(_share(row.macs, total), "number"),
        _td(row.method or "–", "text"),
        _td(f"{row.low:.4g} to {row.high:.4g}" if has_range else "–", "number"),
        _cost(row, widest),
        _td(row.why, "text why"),
    ]


def _breakable(name: str) -> str:
    return html.escape(name).replace("/", "/<wbr>")


def _cost(row: LayerRow, widest: float) -> str:
    if row.alone_db is None:
        return _td("–", "cost")
    levels = _error_levels(row)
    percent = 100 * levels / widest if widest else 0
    return (
        f'<td class="cost number">{number_text(row.alone_db, 1)} dB<span class="bar" style="width:{percent:.1f}%" '
        f'title="{levels:.2f} levels"></span></td>'
    )


def _error_levels(row: LayerRow) -> float:
    """Root of the mean squared error, 0..255 levels."""
    return 0.0 if row.alone_db is None else float(255 * 10 ** (-row.alone_db / 20))


def _share(part: int, total: int) -> str:
    return percent_text(part / total, 1) if total else "–"


def frontier_table(points: Sequence[FrontierPoint]) -> str:
    """A row for each point, the least INT8 first."""
    names = ("MACs in INT8", "PSNR, mean", "PSNR, worst picture", "Cost", "Chosen")
    rows = (
        [
            _td(percent_text(p.int8_share, 1)),
            _td(f"{number_text(p.psnr_db, 2)} dB"),
            _td(f"{number_text(p.psnr_worst_db, 2)} dB"),
            _td(number_text(p.cost, 3)),
            _td("chosen" if p.chosen else ""),
        ]
        for p in sorted(points, key=lambda p: p.int8_share)
    )
    return _table("frontier", map(_th, names), rows)


def _table(kind: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{kind}" tabindex="0"><table class="{kind}">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _th(text: str, kind: str = "") -> str:
    return f'<th scope="col" class="{kind}">{html.escape(text)}</th>'


def _td(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{html.escape(text)}</td>'


def number_text(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def percent_text(ratio: float, digits: int) -> str:
    return f"{100 * ratio:.{digits}f} %"
