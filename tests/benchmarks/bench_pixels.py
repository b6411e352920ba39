"""What the pixel nodes cost, and how far they are from numpy's pixels, on every generator of EDGEGAN_MODELS.

    EDGEGAN_MODELS=… python tests/benchmarks/bench_pixels.py [--threads N] [--rounds N] [--seconds S] [NAME…]

Three ways from uint8 BGR to uint8 BGR around the same weights, on ONNX Runtime:
    packed   the packed model
    opencv   the simplified float model between OpenCV's fastest calls (three tried, see `opencv_…`)
    numpy    the simplified float model between numpy's
Each way has a session of its own, and the order is drawn anew in each round: paths that share a session find its
weights in the cache, and a cold cache is worth more than all the pixels. With one thread the clock is that thread's
CPU time, which other load on the machine disturbs least. The ratio is the median of the rounds' own ratios, so that a
load which comes and goes hits both ways of a round alike.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from edgegan.frame import Pixels
from edgegan.pack import load_recipe
from edgegan.pack.check import find_interface
from edgegan.pack.compare import pixels_from_values, values_from_pixels
from edgegan.pack.constants import bind_constants, constant_arrays
from edgegan.pack.load import load_model
from edgegan.pack.pictures import comparison_pictures
from edgegan.pack.pixels import add_pixels
from edgegan.pack.ranges import Range, ValueRanges
from edgegan.pack.simplify import simplify
from edgegan.pack.size import chosen_size, fix_size
from edgegan.quality import max_difference

RECIPES = Path(__file__).parents[2] / "engines/recipes"
Draw = Callable[[Pixels], Pixels]
Session = onnxruntime.InferenceSession


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=sorted(p.stem for p in RECIPES.glob("*.yaml")))
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (default 1: steadiest)")
    parser.add_argument("--rounds", type=int, default=300, help="at most")
    parser.add_argument("--seconds", type=float, default=30, help="at most, for one generator")
    arguments = parser.parse_args()
    models = Path(os.environ["EDGEGAN_MODELS"])
    cv2.setNumThreads(1)
    print(f"ONNX Runtime {onnxruntime.__version__}, {arguments.threads} thread(s), OpenCV {cv2.__version__}")
    heads = ("rounds", "packed ms", "opencv ms", "numpy ms", "packed/opencv", "its quartiles", "grey levels")
    print(f"{'':26}" + "".join(f"{head:>15}" for head in heads))
    for name in arguments.names:
        print(row(name, models, arguments.threads, arguments.rounds, arguments.seconds), flush=True)


def row(name: str, models: Path, threads: int, rounds: int, seconds: float) -> str:
    """One generator's line of the table."""
    packed, plain, ranges, size = both_models(name, models)
    pictures = comparison_pictures(models / "photos-eval", size).pictures
    clock = time.thread_time if threads == 1 else time.perf_counter

    def session(model: bytes) -> Session:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return Session(model, options, providers=["CPUExecutionProvider"])

    tried = {way.__name__: way(session(plain), ranges) for way in (opencv_blob, opencv_merge, opencv_planes)}
    trial = rounds_of(tried, pictures, 9, clock, seconds / 3)
    fastest = min(tried, key=lambda way: statistics.median(trial[way]))
    ways = {
        "packed": packed_way(session(packed)),
        "opencv": tried[fastest],
        "numpy": numpy_way(session(plain), ranges),
    }
    difference = max(max_difference(ways["packed"](p), ways["numpy"](p)) for p in pictures)
    times = rounds_of(ways, pictures, rounds, clock, seconds)
    low, ratio, high = statistics.quantiles(
        (a / b for a, b in zip(times["packed"], times["opencv"], strict=True)), n=4, method="inclusive"
    )
    figures = [f"{1e3 * statistics.median(times[way]):.2f}" for way in ways]
    cells = [str(len(times["packed"])), *figures, f"{ratio:.3f}", f"{low:.3f}-{high:.3f}", str(difference)]
    return f"{name:26}" + "".join(f"{cell:>15}" for cell in cells) + f"  {fastest}"


