import json
import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from edgegan.engine import opening
from edgegan.engine.candidates import candidate
from edgegan.engine.fingerprint import describe_device
from edgegan.engine.opening import open_best
from edgegan.engine.store import Store
from edgegan.errors import BundleError, ConfigError, GeneratorError
from tests.engine.conftest import negative_bundle
from tests.engine.test_store import manifest


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def opened(bundle, store, stack, runtime="auto", precision="auto", path=None):
    return open_best(path or bundle.path, str(store.path), runtime, precision, 1, stack)


def draws_negative(generator):
    pixels = np.random.default_rng(2).integers(0, 256, (*generator.input_size, 3), np.uint8)
    out = np.empty_like(pixels)
    generator.infer(pixels, out)
    return np.array_equal(out, 255 - pixels)


def test_without_an_engine_the_default_runs_and_says_so(bundle, store, stack, caplog):
    caplog.set_level(logging.INFO)
    generator = opened(bundle, store, stack)
    assert draws_negative(generator)
    assert generator.description["fingerprint"] is None
    assert "nothing was built for this device: onnxruntime-fp32 runs" in caplog.text


def test_the_engine_runs_and_is_good_once_it_drew_the_reference(bundle, store, stack):
    engine = store.put(bundle, manifest(bundle))
    generator = opened(bundle, store, stack)
    assert draws_negative(generator)
    assert generator.description["fingerprint"] == engine.ladder[0].fingerprint
    assert engine.state == {"good": ["onnxruntime-fp32"], "tried": {}, "failed": {}}
    engine.path.touch()
    os.utime(engine.path, (1, 1))
    opened(bundle, store, stack)
    assert engine.path.stat().st_mtime > 1
    assert store.shrink(1, keep=store.put(bundle, manifest(bundle))) == []  # it is in use


def test_an_engine_can_be_given_instead_of_its_bundle(bundle, store, stack, tmp_path):
    engine = store.put(bundle, manifest(bundle))
    generator = opened(bundle, Store(tmp_path / "empty"), stack, path=engine.path)
    assert generator.description["fingerprint"] == engine.ladder[0].fingerprint


def test_one_that_draws_something_else_is_passed_over(store, stack, tmp_path, caplog):
    wrong = negative_bundle(tmp_path / "wrong", drawn=np.zeros((16, 24, 3), np.uint8))
    engine = store.put(wrong, manifest(wrong))
    generator = opened(wrong, store, stack)
    assert generator.description["fingerprint"] is None
    assert "it does not draw the reference picture" in caplog.text
    assert "reference picture" in engine.state["failed"]["onnxruntime-fp32"]


