import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgegan.engine.candidates import DEFAULT
from edgegan.engine.fingerprint import describe_device, runtime_version
from edgegan.engine.store import Engine, Store, default_store, in_use, is_engine
from edgegan.errors import EngineError
from tests.engine.conftest import negative_bundle


def manifest(bundle, **changes):
    device = describe_device()
    rung = {
        "runtime": DEFAULT.runtime,
        "precision": DEFAULT.precision,
        "model": DEFAULT.model,
        "options": {},
        "version": runtime_version("onnxruntime"),
        "fingerprint": DEFAULT.fingerprint(bundle, device),
        "latency_ms_p50": 1.5,
        "quality": {"psnr_worst_db": 99.0},
    }
    return {"ladder": [{**rung, **changes}], "measured": [], "asked": {}, "device": device, "versions": {}}


def latencies(store, bundle):
    """Of the engines, the newest first; tells them apart."""
    return [engine.ladder[0].latency_ms_p50 for engine in store.find(bundle)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def engine(store, bundle):
    return store.put(bundle, manifest(bundle))


def test_is_found_again(store, bundle, engine):
    (found,) = store.find(bundle)
    assert found.path == engine.path
    assert found.usable() == found.ladder
    assert is_engine(engine.path)
    assert engine.misfit() == ""


def test_outlives_its_bundle(store, bundle, engine):
    for file in bundle.path.iterdir():
        file.unlink()
    assert Engine.open(engine.path).bundle.read_model("fp32")


def test_another_bundle_has_another_engine(store, bundle, engine, tmp_path):
    other = negative_bundle(tmp_path / "other", 16, 32)
    assert store.find(other) == []
    assert store.put(other, manifest(other)).path != engine.path


def test_nothing_is_left_beside_it(store, engine):
    assert os.listdir(store.path) == [engine.path.name]


@pytest.mark.parametrize(
    "change", [{"fingerprint": "0" * 64}, {"runtime": "abacus"}, {"options": {"precision": "f8"}}]
)
def test_of_another_device_or_version_it_is_not_usable(store, bundle, change):
    engine = store.put(bundle, manifest(bundle, **change))
    assert engine.usable() == ()
    assert engine.misfit().startswith("it was built for another device")
    assert engine.describe()["fits_here"] is False


def test_says_how_the_devices_differ(store, bundle):
    foreign = manifest(bundle, fingerprint="0" * 64)
    foreign["device"] = {**foreign["device"], "machine": "aarch64", "board": "Raspberry Pi 5"}
    engine = store.put(bundle, foreign)
    assert "machine aarch64, here " in engine.misfit()
    with pytest.raises(EngineError, match="Raspberry Pi 5, here"):
        Store(store.path / "elsewhere").take(engine)


def test_says_that_the_runtime_changed(store, bundle):
    engine = store.put(bundle, manifest(bundle, fingerprint="0" * 64, version="0.1"))
    assert "onnxruntime 0.1, here " in engine.misfit()


def test_is_taken_by_a_device_of_equal_fingerprint(engine, bundle, tmp_path):
    engine.begin(engine.ladder[0])
    elsewhere = Store(tmp_path / "elsewhere")
    assert elsewhere.take(engine).usable() == engine.ladder
    assert elsewhere.find(bundle)[0].state == {"good": [], "tried": {}, "failed": {}}


def damage_manifest(text):
    return lambda engine: (engine.path / "engine.json").write_text(text)


DAMAGES = {
    "cut short": damage_manifest('{"format": "edgegan-engine", "form'),
    "another format": damage_manifest('{"format": "cake"}'),
    "a list": damage_manifest("[]"),
    "no ladder": damage_manifest('{"format": "edgegan-engine", "format_version": 1}'),
    "deep": damage_manifest("[" * 100_000),
    "bytes": lambda engine: (engine.path / "engine.json").write_bytes(bytes(range(256))),
    "empty": lambda engine: (engine.path / "engine.json").write_bytes(b""),
    "bundle's manifest gone": lambda engine: (engine.path / "bundle/manifest.json").unlink(),
    "model gone": lambda engine: (engine.path / "bundle/model_fp32.onnx").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_one_is_recognised_and_set_aside_by_the_next_builder(store, bundle, engine, name, caplog):
    DAMAGES[name](engine)
    with pytest.raises(EngineError, match="is damaged"):
        Engine.open(engine.path)
    assert store.find(bundle) == []
    assert "is damaged" in caplog.text
    assert engine.path.exists()
    store.set_aside(bundle)
    assert os.listdir(store.path) == [f"{engine.path.name}.damaged"]


def test_what_was_set_aside_keeps_its_number_and_stays_to_be_looked_at(store, bundle, engine):
    """A reader that still holds the damaged one must not write what became of it into its successor."""
    for number in (2, 3):
        (store.find(bundle)[0].path / "engine.json").write_text("{")
        store.set_aside(bundle)
        successor = store.put(bundle, manifest(bundle))
        assert successor.path.name.endswith(f"-{number:04d}.engine")
    engine.failed(engine.ladder[0], "late")
    assert successor.distrust(successor.ladder[0]) == ""
    successor.proved(successor.ladder[0])
    aside = sorted(store.path.glob("*.engine.damaged"))
    assert [path.name.rpartition("-")[2] for path in aside] == ["0001.engine.damaged", "0002.engine.damaged"]
    assert sorted(store.shrink(1, keep=successor)) == aside


def test_a_bundle_that_cannot_be_read_now_is_not_called_damaged(store, bundle, engine, monkeypatch):
    def refuse(path, most_bytes):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("edgegan.bundle._read_from_folder", refuse)
        with pytest.raises(EngineError, match=r"cannot read engine .* Too many open files"):
            Engine.open(engine.path)
        store.set_aside(bundle)
    assert [one.path for one in store.find(bundle)] == [engine.path]


def test_a_changed_model_is_found_where_all_is_read(store, bundle, engine):
    with (engine.path / "bundle/model_fp32.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(EngineError, match=r"is damaged: 'model_fp32\.onnx'"):
        engine.check_files()
    store.set_aside(bundle)
    assert not engine.path.exists()


def test_what_cannot_be_read_or_is_newer_is_not_called_damaged(store, bundle, engine):
    whole = json.loads((engine.path / "engine.json").read_text())
    (engine.path / "engine.json").write_text(json.dumps({**whole, "format_version": 99}))
    store.set_aside(bundle)
    assert engine.path.exists()
    (engine.path / "engine.json").unlink()
    (engine.path / "engine.json").symlink_to("engine.json")  # cannot be read by anybody
    with pytest.raises(EngineError, match="cannot read engine"):
        Engine.open(engine.path)
    store.set_aside(bundle)
    assert engine.path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"ladder": []},
        {"ladder": "x"},
        {"ladder": [{}]},
        {"ladder": [[1]]},
        {"bundle_key": "0"},
        {"format_version": "1"},
    ],
)
def test_a_changed_manifest_is_damage(engine, change):
    whole = json.loads((engine.path / "engine.json").read_text())
    (engine.path / "engine.json").write_text(json.dumps({**whole, **change}))
    with pytest.raises(EngineError, match="is damaged"):
        Engine.open(engine.path)


