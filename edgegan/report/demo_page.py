"""The page that a demo leaves behind: pictures before and after, and how long each stage took.

One HTML file with everything inside, no scripts, no network.
"""

import base64
import html
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.errors import user_error_from_os_error
from edgegan.files import write_file
from edgegan.frame import Pixels
from edgegan.recorded import open_source

__all__ = ["write_demo_page"]

_PAIRS = 3
_PLOT_WIDTH, _PLOT_HEIGHT = 960, 220
_STAGES = {
    "capture": ("#9aa7b4", "waiting for the generator, cropping and scaling"),
    "infer": ("#d9822b", "the generator draws"),
    "handover": ("#6b7fd7", "through shared memory to the daemon"),
    "display": ("#3aa76d", "scaled and shown, or encoded"),
}

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
       color: #1d2329; background: #fbfaf8 }
h1 { font-weight: 600 } h2 { margin-top: 2.2rem; font-weight: 600; font-size: 1.2rem }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin-bottom: .5rem }
.pair img { width: 100%; aspect-ratio: 16/9; object-fit: cover; border-radius: 4px; display: block }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .3rem .6rem }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left }
tr + tr { border-top: 1px solid #e3dfd8 } .swatch { display: inline-block; width: .8em; height: .8em;
border-radius: 2px; margin-right: .5em } .facts { font-size: 1.15rem } .note { color: #67717b; font-size: .9rem }
svg { width: 100%; height: auto; background: #fff; border: 1px solid #e3dfd8; border-radius: 4px }
"""


def write_demo_page(page: Path, summary: dict[str, Any], trace: Path, video: Path, clip: Path) -> None:
    """Write the page of a run that showed `clip` and recorded every shown frame into `video`.

    summary: what the run returned. trace: its trace. Written beside and renamed.
    """
    rows = _frame_rows(trace)
    body = "\n".join(
        [
            "<h1>edgegan demo</h1>",
            _facts(summary),
            "<h2>Before and after</h2>",
            *(_pair(before, after) for before, after in _pairs(rows, video, clip)),
            "<h2>Where the time goes, frame by frame</h2>",
            _plot(rows),
            _stage_table(summary),
            _note(video, trace),
        ]
    )
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>edgegan demo</title><style>{_STYLE}</style>'
    _write(page, f"{text}\n{body}\n</html>\n")


def _note(video: Path, trace: Path) -> str:
    return (
        f'<p class="note">Video: {html.escape(video.name)}. Trace, one row for each shown frame: '
        f"{html.escape(trace.name)} (SQLite; <code>edgegan trace summary</code> reads it).</p>"
    )


def _write(page: Path, text: str) -> None:
    try:
        write_file(page, text.encode())
    except OSError as error:
        raise user_error_from_os_error(error, f"the report '{page}' cannot be written") from error


def _frame_rows(trace: Path) -> npt.NDArray[np.int64]:
    """(N, 6): sequence, dropped, and the four stages in nanoseconds."""
    with closing(sqlite3.connect(trace)) as database:
        columns = ", ".join(f"{stage}_ns" for stage in _STAGES)
        rows = database.execute(f"SELECT sequence, dropped, {columns} FROM frames ORDER BY id").fetchall()
    return np.array(rows, np.int64).reshape(-1, 2 + len(_STAGES))


def _facts(summary: dict[str, Any]) -> str:
    latency = summary["end_to_end_ms"]
    return (
        f'<p class="facts"><b>{summary["frames"]}</b> frames shown, <b>{summary["dropped"]}</b> dropped, '
        f"<b>{_number(summary['throughput_hz'], 1)}</b> frames a second, "
        f"<b>{_number(latency['p50'], 1)} ms</b> from capture to display (95 % within "
        f"{_number(latency['p95'], 1)} ms), first picture <b>{_number(summary['first_frame_s'], 2)} s</b> "
        "after the start.</p>"
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _pairs(rows: npt.NDArray[np.int64], video: Path, clip: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """Pictures of the clip and what was made of them; the trace's sequence numbers say which belong together."""
    if not len(rows):
        return
    shown = sorted({len(rows) * share // (2 * _PAIRS) for share in range(1, 2 * _PAIRS, 2)})
    after, _ = pictures_of_clip(video, shown)
    _, length = pictures_of_clip(clip, [])
    numbers = {index: int(rows[index, 0]) % length for index in after}
    before, _ = pictures_of_clip(clip, list(numbers.values()))
    for index in shown:
        if index in after:
            yield before[numbers[index]], after[index]


def pictures_of_clip(path: Path, wanted: list[int]) -> tuple[dict[int, Pixels], int]:
    """The wanted pictures of a clip by number, and how many there are.

    Reads from the start: seeking goes by time, and misses in a clip of variable frame rate.
    """
    pictures: dict[int, Pixels] = {}
    count = 0
    with closing(open_source(str(path))) as clip:
        while True:
            if count not in wanted:
                if not clip.skip():
                    break
            elif (pixels := clip.next()) is not None:
                pictures[count] = pixels
            else:
                break
            count += 1
    return pictures, count


def _pair(before: Pixels, after: Pixels) -> str:
    return f'<div class="pair">{_image(before, "camera")}{_image(after, "painted")}</div>'


def _image(pixels: Pixels, label: str) -> str:
    scaled = cv2.resize(pixels, (640, 640 * pixels.shape[0] // pixels.shape[1]), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(
        cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    ).decode()
    return f'<img alt="{label}" src="data:image/jpeg;base64,{data}">'


def _plot(rows: npt.NDArray[np.int64]) -> str:
    """The stages of each frame, stacked, as an SVG; the scale leaves out the slowest percent."""
    if len(rows) < 2:
        return ""
    stacked = np.cumsum(rows[:, 2:] / 1e6, axis=1)
    top = float(np.percentile(stacked[:, -1], 99)) * 1.15
    x = np.linspace(0, _PLOT_WIDTH, len(rows))
    layers = [np.zeros(len(rows)), *stacked.T]
    areas = [
        _area(x, low, high, top, colour)
        for low, high, (colour, _) in zip(layers, layers[1:], _STAGES.values(), strict=False)
    ]
    return f'<svg viewBox="0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}">{"".join(areas)}{_grid(top)}</svg>'


def _area(x: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any], top: float, colour: str) -> str:
    def y(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return _PLOT_HEIGHT * (1 - np.minimum(values / top, 1))

    xs, ys = np.concatenate([x, x[::-1]]), np.concatenate([y(high), y(low)[::-1]])
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(xs, ys, strict=True))
    return f'<polygon points="{points}" fill="{colour}"/>'


def _grid(top_ms: float) -> str:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if top_ms / s <= 6)
    lines = []
    for value in np.arange(step, top_ms, step):
        y = _PLOT_HEIGHT * (1 - value / top_ms)
        lines.append(f'<line x1="0" x2="{_PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#0002"/>')
        lines.append(f'<text x="6" y="{y - 4:.1f}" font-size="12" fill="#333">{value:g} ms</text>')
    return "".join(lines)


def _stage_table(summary: dict[str, Any]) -> str:
    rows = []
    for stage, (colour, meaning) in _STAGES.items():
        values = summary["stages_ms"][stage]
        cells = "".join(f"<td>{_number(values[p], 2)}</td>" for p in ("p50", "p95", "p99"))
        swatch = f'<span class="swatch" style="background:{colour}"></span>'
        rows.append(f"<tr><td>{swatch}{stage}</td>{cells}<td>{meaning}</td></tr>")
    head = "<tr><th>stage</th><th>p50 ms</th><th>p95 ms</th><th>p99 ms</th><th>what happens</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"
