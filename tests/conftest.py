"""Fixtures that many tests share."""

import os
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
