"""Does `edgegan build` choose the fastest? What is printed goes into docs/performance.md.

    python tests/benchmarks/bench_build.py [BUNDLE…] [--rounds 9] [--seconds 1]

Each bundle is built into an empty store. Then all that passed is timed anew, independently of `build`: one process
at a time, through the drivers alone, in an order that is drawn anew in each round. "Choice / best" compares what was
chosen with the fastest by the median over rounds, round by round, with quartiles: 1.00 is the best there is.
"FP32 / INT8" is how many times longer the fastest FP32 of all runtimes takes than the fastest INT8 (whatever else that
computes in), and, in brackets, than the fastest whose rest is FP32; what fails the gate is in neither.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_runtimes import alone

from edgegan.resources import shipped_bundle

HEADS = (
    *("generator", "build's choice", "ladder, ms by build", "measured anew, ms", "fastest", "choice / best"),
    *("quartiles", "FP32 / INT8"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, help="default: the shipped one")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    given = parser.parse_args()
    given.rate, given.threads = 1000.0, None  # as fast as it goes
    print(f"| {' | '.join(HEADS)} |")
    print("|---" * len(HEADS) + "|")
    for bundle in given.bundles or [shipped_bundle()]:
        print(line(bundle, given), flush=True)


def line(bundle: Path, given: argparse.Namespace) -> str:
    built = build(bundle)
    ways = {f"{rung['runtime']} {rung['precision']}": rung["latency_ms_p50"] for rung in built["ladder"]}
    rounds = []
    for _ in range(given.rounds):
        order = random.sample(sorted(ways), len(ways))
        rounds.append({way: alone(bundle, way, given)["ms"] for way in order})
    anew = {way: statistics.median(r[way] for r in rounds) for way in ways}
    choice, best = next(iter(ways)), min(anew, key=lambda way: anew[way])
    low, ratio, high = quartiles([r[choice] / r[best] for r in rounds])
    cells = [bundle.stem, choice, text(ways), text(anew), best, f"{ratio:.2f}", f"{low:.2f}–{high:.2f}"]
    return "| " + " | ".join([*cells, gain(rounds)]) + " |"


def gain(rounds: list[dict[str, float]]) -> str:
    """What INT8 saves, of any kind and with the rest in FP32."""
    kinds = {way: way.rpartition(" ")[2] for way in rounds[0]}
    said = []
    for wanted in (lambda kind: kind.startswith("int8"), lambda kind: kind == "int8"):
        int8 = [way for way, kind in kinds.items() if wanted(kind)]
        fp32 = [way for way, kind in kinds.items() if kind == "fp32"]
        if not int8 or not fp32:
            return "–"
        ratios = [min(r[way] for way in fp32) / min(r[way] for way in int8) for r in rounds]
        low, ratio, high = quartiles(ratios)
        said.append(f"{ratio:.2f}, {low:.2f}–{high:.2f}")
    return f"{said[0]} ({said[1]})"


def quartiles(ratios: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(ratios * 2, n=4, method="inclusive")
    return low, middle, high


def build(bundle: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "edgegan", "build", str(bundle), "--store", store, "--json"]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return found


def text(ways: dict[str, float]) -> str:
    return ", ".join(f"{way} {ms:.1f}" for way, ms in ways.items())


if __name__ == "__main__":
    main()
