"""OpenVINO's driver: FP32 that is FP32, the caller's memory, clear refusals, silence on screen and network."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

from edgegan.bundle import Bundle
from edgegan.errors import GeneratorError
from edgegan.generator import Generator
from edgegan.generator.onnxruntime import OnnxRuntimeGenerator
from edgegan.pack import load_recipe, pack_model
from edgegan.pack.pictures import comparison_pictures
from edgegan.quality import max_difference, psnr_db
from tests.generator.packed import inverter, painter, row_counter

try:
    from edgegan.generator import openvino as driver
    from edgegan.generator.openvino import OpenVinoGenerator
except ImportError:
    pytest.skip("openvino is not installed: pip install 'edgegan[openvino]'", allow_module_level=True)

RECIPES = Path(__file__).parents[2] / "engines/recipes"
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@dataclass(frozen=True)
class Real:
    """A real packed model and what ONNX Runtime draws with it."""

    model: bytes
    pictures: Sequence[np.ndarray]
    drawn: Sequence[np.ndarray]


def all_drawn(generator: Generator, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a generator makes of `pictures`; then it is closed."""
    outs = [np.zeros((*generator.output_size, 3), np.uint8) for _ in pictures]
    with closing(generator):
        for pixels, out in zip(pictures, outs, strict=True):
            generator.infer(pixels, out)
    return outs


def drawn(generator: Generator, pixels: np.ndarray = PIXELS) -> np.ndarray:
    """The same of one picture."""
    return all_drawn(generator, [pixels])[0]


def in_bf16(model: bytes) -> OpenVinoGenerator:
    """The model in bf16, on a CPU that has it."""
    try:
        return OpenVinoGenerator(model=model, precision="bf16")
    except GeneratorError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("threads", [1, 2, None])
def test_it_draws_what_onnx_runtime_draws(threads: int | None) -> None:
    model = painter(4, height=32, width=32)
    out = drawn(OpenVinoGenerator(model=model, threads=threads))
    assert max_difference(out, drawn(OnnxRuntimeGenerator(model=model))) <= 1
    assert out.std() > 1


@pytest.fixture(
    scope="module",
    params=["multistyle26_cin", "pix2pix_unet128_emoji", "fns_candy", "cartoongan_light_shinkai", "paint"],
)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """A real packed generator, pictures, and what ONNX Runtime makes of them. fns_candy is packed at 64 x 64."""
    if request.param == "paint":
        bundle, photos = Bundle.open(RECIPES.parent / "paint/paint.edgegan"), None
    else:
        models = request.getfixturevalue("models")
        photos = models / "photos-eval"
        bundle = packed(request.param, models, tmp_path_factory.mktemp(request.param))
    model = bundle.read_model("fp32")
    pictures = comparison_pictures(photos, bundle.input_size).pictures[:3]
    return Real(model, pictures, all_drawn(OnnxRuntimeGenerator(model=model), pictures))


def packed(name: str, models: Path, folder: Path) -> Bundle:
    _, options = load_recipe(RECIPES / f"{name}.yaml")
    model = models / f"generators/{name}.onnx"
    if name == "fns_candy":
        loaded = onnx.load(model)
        for value in (loaded.graph.input[0], loaded.graph.output[0]):
            shape = ["n", 3, "h", "w"]
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape))
        model = folder / "dynamic.onnx"
        onnx.save(loaded, model)
        options = replace(options, size=(64, 64))
    pack_model(model, folder / "bundle", options, pictures=models / "photos-eval")
    return Bundle.open(folder / "bundle")


def test_a_real_generator_draws_the_same_in_fp32(real: Real) -> None:
    for ours, exact in zip(
        all_drawn(OpenVinoGenerator(model=real.model), real.pictures), real.drawn, strict=True
    ):
        assert max_difference(ours, exact) <= 1


def test_a_real_generator_is_near_in_bf16(real: Real) -> None:
    """docs/runtimes.md has the figures; the gate of quality is `build`'s."""
    for ours, exact in zip(all_drawn(in_bf16(real.model), real.pictures), real.drawn, strict=True):
        assert 25 < psnr_db(exact, ours) < 100


