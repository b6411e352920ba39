"""A small world for one command: it sees this and nothing else, and whatever it leaves behind is found."""

import hashlib
import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
SECONDS = 20.0
"""Longer than anything here takes on a busy machine; whoever takes longer hangs."""
_MOST_MEGABYTES = 1500
"""A display of 16384 x 16384 pixels, the largest that there is, takes 900."""
_CODES = (0, 1, 2)


@dataclass(frozen=True)
class Outcome:
    """How a command ended. code is negative for a signal, as in `subprocess`."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The text behind 'edgegan: error: ', which may go on for several lines."""
        return self.stderr.partition("edgegan: error: ")[2]


class Cage:
    """Working directory, home and folder for temporary files, with sentinels around; commands may write `target` alone.

    `run` takes a server that lives on for the next command; `spawn` a process of its own. Both judge the outcome, and
    what was left behind, and raise AssertionError with the finding.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.outside = folder / "cage", folder / "cage/work", folder / "outside"
        self.target = self.work / "target"
        for name in ("work", "home", "tmp", "work/deep/er"):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name / "sentinel").write_text("leave me alone")
        self.outside.mkdir()
        self.server: _Server | None = None

    @contextmanager
    def new_target(self) -> Iterator[Path]:
        """The folder into which an example may write; afterwards it is gone."""
        self.target.mkdir()
        try:
            yield self.target
        finally:
            shutil.rmtree(self.target, ignore_errors=True)

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.close()

    @property
    def environment(self) -> dict[str, str]:
        """For commands."""
        away = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "PYTHONPATH", "PYTEST_CURRENT_TEST")
        kept = {name: value for name, value in os.environ.items() if name not in away}
        own = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}
        return {**kept, **own, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *arguments: str, codes: Iterable[int] = _CODES) -> Outcome:
        """Run `edgegan` with these arguments in the server."""
        server = self.server = self.server if self.server and self.server.alive() else _Server(self)
        return self._judged(arguments, codes, lambda: server.run(arguments))

    def spawn(self, *arguments: str, codes: Iterable[int] = _CODES) -> Outcome:
        """Run `edgegan` with these arguments in a process of its own."""
        return self._judged(arguments, codes, lambda: self._spawned(arguments))

    def _spawned(self, arguments: tuple[str, ...]) -> Outcome:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgegan", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.work,
            env=self.environment,
        )
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            end_with_children(process.pid)
            process.communicate()
            raise AssertionError(f"{shown(arguments)} hangs") from None
        return Outcome(
            arguments, process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")
        )

    def _judged(self, arguments: tuple[str, ...], codes: Iterable[int], run: Any) -> Outcome:
        before = self.snapshot()
        outcome: Outcome = run()
        judge(outcome, codes)
        after = self.snapshot()
        changed = sorted(str(p) for p in before.keys() ^ after.keys()) + [
            str(p) for p in before.keys() & after.keys() if before[p] != after[p]
        ]
        assert not changed, f"{shown(arguments)} touched {changed}"
        return outcome

    def snapshot(self) -> dict[Path, str]:
        """Everything in the cage but the target: what it is and holds."""
        found = {}
        for folder, folders, files in os.walk(self.folder):
            for name in [*folders, *files]:
                path = Path(folder, name)
                if self.target not in (path, *path.parents):
                    found[path.relative_to(self.folder)] = fingerprint(path)
        return found


class _Server:
    """`tests.fuzz.server` in a process of its own."""

    def __init__(self, cage: Cage) -> None:
        self._files = [cage.outside / "stdout", cage.outside / "stderr"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.server", *map(str, self._files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(cage.outside / "server").open("wb"),
            cwd=cage.work,
            env=cage.environment,
            text=True,
        )
        self._held: dict[str, Any] = {}
        self.run(("config", "--json"))

    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, arguments: Sequence[str]) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is dead, as the next line finds out
            print(json.dumps(arguments), file=self._process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                end_with_children(self._process.pid)
                self._process.wait()
                raise AssertionError(f"{shown(arguments)} hangs")
        line = self._process.stdout.readline()
        code = json.loads(line)["code"] if line else self._process.wait()
        stdout, stderr = (file.read_text("utf-8", "replace") for file in self._files)
        if line:
            self._compare(arguments, json.loads(line))
        return Outcome(tuple(arguments), code, stdout, stderr)

    def _compare(self, arguments: Sequence[str], answer: dict[str, Any]) -> None:
        """Nothing may stay open; what a library opens once and for all is excused the first time."""
        peak = answer.pop("peak_megabytes")
        if peak >= _MOST_MEGABYTES:
            self.close()
        assert peak < _MOST_MEGABYTES, f"{shown(arguments)} took {peak} MB"
        assert not answer["children"], f"{shown(arguments)} left processes"
        for what in ("descriptors", "threads"):
            known = self._held.setdefault(what, answer[what])
            new = [name for name in answer[what] if answer[what].count(name) > known.count(name)]
            self._held[what] = answer[what]
            first = f"{what} {arguments[0]} {arguments[2] if arguments[0] == '!open' else ''}".partition(":")[
                0
            ]
            if new and first in self._held:
                raise AssertionError(f"{shown(arguments)} left {what}: {new}")
            self._held[first] = True

    def close(self) -> None:
        end_with_children(self._process.pid)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def judge(outcome: Outcome, codes: Iterable[int] = _CODES) -> None:
    """Raise AssertionError unless a command ended as each should: well, or with one clear error."""
    what = f"{shown(outcome.arguments)} gave {outcome.code}\n{outcome.stderr[-3000:]}"
    assert outcome.code in codes, what
    assert "Traceback" not in outcome.stderr, what
    assert "a bug" not in outcome.stderr, what
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("edgegan: error: ")]
    assert len(errors) == bool(outcome.code), what
    if outcome.code:
        assert len(errors[0]) > len("edgegan: error: "), what
    if "--json" in outcome.arguments:
        judge_json(outcome, what)


def judge_json(outcome: Outcome, what: str) -> None:
    """Standard output is one document; an error in it says what to do."""
    try:
        document = json.loads(outcome.stdout)
    except ValueError as error:
        raise AssertionError(
            f"{what}\nstandard output is no JSON: {error}\n{outcome.stdout[:500]}"
        ) from error
    assert ("error" in document) == bool(outcome.code), what
    if outcome.code == 2:
        message, mend = document["error"]["message"], document["error"]["mend"]
        assert mend or "\n" in message or "should be" in message, f"{what}\nit does not say what to do"


def shown(arguments: Sequence[str]) -> str:
    """A command line, cut where it becomes too long to read."""
    return " ".join(repr(a) if len(a) < 300 else repr(a[:300]) + "…" for a in ("edgegan", *arguments))


def fingerprint(path: Path) -> str:
    """What a file is and holds."""
    status = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{status.st_mode:o} {status.st_ino} {content}"


def end_with_children(pid: int) -> None:
    """Kill a process and all that it started."""
    try:
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            one.kill()
    except psutil.NoSuchProcess:
        return