@pytest.mark.parametrize(
    "failure", [GeneratorError("no memory"), ImportError("no memory"), OSError("no memory")]
)
def test_one_that_cannot_be_loaded_gives_way_to_the_last_good_one(bundle, store, stack, monkeypatch, failure):
    good = store.put(bundle, manifest(bundle))
    good.proved(good.ladder[0])
    store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    real, calls = opening.open_candidate, []

    def first_fails(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise failure
        return real(*arguments)

    monkeypatch.setattr(opening, "open_candidate", first_fails)
    generator = opened(bundle, store, stack)
    assert generator.description["fingerprint"] == good.ladder[0].fingerprint
    newer, older = store.find(bundle)
    assert newer.state["failed"] == {"onnxruntime-fp32": "no memory"}
    assert older.state["good"] == ["onnxruntime-fp32"]


@pytest.mark.parametrize("was_good", [False, True])
def test_one_that_crashes_is_passed_over_by_the_fourth_process(bundle, store, stack, caplog, was_good):
    engine = store.put(bundle, manifest(bundle))
    if was_good:
        engine.proved(engine.ladder[0])
    code = f"""
import os, signal
from contextlib import ExitStack
from pathlib import Path
from edgegan.engine import opening
opening.open_candidate = lambda *arguments: os.kill(os.getpid(), signal.SIGSEGV)
opening.open_best(Path({str(bundle.path)!r}), {str(store.path)!r}, "auto", "auto", 1, ExitStack())
"""
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -11
    assert engine.state["tried"]["onnxruntime-fp32"][0] == 3
    assert opened(bundle, store, stack).description["fingerprint"] is None
    assert "To try again: edgegan build --again" in caplog.text


def test_one_of_another_device_is_passed_over_with_the_reason(bundle, store, stack, caplog):
    store.put(bundle, manifest(bundle, fingerprint="0" * 64, version="0.1"))
    assert opened(bundle, store, stack).description["fingerprint"] is None
    assert "it was built for another device: onnxruntime 0.1, here" in caplog.text


def test_what_is_asked_for_by_name_is_not_replaced(bundle, store, stack):
    store.put(bundle, manifest(bundle))
    with pytest.raises(ConfigError, match="has no precision 'bf16'"):
        opened(bundle, store, stack, "onnxruntime", "bf16")
    assert opened(bundle, store, stack, "onnxruntime", "fp32").description["fingerprint"]


def test_a_manifest_that_lies_about_the_size_is_refused(store, stack, tmp_path):
    bundle = negative_bundle(tmp_path / "lies")
    text = json.loads((bundle.path / "manifest.json").read_text())
    text["output"]["shape"] = [1, 32, 48, 3]
    (bundle.path / "manifest.json").write_text(json.dumps(text))
    with pytest.raises(BundleError, match="pack the model again"):
        opened(bundle, store, stack)


def test_a_read_only_store_is_used_all_the_same(bundle, store, stack, monkeypatch):
    engine = store.put(bundle, manifest(bundle))

    def refuse(path, data):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert opened(bundle, store, stack).description["fingerprint"] == engine.ladder[0].fingerprint
    assert not list(engine.path.glob("*state.json*"))


def test_what_was_compiled_is_kept_with_the_engine(bundle, store, stack):
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    one = candidate(bundle, "openvino", "fp32")
    rung = {"runtime": "openvino", "fingerprint": one.fingerprint(bundle, describe_device())}
    store.put(bundle, manifest(bundle, **rung))
    assert [opened(bundle, store, stack).description["from_cache"] for _ in range(2)] == [False, True]


def test_a_store_that_cannot_be_read_keeps_no_picture_from_the_screen(
    bundle, store, stack, monkeypatch, caplog
):
    monkeypatch.setattr(
        Store, "find", lambda *a: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    assert draws_negative(opened(bundle, store, stack))
    assert "no engine is used" in caplog.text


def test_an_engine_that_a_builder_replaces_while_it_loads_runs(bundle, store, stack, monkeypatch):
    engine, real = store.put(bundle, manifest(bundle)), opening.open_candidate

    def meanwhile(*arguments):
        generator = real(*arguments)
        store.put(bundle, manifest(bundle))
        return generator

    monkeypatch.setattr(opening, "open_candidate", meanwhile)
    generator = opened(bundle, store, stack)
    assert not engine.path.exists()
    assert generator.description["fingerprint"] == engine.ladder[0].fingerprint


def test_an_engine_that_is_replaced_before_it_is_read_gives_way_to_its_successor(
    bundle, store, stack, monkeypatch
):
    store.put(bundle, manifest(bundle))
    real, found = opening._found, []

    def meanwhile(*arguments):
        found.append(real(*arguments))
        if len(found) == 1:
            store.put(bundle, manifest(bundle))
        return found[-1]

    monkeypatch.setattr(opening, "_found", meanwhile)
    assert opened(bundle, store, stack).description["fingerprint"]
    assert store.find(bundle)[0].good


def test_whatever_a_generator_raises_it_is_closed(bundle, store, stack, monkeypatch):
    """A bug of its driver, say; else two of them would fill a small board's memory."""
    store.put(bundle, manifest(bundle))
    real, closed = opening.open_candidate, []

    def first_fails(*arguments):
        generator = real(*arguments)
        if not closed:
            monkeypatch.setattr(generator, "infer", lambda *a: 1 / 0)
            monkeypatch.setattr(generator, "close", lambda: closed.append(generator))
        return generator

    monkeypatch.setattr(opening, "open_candidate", first_fails)
    assert draws_negative(opened(bundle, store, stack))
    assert len(closed) == 1
