from pathlib import Path

import pytest

from edgegan.errors import ConfigError
from edgegan.pack import Constant, PackOptions, load_recipe

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