def test_bf16_is_another_choice_than_fp32() -> None:
    model = painter(8, height=32, width=32)
    generator = in_bf16(model)
    assert generator.description["precision"] == "bf16"
    assert max_difference(drawn(generator), drawn(OpenVinoGenerator(model=model))) > 0


def test_a_cpu_without_bf16_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO itself would emulate it."""

    def get_property(core: object, device: str, name: str) -> list[str]:
        return ["FP32", "INT8"]

    monkeypatch.setattr(driver.openvino.Core, "get_property", get_property)
    with pytest.raises(GeneratorError, match="this CPU does not compute in bf16: use the precision fp32"):
        OpenVinoGenerator(model=inverter(), precision="bf16")
    OpenVinoGenerator(model=inverter())


def test_a_precision_that_was_not_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = driver._options
    monkeypatch.setattr(driver, "_options", lambda threads, _: given(threads, "bf16"))
    with pytest.raises(GeneratorError, match="asked for fp32, OpenVINO computes in bf16"):
        OpenVinoGenerator(model=inverter())


@pytest.mark.parametrize("size", [["batch", 16, 24, 3], [1, "height", 24, 3], [1, 16, 24, 4], [16, 24, 3]])
def test_a_model_that_is_not_packed_is_named_as_such(size: list[int | str]) -> None:
    model = onnx.load_from_string(inverter())
    del model.graph.input[:]
    model.graph.input.append(onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, size))
    named = re.escape(str([n if isinstance(n, int) else "?" for n in size]))
    with pytest.raises(GeneratorError, match=rf"no packed model.*pixels uint8 {named}.*edgegan pack"):
        OpenVinoGenerator(model=model.SerializeToString())


def test_a_real_generator_that_is_not_packed(models: Path) -> None:
    with pytest.raises(GeneratorError, match="no packed model"):
        OpenVinoGenerator(str(models / "generators" / "pix2pix_unet128_emoji.onnx"))


def unknown_operation() -> bytes:
    model = onnx.load_from_string(inverter())
    model.graph.node[1].op_type = "Multify"
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("model", [b"", b"no model at all", inverter()[:200], unknown_operation()])
def test_a_damaged_model_is_refused_in_one_line(model: bytes) -> None:
    with pytest.raises(GeneratorError) as caught:
        OpenVinoGenerator(model=model)
    said = str(caught.value)
    assert "\n" not in said
    assert not re.search(r"Exception from|Check '|\.cpp|https?:", said), said
    assert "Multify" in said or b"Multify" not in model


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in ("nowhere.onnx", str(tmp_path), ""):
        with pytest.raises(GeneratorError, match=f"there is no model '{path}'"):
            OpenVinoGenerator(path)
    with pytest.raises(GeneratorError, match="0 threads"):
        OpenVinoGenerator(model=inverter(), threads=0)


def test_memory_in_strips_is_refused() -> None:
    generator = OpenVinoGenerator(model=inverter(16, 24))
    wide = np.zeros((16, 48, 3), np.uint8)
    with pytest.raises(GeneratorError, match="in one piece"):
        generator.infer(wide[:, ::2], np.zeros((16, 24, 3), np.uint8))


def test_a_picture_that_it_fails_on_is_named_and_the_next_one_drawn() -> None:
    generator = OpenVinoGenerator(model=row_counter())
    good, bad, out = (np.full((16, 24, 3), value, np.uint8) for value in (4, 255, 0))
    with pytest.raises(GeneratorError, match="OpenVINO failed on a picture: ") as caught:
        generator.infer(bad, out)
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)
    generator.infer(good, out)
    np.testing.assert_array_equal(out, good)


def test_a_second_start_takes_what_the_first_compiled(tmp_path: Path) -> None:
    model = painter(4, height=32, width=32)
    first, second = (OpenVinoGenerator(model=model, cache=str(tmp_path)) for _ in range(2))
    assert (first.description["from_cache"], second.description["from_cache"]) == (False, True)
    np.testing.assert_array_equal(drawn(first), drawn(second))
    assert not OpenVinoGenerator(model=model, cache=str(tmp_path), threads=1).description["from_cache"]
    assert not OpenVinoGenerator(model=inverter(), cache=str(tmp_path)).description["from_cache"]


def test_what_another_version_compiled_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OpenVinoGenerator(model=inverter(), cache=str(tmp_path))
    monkeypatch.setattr(driver.openvino, "__version__", "2031.0.0")
    assert not OpenVinoGenerator(model=inverter(), cache=str(tmp_path)).description["from_cache"]


def test_a_blob_that_openvino_refuses_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver.blobs, "kept", lambda *_: b"whole, and no blob")
    out = drawn(OpenVinoGenerator(model=inverter(32, 32), cache=str(tmp_path)))
    np.testing.assert_array_equal(out, 255 - PIXELS)


def test_a_damaged_cache_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    OpenVinoGenerator(model=inverter(32, 32), cache=str(tmp_path))
    (blob,) = tmp_path.iterdir()
    for damage in (b"", blob.read_bytes()[:-5], os.urandom(5000)):
        blob.write_bytes(damage)
        caplog.clear()
        generator = OpenVinoGenerator(model=inverter(32, 32), cache=str(tmp_path))
        assert not generator.description["from_cache"]
        assert "damaged" in caplog.text
        np.testing.assert_array_equal(drawn(generator), 255 - PIXELS)
    assert OpenVinoGenerator(model=inverter(32, 32), cache=str(tmp_path)).description["from_cache"]


def test_a_cache_that_cannot_be_written_breaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("precious")
    with caplog.at_level(logging.WARNING):
        generator = OpenVinoGenerator(model=inverter(32, 32), cache=str(tmp_path / "file"))
    assert "is not kept" in caplog.text
    np.testing.assert_array_equal(drawn(generator), 255 - PIXELS)


def test_opening_and_closing_leaves_nothing() -> None:
    model, process, seen = painter(8, blocks=2), psutil.Process(), []
    pixels = np.zeros((256, 256, 3), np.uint8)
    for _ in range(20):
        drawn(OpenVinoGenerator(model=model), pixels)
        seen.append((process.memory_info().rss >> 20, process.num_threads(), process.num_fds()))
    assert seen[-1][0] - seen[4][0] < 32, f"MB, threads, files after each round: {seen}"
    assert seen[-1][1:] == seen[4][1:]


def run_alone(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, whose home is `folder` and which does not look like CI (telemetry does)."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment = {**kept, "PYTHONPATH": str(Path.cwd()), "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    )


def test_it_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model at all")
    (tmp_path / "good.onnx").write_bytes(inverter())
    script = (
        "from edgegan.generator.openvino import OpenVinoGenerator\n"
        "OpenVinoGenerator('good.onnx').close()\n"
        "try: OpenVinoGenerator('bad.onnx')\n"
        "except RuntimeError: pass\n"
    )
    done = run_alone(script, tmp_path)
    assert done.stdout == done.stderr == ""


def test_it_reports_to_nobody(tmp_path: Path) -> None:
    """Unhindered, `import openvino` starts a process that reports to Google Analytics, and writes to ~/intel."""
    (tmp_path / "good.onnx").write_bytes(inverter())
    script = (
        "import sys\n"
        "watched = ('socket.connect', 'socket.getaddrinfo', 'os.fork', 'subprocess.Popen', 'os.mkdir')\n"
        "sys.addaudithook(lambda event, _: event in watched and print(event))\n"
        "import numpy as np\n"
        "from edgegan.generator.openvino import OpenVinoGenerator\n"
        "generator = OpenVinoGenerator('good.onnx')\n"
        "generator.infer(np.zeros((16, 24, 3), np.uint8), np.zeros((16, 24, 3), np.uint8))\n"
        "print(*[name for name in sys.modules if 'openvino_telemetry' in name])\n"
    )
    assert run_alone(script, tmp_path).stdout.split() == []
    assert [path.name for path in tmp_path.iterdir()] == ["good.onnx"]
