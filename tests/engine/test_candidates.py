import json

import pytest

from edgegan.bundle import Bundle
from edgegan.engine import candidates as module
from edgegan.engine import dot_product
from edgegan.engine.candidates import DEFAULT, candidate, candidates, is_known
from edgegan.errors import ConfigError, MissingDependency


def test_auto_is_what_always_works(bundle):
    assert candidate(bundle, "auto", "auto") == DEFAULT


def test_a_precision_finds_its_runtime(bundle):
    assert candidate(bundle, "auto", "bf16").name == "openvino-bf16"


def test_bf16_runs_the_fp32_file(bundle):
    one = candidate(bundle, "openvino", "bf16")
    assert (one.model, one.options) == ("fp32", {"precision": "bf16"})


@pytest.mark.parametrize(
    ("runtime", "precision", "says"),
    [
        ("openvin", "auto", "did you mean 'openvino'"),
        ("onnxruntime", "bf16", "onnxruntime has no precision 'bf16': it has fp32, int8"),
        ("auto", "fp23", "has no precision 'fp23'|there is no runtime"),
    ],
)
def test_what_does_not_exist_is_refused(bundle, runtime, precision, says):
    with pytest.raises(ConfigError, match=says):
        candidate(bundle, runtime, precision)


def test_what_is_not_installed_is_passed_over_by_name(bundle, monkeypatch):
    monkeypatch.setattr(
        module, "runtime_version", lambda runtime: "1.0" if runtime == "onnxruntime" else None
    )
    found, passed_over = candidates(bundle)
    assert [one.name for one in found] == ["onnxruntime-fp32"]
    assert {one.why for one in passed_over if one.runtime == "openvino"} == {"it is not installed"}
    with pytest.raises(MissingDependency, match=r"openvino fp32: it is not installed.*edgegan\[openvino\]"):
        candidates(bundle, "openvino")
    with pytest.raises(MissingDependency, match=r"edgegan\[openvino\]|\.\[openvino\]"):
        candidates(bundle, precision="bf16")


def test_a_way_of_another_version_is_not_known(bundle):
    one = candidate(bundle, "openvino", "bf16")
    assert is_known(one)
    assert not is_known(module.Candidate("openvino", "bf16", "fp32", {"precision": "f8"}))
    assert not is_known(module.Candidate("abacus", "fp32", "fp32"))


INT8 = {"int8": "openvino", "int8_onnxruntime": "onnxruntime"}


@pytest.fixture
def with_int8(bundle):
    """Of each INT8 the same file again: what is in it does not matter here."""

    def given(*names):
        path = bundle.path / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["models"] |= dict.fromkeys(names, manifest["models"]["fp32"])
        path.write_text(json.dumps(manifest))
        return Bundle.open(bundle.path)

    return given


@pytest.fixture
def able(monkeypatch):
    """The CPU can, or lacks something; both runtimes are installed."""

    def given(why=""):
        way = module.RUNTIMES["onnxruntime"]["int8"]
        monkeypatch.setitem(
            module.RUNTIMES["onnxruntime"], "int8", module._Way(way.model, obstacle=lambda: why)
        )
        monkeypatch.setattr(module, "runtime_version", lambda runtime: "1.0")

    return given


@pytest.mark.parametrize(("model", "runtime"), INT8.items())
def test_int8_goes_to_the_runtime_that_the_bundle_has_it_for(with_int8, able, model, runtime):
    able()
    one = candidate(with_int8(model), "auto", "int8")
    assert (one.runtime, one.model) == (runtime, model)


def test_a_cpu_that_would_draw_wrong_is_passed_over_in_words(with_int8, able):
    able("this CPU has no VNNI")
    bundle = with_int8(*INT8)
    found, passed_over = candidates(bundle)
    assert "onnxruntime-int8" not in [one.name for one in found]
    assert [one.why for one in passed_over if one.runtime == "onnxruntime"] == ["this CPU has no VNNI"]
    assert candidate(bundle, "auto", "int8").runtime == "openvino"
    with pytest.raises(ConfigError, match="onnxruntime cannot run int8 here: this CPU has no VNNI: choose"):
        candidate(bundle, "onnxruntime", "int8")


def test_int8_on_onnxruntime_asks_this_cpu():
    assert module.RUNTIMES["onnxruntime"]["int8"].obstacle is dot_product.lacking
