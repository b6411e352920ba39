"""Small generators that the tests of this folder make themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

Maker = Callable[..., ModelProto]


def small_generator(
    *,
    shape: tuple[Any, ...] = (1, 3, 16, 24),
    drawn: tuple[Any, ...] | None = None,
    last: str = "Tanh",
    opset: int = 17,
    names: tuple[str, str] = ("input", "output"),
    style: int = 0,
    kind: int = TensorProto.FLOAT,
) -> ModelProto:
    """Conv, (times a style,) Relu, Conv, `last`; the same weights each time. style: length of that input."""
    random = np.random.default_rng(1)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    held = {
        "first": random.normal(0, 0.3, (4, 3, 3, 3)).astype(dtype),
        "second": random.normal(0, 0.3, (3, 4, 3, 3)).astype(dtype),
        "mixer": random.normal(0, 1, (style or 1, 4)).astype(dtype),
        "gains": np.array([1, 4, 1, 1]),
    }
    inputs = [helper.make_tensor_value_info(names[0], kind, shape)]
    nodes = [helper.make_node("Conv", [names[0], "first"], ["a"], "conv_1", pads=[1] * 4)]
    if style:
        inputs.append(helper.make_tensor_value_info("style", kind, [1, style]))
        nodes += [
            helper.make_node("MatMul", ["style", "mixer"], ["gain"]),
            helper.make_node("Reshape", ["gain", "gains"], ["gain4"]),
            helper.make_node("Mul", ["a", "gain4"], ["scaled"]),
        ]
    else:
        del held["mixer"], held["gains"]
    nodes += [
        helper.make_node("Relu", ["scaled" if style else "a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], "conv_2", pads=[1] * 4),
        helper.make_node(last, ["c"], [names[1]], "activation"),
    ]
    outputs = [helper.make_tensor_value_info(names[1], kind, drawn or shape)]
    weights = [numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="session")
def make() -> Maker:
    """The function that makes a small generator."""
    return small_generator


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A small static generator with Tanh, 16 x 24, in a file."""
    path = tmp_path / "small.onnx"
    onnx.save(small_generator(), path)
    return path


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (16, 24, 3) BGR in which each colour differs."""
    rows, columns = np.mgrid[0:16, 0:24]
    return np.stack([rows * 15, columns * 10, 255 - rows * 5], axis=-1).astype(np.uint8)
