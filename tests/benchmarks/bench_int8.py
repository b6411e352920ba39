"""INT8 of a bundle beside INT8 of its peers: calibrated on the same pictures, judged by the same, none used for both.

    python tests/benchmarks/bench_int8.py BUNDLE… --photos DIR [--results FILE] [--modelopt PYTHON] [--only METHOD…]
    python tests/benchmarks/bench_int8.py --photos DIR --edges DIR [BUNDLE…]
    python tests/benchmarks/bench_int8.py --results FILE

The bundles come from `edgegan pack --calibrate DIR --precision fp32,fp16,int8` with the same photos. Peers get the
bundle's packed FP32 model, the calibration set, and, to choose the best of several methods, the search set. Each
result is one line of FILE; those that are there already are not measured again, and without bundles FILE alone
makes the table.

MACs in INT8 are those of layers that OpenVINO's runtime model says to run as i8 or u8, over all MACs of FP32; a layer
in two terms counts once, and only if both of them are, and is also part of "twice". --modelopt: the Python of an
environment that has nvidia-modelopt[onnx]. --edges: the photos' edges, black on white and 128 x 128, are written to
that folder, and stand for the photos: what pix2pix_unet128_emoji was trained to take.
"""

import argparse
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
import openvino
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static

from edgegan.bundle import Bundle
from edgegan.errors import ModelError
from edgegan.frame import Pixels
from edgegan.framing import Framing
from edgegan.pack.compare import Packed
from edgegan.pack.graph import copied
from edgegan.pack.judging import GATES, judge
from edgegan.pack.macs import macs_by_node
from edgegan.pack.pixels import INPUT
from edgegan.pack.quantise.sets import Picture, Sets, read_sets
from edgegan.quality import psnr_db
from edgegan.recorded import open_source

METHODS = ("onnxruntime, defaults", "onnxruntime, best global", "modelopt", "edgegan int8", "edgegan fp16")
FIGURES = ("psnr_db", "psnr_worst_db", "ssim", "channel_shift_levels", "channel_shift_worst_levels")
HEADS = (
    *("generator", "method", "PSNR", "worst", "SSIM", "shift", "shift, worst"),
    *("MACs in INT8", "twice", "PSNR on OpenVINO", "how; what is missing"),
)
_CONVOLUTIONS = ["Conv", "ConvTranspose"]
_SIDE = 128
_BLUR, _LOW, _HIGH = 1.2, 100, 200
"""With these as much of a photo is edge as of the pictures that pix2pix was trained with: 8 % (4 to 15)."""

Draw = Callable[[Pixels], Pixels]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--edges", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--modelopt")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if arguments.bundles and not arguments.photos:
        parser.error("--photos is missing: what the bundles were calibrated with")
    photos = edges_of(arguments.photos, arguments.edges) if arguments.edges else arguments.photos
    rows = list(read_rows(arguments.results))
    for path in arguments.bundles:
        bench = Bench(Bundle.open(path), photos, arguments.modelopt)
        for method in arguments.only:
            if (bench.name, method) not in {(row["generator"], row["method"]) for row in rows}:
                rows.append(bench.row(method))
                keep(rows[-1], arguments.results)
    print(table(rows))


