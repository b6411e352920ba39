import onnx
import pytest
from onnx import TensorProto, helper

from edgegan.pack.macs import count_macs, count_params
from edgegan.pack.pixels import add_pixels
from edgegan.pack.ranges import ValueRanges


def _one_node(node, shapes, drawn):
    held = [
        helper.make_tensor(n, TensorProto.FLOAT, s, [0.0] * _size(s)) for n, s in shapes.items() if n != "x"
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes["x"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, drawn)]
    return helper.make_model(
        helper.make_graph([node], "g", inputs, outputs, held), opset_imports=[helper.make_opsetid("", 17)]
    )


def _size(shape):
    return shape[0] * _size(shape[1:]) if shape else 1


@pytest.mark.parametrize(
    ("node", "shapes", "drawn", "macs"),
    [
        (  # 8 x 8 x 6 values, each of 4 / 2 channels of 3 x 3
            helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1] * 4),
            {"x": [1, 4, 8, 8], "w": [6, 2, 3, 3]},
            [1, 6, 8, 8],
            8 * 8 * 6 * 2 * 9,
        ),
        (  # 4 x 8 x 8 values, each spread over 6 channels of 2 x 2
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            {"x": [1, 4, 8, 8], "w": [4, 6, 2, 2]},
            [1, 6, 16, 16],
            4 * 8 * 8 * 6 * 4,
        ),
        (
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            {"x": [2, 5, 7], "w": [7, 3]},
            [2, 5, 3],
            2 * 5 * 7 * 3,
        ),
        (
            helper.make_node("Gemm", ["x", "w"], ["y"], transA=1),
            {"x": [7, 5], "w": [7, 3]},
            [5, 3],
            5 * 7 * 3,
        ),
    ],
)
def test_macs_by_hand(node, shapes, drawn, macs):
    assert count_macs(_one_node(node, shapes, drawn)) == macs


def test_packing_adds_neither(make):
    model = make()
    packed, _ = add_pixels(model, ValueRanges((-1, 1), (-1, 1)))
    assert count_macs(packed) == count_macs(model) == 2 * 16 * 24 * 4 * 3 * 9
    assert count_params(packed) == count_params(model) == 2 * 4 * 3 * 9


def test_without_shapes_there_is_no_figure(make):
    assert count_macs(make(shape=(1, 3, "h", "w"))) is None


@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [  # of the models' own MANIFEST.md
        ("cartoongan_hayao", 11_129_667, 54.383),
        ("cartoongan_light_shinkai", 891_507, 8.333),
        ("cyclegan_resnet9_vintage", 11_388_675, 49.552),
        ("dcgan_face64", 3_576_704, 0.105),
        ("fns_candy", 1_679_235, 10.079),
        ("multistyle26_cin", 166_104, 1.272),
        ("pix2pix_unet128_emoji", 2_617_651, 0.101),
    ],
)
def test_counts_of_known_generators(models, name, params, gmacs):
    """Two have normalisations whose ones and zeros the manifest leaves out: 2 values, and 94."""
    model = onnx.load(models / "generators" / f"{name}.onnx")
    surplus = {"cartoongan_light_shinkai": 2, "multistyle26_cin": 94}.get(name, 0)
    assert count_params(model) == params + surplus
    assert round((count_macs(model) or 0) / 1e9, 3) == gmacs
