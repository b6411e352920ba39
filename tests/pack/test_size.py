import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.check import Interface, find_interface
from edgegan.pack.graph import dims_of
from edgegan.pack.size import chosen_size, fix_size, output_size


@pytest.mark.parametrize(
    ("own", "asked", "chosen"),
    [
        ((None, None), None, (256, 256)),
        ((None, None), (64, 96), (64, 96)),
        ((16, 24), None, (16, 24)),
        ((16, 24), (16, 24), (16, 24)),
        ((32, None), (32, 64), (32, 64)),
        ((16, 24), (32, 32), (32, 32)),
    ],
)
def test_size_is_the_asked_one_else_the_models(own, asked, chosen):
    assert chosen_size(Interface("x", "y", own), asked) == chosen


@pytest.mark.parametrize("asked", [(0, 16), (7, 7), (100_000, 100_000), (-1, 64)])
def test_an_absurd_size_is_refused(asked):
    with pytest.raises(ConfigError, match="each side must have 8 to 4096"):
        chosen_size(Interface("x", "y", (None, None)), asked)


def test_a_model_of_an_absurd_size_is_refused():
    with pytest.raises(ModelError, match="1000000000x1000000000"):
        chosen_size(Interface("x", "y", (10**9, 10**9)), None)


def test_dynamic_becomes_static(make):
    model = make(shape=("n", 3, "h", "w"))
    sized, report = fix_size(model, find_interface(model, ()), (32, 48))
    assert dims_of(sized.graph.input[0]) == [1, 3, 32, 48]
    assert output_size(sized) == (32, 48)
    assert report.changed
    assert not fix_size(sized, find_interface(sized, ()), (32, 48))[1].changed
    assert dims_of(model.graph.input[0]) == [None, 3, None, None], "a pass must not change its argument"


def test_a_size_that_the_graph_contradicts_is_refused(make):
    model = make(shape=("n", 3, "h", "w"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 16, 16]), "shape"))
    model.graph.node[-1].output[0] = "t"
    model.graph.node.append(helper.make_node("Reshape", ["t", "shape"], ["flat"]))
    model.graph.node.append(helper.make_node("Add", ["flat", "t"], ["output"]))
    sized, _ = fix_size(model, Interface("input", "output", (None, None)), (32, 48))
    with pytest.raises(ModelError):
        output_size(sized)


def test_a_drawing_of_unknown_size_is_refused(make):
    model = make()
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Mystery", "own"
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="unknown shape"):
        output_size(model)
