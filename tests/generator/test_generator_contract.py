"""What every generator driver that runs anywhere must do (`edgegan/generator/__init__.py`)."""

import importlib.util
import mmap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgegan.errors import GeneratorError
from edgegan.generator import Generator
from edgegan.registry import GENERATORS, Uri, open_driver
from tests.generator.packed import inverter


@pytest.fixture(params=["passthrough", "onnxruntime", "openvino"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Generator]:
    """Opens a generator of 24 x 16 (width x height)."""
    if request.param == "openvino" and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed: pip install 'edgegan[openvino]'")
    (tmp_path / "inverter.onnx").write_bytes(inverter(16, 24))
    uris = {
        "passthrough": "passthrough://?size=24x16",
        "onnxruntime": f"onnxruntime://{tmp_path}/inverter.onnx?threads=1",
        "openvino": f"openvino://{tmp_path}/inverter.onnx?threads=1",
    }

    def open_generator() -> Generator:
        generator: Generator = open_driver("generator", GENERATORS, Uri.parse(uris[request.param]))
        return generator

    return open_generator


def test_it_writes_the_whole_result_into_memory_of_the_caller(opened: Callable[[], Generator]) -> None:
    slots = np.zeros((3, 16, 24, 3), np.uint8)
    pixels = np.random.default_rng(0).integers(100, 156, (16, 24, 3), np.uint8)
    pixels.flags.writeable = False
    with closing(opened()) as generator:
        assert isinstance(generator, Generator)
        assert generator.input_size == generator.output_size == (16, 24)
        assert generator.description["runtime"]
        for slot in (slots[1], slots[2], slots[1]):
            slot[:] = 0
            generator.infer(pixels, slot)
            assert slot.min() >= 99
    assert not slots[0].any()


def test_it_keeps_no_picture(opened: Callable[[], Generator]) -> None:
    with closing(opened()) as generator:
        outs = [np.zeros((16, 24, 3), np.uint8) for _ in range(2)]
        for value, out in zip((50, 200), outs, strict=True):
            generator.infer(np.full((16, 24, 3), value, np.uint8), out)
        assert abs(int(outs[0][0, 0, 0]) - int(outs[1][0, 0, 0])) == 150


@pytest.mark.parametrize("shape", [(24, 16, 3), (16, 24), (16, 24, 4), (1, 16, 24, 3)])
def test_a_picture_of_another_shape_is_refused(
    opened: Callable[[], Generator], shape: tuple[int, ...]
) -> None:
    with closing(opened()) as generator:
        good, bad = np.zeros((16, 24, 3), np.uint8), np.zeros(shape, np.uint8)
        for pixels, out in ((bad, good), (good, bad)):
            with pytest.raises(GeneratorError):
                generator.infer(pixels, out)


@pytest.mark.parametrize("what", ["pixels", "out"])
def test_it_keeps_no_hold_on_memory_of_the_caller(opened: Callable[[], Generator], what: str) -> None:
    """The exchange could not close its shared memory else."""
    memory = mmap.mmap(-1, 16 * 24 * 3)
    given = {name: np.zeros((16, 24, 3), np.uint8) for name in ("pixels", "out")}
    given[what] = np.frombuffer(memory, np.uint8).reshape(16, 24, 3)
    with closing(opened()) as generator:
        generator.infer(**given)
        given.clear()
        memory.close()


def test_it_leaves_the_picture_of_the_camera_as_it_was(opened: Callable[[], Generator]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    before = pixels.copy()
    with closing(opened()) as generator:
        generator.infer(pixels, np.zeros((16, 24, 3), np.uint8))
    np.testing.assert_array_equal(pixels, before)


def test_closing_twice_is_harmless(opened: Callable[[], Generator]) -> None:
    generator = opened()
    generator.close()
    generator.close()
