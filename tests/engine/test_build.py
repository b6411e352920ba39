import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgegan.bundle import write_bundle
from edgegan.cli import main
from edgegan.engine import build as module
from edgegan.engine import candidates as known
from edgegan.engine.build import build
from edgegan.engine.candidates import DEFAULT
from edgegan.engine.store import Engine, Store
from edgegan.errors import BundleError, ConfigError, EngineError, GeneratorError, UserError
from tests.engine.conftest import negative_bundle
from tests.generator.packed import painter

QUICK = {"seconds": 0.2, "threads": 1}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def one_runtime(monkeypatch):
    """As on a device that has ONNX Runtime alone."""
    real = known.runtime_version
    monkeypatch.setattr(known, "runtime_version", lambda name: real(name) if name == "onnxruntime" else None)


def test_tries_measures_and_keeps(bundle, store, one_runtime):
    told = []
    result = build(bundle.path, store, **QUICK, progress=lambda what, share: told.append(share))
    (rung,) = result["ladder"]
    assert (result["runtime"], result["precision"]) == ("onnxruntime", "fp32")
    assert result["fingerprint"] == DEFAULT.fingerprint(bundle, result["device"])
    assert rung["usable_here"]
    assert rung["quality"]["psnr_worst_db"] == 99.0
    measured = {f"{m['runtime']}-{m['precision']}": m for m in result["measured"]}
    assert measured["onnxruntime-fp32"]["passed"]
    assert measured["onnxruntime-fp32"]["latency_ms_p50"] > 0
    assert measured["openvino-fp32"]["why"] == "it is not installed"
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_what_is_there_is_not_built_again_unless_asked(bundle, store, one_runtime):
    first = build(bundle.path, store, **QUICK)
    second = build(bundle.path, store, **QUICK)
    third = build(bundle.path, store, **QUICK, again=True)
    assert [r["built"] for r in (first, second, third)] == [True, False, True]
    assert first["built_at"] == second["built_at"]


def test_another_wish_is_built_anew(bundle, store, one_runtime):
    build(bundle.path, store, **QUICK)
    assert build(bundle.path, store, **QUICK, objective="quality")["built"]


def test_a_runtime_that_came_since_is_tried(bundle, store, monkeypatch):
    build(bundle.path, store, **QUICK)
    monkeypatch.setattr(module, "_versions", lambda: {"onnxruntime": "99"})
    assert build(bundle.path, store, **QUICK)["built"]


def test_one_that_failed_since_is_built_anew(bundle, store, one_runtime):
    engine = Engine.open(Path(build(bundle.path, store, **QUICK)["engine"]))
    engine.failed(engine.ladder[0], "crashed")
    assert build(bundle.path, store, **QUICK)["built"]


def test_what_draws_something_else_does_not_pass(store, tmp_path, one_runtime):
    wrong = negative_bundle(tmp_path / "wrong", drawn=np.zeros((16, 24, 3), np.uint8))
    with pytest.raises(GeneratorError, match="onnxruntime-fp32: its worst picture has"):
        build(wrong.path, store, **QUICK)
    assert os.listdir(store.path) == ["lock"]


def test_what_is_installed_but_cannot_be_imported_does_not_pass(bundle, store, broken_openvino):
    broken_openvino("from openvino.nonsense import anything")
    result = build(bundle.path, store, **QUICK)
    whys = {f"{m['runtime']}-{m['precision']}": m["why"] for m in result["measured"]}
    assert "needs the package 'openvino'" in whys["openvino-fp32"]
    assert [rung["runtime"] for rung in result["ladder"]] == ["onnxruntime"]


def test_a_disk_that_is_full_is_no_fault_of_the_candidate(bundle, tmp_path, one_runtime):
    workshop = module._Workshop(tmp_path, bundle, 1)
    workshop._judge, workshop._folder = None, tmp_path / "full"
    with pytest.raises(UserError, match=r"cannot write into '.*full'"):
        workshop.screened(DEFAULT)


