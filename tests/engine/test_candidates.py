import pytest

from edgegan.engine import candidates as module
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
        ("onnxruntime", "bf16", "onnxruntime has no precision 'bf16': it has fp32"),
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
    assert {one.why for one in passed_over} == {"it is not installed"}
    with pytest.raises(MissingDependency, match=r"openvino fp32: it is not installed.*edgegan\[openvino\]"):
        candidates(bundle, "openvino")
    with pytest.raises(MissingDependency, match=r"edgegan\[openvino\]|\.\[openvino\]"):
        candidates(bundle, precision="bf16")


def test_a_way_of_another_version_is_not_known(bundle):
    one = candidate(bundle, "openvino", "bf16")
    assert is_known(one)
    assert not is_known(module.Candidate("openvino", "bf16", "fp32", {"precision": "f8"}))
    assert not is_known(module.Candidate("abacus", "fp32", "fp32"))
