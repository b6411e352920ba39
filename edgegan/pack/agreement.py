"""How well a packed model and its original agree, and which original that was."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from onnx import TensorProto

from edgegan.errors import ModelDisagreement, ModelError
from edgegan.frame import Pixels
from edgegan.pack.check import Interface
from edgegan.pack.compare import Agreement, Original, Packed, compare
from edgegan.pack.preparing import Prepared
from edgegan.pack.ranges import ValueRanges
from edgegan.pack.reading import Run, in_float32, on_onnxruntime

__all__ = ["agree"]

_OTHERS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def agree(
    prepared: Prepared,
    ranges: ValueRanges,
    packed: Packed,
    pictures: Sequence[Pixels],
    progress: Callable[[float], None],
) -> Agreement:
    """Draw all pictures with both, the original on ONNX Runtime.

    Where rounding to float16 inside of the original makes more than one grey level, or ONNX Runtime lacks
    another float's operators, the original is read in float32 by ONNX's reference evaluator.
    Raises `ModelDisagreement`.
    """
    interface, how = prepared.interface, prepared.reading.how

    def against(run: Run, interface: Interface, how: str) -> Agreement:
        original = Original(run, interface, ranges, prepared.constants)
        return replace(compare(original, packed, pictures, progress), original=how)

    try:
        return against(on_onnxruntime(prepared.reading, interface.output), interface, how)
    except (ModelDisagreement, ModelError) as error:
        if not _is_of_other_floats(prepared):
            raise
        wide = replace(interface, taken=replace(interface.taken, kind=TensorProto.FLOAT))
        how = f"{how}, in float32 by ONNX's reference evaluator; as it is: {error.message}"
        return against(in_float32(prepared.reading.model(), interface.output), wide, how)


def _is_of_other_floats(prepared: Prepared) -> bool:
    kinds = {tensor.data_type for tensor in prepared.original.graph.initializer}
    kinds |= {prepared.interface.taken.kind, prepared.interface.drawn.kind}
    return bool(kinds.intersection(_OTHERS))
