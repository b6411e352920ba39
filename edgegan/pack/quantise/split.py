"""Pass, for ONNX Runtime on a CPU: a wide kernel that draws few channels, as a column of it at a time.

ONNX Runtime multiplies in blocks of 8 or 16 output channels, so that a last convolution, which draws 3, wastes most
of them. All columns of its kernel at once draw 3 * k channels; these, each moved by its column, add up to the same
picture.
"""

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto

from edgegan.pack.graph import PassReport, constant_values, copied
from edgegan.pack.macs import known_shapes
from edgegan.pack.quantise.layers import attributes
from edgegan.pack.quantise.making import Making

__all__ = ["split_columns"]

_MOST_DRAWN, _LEAST_COLUMNS = 4, 5


def split_columns(model: ModelProto) -> tuple[ModelProto, PassReport]:
    """Each Conv of at least 5 columns that draws at most 4 channels, without strides, dilations or groups."""
    model = copied(model)
    constants, shapes, making = constant_values(model.graph), known_shapes(model), Making()
    split = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and _suits(node, constants):
            _split(making, node, constants, shapes[node.output[0]][3])
            split += 1
        else:
            making.keep(node)
    making.put_into(model.graph)
    did = f"{split} convolutions that draw few channels split into the columns of their kernels"
    return model, PassReport("split_columns", did, split > 0)


def _suits(node: NodeProto, constants: dict[str, npt.NDArray[np.generic]]) -> bool:
    given = attributes(node)
    shape = constants[node.input[1]].shape if node.input[1] in constants else ()
    plain = all(n == 1 for name in ("strides", "dilations") for n in given.get(name, ()))
    plain = plain and given.get("group", 1) == 1 and given.get("auto_pad", b"NOTSET") == b"NOTSET"
    known_bias = len(node.input) < 3 or not node.input[2] or node.input[2] in constants
    return plain and known_bias and len(shape) == 4 and shape[0] <= _MOST_DRAWN and shape[3] >= _LEAST_COLUMNS


def _split(
    making: Making, node: NodeProto, constants: dict[str, npt.NDArray[np.generic]], width: int
) -> None:
    """width: of the picture that is drawn."""

    def name(part: str) -> str:
        return f"split/{node.name}/{part}"

    weights = constants[node.input[1]]
    drawn, _, rows, columns = weights.shape
    stacked = weights.transpose(3, 0, 1, 2).reshape(columns * drawn, -1, rows, 1)
    held = making.constant(name("weights"), np.ascontiguousarray(stacked))
    pads = list(attributes(node).get("pads", [0] * 4))
    every = making.add("Conv", [node.input[0], held], name("columns"), kernel_shape=[rows, 1], pads=pads)
    axes = making.constant(name("axes"), np.array([1, 3]))
    moved = []
    for column in range(columns):
        start = making.constant(name(f"{column}/start"), np.array([column * drawn, column]))
        end = making.constant(name(f"{column}/end"), np.array([(column + 1) * drawn, column + width]))
        moved.append(making.add("Slice", [every, start, end, axes], name(f"{column}/moved")))
    if len(node.input) > 2 and node.input[2]:
        moved.append(making.constant(name("bias"), constants[node.input[2]].reshape(1, -1, 1, 1)))
    making.add("Sum", moved, node.output[0])
