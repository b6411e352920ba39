"""The whole way, on small models: what is written, and that nothing is written where it may not be."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgegan import cli
from edgegan.bundle import Bundle
from edgegan.errors import EdgeganError, ModelDisagreement, ModelError, UserError
from edgegan.pack import Constant, PackOptions, pack_model, packing
from edgegan.pack.compare import Packed
from tests.pack import exports

STYLE = {"style": Constant(one_hot=2)}


@pytest.fixture
def photos(tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(photo, number * 3, axis=1))
    return folder


def _everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["small", "small.edgegan", "new/folder/small.zip"])
def test_a_bundle_is_written_and_draws(model_file, tmp_path, photos, name):
    options = PackOptions(name="little", licence="MIT", credits="me")
    described = pack_model(model_file, tmp_path / name, options, pictures=photos)
    bundle = Bundle.open(tmp_path / name)
    pixels = {"dtype": "uint8", "layout": "NHWC", "colour": "BGR"}
    assert described == bundle.describe() == json.loads(json.dumps(described))
    assert described["name"] == "little"
    for side in ("input", "output"):
        assert described[side] == {"name": side, "shape": [1, 16, 24, 3], **pixels}
    fp32 = described["models"]["fp32"]
    assert fp32["bytes"] == len(bundle.read_model("fp32"))
    assert (fp32["params"], fp32["macs"], fp32["macs_int8_share"]) == (216, 2 * 16 * 24 * 108, 0.0)
    assert fp32["quality"] is None
    assert described["agreement"]["pictures"] == 5
    assert described["agreement"]["max_grey_levels"] <= 1
    assert len(described["assumptions"]) == 2
    assert bundle.read_file("LICENSE") == b"MIT\n\nme\n"
    pictures = [
        cv2.imdecode(np.frombuffer(bundle.read_file(f"reference_{side}.png"), np.uint8), cv2.IMREAD_COLOR)
        for side in ("input", "output")
    ]
    model = onnx.load_model_from_string(bundle.read_model("fp32"))
    np.testing.assert_array_equal(Packed(model).draw(pictures[0]), pictures[1])


def test_a_dynamic_model_with_a_style(tmp_path, make):
    model = tmp_path / "styled.onnx"
    onnx.save(make(shape=("n", 3, "h", "w"), style=4, opset=11, last="Sigmoid"), model)
    options = PackOptions(size=(40, 32), constants=STYLE, input_range=(0, 1))
    stages = []
    described = pack_model(
        model, tmp_path / "b", options, progress=lambda what, share: stages.append((share, what))
    )
    assert described["input"]["shape"] == [1, 40, 32, 3]
    assert described["models"]["fp32"]["opset"] == 11
    assert described["name"] == "styled"
    assert stages == sorted(stages, key=lambda stage: stage[0])
    assert stages[-1] == (1.0, "done")


def test_packing_twice_replaces_the_bundle(model_file, tmp_path):
    for name in ("first", "second"):
        pack_model(model_file, tmp_path / "b", PackOptions(name=name))
    assert Bundle.open(tmp_path / "b").name == "second"
    assert sorted(os.listdir(tmp_path)) == ["b", "small.onnx"]


def test_the_same_model_gives_the_same_bytes(model_file, tmp_path):
    for name in ("a", "b"):
        pack_model(model_file, tmp_path / name, PackOptions())
    assert Bundle.open(tmp_path / "a").sha256("fp32") == Bundle.open(tmp_path / "b").sha256("fp32")


def _refused(tmp_path, model, output, options=None, error=EdgeganError, **more):
    """Packing raises, and changes nothing on disk."""
    before = _everything_in(tmp_path)
    with pytest.raises(error) as caught:
        pack_model(model, output, options or PackOptions(), **more)
    assert _everything_in(tmp_path) == before
    return caught.value


def test_a_pass_that_changes_the_drawing_is_caught(model_file, tmp_path, monkeypatch):
    """A simplifier that makes a weight 2 % larger."""

    def simplify_wrongly(model):
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "second")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.02), "second"))
        return model, packing.PassReport("simplify", "wrong")

    monkeypatch.setattr(packing, "simplify", simplify_wrongly)
    error = _refused(tmp_path, model_file, tmp_path / "b", error=ModelDisagreement)
    assert "grey levels" in error.message
    assert error.exit_code == 1


def test_a_generator_that_draws_nan_is_refused(tmp_path, make):
    model = make(last="Log")
    onnx.save(model, tmp_path / "nan.onnx")
    options = PackOptions(input_range=(-1, 1), output_range=(0, 1))
    error = _refused(tmp_path, tmp_path / "nan.onnx", tmp_path / "b", options, ModelError)
    assert "not finite" in error.message


@pytest.mark.parametrize("kind", ["file", "folder", "folder in place of a file"])
def test_what_is_no_bundle_is_never_replaced(model_file, tmp_path, kind):
    output = tmp_path / ("mine" if kind == "folder" else "mine.edgegan")
    if kind == "file":
        output.write_text("my thesis")
    else:
        output.mkdir()
        (output / "thesis.txt").write_text("my thesis")
    assert _refused(tmp_path, model_file, output, error=UserError).exit_code == 2
    assert "my thesis" in [p.read_text() for p in (output, output / "thesis.txt") if p.is_file()]


def test_where_it_cannot_be_written_no_work_is_begun(tmp_path):
    (tmp_path / "thesis.edgegan").write_text("my thesis")
    error = _refused(tmp_path, tmp_path / "absent.onnx", tmp_path / "thesis.edgegan", error=UserError)
    assert "thesis" in error.message


def test_pictures_that_are_none_are_refused(model_file, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.jpg").write_text("no picture")
    for pictures, says in (
        (tmp_path / "texts", "holds no picture"),
        (tmp_path / "absent", "there are no pictures"),
    ):
        error = _refused(tmp_path, model_file, tmp_path / "b", error=UserError, pictures=pictures)
        assert says in error.message


def test_few_pictures_are_filled_up_and_it_is_said(model_file, tmp_path, photos):
    for path in sorted(photos.iterdir())[2:]:
        path.unlink()
    agreement = pack_model(model_file, tmp_path / "b", PackOptions(), pictures=photos)["agreement"]
    assert agreement["pictures"] == 5
    assert agreement["pictures_from"] == "2 of photos and 3 drawn"


def test_a_folder_that_cannot_be_written(model_file, tmp_path):
    closed = Path("/sys/kernel") if os.geteuid() == 0 else tmp_path / "closed"
    if os.geteuid() != 0:
        closed.mkdir(mode=0o555)
    error = _refused(tmp_path, model_file, closed / "b", error=UserError)
    assert "cannot write the bundle" in error.message
    assert error.exit_code == 2


@pytest.mark.parametrize("package", ["onnx", "onnxsim"])
def test_without_the_extra_its_name_is_told(package):
    code = f"import sys; sys.modules[{package!r}] = None; import edgegan.pack"
    environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    message = f"MissingDependency: packing needs the package '{package}': pip install 'edgegan[pack]'"
    assert message in result.stderr


def test_the_command_says_where_it_wrote_and_how_well_both_agree(model_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pack", str(model_file), "-o", "little.edgegan"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2] == "compared with the file as it is"
    differ = r"(draw the same|differ by at most 1 grey level)"
    assert re.fullmatch(rf"written to little\.edgegan; packed and original {differ} on 5 pictures", told[-1])


def test_batch_statistics_and_the_output_are_options_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    onnx.save(exports.unet(), "unet.onnx")
    assert cli.main(["pack", "unet.onnx", "-o", "unet"]) == 2
    assert "is in training mode" in capsys.readouterr().err
    assert cli.main(["pack", "unet.onnx", "-o", "unet", "--batch-statistics"]) == 0
    assert "3 Dropout in training mode left out" in capsys.readouterr().out
    agreement = Bundle.open(tmp_path / "unet").manifest["agreement"]
    assert agreement["original"] == "the file with 3 Dropout in training mode replaced by Identity"
    onnx.save(exports.outputs("two"), "two.onnx")
    assert cli.main(["pack", "two.onnx", "-o", "two", "--output-name", "coarse"]) == 0
    assert "not 'coarse'" not in capsys.readouterr().out
    onnx.save(exports.outputs("mask"), "mask.onnx")
    assert cli.main(["pack", "mask.onnx", "-o", "mask"]) == 0
    assert "assumed: the picture is the output 'y', not 'mask'" in capsys.readouterr().out


def test_a_range_for_bytes_is_refused(tmp_path):
    onnx.save(exports.of_bytes(exports.PLANES), tmp_path / "bytes.onnx")
    options = PackOptions(input_range=(-1, 1))
    error = _refused(tmp_path, tmp_path / "bytes.onnx", tmp_path / "b", options, UserError)
    assert str(error) == "the input 'x' has bytes, which are 0 to 255: leave --input-range out"


def test_dropout_alone_in_training_mode_is_told_to_be_suspicious(tmp_path):
    """An exporter that loses the mode of BatchNormalization keeps that of Dropout."""
    onnx.save(exports.unet(norms=1, normal=True), tmp_path / "unet.onnx")
    options = PackOptions(batch_statistics=True)
    described = pack_model(tmp_path / "unet.onnx", tmp_path / "b", options)
    assert any("no BatchNormalization is in training mode" in text for text in described["assumptions"])
