"""What every driver of packed models checks: the model it loads, and the memory it is given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgegan.errors import GeneratorError
from edgegan.frame import Pixels

__all__ = ["Tensor", "check_memory", "packed_tensor"]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model, in its runtime's words. kind: of its elements, 'uint8' where they are.

    shape: a dimension that is not fixed is its name.
    """

    name: str
    kind: str
    shape: tuple[int | str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a packed model's tensor."""
        return int(self.shape[1]), int(self.shape[2])


def packed_tensor(what: str, tensors: Sequence[Tensor]) -> Tensor:
    """The model's one 'input' or 'output'; raises `GeneratorError` if it is not a packed model's."""
    shape = tensors[0].shape if len(tensors) == 1 and tensors[0].kind == "uint8" else ()
    if len(shape) != 4 or not all(isinstance(n, int) for n in shape) or (shape[0], shape[3]) != (1, 3):
        found = ", ".join(f"{t.name} {t.kind} {list(t.shape)}" for t in tensors) or "nothing"
        raise GeneratorError(
            f"this is no packed model: its {what} is {found} instead of one uint8 (1, H, W, 3)",
            "make one with: edgegan pack MODEL.onnx -o BUNDLE",
        )
    return tensors[0]


def check_memory(tensor: Tensor, pixels: Pixels) -> None:
    """Raise `GeneratorError` unless `pixels` are uint8 (H, W, 3) of the tensor's size, in one piece."""
    if pixels.shape != (*tensor.size, 3) or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise GeneratorError(
            f"'{tensor.name}' takes uint8 {(*tensor.size, 3)} in one piece, "
            f"and was given {pixels.dtype} {pixels.shape}",
            "crop and scale with edgegan.framing",
        )
