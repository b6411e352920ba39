"""Fixtures that many tests share."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgegan.engine.fingerprint import runtime_version


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real generators, photos and clips that EDGEGAN_MODELS names; see tests/README.md."""
    folder = os.environ.get("EDGEGAN_MODELS")
    if not folder:
        pytest.skip("EDGEGAN_MODELS names no folder of real generators (tests/README.md)")
    assert Path(folder).is_dir(), f"EDGEGAN_MODELS={folder} is no folder"
    return Path(folder)


@pytest.fixture
def broken_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have `import openvino` run the code that is given instead, in the processes that this one starts."""
    if runtime_version("openvino") is None:
        pytest.skip("needs the extra 'openvino'")
    folder = tmp_path / "broken" / "openvino"
    folder.mkdir(parents=True)

    def breaks(code: str) -> None:
        (folder / "__init__.py").write_text(code)
        monkeypatch.syspath_prepend(folder.parent)

    return breaks


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