def test_a_figure_beyond_all_bounds_is_damage(engine):
    text = (engine.path / "engine.json").read_text()
    (engine.path / "engine.json").write_text(text.replace('p50": 1.5', 'p50": 1' + 400 * "0"))
    with pytest.raises(EngineError, match="is damaged"):
        Engine.open(engine.path)


def test_one_of_a_newer_version_says_so(engine):
    whole = json.loads((engine.path / "engine.json").read_text())
    (engine.path / "engine.json").write_text(json.dumps({**whole, "format_version": 99}))
    with pytest.raises(EngineError, match="has format 99"):
        Engine.open(engine.path)


def test_the_last_good_one_stays_until_its_successor_is_good(store, bundle, engine):
    engine.proved(engine.ladder[0])
    successor = store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    assert latencies(store, bundle) == [1.0, 1.5]
    successor.proved(successor.ladder[0])
    assert latencies(store, bundle) == [1.0]


def test_one_that_never_drew_is_not_kept(store, bundle, engine):
    store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    store.put(bundle, manifest(bundle, latency_ms_p50=0.5))
    assert latencies(store, bundle) == [0.5]


def test_a_good_one_is_not_lost_to_two_that_never_drew(store, bundle, engine):
    engine.proved(engine.ladder[0])
    for latency in (1.0, 0.5):
        store.put(bundle, manifest(bundle, latency_ms_p50=latency))
    assert latencies(store, bundle) == [0.5, 1.5]


