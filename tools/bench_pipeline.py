"""How much the pipeline costs: edgegan's `run` against the generator alone and against a plain loop.

    EDGEGAN_MODELS=models python tools/bench_pipeline.py [--rounds 5] [--frames 300] [--json]

All contenders see the same 640-wide clip, the same generator and the same 1920 × 1080 picture at the end, and take
turns within one run of this program; each figure is the median of all rounds.

- `engine`: the packed generator alone, on a picture that lies ready.
- `run`: `edgegan run`, camera `file://…?pace=max`, display `null://?size=1920x1080` (two processes).
- `plain loop`: what people write first: `cv2.VideoCapture`, crop and resize, numpy to float, ONNX Runtime with its
  default options on the float model, numpy back, `cv2.resize` to the screen's size, one thread of Python.

Four tables: a generator on the CPU (multistyle26_cin); an accelerator's stand-in that takes 20 ms and no CPU
(passthrough); a 30 Hz camera with a generator of 6 to 10 ms, ONNX Runtime's options against ours; and end-to-end
latency, read from the stamp that the pattern camera draws into its pictures, behind a network that works as hard as
a generator but leaves the picture as it is.
CPU time is read from the kernel thread by thread while frames flow, so that starting does not count. "Outside the
engine" is the daemon, the worker's camera thread, and what the worker's main thread spends per frame where the
generator does nothing (`passthrough://`); the generator's own threads and the main thread inside it are the engine.
"""

import argparse
import json
import os
import select
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from edgegan.camera.pattern import read_stamp
from edgegan.config import load_config
from edgegan.daemon import run
from edgegan.display.scaling import Scaler
from edgegan.framing import Framing
from edgegan.generator.onnxruntime import OnnxRuntimeGenerator
from edgegan.registry import DISPLAYS
from edgegan.worker import WorkerTask
from edgegan.worker_process import WorkerProcess

SCREEN = (1080, 1920)
STYLE = 19
WARM_UP = 20
STARTING_S = 2.5
DELAY_MS = 20.0
CAMERA_HERTZ = 30.0

Pixels = NDArray[np.uint8]


def main() -> None:
    """Run the tables that were asked for and print them."""
    arguments = parse_arguments()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {
            name: table(arguments, Path(folder)) for name, table in TABLES.items() if name in arguments.tables
        }
    print(json.dumps(results, indent=1) if arguments.json else "\n\n".join(map(text_of, results.values())))


def parse_arguments() -> argparse.Namespace:
    """The command line; `--part` is how this program calls itself for one contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--tables", default="engine,accelerator,camera,latency", help="comma-separated")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn of `run`")
    return parser.parse_args()


def models() -> Path:
    """The folder of real generators and clips."""
    if "EDGEGAN_MODELS" not in os.environ:
        sys.exit("bench_pipeline: set EDGEGAN_MODELS to the folder with generators/ and video/")
    return Path(os.environ["EDGEGAN_MODELS"])


# Contenders that run in a process of their own


def part_engine(arguments: argparse.Namespace) -> dict[str, float]:
    """The packed generator alone."""
    generator = OnnxRuntimeGenerator(str(arguments.model))
    pixels = next_picture(clip_reader(arguments.clip), Framing(generator.input_size))
    out = np.empty((*generator.output_size, 3), np.uint8)
    return timed(arguments.frames, lambda: generator.infer(pixels, out))


def part_plain(arguments: argparse.Namespace) -> dict[str, float]:
    """The plain loop around the float model."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(arguments.model))
    style = np.zeros((1, 26), np.float32)
    style[0, STYLE] = 1
    return plain_loop(arguments, lambda x: session.run(None, {"input": x, "style": style})[0])


