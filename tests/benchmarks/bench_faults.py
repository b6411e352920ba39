"""What planted faults give in each figure of `edgegan.pack.judging`, and which demand of the INT8 gate refuses them.

    EDGEGAN_MODELS=… python tests/benchmarks/bench_faults.py [--pictures N] [--frames N] [--each] [NAME…]

Faults are planted in the FP32 model or in its drawings of `photos-eval` (pix2pix: of the edges of `pix2pix-pairs`) and
of `video/carphone*.mp4`. Ranges are those of eight of `photos-calib`. A cell is the lowest and the highest of the
generators' figures; --each prints a table for each of them.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import onnx

from edgegan.bundle import Bundle
from edgegan.frame import Pixels
from edgegan.framing import Framing
from edgegan.pack import load_recipe, pack_model
from edgegan.pack.judging import GATES, Gate, Verdict, judge
from edgegan.recorded import open_source
from edgegan.resources import resource

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.pack import faults

NAMES = ("paint", "pix2pix_unet128_emoji", "multistyle26_cin", "fns_candy")
COLUMNS = {
    "psnr_db": "PSNR",
    "psnr_worst_db": "worst",
    "ssim": "SSIM",
    "channel_shift_levels": "shift",
    "delta_e": "ΔE",
    "high_frequency_ratio": "detail",
    "checkerboard_db": "checkerboard",
    "flicker_ratio": "flicker",
}
Drawings = tuple[list[Pixels], list[Pixels]]
"""Of the pictures, of the clip."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--each", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, list[Verdict]] = {}
    for name in arguments.names:
        print(name, file=sys.stderr)
        verdicts = judged(name, Path(os.environ["EDGEGAN_MODELS"]), arguments.pictures, arguments.frames)
        for fault, verdict in verdicts.items():
            found.setdefault(fault, []).append(verdict)
        if arguments.each:
            print(f"\n{name}\n\n{table({fault: [verdict] for fault, verdict in verdicts.items()})}")
    print(f"\n{table(found)}")


def judged(name: str, models: Path, count: int, frames: int) -> dict[str, Verdict]:
    """Of one generator, by fault."""
    model = packed(name, models)
    size = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)[1:3]
    edges = "pix2pix" in name
    photos = sorted(
        (models / ("pix2pix-pairs" if edges else "photos-eval")).glob("*_edge.png" if edges else "*")
    )
    known = sorted((models / "photos-calib").glob("*")) if not edges else photos[-8:]
    pictures = [framed(path, size) for path in photos[:count]]
    ranges = faults.ranges_of(model, [framed(path, size) for path in known[:8]])
    clip = clip_of(models / "video", size, frames)
    expected = faults.drawings(model, pictures), faults.drawings(model, clip)
    verdicts = {}
    for fault, version in versions(model, ranges).items():
        drawn = faults.drawings(version, pictures), faults.drawings(version, clip)
        verdicts[fault] = verdict(drawn, expected)
    for fault, spoilt in SPOILT.items():
        drawn = tuple([spoilt(pixels, n) for n, pixels in enumerate(part)] for part in expected)
        verdicts[fault] = verdict(drawn, expected)
    return verdicts


def packed(name: str, models: Path) -> onnx.ModelProto:
    """As `edgegan pack` makes it."""
    if name == "paint":
        bundle = Bundle.open(resource("engines/paint/paint.edgegan"))
        return onnx.load_model_from_string(bundle.read_model("fp32"))
    _, options = load_recipe(resource(f"engines/recipes/{name}.yaml"))
    with TemporaryDirectory() as folder:
        pack_model(models / f"generators/{name}.onnx", Path(folder) / "bundle", options)
        return onnx.load_model_from_string(Bundle.open(Path(folder) / "bundle").read_model("fp32"))


def framed(path: Path, size: tuple[int, int]) -> Pixels:
    return Framing(size)(cv2.imread(str(path)))


def clip_of(folder: Path, size: tuple[int, int], frames: int) -> list[Pixels]:
    with closing(open_source(str(next(folder.glob("carphone*.mp4"))))) as source:
        return [Framing(size)(pixels) for _ in range(frames) if (pixels := source.next()) is not None]


def versions(model: onnx.ModelProto, ranges: faults.Ranges) -> dict[str, onnx.ModelProto]:
    last = len(faults.convolutions(model)) - 1
    return {
        "8 bits": faults.rounded(model, ranges),
        "weights in 8 bits, the rest in 16": faults.rounded(model, ranges, bits=16),
        "wrong axis, one layer": faults.with_wrong_axis(model),
        "clipped to a third, second layer": faults.with_clipped_tensor(model, ranges, 1),
        "clipped to a third, middle layer": faults.with_clipped_tensor(model, ranges, last // 2),
        "clipped to a third, last layer": faults.with_clipped_tensor(model, ranges, last),
        "clipped to a tenth, last layer": faults.with_clipped_tensor(model, ranges, last, 10),
    }


Spoil = Callable[[Pixels, int], Pixels]
SPOILT: dict[str, Spoil] = {
    **{f"blue +{n}": lambda p, _, n=n: faults.shifted(p, n, 0) for n in (2, 3, 4)},
    "red +3 left, -3 right": lambda p, _: faults.torn(p, 3),
    **{f"checkerboard ±{n}": lambda p, _, n=n: faults.chequered(p, n) for n in (1, 2, 4)},
    "checkerboard ±2, period 4": lambda p, _: faults.chequered(p, 2, 4),
    **{f"noise of {n}": lambda p, i, n=n: faults.noisy(p, n, i) for n in (1, 2, 3)},
    "noise of 2 that stands still": lambda p, _: faults.noisy(p, 2),
    "blur, sigma 0.4": lambda p, _: faults.blurred(p, 0.4),
}


def verdict(drawn: Drawings, expected: Drawings) -> Verdict:
    pictures, clip = expected
    drawings = iter([*drawn[0], *drawn[1]])
    names = [str(n) for n in range(len(pictures))]
    return judge(
        lambda _: next(drawings),
        pictures,
        pictures,
        names=names,
        clip=clip,
        clip_expected=clip,
        gate=GATES["int8"],
    )


def table(found: dict[str, list[Verdict]]) -> str:
    lines = [
        "| fault | " + " | ".join([*COLUMNS.values(), "refused by"]) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for fault, verdicts in found.items():
        cells = [span([v.figures[key] for v in verdicts], key) for key in COLUMNS]
        lines.append(f"| {fault} | " + " | ".join([*cells, refusals(verdicts)]) + " |")
    return "\n".join(lines)


def span(values: list[float], key: str) -> str:
    digits = {"psnr_db": 1, "psnr_worst_db": 1, "ssim": 4, "high_frequency_ratio": 3}.get(key, 2)
    lowest, highest = (f"{v:.{digits}f}" for v in (min(values), max(values)))
    return lowest if lowest == highest else f"{lowest} … {highest}"


def refusals(verdicts: list[Verdict]) -> str:
    """Which demands refuse, and of how many generators."""
    counts = {
        title: sum(bool(alone(GATES["int8"], key).why_not(v.figures)) for v in verdicts)
        for key, title in COLUMNS.items()
    }
    passed = sum(v.passed for v in verdicts)
    words = [f"{title} {count}" for title, count in counts.items() if count]
    return "; ".join(filter(None, (", ".join(words), f"{passed} pass" if passed else "")))


def alone(gate: Gate, key: str) -> Gate:
    """The gate with this demand and no other."""
    return gate.changed({name: None for name in COLUMNS if name != key})


if __name__ == "__main__":
    main()
