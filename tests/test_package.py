"""The wheel: built from the sources, installed elsewhere, complete and no fuller than it should be."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
    "edgegan",
    "engines",
    "deploy",
    "systemd",
]
SHIPPED = {".md", ".yaml", ".edgegan", ".mp4", ".service", ".rules", ".conf"}
MOST_BYTES = 12_000_000


def ran(command: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the sdist, so that this is known to be complete too; the checkout stays clean."""
    folder = tmp_path_factory.mktemp("package")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(source, folder / "source")
    ran(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "source"],
        folder,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed package and nothing of the checkout."""
    target = tmp_path_factory.mktemp("installed")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        target,
        wheel,
    ]
    ran(pip, target)
    return target


@pytest.fixture
def environment(installed: Path) -> dict[str, str]:
    """Finds the installed package before any other, and no screen."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return inherited | {"PYTHONPATH": str(installed)}


def test_the_wheel_holds_every_module_and_only_what_a_device_needs(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("edgegan/")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "edgegan").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    others = names - modules - {"edgegan/py.typed"}
    assert all(name.startswith("edgegan/data/") for name in others)
    assert {Path(name).suffix for name in others} <= SHIPPED
    assert {"edgegan/py.typed", "edgegan/data/deploy/default.yaml", "edgegan/data/systemd/README.md"} <= names


def test_the_wheel_holds_the_shipped_bundle_and_clip(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "edgegan/data/engines/paint/paint.edgegan" in names
    assert "edgegan/data/engines/clip/paint_demo.mp4" in names


def test_the_wheel_is_small_and_carries_its_licence(wheel: Path) -> None:
    names = [Path(name).name for name in zipfile.ZipFile(wheel).namelist()]
    assert {"LICENSE", "NOTICE"} <= set(names)
    assert wheel.stat().st_size < MOST_BYTES


def test_the_installed_command_finds_its_own_files(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    where = ran([sys.executable, "-c", "import edgegan; print(edgegan.__file__)"], tmp_path, environment)
    assert Path(where.strip()) == installed / "edgegan" / "__init__.py"
    template = ran([installed / "bin" / "edgegan", "config", "--template"], tmp_path, environment)
    assert template == (ROOT / "deploy" / "default.yaml").read_text("utf-8")


def test_the_installed_demo_runs_anywhere(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [installed / "bin" / "edgegan", "demo", "--seconds", "2", "--json"]
    summary = json.loads(ran(command, tmp_path, environment))
    assert summary["frames"] > 0
    for key in ("video", "trace", "report"):
        result = (tmp_path / summary[key]).resolve()
        assert tmp_path.resolve() in result.parents
        assert result.stat().st_size > 0
