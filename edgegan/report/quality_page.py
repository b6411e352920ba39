"""The quality report of a bundle: how close each precision comes to FP32, seen and measured.

One HTML file with everything inside. A script swaps pictures in place; without it nothing is missing.
"""

import base64
import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgegan.quality import psnr_db
from edgegan.report.quality_pictures import GAIN, Compared, Drawn, compared_pictures
from edgegan.report.quality_plots import Lane, Point, Range, distribution_plot, frontier_plot, ranges_plot
from edgegan.report.quality_report import FrontierPoint, LayerRow, QualityReport, Version
from edgegan.report.quality_tables import (
    figures_table,
    form_list,
    frontier_table,
    layer_table,
    number_text,
    percent_text,
)
from edgegan.report.text import counted

__all__ = ["FrontierPoint", "LayerRow", "QualityReport", "Version", "quality_page"]

_SETS = {
    "calibrate": "Pictures that set the ranges",
    "search": "Pictures that chose the layers",
    "judge": "Pictures that judged, used for nothing else",
    "from": "Taken from",
    "clip": "Frames in a row, to see flicker",
    "seed": "Seed of the split",
}

_STYLE = """
:root { color-scheme: light } * { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
       color: #1d2329; background: #fbfaf8; overflow-wrap: break-word }
h1 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 2.6rem; font-weight: 600; font-size: 1.3rem }
h3 { font-weight: 600; font-size: 1rem; margin: 1.4rem 0 .5rem; overflow-wrap: anywhere }
.note, td small, th small { color: #5d666f; font-size: .9em; font-weight: 400 } td small, th small { display: block }
.verdicts { list-style: none; padding: 0 } .verdicts li { border-left: .35rem solid #2c7a4b; padding: .5rem .8rem;
margin: .5rem 0; background: #fff } .verdicts .kept-out { border-color: #b3261e }
.verdicts .left-out { border-color: #9aa3ab }
.passed .state, .holds { color: #2c7a4b } .kept-out .state, .misses { color: #b3261e }
.state { font-weight: 600 } .misses { font-weight: 600 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .3rem .6rem; vertical-align: top } thead th { vertical-align: bottom }
tbody tr { border-top: 1px solid #e3dfd8 } .text { text-align: left } tbody th { font-weight: 400 }
.figures { width: auto; min-width: 55% }
.layers { font-size: .92rem } .name { overflow-wrap: anywhere; min-width: 12rem } .why { min-width: 13rem }
.number { white-space: nowrap } .bar { display: block; height: .5rem; background: #d9822b; margin-left: auto;
border-radius: 2px; min-width: 1px } .cost { width: 8rem; min-width: 6rem }
.mark { background: #b3261e; color: #fff; border-radius: 3px; padding: .1rem .45rem; margin-left: .4rem;
font-size: .85rem; display: inline-block } .compared { margin-bottom: 2.2rem }
.set { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .6rem .5rem }
figure { margin: 0; grid-column: var(--column); grid-row: var(--row) }
figure img { display: block; width: 100%; height: auto; max-height: 40rem; object-fit: contain; border-radius: 4px }
.tiny img { image-rendering: pixelated } figcaption { font-size: .85rem; color: #5d666f; padding-top: .15rem }
.set dl { grid-column: 1 / 3; grid-row: 2 }
dl { display: grid; grid-template-columns: auto minmax(6rem, 1fr); gap: .2rem 1rem;
margin: 0; align-content: start } dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
.plot { background: #fff; border: 1px solid #e3dfd8; border-radius: 4px; padding: 1.3rem 1.6rem 1.9rem 3.8rem }
.plot svg { display: block; overflow: visible; font-size: 13px; fill: #333 }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; padding: 0; margin: .4rem 0;
font-size: .9rem } .swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .5em }
summary { cursor: pointer; margin: .6rem 0 } [role=button] { cursor: pointer }
[role=button]:focus-visible { outline: 3px solid #2f6fb0 }
@media (max-width: 44rem) {
  .set { grid-template-columns: 1fr 1fr } figure, .set dl { grid-column: auto; grid-row: auto }
  .set dl { grid-column: 1 / 3 } th, td { padding: .3rem .25rem } .plot { padding-right: 1.2rem; padding-left: 3.4rem }
  .figures { width: 100%; font-size: .85rem } .figures small { font-size: .94em }
  .word { position: absolute; clip-path: inset(50%) }
}
@media print {
  body { margin: 0; max-width: none; background: #fff; font-size: 11pt } .compared, .plot, tr { break-inside: avoid }
  .bar, .swatch, .mark { print-color-adjust: exact; -webkit-print-color-adjust: exact } .script { display: none }
  .scroll { overflow: visible } .layers { font-size: 8pt } .layers .name { min-width: 8rem }
  .layers .why, .cost { min-width: 0 }
  h2, h3 { break-after: avoid }
}
"""
# Swaps a version's picture for FP32's in the same place: the eye sees the difference as a blink.
_SCRIPT = """
document.querySelector('.script')?.removeAttribute('hidden')
for (const set of document.querySelectorAll('.set')) {
  const fp32 = set.querySelector('.fp32 img').src
  for (const figure of set.querySelectorAll('.version')) {
    const [image, caption] = figure.children, own = [image.src, caption.textContent]
    const swap = () => {
      const isOwn = image.src === own[0]
      image.src = isOwn ? fp32 : own[0]
      caption.textContent = isOwn ? 'FP32, in place of ' + own[1] : own[1]
      image.setAttribute('aria-pressed', isOwn)
    }
    image.tabIndex = 0
    image.setAttribute('role', 'button')
    image.setAttribute('aria-pressed', false)
    image.onclick = swap
    image.onkeydown = e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); swap() } }
  }
}
"""


