"""The pixel nodes, spelt in other ways: CPU milliseconds a picture of 256 x 256 on ONNX Runtime, one thread.

    python tests/benchmarks/bench_spellings.py [--rounds 300]

The generator between them is one Tanh, so that nothing but the pixels is timed. Range -1 to 1. Each spelling has a
session of its own; the order is drawn anew in each round. `edgegan.pack.pixels` has the spelling `gather`.
"""

import argparse
import random
import statistics
import time
from typing import Any

import numpy as np
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDE = 256
_PLANES, _PIXELS = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
_FLOAT, _BYTE = {"to": TensorProto.FLOAT}, {"to": TensorProto.UINT8}

Step = tuple[str, tuple[Any, ...], dict[str, Any]]
_INPUT_SCALE: list[Step] = [("Mul", (np.float32(1 / 127.5),), {}), ("Add", (np.float32(-1),), {})]
_OUTPUT_SCALE: list[Step] = [("Mul", (np.float32(127.5),), {}), ("Add", (np.float32(127.5),), {})]
_ROUND_AND_CLIP: list[Step] = [("Round", (), {}), ("Clip", (np.float32(0), np.float32(255)), {})]
_SWAP: list[Step] = [("Gather", (np.array([2, 1, 0]),), {"axis": 1})]
_SWAP_LAST: list[Step] = [("Gather", (np.array([2, 1, 0]),), {"axis": 3})]
_SWAP_SLICE: list[Step] = [("Slice", (np.array([2]), np.array([-9]), np.array([1]), np.array([-1])), {})]
_SWAP_SPLIT: list[Step] = [("SplitConcat", (), {})]
_IN, _OUT = (
    [("Cast", (), _FLOAT), ("Transpose", (), _PLANES)],
    [("Transpose", (), _PIXELS), ("Cast", (), _BYTE)],
)


def _convolution(scale: float, offset: float) -> list[Step]:
    """Colours, scale and offset in one 1 x 1 convolution."""
    weight = np.eye(3, dtype=np.float32)[::-1].reshape(3, 3, 1, 1) * np.float32(scale)
    return [("Conv", (weight, np.full(3, offset, np.float32)), {})]


SPELLINGS: dict[str, tuple[list[Step], list[Step]]] = {
    "gather": (_IN + _SWAP + _INPUT_SCALE, _OUTPUT_SCALE + _SWAP + _ROUND_AND_CLIP + _OUT),
    "scale before transpose": (
        _IN[:1] + _INPUT_SCALE + _IN[1:] + _SWAP,
        _SWAP + _OUTPUT_SCALE + _ROUND_AND_CLIP + _OUT,
    ),
    "transpose of bytes (breaks the contract)": (
        _IN[::-1] + _SWAP + _INPUT_SCALE,
        _OUTPUT_SCALE + _SWAP + _ROUND_AND_CLIP + _OUT[::-1],
    ),
    "split and concat": (
        _IN + _SWAP_SPLIT + _INPUT_SCALE,
        _OUTPUT_SCALE + _SWAP_SPLIT + _ROUND_AND_CLIP + _OUT,
    ),
    "slice with step -1": (
        _IN + _SWAP_SLICE + _INPUT_SCALE,
        _OUTPUT_SCALE + _SWAP_SLICE + _ROUND_AND_CLIP + _OUT,
    ),
    "gather on NHWC": (
        _IN[:1] + _SWAP_LAST + _IN[1:] + _INPUT_SCALE,
        _OUTPUT_SCALE + _ROUND_AND_CLIP + _OUT[:1] + _SWAP_LAST + _OUT[1:],
    ),
    "1 x 1 convolution": (
        _IN + _convolution(1 / 127.5, -1),
        _convolution(127.5, 127.5) + _ROUND_AND_CLIP + _OUT,
    ),
    "colours left out (as if in the weights)": (_IN + _INPUT_SCALE, _OUTPUT_SCALE + _ROUND_AND_CLIP + _OUT),
}


def session(steps: list[Step]) -> onnxruntime.InferenceSession:
    """The steps as a model."""
    nodes: list[NodeProto] = []
    held = []
    tensor = "input"
    for index, (operator, constants, attributes) in enumerate(steps):
        result = "output" if index == len(steps) - 1 else f"t{index}"
        if operator == "SplitConcat":
            planes = [f"{result}_{plane}" for plane in range(3)]
            nodes += [
                helper.make_node("Split", [tensor], planes, axis=1),
                helper.make_node("Concat", planes[::-1], [result], axis=1),
            ]
        else:
            own = [numpy_helper.from_array(np.asarray(c), f"c{index}_{n}") for n, c in enumerate(constants)]
            held += own
            nodes.append(helper.make_node(operator, [tensor, *(c.name for c in own)], [result], **attributes))
        tensor = result
    values = [
        helper.make_tensor_value_info(n, TensorProto.UINT8, [1, SIDE, SIDE, 3]) for n in ("input", "output")
    ]
    graph = helper.make_graph(nodes, "spelling", values[:1], values[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    tanh: list[Step] = [("Tanh", (), {})]
    sessions = {name: session([*before, *tanh, *after]) for name, (before, after) in SPELLINGS.items()}
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name in random.sample(sorted(sessions), len(sessions)):
            begun = time.thread_time()
            sessions[name].run(None, {"input": pixels})
            times[name].append(time.thread_time() - begun)
    for name, values in times.items():
        print(f"{name:42} {1e3 * statistics.median(values):6.2f} ms")


if __name__ == "__main__":
    main()
