"""A list of nodes that a pass makes, with the constants they read; what has an equal name is made once."""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, ValueInfoProto, helper, numpy_helper

from edgegan.pack.graph import drop_unused, replace_nodes

__all__ = ["Making"]


class Making:
    """Nodes in the order in which they are asked for."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, npt.NDArray[np.generic]] = {}
        self._made: set[str] = set()
        self._said: list[ValueInfoProto] = []

    def keep(self, node: NodeProto) -> None:
        """One that stays as it is."""
        self._nodes.append(node)

    def add(self, op: str, inputs: list[str], name: str, **given: Any) -> str:
        """A node that is called as its one output, which is returned."""
        if name not in self._made:
            self._nodes.append(helper.make_node(op, inputs, [name], name, **given))
            self._made.add(name)
        return name

    def constant(self, name: str, value: npt.NDArray[Any] | np.generic) -> str:
        """An initialiser; its name is returned."""
        self._constants[name] = np.asarray(value)
        return name

    def say(self, name: str, kind: int, shape: list[int]) -> None:
        """What a tensor is, where ONNX does not know the operator that makes it."""
        self._said.append(helper.make_tensor_value_info(name, kind, shape))

    def put_into(self, graph: GraphProto) -> None:
        """In place of all its nodes; what is then unused goes."""
        replace_nodes(graph, self._nodes)
        graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in self._constants.items())
        graph.value_info.extend(self._said)
        drop_unused(graph)
