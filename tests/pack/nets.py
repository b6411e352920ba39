"""A few lines in which a test writes the network it needs; weights are the same each time."""

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Net"]

FLOAT, HALF, BYTES = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


class Net:
    """Nodes in the order in which they are asked for; tensors go by names that count up."""

    def __init__(self, opset: int = 17, kind: int = FLOAT, rounded: bool = False) -> None:
        """rounded: weights are float32, of values that float16 has too."""
        self.opset, self.kind, self._rounded = opset, kind, rounded
        self.nodes: list[NodeProto] = []
        self.held: list[TensorProto] = []
        self._random = np.random.default_rng(7)

    def hold(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """An initialiser; floats are of the net's kind unless said otherwise."""
        array = np.asarray(value)
        if dtype is None:
            dtype = self.dtype if array.dtype.kind == "f" else np.int64
            array = array.astype(np.float16) if self._rounded and array.dtype.kind == "f" else array
        name = name or f"held_{len(self.held)}"
        self.held.append(numpy_helper.from_array(array.astype(dtype), name))
        return name

    @property
    def dtype(self) -> Any:
        return helper.tensor_dtype_to_np_dtype(self.kind)

    def weight(self, *shape: int, name: str = "") -> str:
        spread = 1.2 / np.sqrt(np.prod(shape[1:]) or 1)
        return self.hold(self._random.normal(0, spread, shape), name=name)

    def add(
        self, operator: str, *inputs: str, outputs: int | list[str] = 1, name: str | None = None, **more: Any
    ):
        """A node; gives the name of its first output."""
        number = len(self.nodes)
        names = outputs if isinstance(outputs, list) else [f"t{number}_{n}" for n in range(outputs)]
        name = f"{operator}_{number}" if name is None else name
        self.nodes.append(helper.make_node(operator, list(inputs), names, name, **more))
        return names[0]

    def conv(self, x: str, before: int, after: int, size: int = 3, **more: Any) -> str:
        pads = {} if "auto_pad" in more else {"pads": more.pop("pads", [size // 2] * 4)}
        return self.add("Conv", x, self.weight(after, before, size, size), self.weight(after), **pads, **more)

    def norm(self, x: str, channels: int) -> str:
        return self.add("InstanceNormalization", x, *self.gain_and_bias(channels))

    def doubled(self, x: str, mode: str = "nearest", **more: Any) -> str:
        """Resize to twice the size."""
        roi = self.hold(np.zeros(0), np.float32) if self.opset < 13 else ""
        return self.add("Resize", x, roi, self.hold([1, 1, 2, 2], np.float32), mode=mode, **more)

    def gain_and_bias(self, channels: int) -> tuple[str, str]:
        gain = self.hold(self._random.uniform(0.5, 1.5, channels))
        return gain, self.hold(self._random.uniform(-0.3, 0.3, channels))

    def finish(self, x: str, operator: str = "Tanh", name: str = "y") -> str:
        return self.add(operator, x, outputs=[name])

    def model(
        self,
        shape: list[Any],
        drawn: list[Any] | None = None,
        *,
        taken: str = "x",
        outputs: dict[str, Any] | None = None,
        kinds: tuple[int, int] | None = None,
        more_inputs: dict[str, list[Any]] | None = None,
        **more: Any,
    ) -> ModelProto:
        """shape and drawn: of input and output; outputs: shapes of several, by name."""
        kinds = kinds or (self.kind, self.kind)
        inputs = [helper.make_tensor_value_info(taken, kinds[0], shape)]
        inputs += [helper.make_tensor_value_info(n, self.kind, s) for n, s in (more_inputs or {}).items()]
        outputs = outputs or {"y": drawn or shape}
        values = [helper.make_tensor_value_info(n, kinds[1], s) for n, s in outputs.items()]
        graph = helper.make_graph(self.nodes, "net", inputs, values, self.held)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(d, 1) for d in sorted({n.domain for n in self.nodes} - {""})]
        return helper.make_model(graph, opset_imports=opsets, ir_version=more.get("ir_version", 8))
