"""Pass: onnx-simplifier folds what is constant, fuses normalisation into convolutions, drops the unused."""

import onnx
import onnxsim
from onnx import ModelProto

from edgegan.pack.graph import PassReport

__all__ = ["simplify"]

_MOST_GROWTH, _SLACK_BYTES = 1.1, 64 << 10


def simplify(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Simplify a model of fixed size. Where that fails, the model stays as it was, and the report says why.

    A result that is more than a tenth larger is not taken: folding can turn a short computation into a large
    constant, or a weight that is shared into several.
    """
    nodes, size = len(model.graph.node), model.ByteSize()
    try:
        simple, _ = onnxsim.simplify(model)
        onnx.checker.check_model(simple)
    except Exception as error:  # the simplifier is optional, and raises whatever its C++ core throws
        return model, PassReport("simplify", f"left as it was, onnxsim failed: {error}", changed=False)
    if simple.ByteSize() > size * _MOST_GROWTH + _SLACK_BYTES:
        grown = f"left as it was, onnxsim made {simple.ByteSize()} bytes of {size}"
        return model, PassReport("simplify", grown, changed=False)
    return simple, PassReport("simplify", f"{nodes} nodes became {len(simple.graph.node)}")
