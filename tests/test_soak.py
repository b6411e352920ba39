"""Nothing grows: the checks of `tools/soak.py`, scaled; ten minutes each with EDGEGAN_FULL=1. And it can fail."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
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
    assert result["frames"] > 0
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
