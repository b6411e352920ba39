"""`tools/fuzz.py` itself: the end of its time, and what it leaves."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

ROOT = Path(__file__).parents[1]
HANGS = """
import os, subprocess, time
from pathlib import Path


def test_hangs():
    child = subprocess.Popen(["sleep", "300"])
    Path(os.environ["PID_FILE"]).write_text(str(child.pid))
    time.sleep(300)
"""


@pytest.fixture
def fuzz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, for the tests under tmp_path."""
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "tools/fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "tests/fuzz").mkdir(parents=True)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    return module


def ended(fuzz: ModuleType, content: str, minutes: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code with one file of tests."""
    (fuzz.ROOT / "tests/fuzz/test_config.py").write_text(content)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--minutes", minutes, "--only", "config"])
    code: int = fuzz.main()
    return code


def test_at_the_end_of_its_time_nothing_is_left_running(
    fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(fuzz, HANGS, "0.08", monkeypatch) == 2
    assert "no round was finished" in capsys.readouterr().out
    left = int((fuzz.ROOT / "pid").read_text())
    end = time.monotonic() + 2
    while psutil.pid_exists(left) and psutil.Process(left).status() != "zombie":
        assert time.monotonic() < end, "what the tests had started lives on"
        time.sleep(0.05)


def test_findings_and_rounds(fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(fuzz, "def test_finds(): assert False", "1", monkeypatch) == 1
    assert ended(fuzz, "def test_finds_nothing(): pass", "0.08", monkeypatch) == 0
