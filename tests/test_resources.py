import pytest

from edgegan import resources
from edgegan.errors import BundleError


def test_finds_what_lies_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "edgegan")
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines/x.yaml").touch()
    with pytest.raises(BundleError, match=r"lacks 'engines/x\.yaml'"):
        resources.resource("engines/x.yaml")  # site-packages: somebody else's engines/
    (tmp_path / "setup.py").touch()
    assert resources.resource("engines/x.yaml") == tmp_path / "engines/x.yaml"


def test_what_is_installed_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "edgegan")
    installed = tmp_path / "edgegan/data/engines/paint"
    installed.mkdir(parents=True)
    (installed / "paint.edgegan").touch()
    assert resources.shipped_bundle() == installed / "paint.edgegan"


def test_the_clip_ships():
    assert resources.resource("engines/clip/paint_demo.mp4").is_file()
