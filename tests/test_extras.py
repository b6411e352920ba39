"""The mend that adds an extra fits to where edgegan came from."""

from pathlib import Path

import pytest

from edgegan import extras


def test_an_installed_edgegan_is_installed_again_from_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "checkout", lambda: None)
    assert extras.install_command("pack") == "pip install 'edgegan[pack]'"
    assert extras.install_command() == "pip install edgegan"


def test_in_a_clone_its_own_folder_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "checkout", lambda: tmp_path)
    assert extras.install_command("pack") == "pip install 'edgegan[pack]' (in a clone: pip install '.[pack]')"


def test_a_clone_is_known_by_its_setup(tmp_path: Path) -> None:
    assert extras.checkout(tmp_path / "edgegan") is None
    (tmp_path / "setup.py").touch()
    assert extras.checkout(tmp_path / "edgegan") == tmp_path