def quality_page(report: QualityReport) -> bytes:
    """The page as UTF-8. It loads nothing; the same report gives the same bytes.

    `ValueError` if a version has not drawn just the shown pictures.
    """
    sections = [
        f"<h1>{html.escape(report.name)}: quality against FP32</h1>",
        _verdicts(report),
        _figures(report.versions),
        _pictures(report),
        _distribution(report.versions),
        *(_layers(alike) for alike in _alike(report.versions)),
        *(_frontier(version) for version in report.versions if version.frontier),
        _made(report),
    ]
    body = "\n".join(filter(None, sections))
    return f"{_head(report.name)}\n<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n".encode()


def _head(name: str) -> str:
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    # A bundle comes from anywhere: whatever a name in it holds, no other script runs and nothing is loaded.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(name)}: quality</title>\n<style>{_STYLE}</style>\n</head>"
    )


def _verdicts(report: QualityReport) -> str:
    lines = "".join([*map(_verdict, report.versions), *(_left_out(*one) for one in report.left_out)])
    return f'<ul class="verdicts">{lines}</ul>' if lines else "<p>The bundle has FP32 alone.</p>"


def _verdict(version: Version) -> str:
    facts = [
        f"{number_text(version.figures.get('psnr_db'), 1)} dB mean",
        f"{number_text(version.figures.get('psnr_worst_db'), 1)} dB on the worst picture",
        *([f"{percent_text(version.macs_int8_share, 0)} of MACs in INT8"] if version.layers else []),
        f"{version.bytes / 1e6:.2f} MB",
    ]
    kind, state = ("kept-out", "✗ kept out of the bundle") if version.why_not else ("passed", "✓ passed")
    why = f": {html.escape(version.why_not.rstrip('.'))}" if version.why_not else ""
    return (
        f'<li class="{kind}"><b>{html.escape(version.precision)}</b> <span class="state">{state}</span>{why}. '
        f"{', '.join(facts)}.</li>"
    )


def _left_out(precision: str, why: str) -> str:
    return (
        f'<li class="left-out"><b>{html.escape(precision)}</b> <span class="state">– left out</span>: '
        f"{html.escape(why.rstrip('.'))}.</li>"
    )


def _figures(versions: Sequence[Version]) -> str:
    if not versions:
        return ""
    judged = max(v.figures.get("pictures") or 0 for v in versions)
    note = f"Each measured on {counted(judged, 'picture')} against what FP32 draws. " if judged else ""
    return (
        f'<h2>Figures and the gate</h2><p class="note">{note}Below each figure stands its gate: '
        f"a version that misses one is kept out.</p>{figures_table(versions)}"
    )


def _pictures(report: QualityReport) -> str:
    pictures = _compared(report)
    if not pictures:
        return ""
    return (
        '<h2>Pictures</h2><p class="note">The worst comes first. Below a version, or beside it: where it differs from '
        f"FP32, × {GAIN}. Black is equal; full brightness is {255 / GAIN:.0f} levels of 255 or more. Pictures may "
        "be scaled down; figures and differences come from full size.</p>"
        '<p class="note script" hidden>Click the picture of a version to see that of FP32 in its place.</p>'
        + compared_pictures(pictures)
    )


