import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgegan import bundle as module
from edgegan import files
from edgegan.bundle import Bundle, write_bundle
from edgegan.errors import BundleError, UserError

PIXELS = {"dtype": "uint8", "layout": "NHWC", "colour": "BGR"}
FP32 = {
    "path": "model_fp32.onnx",
    "bytes": 5,
    "macs": 7,
    "macs_int8_share": 0.0,
    "params": 3,
    "quality": None,
}
CONTENT = {
    "name": "little",
    "input": {"name": "input", "shape": [1, 16, 24, 3], **PIXELS},
    "output": {"name": "output", "shape": [1, 32, 48, 3], **PIXELS},
    "models": {"fp32": FP32},
}
FILES = {"model_fp32.onnx": b"model", "LICENSE": b"MIT\n"}


@pytest.fixture(params=["folder", "little.edgegan", "little.zip"])
def path(request, tmp_path):
    """Where a sound bundle lies."""
    write_bundle(tmp_path / request.param, CONTENT, FILES)
    return tmp_path / request.param


def test_says_what_it_is(path):
    bundle = Bundle.open(path)
    assert (bundle.name, bundle.input_size, bundle.output_size) == ("little", (16, 24), (32, 48))
    assert bundle.precisions == ("fp32",)
    assert bundle.read_model("fp32") == b"model"
    assert bundle.sha256("fp32") == "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"
    described = bundle.describe()
    assert {key: described[key] for key in ("name", "input", "output")} == {
        key: CONTENT[key] for key in ("name", "input", "output")
    }
    place = str(path / "model_fp32.onnx") if path.is_dir() else "model_fp32.onnx"
    assert described["models"] == {"fp32": {**FP32, "path": place}}
    assert bundle.model_path("fp32") == (path / "model_fp32.onnx" if path.is_dir() else None)


def test_archives_are_not_compressed(tmp_path):
    write_bundle(tmp_path / "a.edgegan", CONTENT, {**FILES, "model_fp32.onnx": bytes(100_000)})
    assert (tmp_path / "a.edgegan").stat().st_size > 100_000


def test_equal_content_gives_equal_archives(tmp_path):
    for name in ("a.edgegan", "b.edgegan"):
        write_bundle(tmp_path / name, CONTENT, FILES)
    assert (tmp_path / "a.edgegan").read_bytes() == (tmp_path / "b.edgegan").read_bytes()


def test_an_unknown_precision_is_told_the_known_ones(path):
    for ask in (Bundle.open(path).read_model, Bundle.open(path).sha256, Bundle.open(path).model_path):
        with pytest.raises(BundleError, match=r"no precision 'int8'.*it has: fp32"):
            ask("int8")


def _change(path, name, data):
    """Replace a file of a bundle, behind its back; None removes it."""
    if path.is_dir():
        (path / name).unlink()
        if data is not None:
            (path / name).write_bytes(data)
        return
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()} | {name: data}
    with zipfile.ZipFile(path, "w") as archive:
        for n, content in files.items():
            if content is not None:
                archive.writestr(n, content)


def test_a_changed_model_is_found_when_it_is_read(path):
    _change(path, "model_fp32.onnx", b"m0del")
    bundle = Bundle.open(path)
    with pytest.raises(BundleError, match=r"'model_fp32\.onnx' in bundle .* its hash differs"):
        bundle.read_model("fp32")
    assert bundle.read_file("LICENSE") == b"MIT\n"


def test_a_missing_file_is_named(path):
    _change(path, "model_fp32.onnx", None)
    with pytest.raises(BundleError, match=r"lacks model_fp32\.onnx"):
        Bundle.open(path)