def part_plain_accelerator(arguments: argparse.Namespace) -> dict[str, float]:
    """The plain loop around something that takes 20 ms and no CPU."""

    def infer(x: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(DELAY_MS / 1e3)
        return x

    return plain_loop(arguments, infer)


def plain_loop(
    arguments: argparse.Namespace, infer: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> dict[str, float]:
    """Capture, crop, resize, numpy, infer, numpy, resize into a buffer of the screen's size; one after another."""
    read = clip_reader(arguments.clip)
    screen = np.zeros((*SCREEN, 3), np.uint8)
    left = (SCREEN[1] - SCREEN[0]) // 2

    def step() -> None:
        frame = read()
        side = min(frame.shape[:2])
        top, start = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
        small = cv2.resize(
            frame[top : top + side, start : start + side], (256, 256), interpolation=cv2.INTER_AREA
        )
        x = small[:, :, ::-1].astype(np.float32) / 255.0
        y = infer(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))
        picture = np.clip(y[0].transpose(1, 2, 0) * 255.0, 0, 255).round().astype(np.uint8)[:, :, ::-1]
        screen[:, left : left + SCREEN[0]] = cv2.resize(picture, (SCREEN[0], SCREEN[0]))

    return timed(arguments.frames, step)


def timed(frames: int, step: Callable[[], None]) -> dict[str, float]:
    """Frames a second and CPU milliseconds a frame of a step, after a warm-up."""
    for _ in range(WARM_UP):
        step()
    start, cpu = time.monotonic(), time.process_time()
    for _ in range(frames):
        step()
    seconds = time.monotonic() - start
    return {"hertz": frames / seconds, "cpu_ms": (time.process_time() - cpu) * 1e3 / frames}


def clip_reader(clip: Path) -> Callable[[], Pixels]:
    """A function that gives the clip's next frame, from the start again at its end."""
    capture = cv2.VideoCapture(str(clip))

    def read() -> Pixels:
        found, frame = capture.read()
        if not found:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            found, frame = capture.read()
        return np.asarray(frame, np.uint8)

    return read


def next_picture(read: Callable[[], Pixels], framing: Framing) -> Pixels:
    """The clip's next frame as the generator wants it."""
    return framing(read())


PARTS = {"engine": part_engine, "plain": part_plain, "plain-accelerator": part_plain_accelerator}


def call_part(part: str, frames: int, model: Path, clip: Path) -> dict[str, float]:
    """One turn of a contender, in a fresh process."""
    command = [sys.executable, __file__, "--part", part, "--frames", str(frames)]
    output = subprocess.run(
        [*command, "--model", str(model), "--clip", str(clip)], check=True, capture_output=True, text=True
    ).stdout
    result: dict[str, float] = json.loads(output)
    return result


def call_run(options: list[str], seconds: float, clip: Path) -> dict[str, float]:
    """One turn of `edgegan run`: frames a second, and CPU per frame of the daemon and of each thread of the worker."""
    height, width = SCREEN
    command = [
        sys.executable,
        "-m",
        "edgegan",
        "run",
        "--json",
        "--seconds",
        str(seconds + STARTING_S + 0.5),
        *options,
    ]
    command += ["--camera", f"file://{clip}?pace=max&loop=1", "--display", f"null://?size={width}x{height}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        time.sleep(STARTING_S)
        before, start = cpu_of_threads(process.pid), time.monotonic()
        time.sleep(seconds)
        after, elapsed = cpu_of_threads(process.pid), time.monotonic() - start
        output, _ = process.communicate()
    hertz = json.loads(output)["throughput_hz"]
    frames = hertz * elapsed
    spent = {name: (after[name] - before[name]) * 1e3 / frames for name in after}
    return {"hertz": hertz, "cpu_ms": sum(spent.values()), **{f"{name}_ms": ms for name, ms in spent.items()}}


def cpu_of_threads(daemon_pid: int) -> dict[str, float]:
    """CPU seconds so far of the daemon, and of the worker's camera thread, main thread and other threads."""
    (worker,) = psutil.Process(daemon_pid).children()
    seconds = {
        "daemon": sum(psutil.Process(daemon_pid).cpu_times()[:2]),
        "camera": 0.0,
        "main": 0.0,
        "others": 0.0,
    }
    for thread in worker.threads():
        name = Path(f"/proc/{worker.pid}/task/{thread.id}/comm").read_text().strip()
        part = "main" if thread.id == worker.pid else "camera" if name == "camera" else "others"
        seconds[part] += thread.user_time + thread.system_time
    return seconds


# Tables


def engine_table(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A generator on the CPU."""
    clip, original = models() / "video/bikes_640x272_25fps.mp4", models() / "generators/multistyle26_cin.onnx"
    bundle, packed = pack_multistyle(original, folder)
    rounds = [
        {
            "engine": call_part("engine", arguments.frames, packed, clip),
            "run": call_run(["--bundle", str(bundle)], arguments.seconds, clip),
            "plain loop": call_part("plain", arguments.frames, original, clip),
            "run, no engine": call_run(["--generator", "passthrough://?size=256x256"], 2.0, clip),
        }
        for _ in progress(arguments.rounds, "engine")
    ]
    medians = medians_of(rounds)
    outside = statistics.median(
        r["run"]["daemon_ms"] + r["run"]["camera_ms"] + r["run, no engine"]["main_ms"] for r in rounds
    )
    ratio = statistics.median(r["run"]["hertz"] / r["plain loop"]["hertz"] for r in rounds)
    checks = {
        "run / plain loop, frames a second": (ratio, "at least 0.98"),
        "outside the engine, core-ms a frame": (outside, "at most 3"),
    }
    return {"title": "multistyle26_cin on the CPU, 256 × 256", "contenders": medians, "checks": checks}


def accelerator_table(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """An accelerator's stand-in: 20 ms, no CPU."""
    clip = models() / "video/bikes_640x272_25fps.mp4"
    generator = f"passthrough://?delay_ms={DELAY_MS:g}&size=256x256"
    rounds = [
        {
            "run": call_run(["--generator", generator], arguments.seconds, clip),
            "plain loop": call_part("plain-accelerator", arguments.frames, folder, clip),
        }
        for _ in progress(arguments.rounds, "accelerator")
    ]
    limit = 1e3 / DELAY_MS
    won = statistics.median(share_won(r["run"]["hertz"], r["plain loop"]["hertz"]) for r in rounds)
    medians = medians_of(rounds)
    checks = {
        f"run / {limit:g} frames a second": (medians["run"]["hertz"] / limit, "at least 0.98"),
        "of the plain loop's overhead won back": (won, "at least 0.97"),
    }
    return {"title": f"a stand-in of {DELAY_MS:g} ms (passthrough)", "contenders": medians, "checks": checks}


def share_won(run_hertz: float, plain_hertz: float) -> float:
    """How much of the time that the plain loop adds to the engine's is gone."""
    run_ms, plain_ms = 1e3 / run_hertz, 1e3 / plain_hertz
    return (plain_ms - run_ms) / (plain_ms - DELAY_MS)


def camera_table(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A 30 Hz camera and a generator of 6 to 10 ms: CPU time with ONNX Runtime's options and with ours."""
    model, milliseconds = small_generator(folder)
    rounds = [
        {
            "default options": paced(model, "on", arguments.seconds),
            "our options": paced(model, "auto", arguments.seconds),
        }
        for _ in progress(arguments.rounds, "camera")
    ]
    medians = medians_of(rounds)
    ratio = statistics.median(r["our options"]["cpu_ms"] / r["default options"]["cpu_ms"] for r in rounds)
    dropped = sum(r["our options"]["dropped"] - r["default options"]["dropped"] for r in rounds)
    checks = {
        "CPU a frame, ours / default": (ratio, "at most 0.45"),
        "dropped more than with defaults, all rounds": (dropped, "0"),
    }
    title = f"30 Hz camera, a generator of {milliseconds:.1f} ms"
    return {"title": title, "contenders": medians, "checks": checks}


def paced(model: Path, spinning: str, seconds: float) -> dict[str, float]:
    """A worker at a camera's pace: CPU of its process per frame, and the frames that were dropped."""
    generator = OnnxRuntimeGenerator(str(model))
    size = generator.output_size
    generator.close()
    camera = f"pattern://?rate={CAMERA_HERTZ:g}&size=640x480"
    task = WorkerTask(camera, f"onnxruntime://{model}?spinning={spinning}", "", "auto", "auto", None)
    worker = WorkerProcess(task, size, lossless=False)
    try:
        take_until(worker, time.monotonic() + 2.0)
        process = psutil.Process(worker.pid)
        cpu, start = sum(process.cpu_times()[:2]), time.monotonic()
        sequences = take_until(worker, start + seconds)
        cpu_s, elapsed = sum(process.cpu_times()[:2]) - cpu, time.monotonic() - start
    finally:
        worker.ask_to_stop()
        worker.finish(1.0)
        worker.close()
    dropped = sequences[-1] - sequences[0] + 1 - len(sequences)
    return {"hertz": len(sequences) / elapsed, "cpu_ms": cpu_s * 1e3 / len(sequences), "dropped": dropped}


def take_until(worker: WorkerProcess, end: float) -> list[int]:
    """Take what the worker draws; the sequence numbers of what was taken."""
    sequences = []
    while (left := end - time.monotonic()) > 0:
        select.select([worker.reader], [], [], left)
        published = worker.reader.take()
        if published is not None:
            sequences.append(published.sequence)
            worker.reader.release()
    return sequences


def latency_table(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """End-to-end latency in the shown pixels, for generators faster and slower than the camera."""
    contenders: dict[str, dict[str, float]] = {}
    checks: dict[str, tuple[float, str]] = {}
    for blocks in (4, 12, 24):
        bundle = pack_seeing_convolutions(blocks, folder)
        runs = [latency_once(bundle, folder) for _ in progress(arguments.rounds, "latency")]
        contender = medians_of([{"run": run} for run in runs])["run"]
        name = f"a generator of {contender['infer_ms']:.1f} ms"
        contenders[name] = contender
        share = statistics.median(r["p95_ms"] / (2.2 * r["infer_ms"] + 1e3 / CAMERA_HERTZ) for r in runs)
        checks[f"{name}: p95 / (2.2 × its median + one camera period)"] = (share, "at most 1")
        apart = statistics.median(abs(r["p95_ms"] - r["trace_p95_ms"]) for r in runs)
        checks[f"{name}: p95 in the pixels and in the trace, ms apart"] = (apart, "agree")
    title = f"end-to-end latency, {CAMERA_HERTZ:g} Hz pattern camera, read from the shown pixels"
    return {"title": title, "contenders": contenders, "checks": checks}


class ProbeDisplay:
    """Scales to a screen and reads the stamp of each picture."""

    poll_interval_s: float | None = None
    description = "probe"
    latencies_ms: ClassVar[list[float]] = []

    def __init__(self, path: str = "") -> None:
        self._scaler = Scaler(SCREEN)

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        """The instant after scaling; the picture's own stamp says when it was captured."""
        scaled = self._scaler(pixels)
        shown_ns = time.monotonic_ns()
        stamp = read_stamp(scaled)
        if stamp is None:
            sys.exit("bench_pipeline: a picture was shown whose stamp cannot be read")
        self.latencies_ms.append((shown_ns - stamp.captured_ns) / 1e6)
        return shown_ns

    def poll(self) -> bool:
        """Nobody can close it."""
        return True

    def close(self) -> None:
        """Nothing to let go of."""


def latency_once(bundle: Path, folder: Path) -> dict[str, float]:
    """One run of 150 shown frames; the first 20 do not count."""
    ProbeDisplay.latencies_ms.clear()
    cast(dict[str, str], DISPLAYS)["probe"] = "__main__:ProbeDisplay"
    trace = folder / "latency.trace"
    given = {"bundle": str(bundle), "camera": f"pattern://?rate={CAMERA_HERTZ:g}", "displays": ["probe://"]}
    run(load_config(None, {**given, "frames": WARM_UP + 150, "trace.file": str(trace)}))
    with closing(sqlite3.connect(trace)) as database:
        rows = database.execute("SELECT end_to_end_ms, infer_ms FROM frame_times ORDER BY id").fetchall()
    in_trace, infer = np.array(rows[WARM_UP:]).T
    in_pixels = ProbeDisplay.latencies_ms[WARM_UP:]
    return {
        "infer_ms": float(np.median(infer)),
        "p50_ms": float(np.median(in_pixels)),
        "p95_ms": float(np.percentile(in_pixels, 95)),
        "trace_p95_ms": float(np.percentile(in_trace, 95)),
    }


# Models


def pack_seeing_convolutions(blocks: int, folder: Path) -> Path:
    """A bundle of a network that works through `blocks` convolutions and still draws what it sees."""
    from onnx import TensorProto, helper, numpy_helper

    from edgegan.pack import PackOptions, pack_model

    nodes, weights, last = convolutions(blocks, "deep")
    nodes.insert(0, helper.make_node("SpaceToDepth", ["input"], ["deep"], blocksize=4))
    nodes += [
        helper.make_node("DepthToSpace", [last], ["wide"], blocksize=4),
        helper.make_node("Mul", ["wide", "nearly_nothing"], ["faint"]),
        helper.make_node("Add", ["input", "faint"], ["output"]),
    ]
    weights.append(numpy_helper.from_array(np.array(1e-9, np.float32), "nearly_nothing"))
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 256, 256]) for n in ("input", "output")
    ]
    graph = helper.make_graph(nodes, "seeing", values[:1], values[1:], weights)
    model, bundle = folder / "seeing.onnx", folder / f"seeing_{blocks}"
    model.write_bytes(serialised(graph))
    pack_model(
        model, bundle, PackOptions(name=f"seeing {blocks}", input_range=(0, 255), output_range=(0, 255))
    )
    return bundle


def pack_multistyle(original: Path, folder: Path) -> tuple[Path, Path]:
    """The bundle of multistyle26_cin with one style, and the packed model inside it."""
    from edgegan.bundle import Bundle
    from edgegan.pack import PackOptions, pack_model
    from edgegan.pack.recipe import Constant

    style = {"style": Constant(one_hot=STYLE)}
    options = PackOptions(name="multistyle", input_range=(0, 1), output_range=(0, 1), constants=style)
    bundle, packed = folder / "bundle", folder / "packed.onnx"
    pack_model(original, bundle, options)
    packed.write_bytes(Bundle.open(bundle).read_model("fp32"))
    return bundle, packed


def small_generator(folder: Path) -> tuple[Path, float]:
    """A packed network of plain convolutions with random weights that takes 6 to 10 ms here; and its median in ms."""
    for blocks in range(1, 40):
        path = folder / f"small_{blocks}.onnx"
        path.write_bytes(packed_convolutions(blocks))
        milliseconds = median_ms(path)
        if milliseconds >= 7.0:
            return path, milliseconds
    sys.exit("bench_pipeline: no generator of 6 to 10 ms could be made on this machine")


def median_ms(path: Path) -> float:
    """Median latency of a packed model, ms."""
    generator = OnnxRuntimeGenerator(str(path))
    pixels, out = (
        np.zeros((*generator.input_size, 3), np.uint8),
        np.empty((*generator.output_size, 3), np.uint8),
    )
    times = []
    for _ in range(40):
        start = time.monotonic()
        generator.infer(pixels, out)
        times.append(time.monotonic() - start)
    return statistics.median(times[10:]) * 1e3


def packed_convolutions(blocks: int) -> bytes:
    """uint8 (1, 256, 256, 3) to the same through space-to-depth, convolutions of 48 channels and back."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, last = convolutions(blocks, "x4")
    before = [
        helper.make_node("Cast", ["input"], ["x1"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x1"], ["x2"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["x2", "scale"], ["x3"]),
        helper.make_node("SpaceToDepth", ["x3"], ["x4"], blocksize=4),
    ]
    after = [
        helper.make_node("DepthToSpace", [last], ["y1"], blocksize=4),
        helper.make_node("Round", ["y1"], ["y2"]),
        helper.make_node("Clip", ["y2", "zero", "full"], ["y3"]),
        helper.make_node("Transpose", ["y3"], ["y4"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["y4"], ["output"], to=TensorProto.UINT8),
    ]
    scalars = {"scale": 1 / 255, "zero": 0.0, "full": 255.0}
    weights += [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in scalars.items()]
    shape = [1, 256, 256, 3]
    graph = helper.make_graph(
        before + nodes + after,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("output", TensorProto.UINT8, shape)],
        weights,
    )
    return serialised(graph)


def convolutions(blocks: int, last: str) -> tuple[list[Any], list[Any], str]:
    """Nodes and weights of so many 3 × 3 convolutions of 48 channels behind the tensor `last`; the last tensor."""
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for block in range(blocks):
        weight = (rng.standard_normal((48, 48, 3, 3)) * 0.05).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{block}"))
        nodes.append(helper.make_node("Conv", [last, f"w{block}"], [f"c{block}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{block}"], [f"r{block}"]))
        last = f"r{block}"
    return nodes, weights, last


def serialised(graph: Any) -> bytes:
    """A graph as the bytes of an ONNX file of opset 17."""
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


# Printing


def medians_of(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Median of each figure of each contender over the rounds."""
    return {
        name: {figure: statistics.median(r[name][figure] for r in rounds) for figure in rounds[0][name]}
        for name in rounds[0]
    }


def progress(rounds: int, name: str) -> Any:
    """Count the rounds, saying so on a terminal."""
    for index in range(rounds):
        if sys.stderr.isatty():
            print(f"\r{name}: round {index + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        yield index
    if sys.stderr.isatty():
        print(file=sys.stderr)


def text_of(table: dict[str, Any]) -> str:
    """A table as text."""
    lines = [table["title"]]
    for name, figures in table["contenders"].items():
        lines.append(f"  {name:<24} " + "   ".join(figure_text(*figure) for figure in figures.items()))
    for name, (value, wanted) in table["checks"].items():
        lines.append(f"  {name}: {value:.3f} ({wanted})")
    return "\n".join(lines)


def figure_text(name: str, value: float) -> str:
    """One figure with its unit."""
    if name == "hertz":
        return f"{value:8.2f} frames/s {1e3 / value:8.2f} ms a frame"
    return f"{name.removesuffix('_ms').replace('_', ' ')} {value:7.2f}" + (
        " ms" if name.endswith("_ms") else ""
    )


TABLES = {
    "engine": engine_table,
    "accelerator": accelerator_table,
    "camera": camera_table,
    "latency": latency_table,
}

if __name__ == "__main__":
    main()
