"""What float16 does to a picture: PSNR against float32, rounded after every operator.

python tests/benchmarks/bench_half.py BUNDLE/model_fp32.onnx… --photos DIR [--count N]
"""

import argparse
import statistics
from pathlib import Path

import cv2
import onnx

from edgegan.framing import Framing
from edgegan.pack.compare import Packed
from edgegan.pack.graph import dims_of
from edgegan.pack.half import half
from edgegan.pack.half_executed import as_executed_in_half
from edgegan.quality import psnr_db


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    arguments = parser.parse_args()
    paths = sorted(arguments.photos.glob("*.jpg"))
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    for path in arguments.models:
        print(row(path, paths), flush=True)


def row(path: Path, photos: list[Path]) -> str:
    """Mean and worst PSNR of one packed model, and what the pass says."""
    model = onnx.load(path)
    halved, report = half(model)
    _, height, width, _ = dims_of(model.graph.input[0])
    framed = [Framing((height, width))(cv2.imread(str(photo))) for photo in photos]
    whole, judged = Packed(model), Packed(as_executed_in_half(halved))
    found = [psnr_db(whole.draw(pixels), judged.draw(pixels)) for pixels in framed]
    return f"{path}: mean {statistics.fmean(found):.1f}, worst {min(found):.1f} dB; {report.did}"


if __name__ == "__main__":
    main()
