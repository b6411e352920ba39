from dataclasses import replace

import pytest
from onnx import TensorProto, helper

from edgegan.errors import ModelError
from edgegan.pack.check import Form, find_interface


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 3, 16, 24), (16, 24)), (("n", 3, "h", "w"), (None, None)), ((1, 3, 32, "w"), (32, None))],
)
def test_finds_the_picture(make, shape, size):
    interface = find_interface(make(shape=shape, names=("x", "y")), ())
    assert (interface.input, interface.output, interface.size) == ("x", "y", size)


@pytest.mark.parametrize(
    ("shape", "form", "size"),
    [
        ([1, 16, 24, 3], Form(channels_last=True), (16, 24)),
        ([None, None, None, 3], Form(channels_last=True), (None, None)),
        ([4, 3, 16, 24], Form(batch=4), (16, 24)),
        ([1, 1, 16, 24], Form(channels=1), (16, 24)),
        ([1, 16, 24, 1], Form(channels=1, channels_last=True), (16, 24)),
        ([1, 3, 1, 1024], Form(), (1, 1024)),
        ([1, 1, 24, 3], Form(channels_last=True), (1, 24)),
    ],
)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8])
def test_the_form_of_a_picture_follows_from_its_shape(shape, form, size, kind):
    interface = find_interface(_model(shape, kind), ())
    assert interface.taken == interface.drawn == replace(form, kind=kind)
    assert interface.size == size


def _model(shape, kind=TensorProto.FLOAT, names=("z",), outputs=1):
    """Nothing but inputs and outputs; enough to be judged by."""
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    drawn = [helper.make_tensor_value_info(f"y{n}", kind, shape) for n in range(outputs)]
    nodes = [helper.make_node("Identity", [names[0]], [f"y{n}"]) for n in range(outputs)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, drawn))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            _model([1, 100, 1, 1]),
            r"'z' float32 \[1, 100, 1, 1\] is no picture but, it seems, a latent vector",
        ),
        (_model([1, 100]), r"'z' float32 \[1, 100\] is no picture but"),
        (_model([1, 2, 16, 16]), "has 2 channels"),
        (_model([1, 16, 16, 4]), "has four channels, as RGBA"),
        (_model([1, 64, 16, 16]), "has neither three channels nor one"),
        (_model([1, 3, 16, 16], TensorProto.INT32), r"'z' int32 \[1, 3, 16, 16\] is neither float nor uint8"),
        (_model([1, 3, 16, 16], outputs=2), "2 outputs that may be the picture: 'y0', 'y1'"),
        (_model([1, 3, 16, 16], names=("z", "mask")), "the input 'mask' float32"),
    ],
)
def test_what_is_no_image_generator_is_refused_by_name(model, says):
    with pytest.raises(ModelError, match=says) as caught:
        find_interface(model, ())
    assert caught.value.mend


def test_a_second_input_needs_a_value(make):
    with pytest.raises(ModelError, match=r"'style' float32 \[1, 26\].*constants: \{style"):
        find_interface(make(style=26), ())
    assert find_interface(make(style=26), ["style"]).input == "input"


def test_an_output_that_is_no_picture_is_refused(make):
    model = make()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 10]))
    with pytest.raises(ModelError, match=r"output 'output' float32 \[1, 10\]"):
        find_interface(model, ())
