"""A convolution on ONNX Runtime's CPU in float, as an integer product, and as two of them; one thread's CPU time.

    python tests/benchmarks/bench_products.py [--rounds 15]

The three take turns, so that a load which comes and goes hits all alike; a ratio is the median of the rounds' ratios.
"Expected" is what `edgegan.pack.quantise.matmuls` reckons with. What is printed goes into docs/runtimes.md.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgegan.pack.graph import constant_values
from edgegan.pack.macs import known_shapes
from edgegan.pack.quantise.layers import Layer, find_layers
from edgegan.pack.quantise.matmuls import as_matmuls, reckoned
from edgegan.pack.quantise.table import Affine, Form, LayerScale, ScaleTable
from edgegan.pack.quantise.weights import integer_weights
from edgegan.pack.quantise.windows import windows_of

SHAPES = (
    (16, 16, 128, 3, 1),
    (32, 8, 128, 3, 1),
    (32, 32, 128, 1, 1),
    (32, 32, 128, 3, 1),
    (32, 32, 128, 5, 1),
    (64, 64, 128, 1, 1),
    (64, 64, 64, 3, 1),
    (64, 64, 128, 3, 1),
    (64, 128, 128, 3, 2),
    (96, 96, 64, 3, 1),
    (128, 128, 64, 3, 1),
    (256, 256, 32, 3, 1),
)
"""Channels read and drawn, size, kernel, stride."""
_RUNS = 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print("| channels | size | kernel | stride | float ms | one term | expected | two terms | expected |")
    print("|---" * 9 + "|")
    for shape in SHAPES:
        read, drawn, size, kernel, stride = shape
        model = convolution(*shape)
        (layer,) = find_layers(model)
        runs = [run(version(model, layer, form), read, size) for form in ("float", "int8", "int8x2")]
        ms, ratios = raced(runs, rounds)
        shapes = known_shapes(model)
        one, two = (reckoned(layer, form, shapes) / layer.macs for form in ("int8", "int8x2"))
        cells = [f"{read} → {drawn}", f"{size} x {size}", f"{kernel} x {kernel}", str(stride), f"{ms:.2f}"]
        cells += [f"{ratios[0]:.2f}", f"{one:.2f}", f"{ratios[1]:.2f}", f"{two:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def convolution(read: int, drawn: int, size: int, kernel: int, stride: int) -> ModelProto:
    """Conv and Relu."""
    weights = np.random.default_rng(0).normal(0, 0.05, (drawn, read, kernel, kernel)).astype(np.float32)
    nodes = [
        helper.make_node(
            "Conv", ["x", "weights"], ["a"], "conv", pads=[kernel // 2] * 4, strides=[stride] * 2
        ),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, read, size, size]), ("y", [None] * 4))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def version(model: ModelProto, layer: Layer, form: Form) -> ModelProto:
    """As products also where they do not pay."""
    if form == "float":
        return model
    constants = constant_values(model.graph)
    found = windows_of(model, layer, constants, known_shapes(model))
    assert found is not None
    held = constants[layer.weights].astype(np.float64)
    weights = integer_weights(model.graph.node[0], layer, held, None, Affine(), None)
    scale = LayerScale(layer.name, layer.source, form, -1.0, 3.0, "")
    name = layer.name
    return as_matmuls(model, {name: layer}, ScaleTable((scale,)), {name: weights}, {name: found})[0]


def run(model: ModelProto, channels: int, size: int) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    value = np.random.default_rng(1).normal(0, 1, (1, channels, size, size)).astype(np.float32)
    return lambda: session.run(None, {"x": value})


def raced(runs: list[Callable[[], object]], rounds: int) -> tuple[float, list[float]]:
    """The median ms of the first, and the others' ratios to it."""
    times = np.empty((rounds, len(runs)))
    for number in range(rounds):
        for one in (range(len(runs)), reversed(range(len(runs))))[number % 2]:
            runs[one]()
            start = time.process_time()
            for _ in range(_RUNS):
                runs[one]()
            times[number, one] = 1e3 * (time.process_time() - start) / _RUNS
    return float(np.median(times[:, 0])), np.median(times[:, 1:] / times[:, :1], axis=0).tolist()


if __name__ == "__main__":
    main()