def test_what_became_of_one_does_not_land_in_its_successor(store, bundle, engine):
    engine.proved(engine.ladder[0])
    engine.begin(engine.ladder[0])
    successor = store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    engine.proved(engine.ladder[0])
    engine.failed(engine.ladder[0], "late")
    assert not successor.good
    assert successor.distrust(successor.ladder[0]) == ""
    assert latencies(store, bundle) == [1.0, 1.5]


def test_readers_see_an_engine_at_any_moment_of_a_build(store, bundle, engine):
    """One thread builds, the other reads without a lock."""
    engine.proved(engine.ladder[0])
    building = threading.Event()

    def build():
        for _ in range(20):
            put = store.put(bundle, manifest(bundle))
            put.proved(put.ladder[0])
        building.set()

    thread = threading.Thread(target=build)
    thread.start()
    seen = []
    while not building.is_set():
        seen.append(len(store.find(bundle)))
    thread.join()
    assert min(seen) >= 1
    assert not list(store.path.glob("*.damaged"))


def test_a_rung_that_takes_its_process_along_is_tried_three_times(engine, monkeypatch):
    (rung,) = engine.ladder
    for _ in range(3):
        assert engine.distrust(rung) == ""
        engine.begin(rung)
    assert "begun 3 times lately and never drew" in engine.distrust(rung)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert engine.distrust(rung) == ""  # whoever was switched off three times is not given up for good


def test_a_rung_that_drew_is_trusted_again(engine):
    (rung,) = engine.ladder
    for _ in range(2):
        engine.begin(rung)
    engine.proved(rung)
    assert engine.state["tried"] == {}
    assert engine.good


def test_a_rung_that_failed_is_not_tried_again(engine):
    (rung,) = engine.ladder
    engine.proved(rung)
    engine.failed(rung, "it drew nothing")
    assert engine.distrust(rung) == "it failed: it drew nothing"
    assert not engine.good


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"good": 3}', '{"good": [], "tried": [], "failed": {}}', "\0"),
        '{"good": [], "tried": {"onnxruntime-fp32": "x"}, "failed": {}}',
        '{"good": [], "tried": {"onnxruntime-fp32": [9, NaN]}, "failed": {}}',
        '{"good": [], "tried": {"onnxruntime-fp32": [9, 1' + 400 * "0" + ']}, "failed": {}}',
    ],
)
def test_a_damaged_state_is_as_none(engine, text):
    (engine.path / "state.json").write_text(text)
    assert engine.distrust(engine.ladder[0]) == ""
    engine.begin(engine.ladder[0])
    assert engine.state["tried"]["onnxruntime-fp32"][0] == 1


def test_two_cannot_build_at_once(store):
    with store.locked():
        code = f"""
from pathlib import Path
from edgegan.engine.store import Store
with Store(Path({str(store.path)!r})).locked():
    pass
"""
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process is building" in other.stderr
    with store.locked():
        pass


def test_a_file_system_without_locks_is_not_called_another_builder(store, monkeypatch):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(EngineError, match=r"Operation not supported: .* --store"), store.locked():
        pass


def test_whoever_was_killed_while_removing_a_damaged_one_leaves_nothing(store):
    (store.path / ".candy-1c5e03d2f7aa-0001.engine.damaged.0123abcd.tmp").mkdir(parents=True)
    with store.locked():
        assert os.listdir(store.path) == ["lock"]