def _compared(report: QualityReport) -> list[Compared]:
    """The shown pictures, the one with the lowest PSNR of any version first."""
    measured = [{str(row.get("name")): row for row in v.per_picture} for v in report.versions]
    found: list[tuple[float, Compared]] = []
    drawn_by = (
        zip(*(v.drawn for v in report.versions), strict=True) if report.versions else [()] * len(report.shown)
    )
    for (name, shown, fp32), drawn in zip(report.shown, drawn_by, strict=True):
        rows = [
            of.get(name) or {"psnr_db": psnr_db(pixels, fp32)}
            for of, pixels in zip(measured, drawn, strict=True)
        ]
        versions = [
            Drawn(v.precision, pixels, _about(row))
            for v, pixels, row in zip(report.versions, drawn, rows, strict=True)
        ]
        worst_of = [v for v in report.versions if _worst(v.per_picture) == name]
        lowest = min((_db(row) for row in rows), default=math.inf)
        found.append((lowest, Compared(name, _mark(worst_of), shown, fp32, versions)))
    found.sort(key=lambda one: one[0])
    return [compared for _, compared in found]


def _db(row: Mapping[str, Any]) -> float:
    value = row.get("psnr_db")
    return math.inf if value is None else float(value)


def _worst(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The name of the picture that differs most, None where all are equal."""
    worst = min(rows, key=_db, default={})
    return str(worst.get("name")) if math.isfinite(_db(worst)) else None


def _mark(worst_of: Sequence[Version]) -> str:
    return f"worst with {' and '.join(v.precision for v in worst_of)}" if worst_of else ""


def _about(row: Mapping[str, Any]) -> str:
    ssim = row.get("ssim")
    return f"{number_text(row.get('psnr_db'), 2)} dB" + (
        "" if ssim is None else f", SSIM {number_text(ssim, 4)}"
    )


def _distribution(versions: Sequence[Version]) -> str:
    plot = distribution_plot([_lane(v) for v in versions if v.per_picture])
    if not plot:
        return ""
    return (
        '<h2>Every picture</h2><p class="note">PSNR of each picture that judged; further right is closer to '
        f"FP32. A picture that is equal has no PSNR and no dot.</p>{plot}"
    )


def _lane(version: Version) -> Lane:
    values = [(str(row.get("name")), _db(row)) for row in version.per_picture]
    gates = [version.gate.get(key) for key in ("psnr_db", "psnr_worst_db")]
    return Lane(version.precision, values, version.figures.get("psnr_db"), *gates)


def _alike(versions: Sequence[Version]) -> list[list[Version]]:
    """Versions that have layers, those with the same ones together."""
    groups: list[list[Version]] = []
    for version in (one for one in versions if one.layers):
        same = next((group for group in groups if repr(group[0].layers) == repr(version.layers)), None)
        if same is None:
            groups.append([version])
        else:
            same.append(version)
    return groups


def _layers(alike: Sequence[Version]) -> str:
    version = alike[0]
    layers = enumerate(version.layers, start=1)
    plot = ranges_plot([Range(i, r.name, r.form, r.low, r.high) for i, r in layers])
    if plot:
        plot = (
            f'<h3>Ranges of the activations</h3>{plot}<p class="note">The axis is linear around 0 and '
            "logarithmic further out. Below each bar stands the layer's number in the table.</p>"
        )
    return (
        f"<h2>Layers of {html.escape(' and '.join(v.precision for v in alike))}</h2>{form_list(version.layers)}"
        '<p class="note">Alone: PSNR of the picture if only this layer is quantised; the bar is the error in '
        f"levels (RMSE), so longer is worse.</p>{layer_table(version.layers)}{plot}"
    )


def _frontier(version: Version) -> str:
    points = [Point(p.int8_share, p.psnr_db, p.psnr_worst_db, p.chosen) for p in version.frontier]
    plot = frontier_plot(points, version.gate.get("psnr_db"), version.gate.get("psnr_worst_db"))
    return (
        f'<h2>Quality and INT8 share of {html.escape(version.precision)}</h2><p class="note">What the search '
        "found on its own pictures; those that judged were not looked at. More INT8 is faster and less exact.</p>"
        f"{plot}<details><summary>The points as a table</summary>{frontier_table(version.frontier)}</details>"
    )


def _made(report: QualityReport) -> str:
    facts = "".join(
        f"<dt>{html.escape(_SETS.get(key, key))}</dt><dd>{html.escape(str(value))}</dd>"
        for key, value in report.sets.items()
    )
    return (
        f"<h2>How it was measured</h2><dl>{facts}</dl>"
        f'<p class="note">Made by {html.escape(report.made_by)}.</p>'
    )