def _manifest(**changes):
    files = {"model_fp32.onnx": {"sha256": "0" * 64, "bytes": 5}}
    whole = {"format": "edgegan-bundle", "format_version": 1, **CONTENT, "files": files, **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def _model(**changes):
    return _manifest(models={"fp32": {**FP32, **changes}})


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "no bundle of edgegan"),
        (b"{}", "no bundle of edgegan"),
        (_manifest(format_version=2), "has format 2, this edgegan reads up to 1: upgrade edgegan"),
        (_manifest(format_version="1"), "damaged"),
        (_manifest(name=...), "lacks 'name'"),
        (_manifest(models={}), "no name or no model"),
        (_manifest(models=[1]), "damaged"),
        (_manifest(models={"fp32": {"path": "other.onnx"}}), "no hash for the model 'fp32'"),
        (_manifest(input={"shape": [1, 16, 24]}), "damaged"),
        (_manifest(input={"shape": [1, 16, 0, 3]}), "is no picture's"),
        (_manifest(input={"shape": [1, "16", 24, 3]}), "is no picture's"),
        (_manifest(output={"shape": [1, 16, 10**9, 3]}), "is no picture's"),
        (_manifest(files={"../secret": {"sha256": "0" * 64}}), r"the file '\.\./secret' is wrong"),
        (_manifest(files={"model_fp32.onnx": {"sha256": "short"}}), "is wrong"),
        (_manifest(files=None), "damaged"),
        (_model(bytes="x"), "bytes of the model 'fp32' is 'x'"),
        (_model(macs=float("nan")), "NaN is no number"),
        (_model(macs=float("inf")), "Infinity is no number"),
        (_model(macs=7).replace(b'"macs": 7', b'"macs": 1e999'), "1e999 is no number"),
        (_model(macs=10**400), "macs of the model 'fp32' is 1"),
        (_model(params=True), "params of the model 'fp32' is True"),
        (_model(macs_int8_share=[]), "macs_int8_share of the model 'fp32'"),
        (_model(quality=[1]), "quality of the model 'fp32' is "),
        (_model(quality={"psnr_db": "good"}), "psnr_db of the model 'fp32' is 'good'"),
        (_manifest(assumptions=5), "assumptions is 5, no list of texts"),
        (_manifest(assumptions=[{}]), "no list of texts"),
    ],
)
def test_a_damaged_manifest_is_one_error(path, manifest, says):
    _change(path, "manifest.json", manifest)
    with pytest.raises(BundleError, match=says) as caught:
        Bundle.open(path)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2


def test_a_plain_model_is_told_to_be_packed(tmp_path):
    (tmp_path / "candy.onnx").write_bytes(b"model")
    with pytest.raises(BundleError, match=r"pack it first: edgegan pack .*candy\.onnx -o candy\.edgegan"):
        Bundle.open(tmp_path / "candy.onnx")


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.edgegan").write_text("no archive")
    (tmp_path / "nothing.edgegan").touch()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.jpg", "x")
    with pytest.raises(BundleError, match="there is no bundle"):
        Bundle.open(tmp_path / "absent")
    for name in ("empty", "text.edgegan", "nothing.edgegan", "photos.zip"):
        with pytest.raises(BundleError, match="is no bundle"):
            Bundle.open(tmp_path / name)


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "manifest.json")
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        with pytest.raises(BundleError, match="is no file but a pipe or a device"):
            Bundle.open(path)


def test_figures_may_be_absent(path):
    _change(path, "manifest.json", _manifest(models={"fp32": {"path": "model_fp32.onnx"}}))
    assert Bundle.open(path).precisions == ("fp32",)


def test_a_truncated_archive_is_refused(tmp_path):
    path = tmp_path / "a.edgegan"
    write_bundle(path, CONTENT, FILES)
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            Bundle.open(path).read_model("fp32")


def test_an_archive_with_a_name_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.edgegan"
    write_bundle(path, CONTENT, FILES)
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x03\x04", data.index(b"PK\x03\x04") + 1)
    data[start + 7] |= 0x08  # the member's own header says that its name is UTF-8
    data[start + 30] = 0x89
    path.write_bytes(data)
    bundle = Bundle.open(path)
    with pytest.raises(BundleError, match="damaged"):
        _ = [bundle.read_file(name) for name in FILES]


