"""The doctor on this machine, and on this machine with parts that are broken for real."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgegan import doctor
from edgegan.doctor import Check, examine, verdict
from edgegan.report.text import doctor_text


def examined(packages: Path | None = None, *arguments: str, **environment: str) -> tuple[Any, int]:
    """`edgegan doctor --json` with `packages` in front of everything installed; the result and the exit code."""
    places = [
        place for place in sys.path if Path(place).is_absolute()
    ]  # an editable install puts its hook there too
    path = os.pathsep.join([*([str(packages)] if packages else []), *places])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from edgegan.cli import main; raise SystemExit(main())",
            "doctor",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    assert "Traceback" not in done.stderr
    return (json.loads(done.stdout) if "--json" in arguments else done.stdout), done.returncode


def package(folder: Path, name: str, content: str) -> Path:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(content)
    return folder


def by_name(result: Any) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in result["checks"]}


def test_this_machine_can_run_edgegan() -> None:
    started = time.monotonic()
    result, code = examined(None, "--json")
    assert time.monotonic() - started < 40
    assert code == 0
    assert result["verdict"] in ("ok", "degraded")
    for check in result["checks"]:
        assert set(check) == {"name", "state", "found", "mend"}
        assert check["state"] in ("ok", "warning", "failed", "absent")
    checks = by_name(result)
    assert "draws the reference picture within" in checks["runtime onnxruntime"]["found"]
    for name in ("python", "edgegan", "numpy", "cv2", "shipped bundle", "video encoder", "clock", "kernel"):
        assert checks[name]["state"] == "ok", checks[name]


def test_a_library_that_crashes_takes_only_itself_down(tmp_path: Path) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    result, code = examined(package(tmp_path, "numpy", crash), "--json")
    checks = by_name(result)
    assert (result["verdict"], code) == ("broken", 1)
    assert checks["numpy"] == {
        "name": "numpy",
        "state": "failed",
        "found": "cannot be imported: it was killed by SIGSEGV",
        "mend": "pip install --force-reinstall 'numpy>=1.24'",
    }
    assert checks["runtime onnxruntime"]["state"] == "failed"
    assert "SIGSEGV" in checks["runtime onnxruntime"]["found"]
    for name in ("pydantic", "yaml", "psutil", "shipped bundle"):
        assert checks[name]["state"] == "ok"


def test_a_library_that_is_broken_is_named_with_its_mend(tmp_path: Path) -> None:
    package(tmp_path, "av", "raise ImportError('libavcodec.so.61: cannot open shared object file')")
    package(tmp_path, "cv2", "raise ImportError('libGL.so.1: cannot open shared object file')")
    package(tmp_path, "yaml", "raise ModuleNotFoundError(\"No module named 'yaml'\", name='yaml')")
    result, code = examined(tmp_path, "--json")
    checks = by_name(result)
    assert (result["verdict"], code) == ("broken", 1)
    assert checks["av"]["found"].startswith("cannot be imported: ImportError: libavcodec.so.61")
    assert checks["av"]["mend"] == "pip install --force-reinstall 'av>=15'"
    assert checks["cv2"]["mend"] == "apt install libgl1 libglib2.0-0"
    assert checks["yaml"]["mend"] == "pip install 'PyYAML>=6'"
    assert (checks["video encoder"]["state"], checks["numpy"]["state"]) == ("warning", "ok")


def test_a_package_that_is_too_old_degrades_and_is_no_failure(tmp_path: Path) -> None:
    text, code = examined(package(tmp_path, "pydantic", "__version__ = '2.4.9'"), PYTHONIOENCODING="utf-8")
    assert code == 0
    assert "! pydantic" in text
    assert "2.4.9, older than 2.5\n" in text
    assert "→ pip install --upgrade 'pydantic>=2.5'" in text
    assert "verdict: degraded (1 warning" in text


def test_a_terminal_without_those_letters_gets_plain_ones() -> None:
    text, _ = examined(None, PYTHONIOENCODING="ascii")
    assert text.isascii()
    assert "\nok   numpy " in text
    assert "\\u" not in text


# The report


def test_verdicts() -> None:
    checks = [Check("a", "ok", "1"), Check("b", "absent", None)]
    assert verdict(checks) == "ok"
    assert verdict([*checks, Check("c", "warning", "x", "y")]) == "degraded"
    assert verdict([*checks, Check("c", "warning", "x", "y"), Check("d", "failed", "x", "y")]) == "broken"


def test_an_examination_that_hangs_or_fails_is_itself_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    def hang(host: object) -> list[Check]:
        forever.wait()
        return []

    def fail(host: object) -> list[Check]:
        raise ZeroDivisionError("oh")

    fine = [Check("fine", "ok", "yes")]
    monkeypatch.setattr(doctor, "EXAMINATIONS", {"a": hang, "b": fail, "c": lambda _: fine})
    started = time.monotonic()
    result = examine(patience_s=0.3)
    forever.set()
    assert time.monotonic() - started < 3
    a, b, c = result["checks"]
    assert (result["verdict"], a["state"], b["state"], c["state"]) == ("broken", "failed", "failed", "ok")
    assert a["found"] == "the examination did not end within 0.3 s"
    assert b["found"] == "the examination itself failed: ZeroDivisionError: oh"


def test_it_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(host: object) -> list[Check]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(doctor, "EXAMINATIONS", {"quick": lambda _: [], "slow one": slow})
    told: list[tuple[str, float]] = []
    examine(progress=lambda what, share: told.append((what, share)))
    assert told[-1] == ("slow one", 0.5)


def test_a_terminal_sees_progress() -> None:
    """`script` gives the program a terminal."""
    command = f"{sys.executable} -m edgegan doctor > /dev/null"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    assert b"[####" in done.stdout


def test_what_is_absent_says_why() -> None:
    result, _ = examined(None, "--json")
    assert [check for check in result["checks"] if check["state"] == "absent" and not check["found"]] == []


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    checks = by_name(examined(None, "--json")[0])
    assert checks["working folder"]["state"] == "warning"
    assert checks["working folder"]["found"] == "it is gone: No such file or directory"
    assert checks["engine store"]["state"] == "ok"


RESULT = {
    "verdict": "broken",
    "checks": [
        {"name": "python", "state": "ok", "found": "3.11", "mend": ""},
        {"name": "cv2", "state": "failed", "found": "cannot\n be imported", "mend": "pip install x"},
        {"name": "a camera", "state": "warning", "found": "busy", "mend": "close it"},
        {"name": "board", "state": "absent", "found": None, "mend": ""},
    ],
}


def test_the_report_as_text() -> None:
    assert doctor_text(RESULT, "utf-8").splitlines() == [
        "✓ python    3.11",
        "✗ cv2       cannot be imported",
        "            → pip install x",
        "! a camera  busy",
        "            → close it",
        "· board     -",
        "verdict: broken (1 failed, 1 warning, 1 absent)",
    ]
    assert doctor_text(RESULT, "ascii").splitlines()[1:3] == [
        "FAIL cv2       cannot be imported",
        "               -> pip install x",
    ]
    assert doctor_text(RESULT, "no such encoding") == doctor_text(RESULT, "ascii")
