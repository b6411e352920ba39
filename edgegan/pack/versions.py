"""The other precisions of a packed generator: each is made, judged by pictures, and kept if it passes.

packed FP32 ─┬─ half ───────────────────────── fp16        GPUs
             └─ search ─ scale table ─┬─────── int8        OpenVINO
                                      ├ half ─ int8_fp16   TensorRT
                                      └─────── int8_onnxruntime
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edgegan import __version__
from edgegan.engine import dot_product
from edgegan.errors import ConfigError, ModelError
from edgegan.frame import Pixels
from edgegan.pack.compare import Packed
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import opset_of
from edgegan.pack.half import half
from edgegan.pack.half_executed import as_executed_in_half
from edgegan.pack.judging import GATES, Gate, Verdict, judge
from edgegan.pack.macs import count_macs, count_params
from edgegan.pack.perceptual import StLpips
from edgegan.pack.quantise.quantising import Quantised, quantise_model
from edgegan.pack.quantise.search import Alone, Goal
from edgegan.pack.quantise.sets import Sets, read_sets
from edgegan.pack.ranges import Range
from edgegan.registry import did_you_mean
from edgegan.report.quality_report import FrontierPoint, LayerRow, QualityReport, Version
from edgegan.resources import resource

__all__ = ["ASKED", "Versions", "Wish", "checked_precisions", "make_versions"]

ASKED = ("fp32", "fp16", "int8")
"""What `--precision` may name; int8 gives a file for each kind of runtime."""

_CLIP = "engines/clip/paint_demo.mp4"
_SHOWN = 6
_LEAST_SHARE = 0.2
"""Of the MACs in INT8: with less there is nothing to gain."""
_MARGIN_DB, _WORST_MARGIN_DB, _OF_ALLOWANCE = 0.5, 3.0, 0.6
"""What the search set must have above the gate, so that the judging set, which has other pictures, passes too: so many
decibels more, and no more than that part of what colour, detail and flicker are allowed."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    precisions: of `ASKED`. calibrate: photos or a clip. perceptual: an ST-LPIPS model. gates: by precision, other
    demands than those of `edgegan.pack.judging.GATES`. int8_share: of the MACs, at least, in INT8. by_name: whether
    the precisions were named, so that one that cannot be made is an error, and not left out.
    """

    precisions: tuple[str, ...] = ("fp32",)
    calibrate: Path | None = None
    perceptual: Path | None = None
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    int8_share: float = 0.0
    seed: int = 0
    by_name: bool = True

    def gate(self, precision: str) -> Gate:
        """What is demanded of a precision. Raises `ConfigError`."""
        for name in self.gates:
            if name not in GATES:
                raise ConfigError(f"there is no gate for '{name}'", did_you_mean(name, list(GATES)))
        return GATES[precision].changed(self.gates.get(precision, {}))


@dataclass(frozen=True)
class Versions:
    """What goes into the bundle beside FP32: files by name, the manifest's `models` and `kept_out`, its `calibration`,
    and the report, if any other precision was asked for. forget: to be called when the bundle is written."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kept_out: Sequence[Mapping[str, Any]] = ()
    calibration: Mapping[str, Any] | None = None
    report: QualityReport | None = None
    forget: Callable[[], None] = lambda: None


def checked_precisions(names: Sequence[str], calibrate: Path | None) -> tuple[str, ...]:
    """Raises `ConfigError` for what cannot be asked for."""
    for name in names:
        if name not in ASKED:
            raise ConfigError(f"there is no precision '{name}' to pack", did_you_mean(name, list(ASKED)))
    if "fp32" not in names:
        raise ConfigError("fp32 is missing from --precision", "it is what all others are judged by: fp32,…")
    if "int8" in names and calibrate is None:
        raise ConfigError(
            "int8 needs pictures to calibrate with",
            "--calibrate DIR: photos of what the camera will see, or a clip; edgegan record takes them",
        )
    return tuple(dict.fromkeys(names))