def test_a_compressed_archive_is_told_the_mend(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", _manifest())
    with pytest.raises(BundleError, match="zip -0"):
        Bundle.open(tmp_path / "a.zip")


def test_writing_again_replaces_in_one_step(path):
    write_bundle(path, {**CONTENT, "name": "second"}, {"model_fp32.onnx": b"other"})
    assert Bundle.open(path).name == "second"
    assert Bundle.open(path).read_model("fp32") == b"other"
    assert os.listdir(path.parent) == [path.name]


def test_where_names_cannot_be_swapped_the_old_one_steps_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", files._exchange_by_renames)
    for name in ("first", "second"):
        write_bundle(tmp_path / "b", {**CONTENT, "name": name}, FILES)
    assert Bundle.open(tmp_path / "b").name == "second"
    assert os.listdir(tmp_path) == ["b"]


def test_a_link_stays_a_link(tmp_path):
    write_bundle(tmp_path / "real", CONTENT, FILES)
    (tmp_path / "link").symlink_to("real")
    write_bundle(tmp_path / "link", {**CONTENT, "name": "second"}, FILES)
    assert (tmp_path / "link").is_symlink()
    assert Bundle.open(tmp_path / "real").name == "second"


@pytest.mark.parametrize(
    ("name", "makes", "says"),
    [
        ("thesis", lambda p: (p.mkdir(), (p / "a.txt").touch()), "is no bundle"),
        ("thesis.zip", lambda p: p.write_text("thesis"), "is no bundle"),
        ("thesis", lambda p: p.write_text("thesis"), "as a file"),
        ("thesis.edgegan", lambda p: p.mkdir(), "as a folder"),
        ("thesis", lambda p: (write_bundle(p, CONTENT, FILES), (p / "a.txt").touch()), "also holds a.txt"),
        ("thesis", lambda p: p.symlink_to("nowhere"), "link to nowhere"),
        ("t" * 300, lambda p: None, "File name too long"),
    ],
)
def test_nothing_else_is_ever_replaced(tmp_path, name, makes, says):
    makes(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=says):
        write_bundle(tmp_path / name, CONTENT, FILES)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["b", "b.edgegan", "new/parents/b"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, monkeypatch, name, existing):
    """The kernel's refusal is played here; the next test fills a real disk."""
    if existing:
        write_bundle(tmp_path / name, CONTENT, FILES)
    before = sorted(tmp_path.rglob("*"))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "sync", full)
    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(UserError, match=r"cannot write the bundle .*No space left on device"):
        write_bundle(tmp_path / name, {**CONTENT, "name": "second"}, FILES)
    assert sorted(tmp_path.rglob("*")) == before
    if existing:
        assert Bundle.open(tmp_path / name).name == "little"


_ON_A_FULL_DISK = """
import os, subprocess, sys
from pathlib import Path
from edgegan.bundle import write_bundle
from edgegan.errors import UserError
disk = Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], stderr=subprocess.DEVNULL).returncode:
    sys.exit("cannot mount")
for name in ("folder", "file.edgegan"):
    try:
        write_bundle(disk / name, {}, {"model_fp32.onnx": bytes(100_000)})
    except UserError as error:
        print(error, os.listdir(disk))
"""


def test_a_full_disk_leaves_nothing(tmp_path):
    """A real one: a tmpfs of 64 KB in a mount namespace of its own."""
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", _ON_A_FULL_DISK, tmp_path]
    root = Path(module.__file__).parents[1]
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no unshare(1)")
    if "cannot mount" in result.stderr or "unshare" in result.stderr:
        pytest.skip("this machine allows no mount in a namespace")
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stderr
    assert all("No space left on device" in line and line.endswith("[]") for line in lines), lines


def test_needs_nothing_but_the_standard_library():
    """The daemon imports it: nothing that can crash in native code."""
    code = "import sys; before = set(sys.modules); import edgegan.bundle; print(*(set(sys.modules) - before))"
    root = Path(module.__file__).parents[1]
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    tops = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert tops - set(sys.stdlib_module_names) == {"edgegan"}


@pytest.mark.parametrize(
    ("holds", "says"),
    [
        ([], "is no bundle: it is empty: name a bundle, or make one: edgegan pack"),
        (
            ["a.txt", "b", "c", "d"],
            "is no bundle: it holds a.txt, b, c, …, and no 'manifest.json': name the folder",
        ),
        (["record.json", "00000001.png"], "is no bundle: it holds a recording"),
        (["a.edgegan", "b.onnx"], "is no bundle, but holds 'a.edgegan': name that: "),
        (
            ["b.onnx"],
            "is no bundle, but holds the ONNX model 'b.onnx': pack it first: edgegan pack .*/b.onnx -o b.edgegan",
        ),
        (
            ["reference_input.png", "model_fp32.onnx"],
            "is not whole: it has no 'manifest.json': copy the bundle again",
        ),
    ],
)
def test_a_folder_of_something_else_is_said_to_be_one(tmp_path: Path, holds: list[str], says: str) -> None:
    for name in holds:
        (tmp_path / name).touch()
    with pytest.raises(BundleError, match=says):
        Bundle.open(tmp_path)


def test_a_name_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"there is no bundle '.*/x', nor anything else.*edgegan pack MODEL\.onnx -o .*/x"
    ):
        Bundle.open(tmp_path / "x")
