"""The real generators of EDGEGAN_MODELS.

Those that take seconds a picture are packed at 64 x 64, after their size was made dynamic;
tests/benchmarks/bench_pixels.py packs all of them as they are.
"""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgegan.bundle import Bundle
from edgegan.errors import ModelError
from edgegan.pack import load_recipe, pack_model
from edgegan.pack.contract import check_contract
from edgegan.quality import psnr_db

RECIPES = Path(__file__).parents[2] / "engines/recipes"
LARGE = ("cartoongan_hayao", "cyclegan_resnet9_vintage", "fns_candy")


def _made_dynamic(source, path):
    model = onnx.load(source)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["n", 3, "h", "w"]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_packs_and_draws(models, tmp_path, name):
    _, options = load_recipe(RECIPES / f"{name}.yaml")
    model = models / "generators" / f"{name}.onnx"
    if name in LARGE:
        model = _made_dynamic(model, tmp_path / model.name)
        options = type(options)(**{**vars(options), "size": (64, 64)})
    described = pack_model(model, tmp_path / "bundle", options, pictures=models / "photos-eval")
    assert described["agreement"]["max_grey_levels"] <= 1
    assert described["agreement"]["pictures_from"] == "5 of photos-eval"
    bundle = Bundle.open(tmp_path / "bundle")
    check_contract(onnx.load_model_from_string(bundle.read_model("fp32")))
    taken, drawn = (
        cv2.imdecode(np.frombuffer(bundle.read_file(f"reference_{side}.png"), np.uint8), cv2.IMREAD_COLOR)
        for side in ("input", "output")
    )
    assert drawn.std() > 10, "it draws something"
    assert psnr_db(taken, drawn) < 45, "and not just what it was given"


def test_a_latent_generator_is_refused_in_a_sentence(models, tmp_path):
    with pytest.raises(
        ModelError,
        match=r"'z' float32 \[1, 100, 1, 1\] is no picture.* latent vector: edgegan packs",
    ):
        pack_model(
            models / "generators/dcgan_face64.onnx",
            tmp_path / "b",
            load_recipe(RECIPES / "fns_candy.yaml")[1],
        )
    assert list(tmp_path.iterdir()) == []


def test_a_style_that_is_not_bound_is_asked_for(models, tmp_path):
    with pytest.raises(ModelError, match=r"'style' float32 \[1, 26\].*constants"):
        pack_model(
            models / "generators/multistyle26_cin.onnx",
            tmp_path / "b",
            load_recipe(RECIPES / "fns_candy.yaml")[1],
        )
