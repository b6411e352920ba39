"""Convolutions as integer products draw what Q/DQ draws: each way in which a convolution may look at its input."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgegan.bundle import Bundle
from edgegan.engine.dot_product import lacking
from edgegan.pack import load_recipe, pack_model
from edgegan.pack.compare import Packed
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import constant_values, copied
from edgegan.pack.macs import count_macs
from edgegan.pack.pixels import add_pixels
from edgegan.pack.quantise import matmuls
from edgegan.pack.quantise.layers import find_layers
from edgegan.pack.quantise.matmuls import DOMAIN, as_matmuls, table_for_matmuls
from edgegan.pack.quantise.qdq import quantise
from edgegan.pack.quantise.table import Affine, LayerScale, ScaleTable
from edgegan.pack.quantise.weights import integer_weights
from edgegan.pack.ranges import ValueRanges
from edgegan.quality import max_difference, psnr_db
from tests.pack.nets import Net

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

HEIGHT, WIDTH = 20, 28
RECIPES = Path(__file__).parents[3] / "engines/recipes"


@pytest.fixture(autouse=True)
def small_ones_too(request, monkeypatch):
    """All that could be a product is one, also where that is slower."""
    if "measured_costs" not in request.fixturenames:
        for cost in ("_INT8_MAC", "_GATHERED", "_READ", "_WRITTEN"):
            monkeypatch.setattr(matmuls, cost, 0.0)


@pytest.fixture
def measured_costs():
    """As they ship."""


def generator(middle, wide=32):
    """The picture, `wide` channels, what `middle(net, value)` makes of these, and a picture again; packed."""
    net = Net()
    value = net.add("Relu", net.conv("x", 3, wide))
    value, channels = middle(net, value)
    size = net.hold([1, channels, HEIGHT, WIDTH])
    roi, scales = net.hold(np.zeros(0), np.float32), net.hold(np.zeros(0), np.float32)
    value = net.add("Resize", value, roi, scales, size, mode="linear")
    net.finish(net.add("Conv", value, net.weight(3, channels, 1, 1)))
    model = net.model([1, 3, HEIGHT, WIDTH])
    return add_pixels(model, ValueRanges((-1, 1), (-1, 1)))[0]


def picture():
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([rows * 12, columns * 9, 255 - rows * 4], axis=-1)
    return np.clip(smooth + random.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)


@dataclass
class Both:
    """A generator with its middle layers quantised, as Q/DQ and as products."""

    model: object
    table: ScaleTable
    chosen: ScaleTable
    qdq: object
    products: object

    @property
    def forms(self):
        return [scale.form for scale in self.chosen.layers]

    def drawn(self, pixels=None):
        pixels = picture() if pixels is None else pixels
        return [Packed(model).draw(pixels) for model in (self.model, self.qdq, self.products)]


def quantised(model, change=lambda scale: scale, bias=True, pixels=None):
    """The middle layers, each range as wide as the picture makes it."""
    layers = {layer.name: layer for layer in find_layers(model) if layer.channels > 16}
    table = ScaleTable(tuple(change(scale) for scale in scales_of(model, layers.values(), pixels)))
    constants = constant_values(model.graph)
    nodes = {node.name: node for node in model.graph.node}
    weights = {}
    for scale in table.layers:
        layer = layers[scale.layer]
        held = constants[layer.bias].astype(float) if layer.bias and bias else None
        weights[scale.layer] = integer_weights(
            nodes[layer.name], layer, constants[layer.weights].astype(float), held, scale.affine, None
        )
    chosen, windows = table_for_matmuls(model, layers, table)
    return Both(
        model,
        table,
        chosen,
        quantise(model, layers, chosen, weights)[0],
        as_matmuls(model, layers, chosen, weights, windows)[0],
    )


def scales_of(model, layers, pixels=None):
    seen = copied(model)
    sources = list(dict.fromkeys(layer.source for layer in layers))
    seen.graph.output.extend(helper.make_tensor_value_info(s, TensorProto.FLOAT, None) for s in sources)
    session = onnxruntime.InferenceSession(seen.SerializeToString())
    values = dict(
        zip(
            sources,
            session.run(sources, {"input": (picture() if pixels is None else pixels)[None]}),
            strict=True,
        )
    )
    for layer in layers:
        low, high = min(float(values[layer.source].min()), 0), max(float(values[layer.source].max()), 0)
        yield LayerScale(layer.name, layer.source, "int8", low, high, "min-max")


def conv(after=16, size=3, channels=32, **given):
    return lambda net, value: (net.conv(value, channels, after, size, **given), after)


def padded(mode, pads, **given):
    def middle(net, value):
        value = net.add("Pad", value, net.hold([0, 0, *pads[:2], 0, 0, *pads[2:]]), mode=mode)
        return net.conv(value, 32, 16, pads=[0] * 4, **given), 16

    return middle


def doubled_and_padded(net, value):
    value = net.doubled(value, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    value = net.add("Pad", value, net.hold([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect")
    return net.conv(value, 32, 16, pads=[0] * 4), 16


def resized_to(net, value):
    roi, scales = net.hold(np.zeros(0), np.float32), net.hold(np.zeros(0), np.float32)
    value = net.add("Resize", value, roi, scales, net.hold([1, 32, 31, 17]), mode="nearest")
    return net.conv(value, 32, 16), 16


def normalised(net, value):
    value = net.add("Relu", net.norm(net.add("Conv", value, net.weight(32, 32, 3, 3), pads=[1] * 4), 32))
    return net.add("Conv", value, net.weight(16, 32, 3, 3), pads=[1] * 4), 16


def signed(net, value):
    return net.conv(net.add("Tanh", net.conv(value, 32, 32)), 32, 16), 16


def residual(net, value):
    return net.add("Add", value, net.conv(net.add("Relu", net.conv(value, 32, 32)), 32, 32)), 32


def one_pad(net, value):
    """Two convolutions that look alike, whose indices are the same."""
    return net.conv(net.add("Relu", net.conv(value, 32, 32)), 32, 32), 32


WAYS = {
    "zeros around": conv(),
    "none around": conv(pads=[0] * 4),
    "uneven zeros": conv(pads=[0, 2, 1, 0]),
    "zeros above the kernel's reach": conv(pads=[4, 0, 0, 4]),
    "one point": conv(size=1),
    "one point, strides": conv(size=1, strides=[2, 2]),
    "strides": conv(strides=[2, 2]),
    "uneven strides": conv(strides=[1, 3]),
    "dilations": conv(dilations=[2, 3], pads=[2, 3, 2, 3]),
    "a line across": lambda net, v: (net.add("Conv", v, net.weight(16, 32, 1, 7), pads=[0, 3, 0, 3]), 16),
    "a line down": lambda net, v: (net.add("Conv", v, net.weight(16, 32, 7, 1), pads=[3, 0, 3, 0]), 16),
    "same as before, upper": conv(auto_pad="SAME_UPPER", strides=[2, 2]),
    "same as before, lower": conv(auto_pad="SAME_LOWER", strides=[2, 3], size=4),
    "valid": conv(auto_pad="VALID", size=5),
    "mirrors": padded("reflect", (1, 2, 3, 4)),
    "edges": padded("edge", (2, 0, 1, 3), strides=[2, 1]),
    "doubled and mirrored": doubled_and_padded,
    "resized to": resized_to,
    "normalised": normalised,
    "signed": signed,
    "residual": residual,
}


def agree(both, levels=1):
    plain, qdq, products = both.drawn()
    assert max_difference(qdq, products) <= levels
    assert max_difference(plain, qdq) > 0, "the tables change nothing, so nothing was compared"


@pytest.mark.parametrize("way", WAYS)
def test_a_product_draws_what_qdq_draws(way):
    both = quantised(generator(WAYS[way]))
    assert "int8" in both.forms
    assert not any(node.op_type == "DequantizeLinear" for node in both.products.graph.node)
    check_contract(both.products)
    agree(both)


def _evened(scale):
    """Channels scaled alike, as far as zeros around allow."""
    multiply = tuple(np.linspace(0.5, 2, 32).tolist())
    return replace(scale, affine=Affine(multiply), low=scale.low * 2, high=scale.high * 2)


def _moved(scale):
    multiply, add = np.linspace(0.5, 2, 32), np.linspace(-0.3, 0.3, 32)
    affine = Affine(tuple(multiply.tolist()), tuple(add.tolist()))
    return replace(scale, affine=affine, low=scale.low * 2 - 0.3, high=scale.high * 2 + 0.3)


def _even_around_zero(scale):
    return replace(scale, symmetric=True)


def _clipped(scale):
    return replace(scale, low=scale.low / 3, high=scale.high / 3)


@pytest.mark.parametrize("way", ["zeros around", "signed", "mirrors"])
@pytest.mark.parametrize("change", [_evened, _moved, _even_around_zero, _clipped])
def test_whatever_is_done_before_quantising(way, change):
    """`_moved` with zeros around is nothing that a search makes, and still the same for both."""
    agree(quantised(generator(WAYS[way]), change))


def _wide(net, value):
    return net.conv(net.add("Tanh", net.conv(value, 128, 128)), 128, 16), 16


def test_two_terms_draw_what_qdq_draws():
    both = quantised(generator(_wide, 128), lambda scale: replace(scale, form="int8x2", low=scale.low * 400))
    assert both.forms == ["int8x2", "int8x2"]
    check_contract(both.products)
    agree(both)


def test_a_second_term_counts():
    """The range is so wide that one term alone draws something else."""
    wide = {"low": -400.0, "high": 400.0}
    model = generator(_wide, 128)
    one = quantised(model, lambda scale: replace(scale, **wide)).drawn()
    two = quantised(model, lambda scale: replace(scale, form="int8x2", **wide)).drawn()
    assert max_difference(one[0], one[2]) > 20
    assert max_difference(two[0], two[2]) < 5


def test_a_layer_in_float_stays_as_it_is():
    both = quantised(
        generator(WAYS["signed"]),
        lambda scale: replace(scale, form="float" if scale.layer == "Conv_2" else "int8"),
    )
    assert both.forms == ["float", "int8"]
    assert [n.name for n in both.products.graph.node if n.op_type == "Conv"] == ["Conv_0", "Conv_2", "Conv_6"]
    agree(both)


def test_no_bias_is_no_bias():
    both = quantised(generator(WAYS["a line across"]), bias=False)
    agree(both)


def test_a_model_without_a_product_stays_as_it_is():
    model = generator(lambda net, v: (net.add("ConvTranspose", v, net.weight(32, 16, 3, 3)), 16))
    layers = {layer.name: layer for layer in find_layers(model)}
    scales = tuple(LayerScale(name, layer.source, "int8", -1, 1, "") for name, layer in layers.items())
    chosen, windows = table_for_matmuls(model, layers, ScaleTable(scales))
    assert {scale.form for scale in chosen.layers} == {"float"}
    assert not windows
    same, report = as_matmuls(model, layers, chosen, {}, windows)
    assert not report.changed
    assert all(opset.domain != DOMAIN for opset in same.opset_import)


@pytest.mark.parametrize(
    ("channels", "drawn", "size", "kernel", "form", "pays"),
    [
        (32, 32, 128, 3, "int8", True),
        (64, 64, 64, 3, "int8", True),
        (256, 256, 32, 3, "int8x2", True),
        (128, 128, 64, 3, "int8x2", True),
        (16, 16, 128, 3, "int8", False),
        (32, 8, 128, 3, "int8", False),
        (32, 32, 128, 1, "int8", False),
        (64, 64, 128, 3, "int8x2", False),
        (32, 32, 128, 3, "int8x2", False),
    ],
)
def test_what_is_slower_as_a_product_stays_in_float(
    measured_costs, channels, drawn, size, kernel, form, pays
):
    """The table of docs/runtimes.md."""
    net = Net()
    net.finish(net.conv("x", channels, drawn, kernel))
    model = net.model([1, channels, size, size])
    layers = {layer.name: layer for layer in find_layers(model)}
    (name,) = layers
    chosen, _ = table_for_matmuls(
        model, layers, ScaleTable((LayerScale(name, layers[name].source, form, -1, 1, ""),))
    )
    assert chosen[name].form == (form if pays else "float")


def test_what_copies_channels_about_stays_in_float():
    """Mirrored channels are 34, of which a convolution takes 32 away again."""

    def middle(net, value):
        value = net.add("Pad", value, net.hold([0, 1, 0, 0, 0, -1, 0, 0]), mode="reflect")
        return net.conv(value, 32, 16), 16

    both = quantised(generator(middle))
    assert both.forms == ["float"]


def test_layers_that_look_alike_share_their_indices():
    one, two = (quantised(generator(way)).products for way in (WAYS["zeros around"], one_pad))
    counts = [sum(t.name.startswith("int8/indices") for t in model.graph.initializer) for model in (one, two)]
    assert counts[0] == counts[1] > 0


def test_indices_are_small_in_the_file_and_added_once(tmp_path):
    """ONNX Runtime adds them when it loads the model: what it then runs has Gathers with constant indices."""
    products = quantised(generator(WAYS["mirrors"])).products
    held = [t for t in products.graph.initializer if t.name.startswith("int8/indices")]
    assert sum(len(t.raw_data) for t in held) < 4 * (HEIGHT + WIDTH + 8) * 6
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(products.SerializeToString(), options)
    run = onnx.load(tmp_path / "run.onnx").graph
    constants = {tensor.name for tensor in run.initializer}
    gathers = [node for node in run.node if node.op_type == "Gather" and "int8/" in node.name]
    assert gathers
    assert all(node.input[1] in constants for node in gathers)


def test_what_it_multiplies_is_counted():
    both = quantised(generator(WAYS["strides"]))
    assert count_macs(both.products) == count_macs(both.model)


@pytest.fixture(scope="module")
def multistyle(models, tmp_path_factory):
    """A real generator, 128 x 128, and a photo."""
    folder = tmp_path_factory.mktemp("multistyle") / "bundle"
    _, options = load_recipe(RECIPES / "multistyle26_cin.yaml")
    pack_model(models / "generators/multistyle26_cin.onnx", folder, replace(options, size=(128, 128)))
    model = onnx.load_model_from_string(Bundle.open(folder).read_model("fp32"))
    photo = cv2.imread(str(sorted((models / "photos-eval").glob("*.jpg"))[0]))
    return model, cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)


def test_each_layer_of_a_real_generator_draws_what_qdq_draws(multistyle):
    model, photo = multistyle
    names = [layer.name for layer in find_layers(model) if layer.channels > 16 and not layer.transposed]
    assert len(names) > 10
    for name in names:
        both = quantised(
            model, lambda scale, name=name: scale if scale.layer == name else _in_float(scale), pixels=photo
        )
        _, qdq, products = both.drawn(photo)
        assert both.forms.count("int8") == 1
        assert max_difference(qdq, products) <= 1, name


def test_all_layers_together_are_as_near_to_float(multistyle):
    """Values between two levels fall to either side, and grow; no nearer, and no further away."""
    both = quantised(multistyle[0], pixels=multistyle[1])
    plain, qdq, products = both.drawn(multistyle[1])
    assert both.forms.count("int8") > 10
    assert abs(psnr_db(plain, products) - psnr_db(plain, qdq)) < 0.5
    assert psnr_db(products, qdq) > psnr_db(plain, qdq) + 2


def _in_float(scale):
    return replace(scale, form="float")
