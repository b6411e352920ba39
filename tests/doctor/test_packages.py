"""What is installed: names, versions, several OpenCVs, extras."""

import importlib.metadata
import sys
import time
from pathlib import Path

import pytest

from edgegan import doctor
from edgegan.doctor import Host, packages


def distribution(folder: Path, name: str, version: str, *requires: str) -> None:
    """Leave what pip leaves of an installed package."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in front of all others."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_several_opencv_packages_are_named(site: Path) -> None:
    distribution(site, "opencv-contrib-python", "4.10.0.84")
    distribution(site, "opencv-python", "4.6.0.66")
    (check,) = packages.opencv(Host())
    assert check.state == "warning"
    assert check.found is not None
    assert check.found.startswith("several at once: opencv-contrib-python 4.10.0.84, opencv-python")
    assert check.mend.startswith("pip uninstall -y opencv-contrib-python opencv-python")
    assert check.mend.endswith("&& pip install opencv-contrib-python")


def test_a_second_cv2_from_elsewhere_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "cv2").mkdir()
    (check,) = packages.opencv(Host())
    assert check.state == "ok"  # an empty folder is none, and hides none
    (site / "cv2/__init__.py").touch()
    (check,) = packages.opencv(Host())
    assert (check.state, f"in {site}" in str(check.found)) == ("warning", True)
    monkeypatch.setattr(sys, "path", [str(site)])
    (check,) = packages.opencv(Host())
    assert (check.state, check.found) == ("ok", f"cv2 in {site}, not pip's")
    (site / "cv2/__init__.py").unlink()
    (check,) = packages.opencv(Host())
    assert (check.state, check.found) == ("failed", "there is no cv2")


def test_an_import_that_hangs_or_ends_the_process_is_told_and_the_next_go_on(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "hangs_here.py").write_text("import time; time.sleep(1000)")
    (site / "leaves_here.py").write_text("import os; os._exit(0)")
    (site / "stops_here.py").write_text("raise SystemExit(3)")
    (site / "prints_here.py").write_text("print('{}'); __version__ = '1.2'")
    monkeypatch.setattr(packages, "_IMPORT_LIMIT_S", 2.0)
    names = ["hangs_here", "leaves_here", "stops_here", "prints_here"]
    answers = packages._imported(names)
    assert answers["hangs_here"]["error"] == "it did not end within 2 s"
    assert answers["leaves_here"]["error"] == "it ended the process"
    assert answers["stops_here"]["error"] == "SystemExit: 3"
    assert answers["prints_here"]["version"] == "1.2"


def test_an_empty_folder_that_is_left_is_no_old_version(site: Path) -> None:
    """pip leaves one where something else had put a file; Python imports it as a namespace without an error."""
    (site / "left_here/config").mkdir(parents=True)
    answers = packages._imported(["left_here"])
    check = packages._package("left_here", "4.6", answers["left_here"])
    assert (check.state, check.found) == ("failed", f"only an empty folder is left of it: {site}/left_here")
    assert check.mend == "pip install --force-reinstall 'left_here>=4.6'"


def test_libraries_that_hang_are_waited_for_side_by_side(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"hangs_{number}" for number in range(4)]
    for name in names:
        (site / f"{name}.py").write_text("import time; time.sleep(1000)")
    (site / "fine_here.py").write_text("__version__ = '1.2'")
    monkeypatch.setattr(packages, "_IMPORT_LIMIT_S", 2.0)
    started = time.monotonic()
    answers = packages._imported([*names, "fine_here"])
    assert time.monotonic() - started < 6
    assert {answers[name]["error"] for name in names} == {"it did not end within 2 s"}
    assert answers["fine_here"]["version"] == "1.2"


def test_the_limits_of_the_imports_fit_into_the_patience() -> None:
    assert 2 * packages._IMPORT_LIMIT_S < doctor._PATIENCE_S


def test_metadata_without_a_version_is_a_package_that_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "requirements", lambda: {"here": [("some-tool", "2.9")]})
    monkeypatch.setattr(importlib.metadata, "version", lambda name: None)
    (check,) = packages.extras(Host())
    assert (check.state, check.found) == ("absent", "lacks some-tool")


def test_without_a_command_on_the_path_it_says_how_to_start() -> None:
    _, check = packages.interpreter(Host(environment={"PATH": "/nowhere"}))
    assert str(check.found).endswith("no command `edgegan` on the PATH")
    assert f"`{sys.executable} -m edgegan`" in check.mend


def test_extras(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    needed = {
        "": [("numpy", "1")],
        "here": [("some-tool", "2.9")],
        "old": [("some-tool", "3")],
        "gone": [("some-tool", ""), ("another-tool", "")],
        "dev": [("nothing-at-all", "")],
    }
    distribution(site, "some-tool", "2.10.1")
    monkeypatch.setattr(packages, "requirements", lambda: needed)
    gone, here, old = packages.extras(Host())
    assert (gone.name, gone.state, gone.found) == ("extra gone", "absent", "lacks another-tool")
    assert "'edgegan[gone]'" in gone.mend
    assert (here.state, here.found) == ("ok", "some-tool 2.10.1")
    assert (old.state, old.found) == ("warning", "too old: some-tool 2.10.1")


def test_requirements_are_read_from_the_clone_as_they_are_installed(
    monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    """setup.py itself is asked, in the way that pip does, by the test of the wheel; here the two forms are compared."""
    from_clone = packages.requirements()
    assert ("av", "15") in from_clone[""]
    assert ("onnx", "1.16") in from_clone["pack"]
    assert {"", "pack", "window"} <= from_clone.keys()
    lines = [f"{name}>={least}" for name, least in from_clone[""]]
    lines += [f'{name}>={least} ; extra == "pack"' for name, least in from_clone["pack"]]
    monkeypatch.setattr(packages, "checkout", lambda: None)
    distribution(site, "edgegan", "0.1.0", *lines)
    assert packages.requirements() == {"": from_clone[""], "pack": from_clone["pack"]}


def test_without_metadata_it_says_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "checkout", lambda: None)
    monkeypatch.setattr(importlib.metadata, "requires", nothing)
    (check,) = packages.base(Host())
    assert (check.state, check.mend) == ("warning", "pip install edgegan (in a clone: pip install .)")


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 9, 2), "failed"), ((3, 10, 0), "ok"), ((3, 13, 5), "ok"), ((3, 14, 0), "warning")],
)
def test_pythons(version: tuple[int, ...], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    python, _ = packages.interpreter(Host())
    assert python.state == state
    assert bool(python.mend) == (state != "ok")
