import pytest
from onnx import helper

from edgegan.errors import ModelError
from edgegan.pack.ranges import value_ranges


@pytest.mark.parametrize(("last", "values"), [("Tanh", (-1, 1)), ("Sigmoid", (0, 1))])
def test_the_last_node_tells_and_the_assumption_is_said(make, last, values):
    ranges = value_ranges(make(last=last), None, None)
    assert (ranges.input, ranges.output) == (values, values)
    assert len(ranges.assumptions) == 2
    assert last in ranges.assumptions[0]


def test_what_is_given_is_not_assumed(make):
    ranges = value_ranges(make(), (0, 255), (-1, 1))
    assert (ranges.input, ranges.output, ranges.assumptions) == ((0, 255), (-1, 1), ())


def test_only_the_input_is_assumed_where_the_output_is_given(make):
    assert value_ranges(make(last="Sigmoid"), None, (0, 2)).input == (0, 1)


def test_without_a_telling_node_the_question_is_asked(make):
    with pytest.raises(ModelError, match=r"'output' are black and white\? .*Relu.*--output-range 0,255"):
        value_ranges(make(last="Relu"), None, None)
    with pytest.raises(ModelError, match=r"'input' are black and white\?: give --input-range"):
        value_ranges(make(last="Relu"), None, (0, 255))


def test_identity_is_looked_through(make):
    model = make()
    model.graph.node[-1].output[0] = "t"
    model.graph.node.append(helper.make_node("Identity", ["t"], ["output"]))
    assert value_ranges(model, None, None).output == (-1, 1)
