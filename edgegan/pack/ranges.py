"""Which numbers a generator takes and gives for black and white."""

from dataclasses import dataclass

from onnx import ModelProto

from edgegan.errors import ModelError
from edgegan.pack.graph import producer_of

__all__ = ["Range", "ValueRanges", "value_ranges"]

Range = tuple[float, float]
"""(black, white)."""

_OUTPUT_OF_ACTIVATION = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0)}


@dataclass(frozen=True)
class ValueRanges:
    """(black, white) of the input and the output; `assumptions` says in words what was guessed."""

    input: Range
    output: Range
    assumptions: tuple[str, ...] = ()


def value_ranges(model: ModelProto, input_range: Range | None, output_range: Range | None) -> ValueRanges:
    """The given ranges; one that is not given follows from the last node if that is Tanh or Sigmoid.

    The input is assumed to have the same range, as is usual. Raises `ModelError` if nothing is known.
    """
    assumptions = []
    activation = _last_operator(model)
    if output_range is None:
        output_range = _OUTPUT_OF_ACTIVATION.get(activation)
        if output_range is None:
            raise ModelError(
                f"which values of the output '{model.graph.output[0].name}' are black and white? "
                f"Its last node, {activation}, does not say",
                "give --output-range 0,255 or 0,1 or -1,1 (and --input-range)",
            )
        assumptions.append(f"output range {_text(output_range)}, because the last node is {activation}")
    if input_range is None:
        input_range = _OUTPUT_OF_ACTIVATION.get(activation)
        if input_range is None:
            raise ModelError(
                f"which values of the input '{model.graph.input[0].name}' are black and white?",
                "give --input-range 0,255 or 0,1 or -1,1",
            )
        assumptions.append(f"input range {_text(input_range)}, because the last node is {activation}")
    return ValueRanges(input_range, output_range, tuple(assumptions))


def _last_operator(model: ModelProto) -> str:
    node = producer_of(model.graph, model.graph.output[0].name)
    while node.op_type == "Identity":
        node = producer_of(model.graph, node.input[0])
    return str(node.op_type)


def _text(values: Range) -> str:
    return f"{values[0]:g} to {values[1]:g}"
