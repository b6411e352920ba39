"""Nothing grows: the checks of `tools/soak.py`, scaled; ten minutes each with EDGEGAN_FULL=1. And it can fail."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest

ROOT = Path(__file__).parents[1]
FULL = bool(os.environ.get("EDGEGAN_FULL"))
TIMES = ("--minutes", "10") if FULL else ("--minutes", "0.3", "--every", "0.5", "--memory-mb", "4")
"""In the first half minute a process is still filling its heap."""

LEAKY = """
import os, threading
from pathlib import Path

from edgegan.camera.pattern import PatternCamera

KEPT = []


class LeakyCamera(PatternCamera):
    def read(self, timeout_s):
        KEPT.append(bytearray(b"x" * 20_000))
        number = len(KEPT)
        if number % 10 == 0:
            KEPT.append(os.open(os.devnull, os.O_RDONLY))
            KEPT.append(os.memfd_create("leak"))
            os.ftruncate(KEPT[-1], 4096)
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            Path(os.environ["TMPDIR"], f"left{number}").touch()
        return super().read(timeout_s)
"""
REGISTERED = """
from edgegan import registry

registry.CAMERAS["leaky"] = "leaky:LeakyCamera"
"""


STILL = """
import sys, time

from edgegan.camera.pattern import PatternCamera


class StillCamera(PatternCamera):
    frames, still_at = 0, 240

    def read(self, timeout_s):
        self.frames += 1
        if self.frames == self.still_at:
            time.sleep(6)
        return super().read(timeout_s)


class ChattyCamera(PatternCamera):
    def read(self, timeout_s):
        print("a driver that tells a story of each frame, " * 50, file=sys.stderr, flush=True)
        return super().read(timeout_s)


class LateCamera(StillCamera):
    still_at = 1
"""
REGISTERED_STILL = """
from edgegan import registry

for name in ("Still", "Chatty", "Late"):
    registry.CAMERAS[name.lower()] = f"still:{name}Camera"
"""


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("soak", ROOT / "tools/soak.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["soak"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(soak: ModuleType, folder: Path, *options: str) -> dict[str, Any]:
    """What `tools/soak.py` finds."""
    result: dict[str, Any] = soak.soak(soak.parse_arguments(options), folder)
    return result


@pytest.mark.timeout(900)
@pytest.mark.parametrize("pace", ["full", "camera"])
def test_nothing_grows(soak: ModuleType, tmp_path: Path, pace: str) -> None:
    result = watched(soak, tmp_path, *TIMES, "--pace", pace)
    assert result["why"] == []
    assert result["frames"] > result["seconds"]
    names = {finding["name"] for finding in result["findings"]}
    for process in ("daemon", "worker"):
        assert {f"{process} {what}" for what in ("private_mb", "threads", "open: shared memory")} <= names


def test_a_camera_that_leaks_is_caught(
    soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that keeps memory, open files, shared memory and threads, and leaves files, in the real worker."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    (tmp_path / "sitecustomize.py").write_text(REGISTERED)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "run").mkdir()
    camera = ("--camera", "leaky://?size=160x120&rate=60", "--generator", "passthrough://")
    result = watched(
        soak, tmp_path / "run", "--minutes", "0.2", "--every", "0.4", "--memory-mb", "4", *camera
    )
    grown = {finding["name"] for finding in result["findings"] if finding["grew"]}
    kept = ("private_mb", "threads", "open: device", "open: shared memory", "shared memory, bytes")
    assert {f"worker {what}" for what in kept} | {"files of the run"} <= grown
    assert not {name for name in grown if name.startswith("daemon")}
    assert any("the run left tmp/left" in why for why in result["why"])


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for a run that knows the cameras `still`, `chatty` and `late`."""
    (tmp_path / "still.py").write_text(STILL)
    (tmp_path / "sitecustomize.py").write_text(REGISTERED_STILL)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def strange_run(soak: ModuleType, folder: Path, camera: str, *options: str) -> dict[str, Any]:
    """Twelve seconds of a small picture that nothing is drawn on."""
    uri = f"{camera}://?size=160x120&rate=60"
    times = ("--minutes", "0.2", "--every", "0.4", "--memory-mb", "20")
    return watched(soak, folder, "--camera", uri, "--generator", "passthrough://", *times, *options)


