"""FP16 and INT8 in a bundle: asked for, made, judged, kept or kept out, and never half of it."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgegan import cli
from edgegan.bundle import Bundle
from edgegan.errors import ConfigError, ModelError, UserError
from edgegan.pack import PackOptions, load_recipe, pack_model, versions
from edgegan.pack.compare import Packed
from edgegan.pack.graph import copied
from edgegan.pack.quantise.drawing import Studio
from edgegan.pack.quantise.table import ScaleTable
from edgegan.pack.versions import checked_precisions
from edgegan.quality import psnr_db
from tests.pack.nets import Net

SIZE = (32, 48)
ALL = ("fp32", "fp16", "int8")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


NOT_WORTH_IT = {
    "precision": "int8_onnxruntime",
    "why": "0% of the MACs are in layers that ONNX Runtime runs faster in INT8, 25% are wanted",
}


def _generator():
    """Three convolutions, the middle one of as many channels in as out, around a soft drawing."""
    net = Net()
    x = net.add("Relu", net.conv("x", 3, 8))
    x = net.add("Relu", net.conv(x, 8, 8))
    net.finish(net.add("Mul", net.conv(x, 8, 3), net.hold(np.float32(0.3))))
    return net.model([1, 3, *SIZE])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("versions") / "small.onnx"
    onnx.save(_generator(), path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions") / "photos"
    folder.mkdir()
    for number in range(14):
        small = np.random.default_rng(number).integers(0, 256, (4, 6, 3), np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.png"), cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        )
    return folder


def _options(photos, precisions=ALL, gates=None, **more):
    return PackOptions(
        precisions=precisions,
        calibrate=photos,
        gates=gates or {},
        input_range=(-1, 1),
        output_range=(-1, 1),
        **more,
    )


def _everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "cache" not in path.parts)


@pytest.fixture(scope="module")
def packed(model, photos, tmp_path_factory):
    """One bundle with all that can be had."""
    place = tmp_path_factory.mktemp("versions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        stages = []
        described = pack_model(
            model,
            place / "b.edgegan",
            _options(photos),
            progress=lambda what, share: stages.append((share, what)),
        )
    return Bundle.open(place / "b.edgegan"), described, stages


# -- A bundle with all of them


def test_all_that_pass_are_in_the_bundle(packed):
    bundle, described, _ = packed
    assert bundle.precisions == ("fp32", "fp16", "int8", "int8_fp16")
    assert described["kept_out"] == [NOT_WORTH_IT]
    for precision in bundle.precisions[1:]:
        entry = described["models"][precision]
        assert entry["path"] == f"model_{precision}.onnx"
        assert entry["bytes"] == len(bundle.read_model(precision))
        assert entry["quality"]["pictures"] == 5
        assert entry["quality"]["psnr_db"] > 42
        assert entry["params"] == described["models"]["fp32"]["params"]
    assert [described["models"][one]["macs_int8_share"] for one in ("fp16", "int8", "int8_fp16")] == [0, 1, 1]
    assert [described["models"][one]["opset"] for one in bundle.precisions] == [17, 17, 17, 19]


def test_what_is_in_the_bundle_draws_as_it_says(packed, photos):
    bundle, described, _ = packed
    plain = Packed(onnx.load_model_from_string(bundle.read_model("fp32")))
    pictures = [cv2.imread(str(path)) for path in photos.iterdir()]
    for precision in ("fp16", "int8"):
        version = Packed(onnx.load_model_from_string(bundle.read_model(precision)))
        mean = np.mean([min(99, psnr_db(version.draw(one), plain.draw(one))) for one in pictures])
        assert mean == pytest.approx(described["models"][precision]["quality"]["psnr_db"], abs=3)


def test_the_scales_are_data_of_their_own(packed):
    bundle, _, _ = packed
    table = ScaleTable.from_json(bundle.read_file("scales.json"))
    assert [layer.form for layer in table.layers] != []
    assert len(table.layers) == 3
    assert table.layers[0].method == "exact"
    int8 = onnx.load_model_from_string(bundle.read_model("int8"))
    quantised = {node.name for node in int8.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    assert {layer.layer for layer in table.layers} <= quantised


def test_the_manifest_says_which_pictures_made_it(packed):
    bundle, described, _ = packed
    assert described["calibration"] == {
        "from": "14 photos of photos",
        "seed": 0,
        "calibrate": 8,
        "search": 6,
        "judge": 5,
        "clip": 16,
    }
    assert json.loads(json.dumps(bundle.describe())) == described


def test_the_page_tells_all_versions_and_sets(packed):
    page = packed[0].read_file("quality.html").decode()
    for text in ("fp16", "int8", "int8_fp16", "Conv", "exact", "14 photos of photos"):
        assert text in page
    assert "<dt>Taken from</dt><dd>14 photos of photos</dd>" in page
    assert 'class="kept-out"' not in page
    assert f'<b>int8_onnxruntime</b> <span class="state">– left out</span>: {NOT_WORTH_IT["why"]}.' in page


def test_the_page_can_be_taken_out(packed, model, tmp_path, capsys):
    bundle, page = packed[0], tmp_path / "page.html"
    assert cli.main(["inspect", str(bundle.path), "--page", str(page)]) == 0
    assert page.read_bytes() == bundle.read_file("quality.html")
    assert "--page quality.html" in capsys.readouterr().out
    plain = PackOptions(input_range=(-1, 1), output_range=(-1, 1))
    pack_model(model, tmp_path / "plain", plain)
    assert cli.main(["inspect", str(tmp_path / "plain"), "--page", str(page)]) == 2
    assert "has no page: it has FP32 alone" in capsys.readouterr().err
    assert cli.main(["inspect", str(bundle.path), "--page", str(tmp_path / "no" / "x.html")]) == 2


def test_a_place_where_nothing_can_be_written_is_refused_before_the_work(model, photos, monkeypatch):
    monkeypatch.setattr(versions, "read_sets", lambda *given: pytest.fail("worked before"))
    with pytest.raises(UserError, match="cannot write the bundle"):
        pack_model(model, Path("/proc/no/b.edgegan"), _options(photos))


def test_a_mistake_in_a_gate_names_its_line(model, tmp_path, capsys):
    (tmp_path / "r.yaml").write_text("name: a\ngates:\n  int8: {psnr: 40}\n")
    assert (
        cli.main(["pack", str(model), "--recipe", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "b")]) == 2
    )
    error = capsys.readouterr().err
    assert "r.yaml:2" in error
    assert "did you mean 'psnr_db'?" in error


def test_progress_goes_forward_to_its_end(packed):
    stages = packed[2]
    assert stages == sorted(stages, key=lambda stage: stage[0])
    assert stages[-1] == (1.0, "done")
    said = {what for _, what in stages}
    assert {
        "looking at the calibration set",
        "trying each layer in INT8",
        "judging fp16",
        "judging int8",
    } <= said


def test_the_same_photos_and_seed_give_the_same_models(packed, model, photos, tmp_path):
    pack_model(model, tmp_path / "again", _options(photos))
    again = Bundle.open(tmp_path / "again")
    for precision in again.precisions:
        assert again.sha256(precision) == packed[0].sha256(precision)
    assert again.read_file("scales.json") == packed[0].read_file("scales.json")


# -- What may be asked for


def test_fp16_needs_no_pictures(model, tmp_path):
    options = PackOptions(precisions=("fp32", "fp16"), input_range=(-1, 1), output_range=(-1, 1))
    described = pack_model(model, tmp_path / "b", options)
    assert list(described["models"]) == ["fp32", "fp16"]
    assert "paint_demo.mp4" in described["calibration"]["from"]
    assert "scales.json" not in described["files"]
    assert "quality.html" in described["files"]


def test_fp32_alone_has_no_report(model, tmp_path):
    described = pack_model(model, tmp_path / "b", PackOptions(precisions=("fp32",)))
    assert (described["calibration"], described["kept_out"]) == (None, [])
    assert "quality.html" not in described["files"]


def test_pictures_ask_for_everything(model, photos, tmp_path):
    described = pack_model(model, tmp_path / "b", _options(photos, precisions=None))
    assert list(described["models"]) == ["fp32", "fp16", "int8", "int8_fp16"]


def test_what_nobody_named_and_cannot_be_made_is_left_out(photos, tmp_path):
    """INT8 needs opset 13."""
    net = Net(11)
    net.finish(net.conv(net.conv("x", 3, 8), 8, 3), "Tanh")
    onnx.save(net.model([1, 3, *SIZE]), path := tmp_path / "old.onnx")
    described = pack_model(path, tmp_path / "b", _options(photos, precisions=None))
    assert list(described["models"]) == ["fp32", "fp16"]
    (left_out,) = described["kept_out"]
    assert left_out["precision"] == "int8"
    assert "a model of opset 11 cannot be quantised: export it with opset 13" in left_out["why"]
    with pytest.raises(ModelError, match="opset 11"):
        pack_model(path, tmp_path / "c", _options(photos, precisions=ALL))


def test_int8_alone_beside_fp32(model, photos, tmp_path):
    described = pack_model(model, tmp_path / "b", _options(photos, precisions=("fp32", "int8")))
    assert list(described["models"]) == ["fp32", "int8", "int8_fp16"]


def test_a_clip_calibrates_too(model, photos, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, SIZE[::-1])
    for number in range(40):
        still = cv2.imread(str(photos / f"{number % 14}.png"))
        writer.write(np.roll(still, number, axis=1))
    writer.release()
    described = pack_model(model, tmp_path / "b", _options(tmp_path / "clip.avi"))
    assert described["calibration"]["from"] == "40 frames of clip.avi"
    assert "int8" in described["models"]


REFUSED = {
    "int8 without pictures": (("fp32", "int8"), False, "int8 needs pictures to calibrate with"),
    "a precision that is none": (("fp32", "int4"), True, "there is no precision 'int4' to pack"),
    "a name that is nearly one": (("fp32", "fp61"), True, "there is no precision 'fp61' to pack"),
    "no fp32": (("int8",), True, "fp32 is missing from --precision"),
    "the name of a file": (("fp32", "int8_fp16"), True, "there is no precision 'int8_fp16' to pack"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_for(name, model, photos, tmp_path):
    precisions, calibrated, says = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        pack_model(model, tmp_path / "b", _options(photos if calibrated else None, precisions=precisions))
    assert says in caught.value.message
    assert caught.value.mend
    assert caught.value.exit_code == 2
    assert _everything_in(tmp_path) == []


def test_a_precision_named_twice_is_made_once(photos):
    assert checked_precisions(("fp32", "fp16", "fp16"), None) == ("fp32", "fp16")


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"int4": {}}, "there is no gate for 'int4'"),
        ({"int8_fp16": {}}, "there is no gate for 'int8_fp16'"),
        ({"int8": {"psnr": 40}}, "the gate has no 'psnr'"),
        ({"int8": {"psnr_db": "much"}}, "the gate's psnr_db is 'much'"),
        ({"int8": {"psnr_db": float("nan")}}, "the gate's psnr_db is nan"),
        ({"fp16": {"high_frequency_ratio": [2, 1]}}, "the gate's high_frequency_ratio is (2, 1)"),
        ({"fp16": {"ssim": True}}, "the gate's ssim is True"),
    ],
)
def test_gates_that_are_none_are_refused_before_any_work(gates, says, photos, tmp_path):
    with pytest.raises(ConfigError) as caught:
        pack_model(tmp_path / "absent.onnx", tmp_path / "b", _options(photos, gates=gates))
    assert says in caught.value.message
    assert _everything_in(tmp_path) == []


def test_a_recipe_says_it_all(model, photos, tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        f"model: {model}\ncalibrate: {photos}\nprecision: [fp32, int8]\nint8_share: 0.5\nseed: 3\n"
        "input_range: [-1, 1]\noutput_range: [-1, 1]\n"
        "gates:\n  int8: {psnr_db: 30, psnr_worst_db: 25, ssim: 0.8, delta_e: null, high_frequency_ratio: [0.5, 2]}\n"
    )
    path, options = load_recipe(tmp_path / "recipe.yaml")
    assert (options.precisions, options.int8_share, options.seed) == (("fp32", "int8"), 0.5, 3)
    described = pack_model(path, tmp_path / "b", options)
    assert described["calibration"]["seed"] == 3
    assert described["models"]["int8"]["macs_int8_share"] >= 0.5


# -- What fails is kept out, and said


def test_a_precision_that_fails_is_kept_out_and_the_rest_is_written(model, photos, tmp_path, capsys):
    gates = {"int8": {"psnr_db": 70, "psnr_worst_db": 70}}
    (tmp_path / "r.yaml").write_text(
        f"model: {model}\ncalibrate: {photos}\ninput_range: [-1, 1]\noutput_range: [-1, 1]\n"
        f"gates: {json.dumps(gates)}\nint8_share: 1\n"
    )
    assert cli.main(["pack", "--recipe", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "b")]) == 0
    told = capsys.readouterr().out
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.precisions == ("fp32", "fp16")
    out = bundle.manifest["kept_out"]
    assert [one["precision"] for one in out] == ["int8", "int8_fp16", "int8_onnxruntime"]
    files, page = bundle.manifest["files"], bundle.read_file("quality.html").decode()
    assert "scales.json" not in files
    assert "model_int8.onnx" not in files
    assert out[-1] == NOT_WORTH_IT
    for one in out[:-1]:
        assert "dB, at least 70 is demanded" in one["why"]
        assert one["quality"]["psnr_db"] < 70
        assert 'class="kept-out"' in page
        assert f"kept out: {one['precision']}: {one['why']}" in told
        assert one["why"].partition(" (worst")[0].replace("'", "&#x27;") in page
    assert cli.main(["inspect", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept_out"] == out


def test_fp16_that_fails_is_kept_out_too(model, tmp_path):
    options = PackOptions(
        precisions=("fp32", "fp16"),
        gates={"fp16": {"psnr_db": 98}},
        input_range=(-1, 1),
        output_range=(-1, 1),
    )
    described = pack_model(model, tmp_path / "b", options)
    assert list(described["models"]) == ["fp32"]
    assert [one["precision"] for one in described["kept_out"]] == ["fp16"]


def test_int8_for_onnxruntime_is_in_the_bundle_where_layers_are_wide(photos, tmp_path):
    net = Net()
    x = net.add("Relu", net.conv("x", 3, 64))
    x = net.add("Relu", net.conv(x, 64, 64))
    net.finish(net.add("Mul", net.conv(x, 64, 3), net.hold(np.float32(0.3))))
    onnx.save(net.model([1, 3, *SIZE]), tmp_path / "wide.onnx")
    gates = {"int8": {"psnr_db": 30, "psnr_worst_db": 25, "ssim": None, "high_frequency_ratio": None}}
    options = _options(photos, ("fp32", "int8"), gates)
    described = pack_model(tmp_path / "wide.onnx", tmp_path / "b", options)
    assert list(described["models"]) == ["fp32", "int8", "int8_fp16", "int8_onnxruntime"]
    entry = described["models"]["int8_onnxruntime"]
    assert 0.8 < entry["macs_int8_share"] < 1
    assert entry["quality"]["psnr_db"] > 30
    bundle = Bundle.open(tmp_path / "b")
    model = onnx.load_model_from_string(bundle.read_model("int8_onnxruntime"))
    assert "MatMulIntegerToFloat" in [node.op_type for node in model.graph.node]


def test_one_version_that_cannot_be_made_does_not_lose_the_others(photos, tmp_path, monkeypatch):
    def refuse(model):
        raise ModelError("planted", "none")

    model = tmp_path / "small.onnx"
    onnx.save(_generator(), model)
    monkeypatch.setattr(versions, "half", refuse)
    described = pack_model(model, tmp_path / "b", _options(photos, precisions=None))
    assert list(described["models"]) == ["fp32", "int8"]
    assert [(one["precision"], one["why"]) for one in described["kept_out"][:2]] == [
        ("fp16", "planted: none"),
        ("int8_fp16", "planted: none"),
    ]
    described = pack_model(model, tmp_path / "c", _options(photos, ("fp32", "int8")))
    assert list(described["models"]) == ["fp32", "int8"], "int8_fp16 was not named"
    with pytest.raises(ModelError, match="planted"):
        pack_model(model, tmp_path / "d", _options(photos, ("fp32", "fp16")))


def test_a_disk_that_is_full_at_the_end_loses_nothing_of_the_search(
    model, photos, tmp_path, cache, monkeypatch
):
    def full(*given):
        raise UserError("no space", "free some")

    with monkeypatch.context() as patch:
        patch.setattr("edgegan.pack.packing.write_bundle", full)
        with pytest.raises(UserError, match="no space"):
            pack_model(model, tmp_path / "b", _options(photos))
    assert len(list((cache / "edgegan/quantise").iterdir())) == 1


def test_judging_goes_forward_picture_by_picture(packed):
    judging = [share for share, what in packed[2] if what == "judging int8"]
    assert len(set(judging)) > 5
    assert judging == sorted(judging)


def test_too_little_int8_is_kept_out(photos, tmp_path):
    """Most of the work is a depthwise convolution, which stays float."""
    net = Net()
    x = net.conv("x", 3, 8)
    x = net.add("Conv", x, net.weight(8, 1, 15, 15), pads=[7] * 4, group=8)
    net.finish(net.conv(x, 8, 3), "Tanh")
    onnx.save(net.model([1, 3, *SIZE]), path := tmp_path / "depthwise.onnx")
    described = pack_model(path, tmp_path / "b", _options(photos, ("fp32", "int8")))
    assert list(described["models"]) == ["fp32"]
    why = {one["precision"]: one["why"] for one in described["kept_out"]}
    assert "19% of the MACs can be INT8 and draw well enough, 20% are wanted" in why["int8"]


def test_what_the_best_int8_reaches_is_said_where_the_gate_asks_for_more(model, photos, tmp_path):
    gates = {"int8": {"psnr_db": 90, "psnr_worst_db": 60, "ssim": None}}
    described = pack_model(model, tmp_path / "b", _options(photos, ("fp32", "int8"), gates))
    assert list(described["models"]) == ["fp32"]
    int8 = next(one for one in described["kept_out"] if one["precision"] == "int8")
    assert 40 < int8["quality"]["psnr_db"] < 90, "and not that of float"


# -- The checks can fail


def _held(model, end):
    return next(tensor for tensor in model.graph.initializer if tensor.name.endswith(end))


def _change(model, end, change):
    tensor = _held(model, end)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(numpy_helper.to_array(tensor))), tensor.name))


def _with_wrong_axis(model):
    """The scales of the square convolution read along its inputs."""
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) == 3 and "weights" in node.name:
            levels = next(t for t in model.graph.initializer if t.name == node.input[0])
            if levels.dims[0] == levels.dims[1]:
                (axis,) = [one for one in node.attribute if one.name == "axis"]
                axis.CopyFrom(helper.make_attribute("axis", 1 - axis.i))
                return
    raise AssertionError("no square convolution")


def _with_clipped_tensor(model):
    """A range of a fifth of what the last convolution takes."""
    names = [t.name for t in model.graph.initializer if t.name.endswith("first/step")]
    _change(model, names[-1], lambda step: (step / 5).astype(np.float32))


def _with_colour_shift(model):
    """The first colour that it draws brighter, by two grey levels on average."""
    names = [t.name for t in model.graph.initializer if t.name.endswith("/bias")]
    _change(model, names[-1], lambda bias: bias + np.array([0.06, 0, 0], np.float32))


PLANTED = {
    "nothing": (lambda model: None, ""),
    "wrong axis": (_with_wrong_axis, "a channel is off by"),
    "clipped tensor": (_with_clipped_tensor, "PSNR"),
    "colour shift": (_with_colour_shift, "a channel is off by"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_refused(fault, model, photos, tmp_path, monkeypatch):
    plant, says = PLANTED[fault]
    made = versions.quantise_model

    def faulty(*given, **more):
        found = made(*given, **more)
        changed = [copied(found.openvino), copied(found.tensorrt)]
        for one in changed:
            plant(one)
        return type(found)(**{**vars(found), "openvino": changed[0], "tensorrt": changed[1]})

    monkeypatch.setattr(versions, "quantise_model", faulty)
    described = pack_model(model, tmp_path / "b", _options(photos, ("fp32", "int8"), int8_share=1.0))
    out = {one["precision"]: one["why"] for one in described["kept_out"] if one != NOT_WORTH_IT}
    if fault == "nothing":
        assert out == {}
    else:
        assert set(out) == {"int8", "int8_fp16"}
        assert all(says in why for why in out.values()), out
        assert list(described["models"]) == ["fp32"]


# -- Nothing half


def test_too_few_photos_write_nothing(model, tmp_path):
    (tmp_path / "few").mkdir()
    cv2.imwrite(str(tmp_path / "few/1.png"), np.zeros((32, 48, 3), np.uint8))
    before = _everything_in(tmp_path)
    for calibrate, error in ((tmp_path / "few", UserError), (tmp_path / "absent", UserError)):
        with pytest.raises(error) as caught:
            pack_model(model, tmp_path / "b", _options(calibrate))
        assert caught.value.exit_code == 2
    assert _everything_in(tmp_path) == before


def test_a_perceptual_model_that_is_none_writes_nothing(model, photos, tmp_path):
    (tmp_path / "lpips.onnx").write_text("no model")
    before = _everything_in(tmp_path)
    with pytest.raises(ModelError):
        pack_model(model, tmp_path / "b", _options(photos, perceptual=tmp_path / "lpips.onnx"))
    assert _everything_in(tmp_path) == before


@pytest.mark.parametrize("old", [False, True])
def test_an_error_in_the_middle_leaves_what_was_there(old, model, photos, tmp_path, monkeypatch):
    if old:
        pack_model(model, tmp_path / "b", PackOptions(name="old"))
    before = _everything_in(tmp_path)

    def broken(*_):
        raise ModelError("planted", "none")

    monkeypatch.setattr(versions, "half", broken)
    with pytest.raises(ModelError, match="planted"):
        pack_model(model, tmp_path / "b", _options(photos))
    assert _everything_in(tmp_path) == before
    assert not old or Bundle.open(tmp_path / "b").name == "old"


def test_ctrl_c_leaves_no_bundle_and_the_next_one_goes_on(
    packed, model, photos, tmp_path, cache, monkeypatch
):
    measured, counts = Studio._measured, []

    def measure(self, table, numbers):
        counts.append(1)
        if len(counts) == 6:
            raise KeyboardInterrupt
        return measured(self, table, numbers)

    monkeypatch.setattr(Studio, "_measured", measure)
    with pytest.raises(KeyboardInterrupt, match="goes on where"):
        pack_model(model, tmp_path / "b.edgegan", _options(photos))
    assert [name for name in os.listdir(tmp_path) if name != "cache"] == []
    (kept,) = (cache / "edgegan/quantise").iterdir()
    known = {json.loads(line)["key"] for line in kept.read_text().splitlines()}
    assert len(known) == 5
    before = len(counts)
    pack_model(model, tmp_path / "b.edgegan", _options(photos))
    assert Bundle.open(tmp_path / "b.edgegan").sha256("int8") == packed[0].sha256("int8")
    whole = len(counts) - before
    counts.clear()
    counts.extend([0] * 100)
    pack_model(model, tmp_path / "c.edgegan", _options(photos))
    assert len(counts) - 100 == whole + 5, "five were not drawn again"


def test_ctrl_c_while_judging_loses_nothing_of_the_search(model, photos, tmp_path, cache, monkeypatch):
    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(versions, "_hear_int8", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack_model(model, tmp_path / "b.edgegan", _options(photos))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(Studio, "_measured", lambda *given: pytest.fail("drawn again"))
    assert "int8" in pack_model(model, tmp_path / "b.edgegan", _options(photos))["models"]
    assert list((cache / "edgegan/quantise").iterdir()) == [], "nothing is left behind"
