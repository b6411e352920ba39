"""Generators of known ranges, made here: whatever is found must be true, and what cannot be found is asked."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack import PackOptions, load_recipe, pack_model
from edgegan.pack.check import find_interface
from edgegan.pack.constants import bind_constants, constant_arrays
from edgegan.pack.pictures import comparison_pictures
from edgegan.pack.probing import Probe, find_ranges
from edgegan.pack.ranges import USUAL

RECIPES = Path(__file__).parents[2] / "engines/recipes"
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
IMAGENET = (-MEAN / DEVIATION, (1 - MEAN) / DEVIATION)
ENDS = {"Tanh": (-1, 1), "Sigmoid": (0, 1)}
TONE = (1.3, -0.5, -0.2)  # the slopes of a curve, and how they change at 1/3 and 2/3 of the way to white


@pytest.fixture(scope="module")
def photos():
    return comparison_pictures(None, (64, 64)).pictures


def net(
    taken,
    drawn=None,
    last="",
    *,
    normalise=False,
    pad="edge",
    tone=TONE,
    after=(),
    shape=(1, 3, "h", "w"),
) -> ModelProto:
    """Smooths, and changes the tones, for input in `taken`: a normalisation folded into the first convolution.

    drawn: what black and white are to it at the end, before `after` (operators with one constant each).
    last: an activation, which then gives nearly black and white. normalise: InstanceNormalization is first.
    tone: three slopes; the curve of an inverting net falls from 1.
    """
    if last:
        drawn = {"Tanh": (-2, 2), "Sigmoid": (-3, 3)}[last]
    black, white = (np.broadcast_to(np.array(value, float), 3) for value in taken)
    held = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    nodes = [helper.make_node("Pad", ["in", "pads"], ["padded"], mode=pad)]
    scale = 1 / (white - black)
    weight, bias = np.zeros((9, 3, 3, 3)), np.zeros(9)
    mixing = np.zeros((3, 9, 1, 1))
    for knee in range(3):
        for channel in range(3):
            weight[3 * knee + channel, channel] = scale[channel] / 9
            bias[3 * knee + channel] = -black[channel] * scale[channel] - knee / 3
            mixing[channel, 3 * knee + channel] = tone[knee] * (drawn[1] - drawn[0])
    offset = np.full(3, drawn[0] + (drawn[1] - drawn[0]) * (1 if tone[0] < 0 else 0), float)
    held |= {"weight": weight, "bias": bias, "mixing": mixing, "offset": offset}
    nodes.append(helper.make_node("Conv", ["padded", "weight", "bias"], ["a"], "first"))
    if normalise:  # to half a grey, give or take a quarter, before the knees
        held |= {"gain": np.full(9, 0.25), "centre": 0.5 - np.repeat([0, 1 / 3, 2 / 3], 3)}
        nodes.append(helper.make_node("InstanceNormalization", ["a", "gain", "centre"], ["n"]))
    nodes.append(helper.make_node("Relu", ["n" if normalise else "a"], ["b"]))
    nodes.append(helper.make_node("Conv", ["b", "mixing", "offset"], ["c"], "mixing"))
    steps = [(last, None)] * bool(last) + list(after) + [("Identity", None)]
    tensor = "c"
    for number, (operator, constant) in enumerate(steps):
        result = "out" if number == len(steps) - 1 else f"t{number}"
        if constant is not None:
            held[f"k{number}"] = np.array(constant)
        inputs = [tensor] if constant is None else [tensor, f"k{number}"]
        nodes.append(helper.make_node(operator, inputs, [result], f"step_{number}"))
        tensor = result
    weights = [
        numpy_helper.from_array(v if v.dtype == np.int64 else v.astype(np.float32), k)
        for k, v in held.items()
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("in", "out")
    )
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def find(model, pictures, input_range=None, output_range=None):
    return find_ranges(model, find_interface(model, ()), pictures, input_range, output_range)


def asked(model, pictures, *given):
    """The question that is asked."""
    with pytest.raises(ModelError) as caught:
        find(model, pictures, *given)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("last", ENDS)
@pytest.mark.parametrize("taken", USUAL)
def test_the_input_is_found_by_drawing(photos, taken, last):
    ranges = find(net(taken, last=last), photos)
    assert (ranges.input, ranges.output) == (taken, ENDS[last])
    assert f"because of the last bounded node, {last} 'step_0'" in ranges.assumptions[0]
    assert "the drawings are most like the photos (similarity: 0 to 255 " in ranges.assumptions[1]


@pytest.mark.parametrize("last", ENDS)
def test_a_scaling_by_channel_is_asked_for(photos, last):
    question = asked(net(IMAGENET, last=last), photos)
    assert "which values of the input 'in' are black and white?" in question
    assert "ImageNet's mean and deviation 0." in question
    assert question.endswith(
        "give --input-range 0,255 or 0,1 or -1,1; a mean and deviation by channel must be part of the model"
    )


@pytest.mark.parametrize("drawn", [(0, 255), (0, 1), (-1, 1)])
def test_instance_normalisation_first_tells_no_input_range_but_the_output_is_found(photos, drawn):
    ranges = find(net((-1, 1), drawn, normalise=True), photos)
    assert (ranges.input, ranges.output) == ((0, 255), drawn)
    assert "0.1, 1, 50, 99 and 99.9 % of the values lie below" in ranges.assumptions[0]
    assert "which cannot be told from 0 to 1, -1 to 1, -0.5 to 0.5: the drawings" in ranges.assumptions[1]


@pytest.mark.parametrize("drawn", [(0, 100), (-0.5, 0.5), (0, 2), (-127.5, 127.5), (-1, 0), (100, 355)])
def test_values_of_no_usual_range_are_asked_for(photos, drawn):
    question = asked(net((0, 1), drawn, normalise=True), photos)
    assert "which values of the output 'out' are black and white? Its last node, Conv" in question
    assert "does not say, and of what it draws 0.1, 1, 50, 99 and 99.9 % of the values" in question
    assert question.endswith("give --output-range 0,255 or 0,1 or -1,1, or --input-range, or both")


@pytest.mark.parametrize("drawn", [(0, 255), (0, 1), (-1, 1)])
@pytest.mark.parametrize("taken", USUAL)
def test_where_one_is_given_the_other_is_found(photos, taken, drawn):
    model = net(taken, drawn)
    assert find(model, photos, input_range=taken).output == drawn
    assert find(model, photos, output_range=drawn).input == taken


def test_where_both_are_unknown_and_hang_together_it_is_asked(photos):
    question = asked(net((0, 1), (0, 1)), photos)
    assert "what it draws depends on the input's range too: 0.1, 1, 50, 99 and 99.9 % of" in question
    assert " for input -1 to 1; " in question


def test_what_is_known_is_not_drawn():
    model = net((-1, 1), last="Tanh")
    assert find(model, (), (0, 1), (0, 255)).assumptions == ()
    assert find(model, (), (0, 1)).output == (-1, 1)


@pytest.mark.parametrize(("last", "found"), [("Tanh", (-1, 1)), ("Sigmoid", None)])
def test_zero_padding_makes_a_difference_that_only_a_tanh_decides(photos, last, found):
    model = net((-1, 1), last=last, normalise=True, pad="constant")
    if found is None:
        assert "The drawings differ with them, and none is clearly right" in asked(model, photos)
    else:
        ranges = find(model, photos)
        assert ranges.input == found
        assert "as is usual with such an output; nothing drawn contradicts it" in ranges.assumptions[1]


def test_drawings_that_are_not_like_the_photos_leave_the_tanh_alone(photos):
    inverting = (-1.2, 0.4, 0.2)
    assert find(net((-1, 1), last="Tanh", tone=inverting), photos).input == (-1, 1)
    assert "none is clearly right" in asked(net((0, 1), last="Sigmoid", tone=inverting), photos)


def test_a_tanh_is_contradicted_where_it_would_draw_nothing(photos):
    inverting = net((0, 255), last="Tanh", tone=(-1.2, 0.4, 0.2))
    assert "none is clearly right" in asked(inverting, photos)


def test_bounds_that_are_no_usual_range_are_looked_at(photos):
    """As fast neural style was published: Tanh * 150, and the drawing is about 0..255."""
    model = net((0, 1), last="Tanh", normalise=True, after=[("Mul", 150.0), ("Add", 127.5)])
    assert find(model, photos).output == (0, 255)
    model = net((0, 1), last="Tanh", normalise=True, after=[("Mul", 50.0), ("Add", 50.0)])
    says = "It lies in 0 to 100, by the last bounded node, Tanh 'step_0', and what scales it"
    assert says in asked(model, photos)


def test_values_that_are_not_finite_are_no_drawing(photos):
    model = net((0, 1), (0, 1), after=[("Log", None)])
    assert "nan, nan, nan, nan, nan for input -0.5 to 0.5" in asked(model, photos)
    assert find(net((0, 1), (0, 1), after=[("Sqrt", None)]), photos, output_range=(0, 1)).input == (0, 1)


def test_a_dynamic_model_draws_small_pictures_and_a_fixed_one_its_own(photos):
    large = comparison_pictures(None, (192, 256)).pictures
    for shape, size in (((1, 3, "h", "w"), (128, 128)), ((1, 3, 192, 256), (192, 256))):
        model = net((0, 1), last="Tanh", shape=shape)
        shares = []
        probe = Probe(model, find_interface(model, ()), large, shares.append)
        assert {picture.shape[:2] for picture in probe.pictures} == {size}
        assert {drawing.shape[2:] for drawing in probe.draw((0, 1))} == {size}
        assert shares == sorted(shares)
        assert 0 < shares[-1] < 1
    model = net((0, 1), last="Tanh")
    assert Probe(model, find_interface(model, ()), photos).pictures[0].shape == (64, 64, 3)


def test_a_model_that_draws_no_small_pictures_draws_large_ones(capfd):
    model = net((0, 1), last="Tanh")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 192, 192]), "as_exported"))
    model.graph.node[-1].CopyFrom(helper.make_node("Reshape", ["t0", "as_exported"], ["out"]))
    large = comparison_pictures(None, (192, 192)).pictures
    assert find(model, large).input == (0, 1)
    assert capfd.readouterr().err == ""
    with pytest.raises(ModelError, match="cannot run the model"):
        find(model, comparison_pictures(None, (200, 200)).pictures)


def test_drawings_of_another_size_are_compared(photos):
    model = net((-1, 1), last="Tanh")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    model.graph.node[-1].CopyFrom(helper.make_node("Resize", ["t0", "", "scales"], ["out"], mode="linear"))
    assert find(model, photos).input == (-1, 1)


def test_the_smallest_pictures():
    model = net((-1, 1), last="Tanh", shape=(1, 3, 8, 8))
    assert find(model, comparison_pictures(None, (8, 8)).pictures).input == (-1, 1)


def test_a_bound_style_and_a_dynamic_size(models, photos):
    """The one real generator that is quick: it normalises its input, and ends in a Sigmoid."""
    _, options = load_recipe(RECIPES / "multistyle26_cin.yaml")
    model = onnx.load(models / "generators/multistyle26_cin.onnx")
    for value in (model.graph.input[0], model.graph.output[0]):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["n", 3, "h", "w"]))
    interface = find_interface(model, options.constants)
    bound, _ = bind_constants(model, constant_arrays(model, options.constants))
    ranges = find_ranges(bound, interface, photos, None, None)
    assert (ranges.input, ranges.output) == ((0, 255), (0, 1))
    assert "cannot be told" in ranges.assumptions[1]
    bound.graph.node[-1].op_type = "Identity"
    with pytest.raises(ModelError, match="of what it draws"):
        find_ranges(bound, interface, photos, None, None)


def test_edges_to_emoji(models):
    model = onnx.load(models / "generators/pix2pix_unet128_emoji.onnx")
    ranges = find(model, comparison_pictures(models / "photos-eval", (128, 128)).pictures)
    assert (ranges.input, ranges.output) == ((-1, 1), (-1, 1))


def test_packing_says_what_it_found_or_asks_and_writes_nothing(tmp_path):
    for name, drawn in (("known", (0, 255)), ("unknown", (0, 100))):
        onnx.save(net((-1, 1), drawn, normalise=True, shape=(1, 3, 64, 64)), tmp_path / f"{name}.onnx")
    described = pack_model(tmp_path / "known.onnx", tmp_path / "known", PackOptions())
    assert described["ranges"] == {"input": [0, 255], "output": [0, 255]}
    assert [text[:20] for text in described["assumptions"]] == [
        "output range 0 to 25",
        "input range 0 to 255",
    ]
    with pytest.raises(ModelError, match="--output-range"):
        pack_model(tmp_path / "unknown.onnx", tmp_path / "unknown", PackOptions())
    assert not (tmp_path / "unknown").exists()


@pytest.mark.parametrize("length", [1, 3000])
def test_a_model_that_gives_its_input_back_is_asked_for_and_not_called_damaged(tmp_path, length):
    tensors = ["x", *(f"t{number}" for number in range(1, length)), "y"]
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in pairwise(tensors)]
    picture, drawn = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 32, 32]) for n in "xy")
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(
        helper.make_graph(nodes, "copy", [picture], [drawn]), opset_imports=opset, ir_version=8
    )
    onnx.save(model, tmp_path / "copy.onnx")
    with pytest.raises(ModelError, match="Its last node, Identity, does not say"):
        pack_model(tmp_path / "copy.onnx", tmp_path / "copy.edgegan", PackOptions())
