"""What an import loads. The direction of imports is held by import-linter (pyproject.toml)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"av", "matplotlib", "onnx", "onnxruntime", "onnxsim", "openvino", "pandas", "scipy", "sdl2", "torch"}


def loaded_by(module: str) -> set[str]:
    """Names of the top-level packages in a fresh interpreter that has imported `module`."""
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["edgegan.daemon", "edgegan.worker", "edgegan.bundle", "edgegan.telemetry.trace"]
)
def test_the_device_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module) & HEAVY == set()


def test_the_configuration_loads_neither_numpy_nor_opencv() -> None:
    assert loaded_by("edgegan.config") & (HEAVY | {"cv2", "numpy"}) == set()


def test_the_doctor_comes_to_where_nothing_else_works() -> None:
    assert loaded_by("edgegan.doctor") & (HEAVY | {"cv2", "numpy", "pydantic", "yaml", "psutil"}) == set()


def test_the_command_line_loads_nothing_to_print_its_help() -> None:
    assert loaded_by("edgegan.cli") & (HEAVY | {"cv2", "numpy", "pydantic", "yaml", "psutil"}) == set()


def test_a_runtime_tells_nobody_and_leaves_no_number_of_this_device(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry writes its files before it sends anything."""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {n: v for n, v in os.environ.items() if not n.startswith("ORT_") and n != "CI"} | home
    code = "import edgegan.generator.onnxruntime, onnxruntime; onnxruntime.get_available_providers()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