def make_versions(
    packed: ModelProto, name: str, size: tuple[int, int], taken: Range, wish: Wish, progress: Progress
) -> Versions:
    """taken: what black and white are to the generator. progress: is called with (what is done now, 0..1)."""
    if set(wish.precisions) <= {"fp32"}:
        return Versions()
    if wish.perceptual is not None:
        StLpips(wish.perceptual)  # what is none is refused before the work
    sets = read_sets(wish.calibrate or resource(_CLIP), size, wish.seed)
    courtroom = _Courtroom(packed, sets, wish, progress)
    quantised = None
    if "fp16" in wish.precisions:
        with courtroom.leaving_out("fp16", unless=wish.by_name):
            model = half(packed)[0]
            courtroom.hear("fp16", model, as_executed_in_half(model), wish.gate("fp16"), (0.03, 0.1))
    if "int8" in wish.precisions:
        with courtroom.leaving_out("int8", unless=wish.by_name), _going_on():
            quantised = quantise_model(
                packed,
                sets,
                taken,
                _goal(wish.gate("int8"), max(_LEAST_SHARE, wish.int8_share)),
                lambda what, share: progress(what, 0.1 + 0.7 * share),
            )
            _hear_int8(courtroom, quantised, wish)
    return courtroom.sentence(name, quantised)


@contextmanager
def _going_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on where the search was") from None


def _hear_int8(courtroom: "_Courtroom", quantised: Quantised, wish: Wish) -> None:
    """A version for each kind of runtime; one for OpenVINO must be possible, the others need not be."""
    gate, there = wish.gate("int8"), _there(quantised)
    least = _Least(max(_LEAST_SHARE, wish.int8_share), "can be INT8 and draw well enough")
    courtroom.hear("int8", quantised.openvino, quantised.openvino, gate, (0.8, 0.87), quantised, least)
    with courtroom.leaving_out("int8_fp16"):
        model = half(quantised.tensorrt)[0]
        executed = as_executed_in_half(model)
        courtroom.hear("int8_fp16", model, executed, gate, (0.87, 0.94), quantised, least)
    if why := _ON_ONNXRUNTIME.why_not(there):
        courtroom.dismiss("int8_onnxruntime", why)
        return
    with courtroom.leaving_out("int8_onnxruntime"):
        products = quantised.onnxruntime
        drawn = products.like if dot_product.lacking() else products.model
        courtroom.hear("int8_onnxruntime", products.model, drawn, gate, (0.94, 1.0), there)


def _goal(gate: Gate, share: float) -> Goal:
    least, most = gate.high_frequency_ratio or (None, None)
    return Goal(
        (gate.psnr_db or 0.0) + _MARGIN_DB,
        (gate.psnr_worst_db or 0.0) + _WORST_MARGIN_DB,
        gate.ssim or 0.0,
        share,
        1 + _allowed(gate.flicker_ratio, 1),
        _allowed(gate.channel_shift_levels),
        _allowed(gate.delta_e),
        (1 - _allowed(least, 1), 1 + _allowed(most, 1)),
        _allowed(gate.checkerboard_db),
    )


def _allowed(most: float | None, without: float = 0.0) -> float:
    """How far from what there is `without` any error the search set may be."""
    return math.inf if most is None else _OF_ALLOWANCE * abs(most - without)


@dataclass(frozen=True)
class _Least:
    """The least share of the MACs in INT8 that is worth it, and what keeps the rest from it."""

    share: float
    reason: str

    def why_not(self, quantised: Quantised) -> str:
        """Empty if it has enough."""
        found = quantised.best.int8_share
        return (
            f"{found:.0%} of the MACs {self.reason}, {self.share:.0%} are wanted"
            if found < self.share
            else ""
        )


