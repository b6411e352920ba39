"""Which options should ONNX Runtime have? Time and CPU time of a picture, at full speed and at a camera's pace.

    python tests/benchmarks/bench_onnxruntime_options.py [--model packed.onnx] [--rounds 5] [--rate 30]

Every variant of every round is a process of its own (sessions in one process disturb each other), and rounds are
interleaved; a ratio compares a variant with the default of the same round. What is printed goes into
docs/runtimes.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil

STOP, SPIN = "session.force_spinning_stop", "session.intra_op.allow_spinning"
SPIN_US = "session.intra_op.spin_duration_us"
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "threads = cores": {"threads": 0},
    "cores + stop": {"threads": 0, STOP: "1"},
    "default + stop": {STOP: "1"},
    "cores + no spinning": {"threads": 0, SPIN: "0"},
    "one thread": {"threads": 1},
    "cores + stop, no mem_pattern": {"threads": 0, STOP: "1", "mem_pattern": False},
    "cores + stop, no arena": {"threads": 0, STOP: "1", "arena": False},
    "cores + stop, basic graph": {"threads": 0, STOP: "1", "basic": True},
    "cores + spin 100 us": {"threads": 0, SPIN_US: "100"},
    "cores + stop + spin 20 us": {"threads": 0, STOP: "1", SPIN_US: "20"},
    "cores + stop + spin 100 us": {"threads": 0, STOP: "1", SPIN_US: "100"},
    "cores + stop + spin 300 us": {"threads": 0, STOP: "1", SPIN_US: "300"},
}


def measure(model: str, options: dict[str, Any], rate_hertz: float, seconds: float) -> dict[str, float]:
    """Run one variant in this process."""
    settings = onnxruntime.SessionOptions()
    for name, value in options.items():
        if "." in name:
            settings.add_session_config_entry(name, value)
    if "threads" in options:
        settings.intra_op_num_threads = options["threads"] or psutil.cpu_count(logical=False) or 1
    settings.enable_mem_pattern = options.get("mem_pattern", True)
    settings.enable_cpu_mem_arena = options.get("arena", True)
    if options.get("basic"):
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, session.get_inputs()[0].shape, np.uint8)
    out = np.empty(session.get_outputs()[0].shape, np.uint8)
    binding = session.io_binding()
    binding.bind_input(session.get_inputs()[0].name, "cpu", 0, np.uint8, pixels.shape, pixels.ctypes.data)
    binding.bind_output(session.get_outputs()[0].name, "cpu", 0, np.uint8, out.shape, out.ctypes.data)

    def run(period_s: float) -> tuple[float, float, float]:
        """Median and tenth percentile of a picture's wall time, and its mean CPU time, in ms."""
        for _ in range(10):
            session.run_with_iobinding(binding)
        times, cpu_start, end = [], time.process_time(), time.perf_counter() + seconds
        due = time.perf_counter()
        while (start := time.perf_counter()) < end:
            session.run_with_iobinding(binding)
            times.append(time.perf_counter() - start)
            due += period_s
            time.sleep(max(0.0, due - time.perf_counter()))
        cpu = (time.process_time() - cpu_start) / len(times)
        return statistics.median(times) * 1e3, float(np.percentile(times, 10)) * 1e3, cpu * 1e3

    full, paced = run(0.0), run(1 / rate_hertz)
    memory = psutil.Process().memory_info().rss / 2**20
    return {
        "full_ms": full[0],
        "full_p10_ms": full[1],
        "full_cpu_ms": full[2],
        "paced_ms": paced[0],
        "paced_cpu_ms": paced[2],
        "memory_mb": memory,
    }


def main() -> None:
    """Spawn every variant in turn, and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="", help="packed model; default: one of 6 to 10 ms with random weights"
    )
    parser.add_argument("--channels", type=int, default=12, help="of the default model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", help="comma-separated names of variants")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.model, json.loads(given.measure), given.rate, given.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        given.model = given.model or _own_model(Path(folder), given.channels)
        _print_table(_rounds(given))


def _own_model(folder: Path, channels: int) -> str:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.generator.packed import painter

    (folder / "painter.onnx").write_bytes(painter(channels, blocks=2))
    return str(folder / "painter.onnx")


def _rounds(given: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    names = given.only.split(",") if given.only else list(VARIANTS)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(given.rounds):
        for name in names if number % 2 else reversed(names):
            command = [sys.executable, __file__, "--model", given.model, "--rate", str(given.rate)]
            command += ["--seconds", str(given.seconds), "--measure", json.dumps(VARIANTS[name])]
            found[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    return found


def _print_table(found: dict[str, list[dict[str, float]]]) -> None:
    print(f"ONNX Runtime {onnxruntime.__version__}; (x) ratio to the default; medians over rounds\n")
    print(
        "| options | ms, full speed | p10 | CPU ms | ms, paced | CPU ms | MB |\n|---|---|---|---|---|---|---|"
    )
    base = found["default"]
    for name, rounds in found.items():
        cells = [name]
        for key in ("full_ms", "full_p10_ms", "full_cpu_ms", "paced_ms", "paced_cpu_ms"):
            ratio = statistics.median(r[key] / b[key] for r, b in zip(rounds, base, strict=True))
            cells.append(f"{statistics.median(r[key] for r in rounds):.1f} ({ratio:.2f})")
        cells.append(f"{statistics.median(r['memory_mb'] for r in rounds):.0f}")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
