import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgegan.errors import ConfigError
from edgegan.pack.compare import session
from edgegan.pack.constants import bind_constants, constant_arrays
from edgegan.pack.recipe import Constant


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (Constant(one_hot=1, length=3), [[0, 1, 0]]),
        (Constant(weights={0: 0.25, 2: 0.75}), [[0.25, 0, 0.75]]),
        (Constant(values=(1, 2, 3)), [[1, 2, 3]]),
    ],
)
def test_a_bound_input_gives_what_feeding_it_gives(make, constant, expected):
    model = make(style=3)
    arrays = constant_arrays(model, {"style": constant})
    np.testing.assert_array_equal(arrays["style"], np.float32(expected))
    bound, report = bind_constants(model, arrays)
    assert [value.name for value in bound.graph.input] == ["input"]
    assert (report.changed, report.did) == (True, "bound style")
    picture = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    fed = session(model.SerializeToString(), "fed").run(None, {"input": picture, **arrays})[0]
    np.testing.assert_allclose(
        session(bound.SerializeToString(), "bound").run(None, {"input": picture})[0], fed, atol=1e-6
    )


@pytest.mark.parametrize(
    "constant",
    [Constant(one_hot=3), Constant(one_hot=1, length=4), Constant(weights={7: 1.0}), Constant(values=(1, 2))],
)
def test_a_value_that_does_not_fit_is_refused(make, constant):
    with pytest.raises(ConfigError, match=r"'style' float32 \[1, 3\] does not fit"):
        constant_arrays(make(style=3), {"style": constant})


def test_a_misspelt_input_is_told_the_right_one(make):
    with pytest.raises(ConfigError, match=r"no input 'stile'.*'style'"):
        constant_arrays(make(style=3), {"stile": Constant(one_hot=0)})


def test_weights_that_old_exporters_list_as_inputs_are_no_inputs(make):
    model = make()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.ir_version = 3
    before = model.SerializeToString()
    bound, report = bind_constants(model, {})
    assert [value.name for value in bound.graph.input] == ["input"]
    assert "2 weights" in report.did
    assert bound.ir_version == 4
    assert model.SerializeToString() == before, "a pass must not change its argument"
    onnx.checker.check_model(bound)
    assert numpy_helper.to_array(bound.graph.initializer[0]).shape == (4, 3, 3, 3)