def test_reference_pictures_of_another_size_are_the_packers_to_mend(store, tmp_path, one_runtime):
    lies = negative_bundle(tmp_path / "lies", drawn=np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(BundleError, match=r"have \(16, 24\) and \(32, 48\), .*: pack the model again"):
        build(lies.path, store, **QUICK)
    assert os.listdir(store.path) == ["lock"]


def test_what_crashes_does_not_pass_and_harms_nothing(bundle, store, monkeypatch, one_runtime):
    before = build(bundle.path, store, **QUICK)
    monkeypatch.setattr("edgegan.engine.trial.start", lambda *a: module_start_that_dies())
    with pytest.raises(GeneratorError, match="its process died: it ended with exit code 3"):
        build(bundle.path, store, **QUICK, again=True)
    assert {*os.listdir(store.path)} == {Path(before["engine"]).name, "lock"}


def module_start_that_dies():
    import subprocess
    import sys

    return subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(3)"])


def test_export_is_taken_over_by_an_equal_device(bundle, store, tmp_path, one_runtime):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    elsewhere = Store(tmp_path / "elsewhere")
    result = build(tmp_path / "out", elsewhere, **QUICK)
    assert not result["built"]
    assert elsewhere.find(bundle)[0].usable()


def test_an_engine_is_taken_over_once_and_within_the_stores_limit(bundle, store, tmp_path, one_runtime):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    elsewhere = Store(tmp_path / "elsewhere")
    other = build(negative_bundle(tmp_path / "other", 16, 32).path, elsewhere, **QUICK)
    first = build(tmp_path / "out", elsewhere, **QUICK, most_bytes=1)
    assert first["removed"] == [other["engine"]]
    second = build(tmp_path / "out", elsewhere, **QUICK)
    assert (second["engine"], second["built"]) == (first["engine"], False)


def test_an_engine_that_failed_where_it_lies_is_built_again(bundle, store, one_runtime, caplog):
    engine = Engine.open(Path(build(bundle.path, store, **QUICK)["engine"]))
    engine.failed(engine.ladder[0], "crashed")
    assert build(engine.path, store, **QUICK)["built"]
    assert "is built again: onnxruntime-fp32: it failed: crashed" in caplog.text


def test_an_engine_of_which_some_cannot_be_used_here_says_what(bundle, store, tmp_path, one_runtime, caplog):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    whole = json.loads((tmp_path / "out/engine.json").read_text())
    whole["ladder"].append({**whole["ladder"][0], "runtime": "openvino", "fingerprint": "0" * 64})
    (tmp_path / "out/engine.json").write_text(json.dumps(whole))
    assert build(tmp_path / "out", Store(tmp_path / "elsewhere"), **QUICK)["built"]
    assert "is built again: openvino-fp32 of it cannot be used here" in caplog.text


def test_a_foreign_export_is_built_again(bundle, store, tmp_path, one_runtime, caplog):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    manifest = json.loads((tmp_path / "out/engine.json").read_text())
    manifest["ladder"][0]["fingerprint"] = "0" * 64
    manifest["device"]["machine"] = "aarch64"
    (tmp_path / "out/engine.json").write_text(json.dumps(manifest))
    result = build(tmp_path / "out", Store(tmp_path / "elsewhere"), **QUICK)
    assert result["built"]
    assert "it was built for another device: machine aarch64, here" in caplog.text


@pytest.mark.parametrize("name", ["engine.json", "save.dat"])
def test_export_spares_a_folder_that_only_looks_like_an_engine(bundle, store, tmp_path, one_runtime, name):
    game = tmp_path / "game"
    if name == "save.dat":
        build(bundle.path, store, **QUICK, export=game)
        (game / name).touch()
    else:
        game.mkdir()
        (game / name).write_text('{"graphics": 1}')
    before = sorted(game.rglob("*"))
    with pytest.raises(EngineError, match="is no engine"):
        build(bundle.path, store, **QUICK, export=game)
    assert sorted(game.rglob("*")) == before


def test_an_export_that_ran_and_was_killed_is_replaced_all_the_same(bundle, store, tmp_path, one_runtime):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    (tmp_path / "out/.state.json.0123abcd.tmp").touch()
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_engine_is_not_taken_over_for_another_wish(bundle, store, tmp_path, one_runtime):
    build(bundle.path, store, **QUICK, export=tmp_path / "out")
    with pytest.raises(ConfigError, match="there is no runtime 'nonsense'"):
        build(tmp_path / "out", Store(tmp_path / "elsewhere"), runtime="nonsense")
    assert not (tmp_path / "elsewhere").exists()
    assert build(tmp_path / "out", Store(tmp_path / "elsewhere"), **QUICK, objective="quality")["built"]


def test_a_damaged_model_in_the_engine_is_found(bundle, store, one_runtime, caplog):
    engine = Path(build(bundle.path, store, **QUICK)["engine"])
    with (engine / "bundle/model_fp32.onnx").open("ab") as model:
        model.write(b"x")
    assert build(bundle.path, store, **QUICK)["built"]
    assert (engine.parent / f"{engine.name}.damaged").is_dir()


def test_a_damaged_bundle_is_the_users_to_mend(bundle, store):
    with (bundle.path / "model_fp32.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(BundleError, match="its hash differs"):
        build(bundle.path, store, **QUICK)
    assert not store.path.exists()


def test_even_one_alone_is_timed_in_turns(bundle, store, one_runtime):
    (measured, *_) = build(bundle.path, store, **QUICK)["measured"]
    assert measured["rounds"] == module._ROUNDS


def test_the_judge_adds_pictures_of_its_own(bundle, store, tmp_path):
    workshop = module._Workshop(tmp_path, bundle, 1)
    assert len(workshop._expected) == 4


def test_times_of_two_moments_do_not_mix():
    """The finals ran on a machine that was twice as slow as when each was tried alone."""
    a, b, c = (result(name, ms, 60.0) for name, ms in (("a", 10.0), ("b", 14.0), ("c", 16.0)))
    for one, ms in ((a, 20.0), (b, 28.0)):
        one.begin_turns()
        one.add([ms])
    assert [r.candidate.runtime for r in module._ladder([a, b, c], "latency")] == ["a", "b", "c"]


def test_a_name_that_no_file_can_have_is_found_before_the_work(bundle, store, tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        build(bundle.path, store, **QUICK, export=tmp_path / ("x" * 250))
    assert not store.path.exists()


def test_export_replaces_engines_alone(bundle, store, tmp_path, one_runtime):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/a.txt").touch()
    with pytest.raises(EngineError, match="is no engine"):
        build(bundle.path, store, **QUICK, export=tmp_path / "thesis")
    for _ in range(2):
        build(bundle.path, store, **QUICK, export=tmp_path / "out")
    assert os.listdir(tmp_path / "thesis") == ["a.txt"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_energy_needs_a_meter(bundle, store):
    with pytest.raises(
        ConfigError, match="'energy' cannot be aimed at here: choose one of: latency, quality"
    ):
        build(bundle.path, store, objective="energy")


def result(name, ms, psnr_db, precision="fp32"):
    made = module._Result(known.Candidate(name, precision, "fp32"))
    made.add([ms])
    made.quality = {"psnr_worst_db": psnr_db}
    return made


@pytest.mark.parametrize(
    ("objective", "bf16_ms", "best"),
    [("latency", 5.0, "bf16"), ("latency", 9.9, "fp32"), ("quality", 5.0, "fp32")],
)
def test_lower_precision_must_be_worth_it(objective, bf16_ms, best):
    ladder = module._ladder([result("a", 10.0, 60.0), result("b", bf16_ms, 40.0, "bf16")], objective)
    assert ladder[0].candidate.precision == best
    assert len(ladder) == 2


def test_the_command_makes_what_run_then_uses(tmp_path, capsys, monkeypatch):
    bundle = painted(tmp_path / "painted")
    options = ["--store", str(tmp_path / "store"), "--threads", "1"]
    assert main(["build", str(bundle), *options, "--seconds", "0.5", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert main(["inspect", built["engine"]]) == 0
    assert f"runs: {built['runtime']} {built['precision']}" in capsys.readouterr().out
    trace = str(tmp_path / "t.sqlite")
    shown = ["--camera", "pattern://", "--display", "null://", "--frames", "3", "--trace", trace, "--json"]
    assert main(["run", "--bundle", str(bundle), *options, *shown]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 3
    assert Engine.open(Path(built["engine"])).state["good"]
    assert main(["bench", str(bundle), *options, "--seconds", "0.2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runtime"] == built["runtime"]


def painted(path):
    """A bundle with a network in it."""
    model = painter(4, 1, 32, 32)
    seen = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    from edgegan.generator.onnxruntime import OnnxRuntimeGenerator
    from tests.engine.conftest import PIXELS, png

    drawn = np.empty_like(seen)
    OnnxRuntimeGenerator(model=model, threads=1).infer(seen, drawn)
    pixels = {"shape": [1, 32, 32, 3], **PIXELS}
    manifest = {
        "name": "painted",
        "input": {"name": "input", **pixels},
        "output": {"name": "output", **pixels},
        "models": {"fp32": {"path": "model_fp32.onnx"}},
    }
    files = {"model_fp32.onnx": model, "reference_input.png": png(seen), "reference_output.png": png(drawn)}
    return write_bundle(path, manifest, files).path
