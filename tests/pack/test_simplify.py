import numpy as np
from onnx import helper, numpy_helper

from edgegan.pack.compare import session
from edgegan.pack.simplify import simplify


def _with_batch_norm(model):
    """The second convolution's output through BatchNormalization, which can be folded into it."""
    random = np.random.default_rng(2)
    names = ["scale", "bias", "mean", "variance"]
    for name in names:
        model.graph.initializer.append(
            numpy_helper.from_array(random.random(3).astype(np.float32) + 0.5, name)
        )
    model.graph.node[-1].input[0] = "normal"
    model.graph.node.insert(3, helper.make_node("BatchNormalization", ["c", *names], ["normal"]))
    return model


def test_normalisation_is_fused_and_the_drawing_stays(make):
    model = _with_batch_norm(make())
    before = model.SerializeToString(deterministic=True)
    simple, report = simplify(model)
    assert "BatchNormalization" not in [node.op_type for node in simple.graph.node]
    assert (report.changed, report.did) == (True, "5 nodes became 4")
    assert model.SerializeToString(deterministic=True) == before, "a pass must not change its argument"
    picture = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    drawn = [session(m.SerializeToString(), "m").run(None, {"input": picture})[0] for m in (model, simple)]
    np.testing.assert_allclose(*drawn, atol=1e-5)


def test_opset_and_names_stay(make):
    for opset in (11, 13, 17, 21):
        simple, _ = simplify(make(opset=opset, names=("x", "y")))
        assert [o.version for o in simple.opset_import if o.domain == ""] == [opset]
        assert (simple.graph.input[0].name, simple.graph.output[0].name) == ("x", "y")


def test_where_the_simplifier_fails_the_model_stays(make):
    model = make()
    model.graph.output[0].type.tensor_type.ClearField("shape")  # its checker refuses that
    kept, report = simplify(model)
    assert kept is model
    assert not report.changed
    assert "onnxsim failed" in report.did


def test_a_short_computation_is_not_folded_into_a_large_constant(make):
    """A ramp of rows times a ramp of columns, as some networks add for position: 9 KB, which would become 4 MB."""
    model = make(shape=(1, 3, 576, 576))
    ramp = np.linspace(1, 2, 576, dtype=np.float32)
    for name, array in (
        ("rows", ramp.reshape(1, 1, 576, 1)),
        ("columns", np.stack([ramp] * 3)[None, :, None]),
    ):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    model.graph.node[-1].output[0] = "t"
    model.graph.node.append(helper.make_node("Mul", ["rows", "columns"], ["position"]))
    model.graph.node.append(helper.make_node("Mul", ["t", "position"], ["output"]))
    kept, report = simplify(model)
    assert kept.ByteSize() < 20_000
    assert "left as it was" in report.did
