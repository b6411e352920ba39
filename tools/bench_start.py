"""How long until the first picture, and how much memory: `edgegan run` with the shipped generator and clip.

    python tools/bench_start.py [--rounds 5] [--json]

Each round drops the kernel's file cache first, so that everything comes from the disk (needs root; otherwise it says
that the starts were warm), starts `edgegan run --display null://?size=1920x1080`, and reads from its summary how long
after the start of its process the first frame drawn by the generator was shown. Memory is read from the kernel after
four seconds: resident (RSS) and proportional (PSS, which counts a page shared by both processes once).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

SECONDS = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rounds = [start_once() for _ in range(arguments.rounds)]
    result = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    result["first_frame_s_worst"] = max(one["first_frame_s"] for one in rounds)
    print(
        json.dumps(result, indent=1)
        if arguments.json
        else "\n".join(f"{k}: {v:g}" for k, v in result.items())
    )


def start_once() -> dict[str, float]:
    """One start: seconds to the first frame, and memory of both processes in MB (2**20 bytes)."""
    cold = drop_file_cache()
    command = [sys.executable, "-m", "edgegan", "run", "--json", "--seconds", str(SECONDS)]
    command += ["--display", "null://?size=1920x1080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        time.sleep(SECONDS - 1)
        daemon = psutil.Process(process.pid)
        memory = [p.memory_full_info() for p in [daemon, *daemon.children()]]
        output, _ = process.communicate()
    return {
        "first_frame_s": json.loads(output)["first_frame_s"],
        "cold": float(cold),
        "resident_mb": sum(m.rss for m in memory) / 2**20,
        "proportional_mb": sum(m.pss for m in memory) / 2**20,
    }


def drop_file_cache() -> bool:
    """Have the kernel forget the files it has in memory; False if it refuses."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
