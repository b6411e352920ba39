"""ONNX Runtime's driver: the caller's memory, clear refusals, silence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgegan.errors import GeneratorError
from edgegan.generator.onnxruntime import OnnxRuntimeGenerator
from tests.generator.packed import inverter, painter, row_counter


def test_it_draws_what_the_model_says() -> None:
    generator = OnnxRuntimeGenerator(model=inverter(16, 24))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    out = np.empty_like(pixels)
    generator.infer(pixels, out)
    np.testing.assert_array_equal(out, 255 - pixels)


@pytest.mark.parametrize("spinning", ["auto", "on", "off"])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_options_change_nothing_that_is_seen(spinning: str, threads: int | None) -> None:
    model = painter(4, height=32, width=32)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    out = np.empty_like(pixels)
    OnnxRuntimeGenerator(model=model, threads=threads, spinning=spinning).infer(pixels, out)  # type: ignore[arg-type]
    plain = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = plain.run(None, {"pixels": pixels[np.newaxis]})[0][0]
    assert np.abs(out.astype(int) - expected).max() <= 1
    assert out.std() > 1


def test_it_uses_the_cores_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert OnnxRuntimeGenerator(model=inverter()).description["threads"] == 1


def test_without_a_topology_it_uses_all_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """As psutil answers on ARM kernels that tell no cores from threads."""
    monkeypatch.setattr("psutil.cpu_count", lambda logical: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert OnnxRuntimeGenerator(model=inverter()).description["threads"] == 4


@pytest.mark.parametrize("size", [["batch", 16, 24, 3], [1, "height", 24, 3], [1, 16, 24, 4], [16, 24, 3]])
def test_a_model_that_is_not_packed_is_named_as_such(size: list[int | str]) -> None:
    model = onnx.load_from_string(inverter())
    shape = [onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, size)]
    del model.graph.input[:]
    model.graph.input.extend(shape)
    with pytest.raises(GeneratorError, match=rf"no packed model.*{re.escape(str(size))}.*edgegan pack"):
        OnnxRuntimeGenerator(model=model.SerializeToString())


def test_a_real_generator_that_is_not_packed(models: Path) -> None:
    with pytest.raises(GeneratorError, match="no packed model"):
        OnnxRuntimeGenerator(str(models / "generators" / "pix2pix_unet128_emoji.onnx"))


@pytest.mark.parametrize("model", [b"", b"no model at all", inverter()[:200]])
def test_a_damaged_model_is_refused_in_one_line(model: bytes) -> None:
    with pytest.raises(GeneratorError) as caught:
        OnnxRuntimeGenerator(model=model)
    assert "\n" not in str(caught.value)
    assert "ONNXRuntimeError" not in str(caught.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(GeneratorError, match=r"there is no model 'nowhere.onnx'"):
        OnnxRuntimeGenerator("nowhere.onnx")
    with pytest.raises(GeneratorError):
        OnnxRuntimeGenerator(model=inverter(), threads=0)


def test_a_picture_that_it_fails_on_is_named_and_the_next_one_drawn() -> None:
    generator = OnnxRuntimeGenerator(model=row_counter())
    good, bad, out = (np.full((16, 24, 3), value, np.uint8) for value in (4, 255, 0))
    with pytest.raises(GeneratorError, match=r"ONNX Runtime failed on a picture: .*reshape"):
        generator.infer(bad, out)
    generator.infer(good, out)
    np.testing.assert_array_equal(out, good)


def test_memory_in_strips_is_refused() -> None:
    generator = OnnxRuntimeGenerator(model=inverter(16, 24))
    wide = np.zeros((16, 48, 3), np.uint8)
    with pytest.raises(GeneratorError, match="in one piece"):
        generator.infer(wide[:, ::2], np.zeros((16, 24, 3), np.uint8))


def test_it_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    script = (
        "from edgegan.generator.onnxruntime import OnnxRuntimeGenerator\n"
        "try: OnnxRuntimeGenerator('bad.onnx')\n"
        "except RuntimeError: pass\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout == done.stderr == ""
