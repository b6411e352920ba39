"""What `bench` times is what `run` would draw with."""

import numpy as np
import pytest

from edgegan.bench import bench
from edgegan.engine.candidates import candidate
from edgegan.engine.fingerprint import describe_device
from edgegan.engine.store import Store
from edgegan.errors import GeneratorError
from tests.engine.conftest import negative_bundle
from tests.engine.test_store import manifest

QUICK = {"seconds": 0.1, "threads": 1}


@pytest.fixture
def bundle(tmp_path):
    return negative_bundle(tmp_path / "negative")


@pytest.fixture
def engine(bundle, tmp_path):
    """Its ladder: OpenVINO, then ONNX Runtime."""
    whole = manifest(bundle)
    one = candidate(bundle, "openvino", "fp32")
    best = {"runtime": "openvino", "fingerprint": one.fingerprint(bundle, describe_device())}
    whole["ladder"] = [{**whole["ladder"][0], **best}, *whole["ladder"]]
    return Store(tmp_path / "store").put(bundle, whole)


def test_without_an_engine_the_default_is_timed(bundle, tmp_path):
    assert bench(bundle.path, **QUICK, store=str(tmp_path / "store"))["runtime"] == "onnxruntime"


def test_the_best_rung_is_timed(bundle, engine):
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    assert bench(bundle.path, **QUICK, store=str(engine.path.parent))["runtime"] == "openvino"
    assert bench(engine.path, **QUICK)["runtime"] == "openvino"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise MemoryError('no memory')", "no memory"),
        ("import os; os.abort()", "it was killed by SIGABRT"),
        ("from openvino.nonsense import anything", "needs the package 'openvino'"),
    ],
)
def test_a_best_rung_that_cannot_be_loaded_gives_way(bundle, engine, broken_openvino, caplog, code, says):
    broken_openvino(code)
    result = bench(bundle.path, **QUICK, store=str(engine.path.parent))
    assert result["runtime"] == "onnxruntime"
    assert result["frames"] > 0
    assert "openvino-fp32 of the engine is passed over: " in caplog.text
    assert says in caplog.text
    assert engine.state["failed"] == {}  # a measurement is no judgement


def test_what_is_asked_for_by_name_is_not_replaced_and_says_what_to_do(bundle, engine, broken_openvino):
    broken_openvino("import os; os.abort()")
    with pytest.raises(
        GeneratorError, match=r"openvino-fp32 cannot be timed: .*SIGABRT.*choose another --runtime"
    ):
        bench(bundle.path, **QUICK, runtime="openvino", store=str(engine.path.parent))


def test_a_rung_that_draws_something_else_is_not_timed(tmp_path, caplog):
    wrong = negative_bundle(tmp_path / "wrong", drawn=np.zeros((16, 24, 3), np.uint8))
    store = Store(tmp_path / "store")
    store.put(wrong, manifest(wrong))
    bench(wrong.path, **QUICK, store=str(store.path))
    assert "it does not draw the reference picture" in caplog.text