def both_models(name: str, models: Path) -> tuple[bytes, bytes, ValueRanges, tuple[int, int]]:
    """The packed model, the same without pixel nodes, its ranges and its input size."""
    _, options = load_recipe(RECIPES / f"{name}.yaml")
    model = load_model(models / "generators" / f"{name}.onnx")
    interface = find_interface(model, options.constants)
    size = chosen_size(interface, options.size)
    bound, _ = bind_constants(model, constant_arrays(model, options.constants))
    plain, _ = simplify(fix_size(bound, interface, size)[0])
    assert options.input_range is not None
    assert options.output_range is not None
    ranges = ValueRanges(options.input_range, options.output_range)
    return add_pixels(plain, ranges)[0].SerializeToString(), plain.SerializeToString(), ranges, size


def rounds_of(
    ways: dict[str, Draw],
    pictures: tuple[Pixels, ...],
    rounds: int,
    clock: Callable[[], float],
    seconds: float,
) -> dict[str, list[float]]:
    """Seconds of each way in each round; the first round is not counted."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    started = time.perf_counter()
    for number in range(rounds + 1):
        for way in random.sample(sorted(ways), len(ways)):
            begun = clock()
            ways[way](pictures[number % len(pictures)])
            times[way].append(clock() - begun)
        if time.perf_counter() - started > seconds and number > 2:
            break
    return {way: values[1:] for way, values in times.items()}


def packed_way(session: Session) -> Draw:
    """The packed model, and nothing around it."""
    return lambda pixels: session.run(None, {"input": pixels[None]})[0][0]


def numpy_way(session: Session, ranges: ValueRanges) -> Draw:
    """Straightforward numpy."""
    name = session.get_inputs()[0].name
    return lambda p: pixels_from_values(
        session.run(None, {name: values_from_pixels(p, ranges.input)})[0], ranges.output
    )


def opencv_blob(session: Session, ranges: ValueRanges) -> Draw:
    """blobFromImage before; after it scale and round in planes, merge bytes."""
    name = session.get_inputs()[0].name

    def draw(pixels: Pixels) -> Pixels:
        drawn = session.run(None, {name: _blob(pixels, ranges.input)})[0][0]
        planes = _bytes(drawn.reshape(-1, drawn.shape[-1]), ranges.output).reshape(drawn.shape)
        return cv2.merge((planes[2], planes[1], planes[0]))

    return draw


def opencv_merge(session: Session, ranges: ValueRanges) -> Draw:
    """blobFromImage before; after it merge floats, then scale and round."""
    name = session.get_inputs()[0].name

    def draw(pixels: Pixels) -> Pixels:
        drawn = session.run(None, {name: _blob(pixels, ranges.input)})[0][0]
        return _bytes(cv2.merge((drawn[2], drawn[1], drawn[0])), ranges.output)

    return draw


def opencv_planes(session: Session, ranges: ValueRanges) -> Draw:
    """Split bytes, scale each plane into its place; after it as `opencv_blob`."""
    name, (black, white) = session.get_inputs()[0].name, ranges.input

    def draw(pixels: Pixels) -> Pixels:
        values = np.empty((1, 3, *pixels.shape[:2]), np.float32)
        for index, plane in enumerate(cv2.split(pixels)):
            scale = (white - black) / 255
            cv2.addWeighted(plane, scale, plane, 0, black, dst=values[0, 2 - index], dtype=cv2.CV_32F)
        drawn = session.run(None, {name: values})[0][0]
        planes = _bytes(drawn.reshape(-1, drawn.shape[-1]), ranges.output).reshape(drawn.shape)
        return cv2.merge((planes[2], planes[1], planes[0]))

    return draw


def _blob(pixels: Pixels, values: Range) -> Pixels:
    black, white = values
    scale = (white - black) / 255
    return cv2.dnn.blobFromImage(pixels, scale, mean=[-black / scale] * 3, swapRB=True)


def _bytes(drawn: Pixels, values: Range) -> Pixels:
    """Scale, round and saturate in one call."""
    black, white = values
    scale = 255 / (white - black)
    return cv2.addWeighted(drawn, scale, drawn, 0, -black * scale, dtype=cv2.CV_8U)


if __name__ == "__main__":
    main()
