"""Results as a terminal shows them. Each function takes what `--json` prints; an absent value reads '-'."""

import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

__all__ = [
    "ProgressBar",
    "bench_text",
    "bundle_text",
    "counted",
    "doctor_text",
    "engine_text",
    "packed_text",
    "record_text",
    "run_text",
    "table",
]

_BAR = 24
_TELLING_SECONDS, _TELLING_SHARE = 10.0, 0.05
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "absent": "·"}
_PLAIN_MARKS = {"ok": "ok", "warning": "!", "failed": "FAIL", "absent": "-"}


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows in aligned columns: the first to the left, numbers to the right, the first row is the heading."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in texts
    )


def counted(number: int, noun: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def run_text(summary: Mapping[str, Any]) -> str:
    """What `run`, `demo` and `trace summary` give."""
    stages: Mapping[str, Any] = summary.get("stages_ms") or {}
    latencies = {"end to end": summary.get("end_to_end_ms"), **stages}
    parts = [
        _filled(
            f"{counted(summary['frames'], 'frame')} at {{throughput_hz}} Hz, {{dropped}} dropped, "
            "first after {first_frame_s} s",
            summary,
        ),
        _latencies(latencies, ("p50", "p95", "p99")),
        *(_fallback(f) for f in summary.get("fallbacks") or ()),
        _power(summary),
        *(f"{key}: {summary[key]}" for key in ("video", "trace", "report") if summary.get(key)),
    ]
    return "\n".join(parts)


def bundle_text(description: Mapping[str, Any]) -> str:
    """What `inspect` and `pack` give."""
    rows: list[Sequence[object]] = [
        ("precision", "size", "MMACs", "in INT8", "parameters", "PSNR dB", "worst", "SSIM")
    ]
    for precision, model in (description.get("models") or {}).items():
        quality = model.get("quality") or {}
        size, macs = _size(model.get("bytes")), _scaled(model.get("macs"), 1e6)
        share = model.get("macs_int8_share")
        figures = (quality.get(key) for key in ("psnr_db", "psnr_worst_db", "ssim"))
        rows.append((precision, size, macs, f"{share:.0%}" if share else None, model.get("params"), *figures))
    pixels = [f"{side}: {_pixels(description.get(side) or {})}" for side in ("input", "output")]
    assumed = [f"assumed: {assumption}" for assumption in description.get("assumptions") or ()]
    kept_out = [_filled("kept out: {precision}: {why}", one) for one in description.get("kept_out") or ()]
    page = ["pictures and figures: edgegan inspect BUNDLE --page quality.html"]
    page = page if "quality.html" in (description.get("files") or ()) else []
    return "\n".join([_cell(description.get("name")), *pixels, table(rows), *assumed, *kept_out, *page])


def engine_text(description: Mapping[str, Any]) -> str:
    """What `build` and `inspect` give for an engine: what was tried, fastest first, and what runs."""
    measured = sorted(
        description.get("measured") or (), key=lambda m: m.get("latency_ms_p50") or float("inf")
    )
    rows: list[Sequence[object]] = [("", "ms", "PSNR dB", "MB", "load s", "CPU ms")]
    for one in measured:
        quality = one.get("quality") or {}
        rows.append(
            (
                f"{one.get('runtime')} {one.get('precision')}",
                one.get("latency_ms_p50"),
                quality.get("psnr_worst_db"),
                *(one.get(key) for key in ("peak_memory_mb", "load_s", "cpu_ms")),
            )
        )
    refused = [f"{m.get('runtime')} {m.get('precision')}: {m.get('why')}" for m in measured if m.get("why")]
    ladder = ", then ".join(
        f"{r.get('runtime')} {r.get('precision')}" for r in description.get("ladder") or ()
    )
    here = "" if description.get("fits_here") else f"not usable here: {description.get('misfit')}"
    is_old = description.get("built") is False  # of `inspect` there is no such key
    built = _filled("engine: {engine}, " + ("already " if is_old else "") + "built {built_at}", description)
    built += " (edgegan build --again builds it anew)" if is_old else ""
    head = bundle_text(description)
    return "\n".join(filter(None, [head, "", table(rows), *refused, f"runs: {ladder}", built, here]))


def record_text(result: Mapping[str, Any]) -> str:
    """What `record` gives."""
    taken = counted(result["pictures"], "picture") + _filled(" in {directory}, {first} to {last}, ", result)
    left_out = "; {skipped} that showed nothing new were left out" if result.get("skipped") else ""
    return taken + _size(result.get("bytes")) + _filled(left_out, result)


def packed_text(description: Mapping[str, Any], written: Path) -> str:
    """What `pack` gives: the bundle, how well it was checked against what, and where it was written."""
    agreement = description["agreement"]
    levels, pictures = agreement["max_grey_levels"], agreement["pictures"]
    differ = (
        f"differ by at most {levels} grey level{'' if levels == 1 else 's'}" if levels else "draw the same"
    )
    lines = [bundle_text(description), f"compared with {agreement['original']}"]
    last = f"written to {written}; packed and original {differ} on {counted(pictures, 'picture')}"
    return "\n".join([*lines, last])


def bench_text(result: Mapping[str, Any]) -> str:
    """What `bench` gives."""
    return "\n".join(
        [
            _filled(
                "{runtime} {version} {precision}: {throughput_hz} Hz, at most {peak_memory_mb} MB", result
            ),
            _latencies({"latency": result.get("latency_ms")}, ("p50", "p90", "p99")),
            _filled("loaded in {load_s} s, {cpu_ms} ms of CPU time a picture", result),
            _power(result),
        ]
    )


def doctor_text(result: Mapping[str, Any], encoding: str) -> str:
    """What `doctor` gives: a line a check, and below it what to do. `encoding` is that of the terminal."""
    marks, arrow = _MARKS, "→"
    try:
        "".join((*marks.values(), arrow)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        marks, arrow = _PLAIN_MARKS, "->"
    checks = result["checks"]
    wide, name_wide = max(map(len, marks.values())), max(len(check["name"]) for check in checks)
    lines = []
    for check in checks:
        found = " ".join(_cell(check["found"]).split())
        lines.append(f"{marks[check['state']]:{wide}} {check['name']:{name_wide}}  {found}")
        if check["mend"]:
            lines.append(f"{'':{wide + 1 + name_wide}}  {arrow} {check['mend']}")
    counts = [
        f"{count} {state}"
        for state in ("failed", "warning", "absent")
        if (count := sum(check["state"] == state for check in checks))
    ]
    return "\n".join(
        [*lines, f"verdict: {result['verdict']}" + (f" ({', '.join(counts)})" if counts else "")]
    )


class ProgressBar:
    """A bar on a terminal, nothing elsewhere: `with ProgressBar(sys.stderr) as progress: work(progress)`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = ""
        self._begun = time.monotonic()

    def __enter__(self) -> Callable[[str, float], None] | None:
        """The function to call with (what is done now, share 0..1); None where nobody would see it."""
        return self._draw if self._stream.isatty() else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._stream.isatty():
            print("\r\x1b[K", end="", file=self._stream, flush=True)

    def _draw(self, what: str, share: float) -> None:
        full = round(_BAR * min(max(share, 0.0), 1.0))
        bar = "#" * full + "." * (_BAR - full)
        line = f"[{bar}] {share:4.0%} {what}{_left(time.monotonic() - self._begun, share)}"
        line = line[: shutil.get_terminal_size().columns - 1]
        if line != self._drawn:  # a terminal is slow, and some count frames
            self._drawn = line
            print(f"\r\x1b[K{line}", end="", file=self._stream, flush=True)


def _left(elapsed_s: float, share: float) -> str:
    """How long it takes yet, roughly, of what takes long; nothing where that cannot be said."""
    left_s = elapsed_s / share - elapsed_s if share > _TELLING_SHARE else 0.0
    if elapsed_s < _TELLING_SECONDS or left_s < _TELLING_SECONDS:
        return ""
    return f", about {counted(round(left_s / 60), 'minute')} left" if left_s > 90 else ", about a minute left"


def _latencies(latencies: Mapping[str, Mapping[str, Any] | None], percentiles: Sequence[str]) -> str:
    rows: list[Sequence[object]] = [("ms", *percentiles)]
    for name, values in latencies.items():
        rows.append((name, *((values or {}).get(p) for p in percentiles)))
    return table(rows)


def _filled(pattern: str, values: Mapping[str, Any]) -> str:
    """The pattern with each {key} replaced by its value, or by '-'."""
    return re.sub(r"{(\w+)}", lambda match: _cell(values.get(match[1])), pattern)


def _fallback(change: Mapping[str, Any]) -> str:
    return _filled("at {at_s} s from {from} to {to}: {why}", change)


def _power(result: Mapping[str, Any]) -> str:
    watts = result.get("power_watts")
    rails = ", ".join(f"{rail} {_cell(value)} W" for rail, value in watts.items()) if watts else ""
    joules = result.get("energy_joules_per_frame")
    energy = f"{_cell(joules)} J a frame" if joules is not None else ""
    return "power: " + (", ".join(filter(None, [rails, energy])) or "not measured here")


def _pixels(side: Mapping[str, Any]) -> str:
    shape = "x".join(str(n) for n in side.get("shape") or ())
    return " ".join(_cell(value) for value in (shape, side.get("dtype"), side.get("colour")))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _size(count: int | None) -> str:
    """`596.4 kB`, `1.126 MB`."""
    if count is None:
        return _cell(None)
    unit, name = (1e6, "MB") if count >= 1e6 else (1e3, "kB") if count >= 1e3 else (1, "bytes")
    return f"{count / unit:.4g} {name}"


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"  # 1.008e+04 is hard to read
