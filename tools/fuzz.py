"""Look for input that edgegan does not take well: the tests of tests/fuzz with new examples, for as long as is wanted.

    python tools/fuzz.py [--minutes 60] [--only config|bundle|uris] [--examples 500]

Each round gives every test other examples. The first finding ends the program, with Hypothesis's smallest example of it
and exit code 1; make it an `@example` of its test when it is mended. Exit code 0: the time is over, nothing was found;
2: it was over before one round was.
What each example must keep to is in tests/fuzz/cage.py. Needs what the tests need: pip install 'edgegan[dev]'.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Round after round."""
    arguments = parse_arguments()
    start, rounds = time.monotonic(), 0
    target = ROOT / "tests/fuzz" / (f"test_{arguments.only}.py" if arguments.only else "")
    environment = {**os.environ, "EDGEGAN_FUZZ_EXAMPLES": str(arguments.examples)}
    while (left_s := arguments.minutes * 60 - (time.monotonic() - start)) > 0:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "--timeout=0",
            str(target),
        ]
        code = run(command, environment, left_s)
        if code is None:
            break
        if code:
            return 1
        rounds += 1
        print(f"{rounds} rounds, {(time.monotonic() - start) / 60:.0f} minutes: nothing found", flush=True)
    if not rounds:
        print("no round was finished, so nothing is known: give more --minutes, or fewer --examples")
        return 2
    print(f"the time is over after {rounds} whole rounds: nothing found")
    return 0


def run(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> int | None:
    """The exit code; None if the time was over before. Whatever the command started ends with it."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=["config", "bundle", "uris"], help="one file of tests/fuzz")
    parser.add_argument(
        "--examples", type=int, default=500, help="of a test in each round; some take ten times that"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
