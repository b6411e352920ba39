"""The runtimes and precisions of a bundle against one another; what is printed goes into docs/runtimes.md.

    python tests/benchmarks/bench_runtimes.py [BUNDLE…] [--rounds 7] [--seconds 1] [--rate 10] [--photos DIR]

Every runtime of every round is a process of its own, through its driver as shipped; the order is drawn anew in each
round. A ratio compares a runtime with the first one of the same round, so that a load which comes and goes hits both
alike; beside it are its quartiles. "Paced" is at a camera's pace: what a runtime burns while it waits shows there.
Quality is that of five pictures against the first runtime's.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgegan.bundle import Bundle
from edgegan.engine.candidates import Candidate, candidates
from edgegan.engine.trial import open_candidate
from edgegan.frame import Pixels
from edgegan.generator import Generator
from edgegan.quality import psnr_db
from edgegan.resources import shipped_bundle

HEADS = (
    "ms",
    "ratio",
    "quartiles",
    "CPU ms",
    "ms paced",
    "CPU ms paced",
    "load ms",
    "MB",
    "PSNR dB",
    "worst",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, help="default: the shipped one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each of a round's two measurements")
    parser.add_argument("--rate", type=float, default=10.0, help="pictures a second, paced")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--photos", type=Path, help="for the quality; default: the shipped clip")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.bundles[0], given)))
        return
    print("| generator | runtime | " + " | ".join(HEADS) + " |\n" + "|---" * (len(HEADS) + 2) + "|")
    for bundle in given.bundles or [shipped_bundle()]:
        for line in lines(bundle, given):
            print(line, flush=True)


def opened(bundle: Path, runtime: str, threads: int | None) -> Generator:
    return open_candidate(ways(bundle)[runtime], Bundle.open(bundle), threads)


def ways(bundle: Path) -> dict[str, Candidate]:
    """All ways to run a bundle here: every runtime, in every precision that the bundle has for it."""
    return {f"{one.runtime} {one.precision}": one for one in candidates(Bundle.open(bundle))[0]}


def measured(bundle: Path, given: argparse.Namespace) -> dict[str, float]:
    """One runtime on one bundle, in this process."""
    start = time.perf_counter()
    with closing(opened(bundle, given.measure, given.threads)) as generator:
        pixels = np.random.default_rng(0).integers(0, 256, (*generator.input_size, 3), np.uint8)
        out = np.empty((*generator.output_size, 3), np.uint8)
        generator.infer(pixels, out)
        load_s = time.perf_counter() - start

        def run(period_s: float) -> tuple[float, float]:
            """A picture's median wall time and mean CPU time, in ms."""
            times, cpu_start, due = [], time.process_time(), time.perf_counter()
            end = due + given.seconds
            while (begun := time.perf_counter()) < end or len(times) < 3:
                generator.infer(pixels, out)
                times.append(time.perf_counter() - begun)
                due += period_s
                time.sleep(max(0.0, due - time.perf_counter()))
            return 1e3 * statistics.median(times), 1e3 * (time.process_time() - cpu_start) / len(times)

        (ms, cpu_ms), (paced_ms, paced_cpu_ms) = run(0.0), run(1 / given.rate)
        return {
            "ms": ms,
            "cpu_ms": cpu_ms,
            "paced_ms": paced_ms,
            "paced_cpu_ms": paced_cpu_ms,
            "load_ms": 1e3 * load_s,
            "mb": psutil.Process().memory_info().rss / 2**20,
        }


def lines(bundle: Path, given: argparse.Namespace) -> list[str]:
    """One generator's lines of the table."""
    rounds: list[dict[str, Any]] = []
    runtimes = list(ways(bundle))
    for _ in range(given.rounds):
        order = random.sample(sorted(runtimes), len(runtimes))
        rounds.append({runtime: alone(bundle, runtime, given) for runtime in order})
    drawn = {runtime: pictures(bundle, runtime, given.photos) for runtime in runtimes}
    first = runtimes[0]
    return [line(bundle, runtime, first, rounds, drawn) for runtime in runtimes]


def alone(bundle: Path, runtime: str, given: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, str(bundle), "--measure", runtime, "--rate", str(given.rate)]
    command += ["--seconds", str(given.seconds)]
    command += ["--threads", str(given.threads)] if given.threads else []
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def pictures(bundle: Path, runtime: str, photos: Path | None) -> list[Pixels]:
    from edgegan.pack.pictures import (
        comparison_pictures,  # not where memory is measured: it loads ONNX's tools
    )

    with closing(opened(bundle, runtime, None)) as generator:
        outs = []
        for pixels in comparison_pictures(photos, generator.input_size).pictures:
            outs.append(np.empty((*generator.output_size, 3), np.uint8))
            generator.infer(pixels, outs[-1])
        return outs


def line(
    bundle: Path, runtime: str, first: str, rounds: list[dict[str, Any]], drawn: dict[str, list[Pixels]]
) -> str:
    def middle(key: str) -> str:
        return f"{statistics.median(r[runtime][key] for r in rounds):.1f}"

    ratios = [r[runtime]["ms"] / r[first]["ms"] for r in rounds]
    low, ratio, high = statistics.quantiles(ratios * 2, n=4, method="inclusive")
    quality = [psnr_db(a, b) for a, b in zip(drawn[first], drawn[runtime], strict=True)]
    cells = [bundle.stem, runtime, middle("ms"), f"{ratio:.2f}", f"{low:.2f}–{high:.2f}", middle("cpu_ms")]
    cells += [middle(key) for key in ("paced_ms", "paced_cpu_ms", "load_ms", "mb")]
    cells += [f"{statistics.mean(quality):.1f}", f"{min(quality):.1f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
