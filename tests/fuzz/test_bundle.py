"""Whatever a bundle turns out to be: its description, or one error; and nothing is written because of it."""

import hashlib
import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import save

from edgegan import registry
from edgegan.bundle import MANIFEST
from edgegan.resources import shipped_bundle
from tests.fuzz.cage import Cage
from tests.fuzz.garbage import (
    Damage,
    Edit,
    Forgery,
    broken,
    damages,
    edited,
    edits,
    forged,
    forgeries,
    manifest_bytes,
)
from tests.fuzz.models import broken_models, changed, small_model

EXAMPLES = settings().max_examples
MODEL = "model_fp32.onnx"
RUNTIMES = st.sampled_from(sorted(set(registry.GENERATORS) - set(registry._NEED_NO_MODEL)))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    """The manifest of the shipped bundle."""
    with zipfile.ZipFile(shipped_bundle()) as archive:
        return json.loads(archive.read(MANIFEST))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def folder(cage: Cage, shipped: dict[str, Any]) -> Iterator[Path]:
    """A bundle as a folder; its manifest is the shipped one, its files are empty."""
    folder = cage.work / "bundle"
    folder.mkdir()
    for name in shipped["files"]:
        (folder / name).touch()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def small(cage: Cage) -> dict[str, bytes]:
    """The files of a real bundle of 3 KB."""
    model = cage.outside / "small.onnx"
    save(small_model(), model)
    cage.run("pack", str(model), "--input-range=-1,1", "-o", "target", codes=(0,))
    files = {path.name: path.read_bytes() for path in cage.target.iterdir()}
    shutil.rmtree(cage.target)
    return {MANIFEST: files.pop(MANIFEST), **files}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive as `pack` writes it."""
    with BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()


@settings(max_examples=10 * EXAMPLES)
@given(changes=edits())
def test_a_manifest(cage: Cage, folder: Path, shipped: dict[str, Any], changes: list[Edit]) -> None:
    (folder / MANIFEST).write_bytes(manifest_bytes(edited(shipped, changes)))
    cage.run("inspect", "bundle", "--json", codes=(0, 2))
    cage.run("inspect", "bundle", codes=(0, 2))


@settings(max_examples=2 * EXAMPLES)
@given(damage=damages())
def test_a_manifest_that_is_no_json(
    cage: Cage, folder: Path, shipped: dict[str, Any], damage: list[Damage]
) -> None:
    (folder / MANIFEST).write_bytes(broken(manifest_bytes(shipped), damage))
    cage.run("inspect", "bundle", "--json", codes=(0, 2))


@settings(max_examples=EXAMPLES)
@given(changes=edits())
def test_packing_onto_what_may_be_a_bundle(cage: Cage, small: dict[str, bytes], changes: list[Edit]) -> None:
    """It is replaced, or refused; what does not belong to it stays."""
    with cage.new_target():
        for name, content in small.items():
            (cage.target / name).write_bytes(content)
        manifest = edited(json.loads(small[MANIFEST]), changes)
        (cage.target / MANIFEST).write_bytes(manifest_bytes(manifest))
        (cage.target / "letter.txt").write_text("dear diary")
        cage.run("pack", "nothing.onnx", "-o", "target", "--json", codes=(2,))
        assert (cage.target / "letter.txt").read_text() == "dear diary"
        assert set(small) <= {path.name for path in cage.target.iterdir()}


@settings(max_examples=5 * EXAMPLES)
@given(damage=damages())
def test_an_archive(cage: Cage, small: dict[str, bytes], damage: list[Damage]) -> None:
    look_at(cage, broken(zipped(small), damage))


@settings(max_examples=5 * EXAMPLES)
@given(changes=forgeries())
def test_an_archive_whose_headers_lie(cage: Cage, small: dict[str, bytes], changes: list[Forgery]) -> None:
    look_at(cage, forged(zipped(small), changes))


def look_at(cage: Cage, archive: bytes) -> None:
    """Inspect it, and have every file of it read; 1 is for a model that does not load."""
    (cage.work / "b.edgegan").write_bytes(archive)
    cage.run("inspect", "b.edgegan", "--json", codes=(0, 2))
    cage.run("!read", "bundle", "b.edgegan", codes=(0, 2))
    (cage.work / "b.edgegan").unlink()


def test_tricks_with_archives(cage: Cage, small: dict[str, bytes]) -> None:
    look_at(cage, b"")
    look_at(cage, zipped({}))
    look_at(cage, zipped({**small, "../../outside": b"x", "/etc/x": b"x", "a/": b"", "C:\\x": b"x"}))
    look_at(cage, zipped(small) + zipped(small))
    look_at(cage, zipped({MANIFEST: b"[" * 100_000, **{n: c for n, c in small.items() if n != MANIFEST}}))
    look_at(cage, with_members([(name, content) for name, content in small.items() for _ in range(2)]))
    look_at(cage, with_members(list(small.items()), symbolic_link=MODEL))
    look_at(cage, with_members([*small.items(), ("bomb", bytes(200 << 20))], zipfile.ZIP_DEFLATED))


def with_members(
    members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED, symbolic_link: str = ""
) -> bytes:
    """An archive with members in any number of copies, compressed, or one of them a link."""
    with BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names given twice
            for name, content in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o120777 if name == symbolic_link else 0o100644) << 16
                archive.writestr(info, content, method)
        return buffer.getvalue()


def rehashed(small: Mapping[str, bytes], model: bytes) -> bytes:
    """The bundle with another model, whose hash is right."""
    manifest = json.loads(small[MANIFEST])
    manifest["files"][MODEL] |= {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    return zipped({**small, MANIFEST: manifest_bytes(manifest), MODEL: model})


@settings(max_examples=EXAMPLES // 4)
@given(data=st.data())
def test_a_model_that_was_changed_with_its_hash(
    cage: Cage, small: dict[str, bytes], data: st.DataObject
) -> None:
    """A runtime may refuse it, fail on a picture, crash or draw something; whichever, it is told in one line."""
    (cage.work / "b.edgegan").write_bytes(rehashed(small, data.draw(broken_models(small[MODEL]))))
    limits = ["--display", "null://", "--camera", "pattern://?size=84x84", "--frames", "2", "--seconds", "1"]
    cage.run("run", "--bundle", "b.edgegan", "--runtime", data.draw(RUNTIMES), *limits, "--json")
    (cage.work / "b.edgegan").unlink()


@settings(max_examples=EXAMPLES // 10)
@given(data=st.data())
def test_timing_a_model_that_was_changed_with_its_hash(
    cage: Cage, small: dict[str, bytes], data: st.DataObject
) -> None:
    (cage.work / "b.edgegan").write_bytes(rehashed(small, data.draw(broken_models(small[MODEL]))))
    cage.spawn("bench", "b.edgegan", "--runtime", data.draw(RUNTIMES), "--seconds", "0.1", "--json")
    (cage.work / "b.edgegan").unlink()


@settings(max_examples=2 * EXAMPLES)
@given(model=broken_models(small_model().SerializeToString()))
@example(model=changed(small_model().SerializeToString(), [("type", 0, -1)]))
@example(model=changed(small_model().SerializeToString(), [("weights", 1, 1)]))
def test_a_model_to_be_packed(cage: Cage, model: bytes) -> None:
    """It is refused, or packed in one piece."""
    source = cage.work / "m.onnx"
    source.write_bytes(model)
    outcome = cage.run("pack", "m.onnx", "--input-range=-1,1", "-o", "target", "--json")
    assert cage.target.exists() == (outcome.code == 0)
    if cage.target.exists():
        cage.run("inspect", "target", codes=(0,))
        shutil.rmtree(cage.target)
    source.unlink()