def test_a_run_that_stood_still_is_no_proof(soak: ModuleType, strange: Path) -> None:
    (why,) = strange_run(soak, strange, "still")["why"]
    assert re.fullmatch(r"no frame was shown for [56]\.\d s, \d+ s after the first", why)


def test_a_run_that_writes_a_lot_goes_on(soak: ModuleType, strange: Path) -> None:
    """Two KB a frame: a pipe that nobody reads would hold 32 of them."""
    result = strange_run(soak, strange, "chatty")
    assert result["why"] == []
    assert result["frames"] > 300


def test_the_time_begins_with_the_first_frame(soak: ModuleType, strange: Path) -> None:
    """It comes six seconds late, when a warm-up from the start would be over."""
    began = time.monotonic()
    result = strange_run(soak, strange, "late")
    assert result["why"] == []
    assert time.monotonic() - began > 12 + 6


def test_a_look_at_what_has_just_ended(soak: ModuleType, tmp_path: Path) -> None:
    """The run ends after it was asked whether it runs; so may a worker, while it is looked at."""
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(["true"]) as ended:
        time.sleep(0.5)  # not yet waited for: a zombie
        with pytest.raises(soak.GONE):
            soak.look(ended.pid, tmp_path)
    with pytest.raises(soak.GONE):
        soak.look(ended.pid, tmp_path)

    class JustEnded:
        pid, polls = ended.pid, iter([None, None, 0])

        def poll(self) -> int | None:
            return next(self.polls)

    assert soak.watch(JustEnded(), tmp_path, 5.0, 1.5, None) == {"seconds": []}


def test_a_worker_that_has_just_ended_is_left_out(soak: ModuleType, tmp_path: Path) -> None:
    parent = "import subprocess, time; child = subprocess.Popen(['true']); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        try:
            time.sleep(1.5)  # by now the child is a zombie, whose command line nobody gives
            assert [child.status() for child in psutil.Process(process.pid).children()] == ["zombie"]
            seen = soak.look(process.pid, tmp_path)
        finally:
            process.kill()
    assert seen["daemon threads"] == 1
    assert not [name for name in seen if name.startswith("worker")]


def test_few_looks_are_no_proof(soak: ModuleType) -> None:
    assert soak.too_few({"seconds": [1.0] * 7}) == ["only 7 looks after the warm-up: give more --minutes"]
    assert soak.too_few({"seconds": [1.0] * 8}) == []


@pytest.mark.parametrize(
    ("name", "per_hour", "noise", "step", "grew"),
    [
        ("worker private_mb", 0.0, 0.3, 0.0, False),
        ("worker private_mb", 4.0, 0.3, 0.0, False),  # 0.53 MB in these eight minutes
        ("worker private_mb", 12.0, 0.3, 0.0, True),
        ("worker private_mb", 12.0, 2.0, 0.0, False),  # lost in the noise: watch for longer
        ("worker private_mb", -50.0, 0.3, 0.0, False),
        ("worker threads", 0.0, 0.0, 1.0, True),
        ("worker threads", 0.0, 0.0, -1.0, False),
        ("worker resident_mb", 500.0, 0.0, 0.0, False),  # told, not judged
    ],
)
def test_what_counts_as_growth(
    soak: ModuleType, name: str, per_hour: float, noise: float, step: float, grew: bool
) -> None:
    seconds = np.arange(120.0, 600.0, 2.0)
    random = np.random.default_rng(0).normal(0, noise or 1e-9, len(seconds))
    values = 60 + per_hour * seconds / 3600 + random + step * (seconds > 400)
    if not noise:
        values = np.round(values, 3)
    assert soak.judge_one(name, seconds.tolist(), values.tolist(), 1.0).grew is grew


def test_one_wild_sample_is_no_growth(soak: ModuleType) -> None:
    values = [60.0] * 100 + [90.0] + [60.0] * 20
    assert not soak.judge_one("worker private_mb", list(range(121)), values, 1.0).grew


def test_a_run_that_fails_is_no_proof(soak: ModuleType, tmp_path: Path) -> None:
    result = watched(soak, tmp_path, "--minutes", "0.2", "--camera", "file://absent.mp4")
    assert len(result["why"]) == 1
    assert "exit code 2" in result["why"][0]
    assert "absent.mp4" in result["why"][0]