def edges_of(photos: Path, folder: Path) -> Path:
    """Black edges on white, as PNGs of the size that is drawn, so that nothing scales them any more."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = Framing((_SIDE, _SIDE))
    with closing(open_source(str(photos))) as source:
        while (pixels := source.next()) is not None:
            edges = cv2.Canny(cv2.GaussianBlur(frame(pixels), (0, 0), _BLUR), _LOW, _HIGH)
            cv2.imwrite(str(folder / f"{Path(source.latest).stem}.png"), 255 - edges)
    return folder


class Bench:
    """One generator."""

    def __init__(self, bundle: Bundle, photos: Path, modelopt: str | None) -> None:
        self._bundle, self._manifest, self._modelopt = bundle, bundle.describe(), modelopt
        self._model = onnx.load_model_from_string(bundle.read_model("fp32"))
        self._photos, self.name = photos, bundle.name

    def row(self, method: str) -> Row:
        """Measured, or why not."""
        print(f"{self.name}: {method}", file=sys.stderr, flush=True)
        start = time.monotonic()
        row: Row = {"generator": self.name, "size": list(self._bundle.input_size), "method": method}
        row |= _MAKERS[method](self)
        return {**row, "sets": self.sets.describe(), "seconds": round(time.monotonic() - start)}

    @cached_property
    def sets(self) -> Sets:
        sets = read_sets(self._photos, self._bundle.input_size, 0)
        made = self._manifest["calibration"]
        if made and made != sets.describe():
            raise SystemExit(f"{self.name} was made with {made}, --photos gives {sets.describe()}")
        return sets

    @cached_property
    def _expected(self) -> list[Pixels]:
        return drawn(Packed(self._model).draw, self.sets.judge)

    @cached_property
    def _expected_of_search(self) -> list[Pixels]:
        return drawn(Packed(self._model).draw, self.sets.search)

    def ours(self) -> Row:
        """Of INT8 that was kept out of the bundle, what its manifest and its page say."""
        if self._manifest["calibration"] is None:
            return {"why_not": "the bundle has FP32 alone"}
        row: Row = {"frontier": frontier(self._bundle)}
        if "int8" in self._bundle.precisions:
            return row | self._judged(onnx.load_model_from_string(self._bundle.read_model("int8")))
        return row | kept_out(self._manifest, "int8")

    def half(self) -> Row:
        """As judged when it was packed: rounded after every operator, which a CPU must be made to do."""
        model = self._manifest["models"].get("fp16")
        return {"figures": picked(model["quality"])} if model else kept_out(self._manifest, "fp16")

    def defaults(self) -> Row:
        return self._judged(quantised(self._model, self.sets.calibrate))

    def best_global(self) -> Row:
        """The best of `ways` on the search set."""
        found = {how: self._on_search(one) for how, one in ways(self._model, self.sets.calibrate)}
        return self._best(found)

    def modelopt(self) -> Row:
        """The better of its two calibrations on the search set."""
        if self._modelopt is None:
            return {"why_not": "not run: --modelopt was not given"}
        found: dict[str, tuple[float, ModelProto]] = {}
        failed: dict[str, str] = {}
        for how in ("entropy", "max"):
            try:
                made = by_modelopt(self._modelopt, self._model, self.sets.calibrate, how)
                found[how] = self._on_search(made)
            except (RuntimeError, ModelError) as error:
                failed[how] = str(error)
        why_not = "; ".join(f"{how} failed: {why}" for how, why in failed.items())
        return {**(self._best(found) if found else {}), "why_not": why_not}

    def _on_search(self, model: ModelProto) -> tuple[float, ModelProto]:
        """Mean PSNR, and the model."""
        pictures = drawn(Packed(model).draw, self.sets.search)
        return mean_psnr(pictures, self._expected_of_search), model

    def _best(self, found: dict[str, tuple[float, ModelProto]]) -> Row:
        how = max(found, key=lambda one: found[one][0])
        tried = {one: round(level, 2) for one, (level, _) in found.items()}
        return {"how": how, "search_psnr_db": tried} | self._judged(found[how][1])

    def _judged(self, model: ModelProto) -> Row:
        """By ONNX Runtime, as `edgegan pack` does; OpenVINO's own drawing is given beside it."""
        pictures, compiled = [picture.pixels for picture in self.sets.judge], OnOpenVino(model)
        names = [picture.name for picture in self.sets.judge]
        verdict = judge(Packed(model).draw, pictures, self._expected, names=names, gate=GATES["int8"])
        share, twice = compiled.int8_shares(macs_by_node(self._model))
        return {
            "figures": picked(verdict.figures),
            "openvino_psnr_db": round(mean_psnr(drawn(compiled.draw, self.sets.judge), self._expected), 2),
            "int8_share": round(share, 4),
            "twice_share": round(twice, 4),
            "bytes": model.ByteSize(),
        }


_MAKERS: dict[str, Callable[[Bench], Row]] = dict(
    zip(METHODS, (Bench.defaults, Bench.best_global, Bench.modelopt, Bench.ours, Bench.half), strict=True)
)


def picked(figures: dict[str, Any]) -> Row:
    return {key: figures[key] for key in FIGURES}