_ON_ONNXRUNTIME = _Least(0.25, "are in layers that ONNX Runtime runs faster in INT8")
"""What quantises and lays out costs more there: docs/runtimes.md."""


def _there(quantised: Quantised) -> Quantised:
    """With what became of the table for ONNX Runtime."""
    products = quantised.onnxruntime
    best = replace(quantised.best, table=products.table, int8_share=products.int8_share)
    return replace(quantised, best=best)


@dataclass(frozen=True)
class _Case:
    precision: str
    model: bytes
    entry: Mapping[str, Any]
    verdict: Verdict
    why_not: str
    gate: Gate
    drawn: Mapping[str, Pixels]
    quantised: Quantised | None


class _Courtroom:
    """Judges versions by the one set that nothing else has seen."""

    def __init__(self, packed: ModelProto, sets: Sets, wish: Wish, progress: Progress) -> None:
        self._packed, self._sets, self._wish, self._cases = packed, sets, wish, list[_Case]()
        self._dismissed: list[Mapping[str, Any]] = []
        self._progress = progress
        draw, shown = Packed(packed).draw, [*(picture.pixels for picture in sets.judge), *sets.clip]
        drawn: list[Pixels] = []
        for number, pixels in enumerate(shown):
            progress("drawing with fp32", 0.03 * number / len(shown))
            drawn.append(draw(pixels))
        self._expected, self._clip = drawn[: len(sets.judge)], drawn[len(sets.judge) :]

    def hear(
        self,
        precision: str,
        model: ModelProto,
        executed: ModelProto,
        gate: Gate,
        span: tuple[float, float],
        quantised: Quantised | None = None,
        least: _Least | None = None,
    ) -> None:
        """executed: what draws here what `model` draws where it runs. span: of the progress, from and to."""
        check_contract(model)
        draw, drawn = Packed(executed).draw, dict[int, Pixels]()

        def drawing(pixels: Pixels) -> Pixels:
            drawn[len(drawn)] = draw(pixels)
            return drawn[len(drawn) - 1]

        verdict = judge(
            drawing,
            [picture.pixels for picture in self._sets.judge],
            self._expected,
            names=[picture.name for picture in self._sets.judge],
            clip=self._sets.clip,
            clip_expected=self._clip,
            perceptual=self._wish.perceptual,
            gate=gate,
            progress=lambda _, share: self._progress(
                f"judging {precision}", span[0] + share * (span[1] - span[0])
            ),
        )
        why_not = verdict.why_not or (least.why_not(quantised) if quantised and least else "")
        entry = {
            "path": f"model_{precision}.onnx",
            "bytes": model.ByteSize(),
            "macs": count_macs(model),
            "macs_int8_share": round(quantised.best.int8_share if quantised else 0.0, 4),
            "params": count_params(self._packed),
            "opset": opset_of(model),
            "quality": verdict.figures,
        }
        named = {picture.name: drawn[number] for number, picture in enumerate(self._sets.judge)}
        data = model.SerializeToString(deterministic=True)
        self._cases.append(_Case(precision, data, entry, verdict, why_not, gate, named, quantised))

    def dismiss(self, precision: str, why: str) -> None:
        """Without a look at what it draws."""
        self._dismissed.append({"precision": precision, "why": why})

    @contextmanager
    def leaving_out(self, precision: str, unless: bool = False) -> Iterator[None]:
        """What cannot be made in here is left out, and the rest of the bundle is not lost; unless it is insisted on."""
        try:
            yield
        except ModelError as error:
            if unless:
                raise
            self.dismiss(precision, str(error))

    def sentence(self, name: str, quantised: Quantised | None) -> Versions:
        """What passed, and what did not and why."""
        passed = [case for case in self._cases if not case.why_not]
        files = {str(case.entry["path"]): case.model for case in passed}
        if quantised and any(case.quantised for case in passed):
            files["scales.json"] = quantised.table.to_json()
        kept_out: list[Mapping[str, Any]] = [
            {"precision": case.precision, "why": case.why_not, "quality": case.verdict.figures}
            for case in self._cases
            if case.why_not
        ] + self._dismissed
        models = {case.precision: case.entry for case in passed}
        forget = quantised.forget if quantised else lambda: None
        return Versions(files, models, kept_out, self._sets.describe(), self._report(name), forget)

    def _report(self, name: str) -> QualityReport | None:
        if not self._cases:
            return None
        shown = self._shown()
        pictures = {picture.name: number for number, picture in enumerate(self._sets.judge)}
        rows = [(n, self._sets.judge[pictures[n]].pixels, self._expected[pictures[n]]) for n in shown]
        versions = [_version(case, shown) for case in self._cases]
        left_out = [(str(one["precision"]), str(one["why"])) for one in self._dismissed]
        return QualityReport(name, rows, self._sets.describe(), versions, f"edgegan {__version__}", left_out)

    def _shown(self) -> list[str]:
        """Each version's worst picture, then some from the bad to the good ones."""
        worst = [str(case.verdict.figures["worst_picture"]) for case in self._cases]
        order = sorted(self._cases[-1].verdict.pictures, key=lambda row: float(row["psnr_db"]))
        spread = [str(order[round(i * (len(order) - 1) / _SHOWN)]["name"]) for i in range(_SHOWN + 1)]
        return list(dict.fromkeys([*worst, *spread]))[:_SHOWN]