def test_a_builder_that_is_killed_leaves_the_old_engine(store, bundle, engine):
    """It dies after the new one was written, before it has its name."""
    code = f"""
import os, signal
from pathlib import Path
from edgegan.bundle import Bundle
from edgegan.engine import store
from tests.engine.test_store import manifest
store.write_file = lambda path, data: os.kill(os.getpid(), signal.SIGKILL)
bundle = Bundle.open(Path({str(bundle.path)!r}))
store.Store(Path({str(store.path)!r})).put(bundle, manifest(bundle, latency_ms_p50=0.5))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    assert len(os.listdir(store.path)) == 2
    assert latencies(store, bundle) == [1.5]
    with store.locked():
        assert store.put(bundle, manifest(bundle)).usable()
    assert {*os.listdir(store.path)} == {
        "negative-" + engine.path.name.split("-")[1] + "-0002.engine",
        "lock",
    }


def test_shrinks_by_what_was_used_longest_ago(store, bundle, engine, tmp_path):
    others = [negative_bundle(tmp_path / f"b{n}", 16, 32 + n) for n in range(3)]
    engines = [store.put(one, manifest(one)) for one in others]
    for age, one in enumerate([engine, *engines]):
        os.utime(one.path, (1_000_000 + age, 1_000_000 + age))
    with in_use(engine):
        removed = store.shrink(1, keep=engines[2])
    assert removed == [engines[0].path, engines[1].path]
    assert engine.path.exists()
    assert engines[2].path.exists()
    assert store.shrink(1 << 30, keep=engines[2]) == []


def test_shrinking_keeps_the_last_good_one(store, bundle, engine):
    engine.proved(engine.ladder[0])
    successor = store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    assert store.shrink(1, keep=successor) == []
    assert latencies(store, bundle) == [1.0, 1.5]


def test_what_others_keep_in_that_folder_is_left_alone(store, bundle, engine):
    """Somebody names his home folder as the store."""
    for name in ("Documents", ".foo.tmp", "game.engine", "candy-1c5e03d2f7aa-0001.engine.mine"):
        (store.path / name).mkdir()
        (store.path / name / "thesis").write_bytes(bytes(1 << 20))
    (store.path / ".notes.tmp").touch()
    before = sorted(store.path.rglob("*"))
    with store.locked():
        assert store.shrink(1, keep=engine) == []
        store.set_aside(bundle)
    assert sorted(store.path.rglob("*")) == sorted([*before, store.path / "lock"])


def test_a_store_that_cannot_be_written_is_one_error(bundle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"store .* cannot be written: (File exists|Not a directory)"):
        Store(tmp_path / "file").put(bundle, manifest(bundle))
    with pytest.raises(EngineError, match="cannot be written"), Store(tmp_path / "file").locked():
        pass


def test_all_of_an_engine_is_on_the_disk_before_it_has_its_name(store, bundle, monkeypatch):
    """What Python still holds back when a file is synced is lost in a power cut: an empty manifest, for one."""
    synced = {}

    def sync(descriptor):
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size

    monkeypatch.setattr("edgegan.files.sync", sync)
    engine = store.put(bundle, manifest(bundle))
    written = [path.stat() for path in engine.path.rglob("*") if path.is_file()]
    assert len(written) == 5
    assert [synced[file.st_ino] for file in written] == [file.st_size for file in written]


def test_a_full_disk_leaves_the_old_engine(store, bundle, engine, monkeypatch):
    monkeypatch.setattr("edgegan.engine.store.write_file", _full)
    with pytest.raises(EngineError, match="No space left"):
        store.put(bundle, manifest(bundle, latency_ms_p50=1.0))
    assert os.listdir(store.path) == [engine.path.name]
    assert latencies(store, bundle) == [1.5]


def _full(path, data):
    raise OSError(28, os.strerror(28))


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edgegan:/other"}, "/var/lib/edgegan/engines"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/edgegan/engines"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/edgegan/engines"),
        ({"HOME": "/h"}, "/h/.cache/edgegan/engines"),
    ],
)
def test_the_usual_place(monkeypatch, environment, place):
    for name in ("STATE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_store() == Path(place)