def kept_out(manifest: dict[str, Any], precision: str) -> Row:
    """The figures of what did not pass, and the reason."""
    for entry in manifest["kept_out"]:
        if entry["precision"] == precision:
            return {"figures": picked(entry["quality"]), "why_not": entry["why"]}
    return {"why_not": f"the bundle was packed without {precision}"}


def drawn(draw: Draw, pictures: Iterable[Picture]) -> list[Pixels]:
    return [draw(picture.pixels) for picture in pictures]


def mean_psnr(found: Sequence[Pixels], expected: Sequence[Pixels]) -> float:
    return float(np.mean([min(psnr_db(*pair), 99.0) for pair in zip(found, expected, strict=True)]))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = pictures
        self.set_range(0, len(pictures))

    def __len__(self) -> int:
        return len(self._pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._rest = iter(self._pictures[start_index:end_index])

    def get_next(self) -> Any:
        picture = next(self._rest, None)
        return None if picture is None else {INPUT: picture.pixels[None]}


def quantised(model: ModelProto, pictures: Sequence[Picture], **options: Any) -> ModelProto:
    """By ONNX Runtime's own tool; a few pictures at a time, so that their tensors fit into memory."""
    extra = {"CalibStridedMinMax": max(n for n in (4, 3, 2, 1) if len(pictures) % n == 0)}
    extra |= options.pop("extra_options", {})
    with TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        output = Path(folder) / "quantised.onnx"
        quantize_static(copied(model), output, _Reader(pictures), extra_options=extra, **options)
        return onnx.load(output)


def ways(model: ModelProto, pictures: Sequence[Picture]) -> Iterator[tuple[str, ModelProto]]:
    """All global methods of ONNX Runtime that were found good on image generators."""
    kinds = {"int8 around zero": QuantType.QInt8, "bytes with a zero point": QuantType.QUInt8}
    with TemporaryDirectory() as folder:
        for method in CalibrationMethod.MinMax, CalibrationMethod.Percentile, CalibrationMethod.Entropy:
            ranges = Path(folder) / method.name
            for said, kind in kinds.items():
                yield f"{method.name}, {said}", quantised(model, pictures, **_options(method, kind, ranges))


def _options(method: CalibrationMethod, kind: QuantType, ranges: Path) -> dict[str, Any]:
    """ranges: a file that keeps what was found, for the other kind."""
    return {
        "per_channel": True,
        "activation_type": kind,
        "weight_type": QuantType.QInt8,
        "calibrate_method": method,
        "op_types_to_quantize": _CONVOLUTIONS,
        "calibration_cache_path": ranges,
        "extra_options": {
            "ActivationSymmetric": kind == QuantType.QInt8,
            "CalibPercentile": 99.99,
            "OpTypesToExcludeOutputQuantization": _CONVOLUTIONS,
            "QuantizeBias": False,
        },
    }


_BY_MODELOPT = """
import sys, numpy
from modelopt.onnx.quantization import quantize
model, pictures, output, method = sys.argv[1:]
quantize(model, quantize_mode="int8", calibration_data={"input": numpy.load(pictures)}, calibration_method=method,
         calibration_eps=["cpu"], high_precision_dtype="fp32", output_path=output)
"""


def by_modelopt(python: str, model: ModelProto, pictures: Sequence[Picture], method: str) -> ModelProto:
    """All else as it is by default. Raises `RuntimeError` with the last line of what it says."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / "model.onnx", folder / "pictures.npy", folder / "quantised.onnx"]
        onnx.save(model, paths[0])
        np.save(paths[1], np.stack([picture.pixels for picture in pictures]))
        command = [python, "-c", _BY_MODELOPT, *map(str, paths), method]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode or not paths[2].exists():
            raise RuntimeError((done.stderr.strip().splitlines() or ["it failed without a word"])[-1])
        return onnx.load(paths[2])


class OnOpenVino:
    """A model on OpenVINO's CPU plugin, in float32 where it is not quantised."""

    def __init__(self, model: ModelProto) -> None:
        core = openvino.Core()
        read = core.read_model(model.SerializeToString())
        self._compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def draw(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) BGR to the same."""
        return np.array(self._compiled(pixels[None])[0][0], np.uint8)

    def int8_shares(self, macs: dict[str, int]) -> tuple[float, float]:
        """Of all MACs, those that run in INT8, and those of them that run twice. macs: of the float model, by node."""
        kinds: dict[str, list[bool]] = {}
        for name, is_int8 in self._layers(macs):
            kinds.setdefault(name, []).append(is_int8)
        int8 = [name for name, terms in kinds.items() if all(terms)]
        twice = [name for name in int8 if len(kinds[name]) > 1]
        whole = sum(macs.values())
        return sum(macs[name] for name in int8) / whole, sum(macs[name] for name in twice) / whole

    def _layers(self, macs: dict[str, int]) -> Iterator[tuple[str, bool]]:
        """The float model's node for each that computes, and whether it does in INT8."""
        for node in self._compiled.get_runtime_model().get_ops():
            said = {key: value.value for key, value in node.get_rt_info().items() if hasattr(value, "value")}
            if said["layerType"] in ("Convolution", "Deconvolution", "FullyConnected", "MatMul"):
                fused = [name.removesuffix("/second") for name in said["originalLayersNames"].split(",")]
                known = [name for name in fused if name in macs]
                if known:
                    yield known[0], said["runtimePrecision"] in ("i8", "u8")


def frontier(bundle: Bundle) -> list[Row]:
    """All that the search drew with, as the bundle's page has it: figures of the search set."""
    page = bundle.read_file("quality.html").decode()
    first = re.search(r'<table class="frontier">.*?<tbody>(.*?)</table>', page, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", first[1]) if first else []
    return [point(re.findall(r"<td[^>]*>(.*?)</td>", row)) for row in rows]


def point(cells: Sequence[str]) -> Row:
    """Of a line of the page's table: 94.4 %, 45.36 dB, 40.10 dB, 0.398, chosen."""
    share, level, worst, cost = (float(cell.split()[0].rstrip("%")) for cell in cells[:4])
    figures = {"int8_share": share / 100, "psnr_db": level, "psnr_worst_db": worst, "cost": cost}
    return {**figures, "chosen": bool(cells[4])}


def table(rows: Sequence[Row]) -> str:
    """One line for each generator and method; below it the frontiers."""
    order = {name: number for number, name in enumerate(dict.fromkeys(row["generator"] for row in rows))}
    ordered = sorted(rows, key=lambda row: (order[row["generator"]], METHODS.index(row["method"])))
    cells = [[row["generator"], row["method"], *figure_cells(row), remark(row)] for row in ordered]
    lines = ["| " + " | ".join(line) + " |" for line in (HEADS, ["---"] * len(HEADS), *cells)]
    return "\n".join(lines) + "\n\n" + frontiers(rows)


def figure_cells(row: Row) -> list[str]:
    figures = row.get("figures", {})
    forms = ("{:.1f}", "{:.1f}", "{:.4f}", "{:.2f}", "{:.2f}")
    cells = [form.format(figures[key]) if figures else "–" for key, form in zip(FIGURES, forms, strict=True)]
    others = {"int8_share": "{:.1%}", "twice_share": "{:.1%}", "openvino_psnr_db": "{:.1f}"}
    return cells + [form.format(row[key]) if key in row else "–" for key, form in others.items()]


def remark(row: Row) -> str:
    return "; ".join(filter(None, (row.get("how", ""), row.get("why_not", ""))))


def frontiers(rows: Sequence[Row]) -> str:
    """MACs in INT8, cost, mean and worst PSNR of the search set; bold is what was taken."""
    lines = []
    for row in rows:
        for point in row.get("frontier", []):
            text = "{int8_share:.0%} at cost {cost:.2f}: {psnr_db:.1f}/{psnr_worst_db:.1f}".format(**point)
            lines.append((row["generator"], f"**{text}**" if point["chosen"] else text))
    names = dict.fromkeys(name for name, _ in lines)
    return "\n".join(f"- {name}: " + "; ".join(text for one, text in lines if one == name) for name in names)


def read_rows(path: Path | None) -> Iterator[Row]:
    if path and path.exists():
        yield from map(json.loads, path.read_text("utf-8").splitlines())


def keep(row: Row, path: Path | None) -> None:
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