def _version(case: _Case, shown: Sequence[str]) -> Version:
    return Version(
        case.precision,
        case.verdict.figures,
        {key: value for key, value in asdict(case.gate).items() if value is not None},
        case.why_not,
        case.verdict.pictures,
        [case.drawn[name] for name in shown],
        int(case.entry["bytes"]),
        float(case.entry["macs_int8_share"]),
        _layer_rows(case.quantised) if case.quantised else (),
        _frontier(case.quantised) if case.quantised else (),
    )


def _layer_rows(quantised: Quantised) -> list[LayerRow]:
    rows = []
    elsewhere = {scale.layer: scale.form for scale in quantised.table.layers}
    for scale in quantised.best.table.layers:
        tried = [one for one in quantised.alone if one.scale.layer == scale.layer]
        same = [one for one in tried if replace(one.scale, form=scale.form) == scale]
        alone = same[0].outcome.psnr_db if same else None
        layer = quantised.layers[scale.layer]
        others = ", ".join(_tried(one, scale.form) for one in tried if one not in same)
        in_float = scale.form == "float"
        rows.append(
            LayerRow(
                scale.layer,
                layer.op,
                scale.form.replace("x2", " x2"),
                layer.macs,
                scale.method,
                math.nan if in_float else scale.low,
                math.nan if in_float else scale.high,
                alone,
                _SLOWER if in_float and elsewhere[scale.layer] != "float" else _why(scale.form, others),
            )
        )
    return rows


_SLOWER = "INT8 would be slower here than float"


def _tried(one: Alone, instead_of: str) -> str:
    way = "two terms" if one.scale.form == "int8x2" else one.scale.method
    term = "one term, " if instead_of == "int8x2" else ""
    return f"{term}{way} {one.outcome.psnr_db:.1f} dB"


def _why(form: str, others: str) -> str:
    said = {
        "int8": "one term is enough",
        "int8x2": "one term costs the picture more than a second one costs time",
        "float": "INT8 costs the picture more than it saves time",
    }[form]
    return said + (f"; also tried: {others}" if others else "")


def _frontier(quantised: Quantised) -> list[FrontierPoint]:
    whole = max(quantised.whole_macs, 1)
    return [
        FrontierPoint(
            point.int8_share,
            point.outcome.psnr_db,
            point.outcome.psnr_worst_db,
            point.cost / whole,
            point is quantised.best,
        )
        for point in quantised.frontier
    ]
