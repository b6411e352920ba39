from pathlib import Path

import pytest

from edgegan.cli import main
from edgegan.errors import ConfigError, ModelError
from edgegan.pack import Constant, PackOptions, load_recipe, with_shipped_recipe
from edgegan.resources import resource

RECIPES = sorted((Path(__file__).parents[2] / "engines").rglob("*.yaml"))


def _write(folder, text):
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_every_key_arrives(tmp_path):
    text = """
name: candy
model: models/candy.onnx
size: 480x640
input_range: [0, 255]
output_range: [-1, 1]
constants:
  style: {one_hot: 7, length: 26}
  mixed: {weights: {3: 0.5, 7: 0.5}}
  plain: [1, 0.5]
licence: MIT
credits: somebody
"""
    model, options = load_recipe(_write(tmp_path, text))
    assert model == tmp_path / "models/candy.onnx"
    constants = {
        "style": Constant(one_hot=7, length=26),
        "mixed": Constant(weights={3: 0.5, 7: 0.5}),
        "plain": Constant(values=(1, 0.5)),
    }
    assert options == PackOptions("candy", (480, 640), (0, 255), (-1, 1), constants, "MIT", "somebody")


def test_all_may_be_left_out(tmp_path):
    assert load_recipe(_write(tmp_path, "name: x\n")) == (None, PackOptions(name="x"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\ninput_rnage: [0, 1]\n", r"recipe.yaml:2: input_rnage: .*did you mean 'input_range'"),
        ("constants:\n  style: {one_hto: 7}\n", r"recipe.yaml:2: .*one_hto.*did you mean 'one_hot'"),
        ("constants:\n  style: {length: 7}\n", r"recipe.yaml:2: .*give one of: values, one_hot, weights"),
        ("constants:\n  style: {one_hot: 1, values: [1]}\n", "more than one way"),
        ("constants:\n  style: {one_hot: -1}\n", "recipe.yaml:2"),
        ("constants:\n  style: {weights: {a: 1}}\n", "recipe.yaml:2"),
        ("size: 256\n", "recipe.yaml:1: size"),
        ("size: 256x256x3\n", r"recipe.yaml:1: size: .*HEIGHTxWIDTH"),
        ("input_range: [1, 1]\n", "recipe.yaml:1: input_range.*black, then white"),
        ("input_range: [0, .inf]\n", "recipe.yaml:1: input_range"),
        ("input_range: [0, 1, 2]\n", "recipe.yaml:1: input_range"),
        ("name: [\n", "broken YAML"),
        ("- a\n", "recipe.yaml"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        load_recipe(_write(tmp_path, text))


def test_ranges_in_python_are_checked_too():
    with pytest.raises(ConfigError, match="input_range 1, 0 is wrong"):
        PackOptions(input_range=(1, 0))


def test_there_are_recipes():
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_recipes_are_sound(path):
    _, options = load_recipe(path)
    assert options.licence
    assert options.credits


def test_a_model_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_recipe(_write(tmp_path, "model: ~/candy.onnx\n"))[0] == tmp_path / "home/candy.onnx"


def test_training_mode_and_the_output_can_be_settled(tmp_path):
    options = load_recipe(_write(tmp_path, "batch_statistics: true\noutput_name: y\n"))[1]
    assert options == PackOptions(batch_statistics=True, output_name="y")


def test_a_model_that_a_shipped_recipe_is_named_after_is_refused_with_it(tmp_path):
    model = tmp_path / "multistyle26_cin.onnx"
    error = ModelError("it has another input", "give it a value")
    assert with_shipped_recipe(error, model) is error, "there is no such model"
    model.touch()
    recipe = resource("engines/recipes/multistyle26_cin.yaml")
    told = with_shipped_recipe(error, model)
    assert str(told) == f"it has another input: a recipe ships for it: --recipe {recipe}; or: give it a value"
    other = tmp_path / "other.onnx"
    other.touch()
    assert with_shipped_recipe(error, other) is error


@pytest.mark.parametrize("with_recipe", [False, True])
def test_pack_mentions_the_shipped_recipe_unless_one_is_given(tmp_path, capsys, with_recipe):
    model = tmp_path / "fns_candy.onnx"
    model.write_bytes(b"\x08\x07")
    recipe = resource("engines/recipes/fns_candy.yaml")
    given = ["--recipe", str(recipe)] if with_recipe else []
    assert main(["pack", str(model), *given, "-o", str(tmp_path / "b.edgegan")]) == 2
    assert (f"a recipe ships for it: --recipe {recipe}" in capsys.readouterr().err) != with_recipe
