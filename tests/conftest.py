"""Fixtures that many tests share."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real generators, photos and clips that EDGEGAN_MODELS names; see tests/README.md."""
    folder = os.environ.get("EDGEGAN_MODELS")
    if not folder:
        pytest.skip("EDGEGAN_MODELS names no folder of real generators (tests/README.md)")
    assert Path(folder).is_dir(), f"EDGEGAN_MODELS={folder} is no folder"
    return Path(folder)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, 200 KB large, or as the test's parameter has it (`size=1m`, `ro`)."""
    place, options = tmp_path / "disk", getattr(request, "param", "size=200k")
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of its own can only be mounted by root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
