"""ONNX models that are nearly right: damaged bytes, and graphs that parse but mean nothing."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper, load_model_from_string

from tests.fuzz.garbage import broken, damages

OPERATORS = (
    *(
        "Conv",
        "ConvTranspose",
        "Resize",
        "Pad",
        "Reshape",
        "Loop",
        "If",
        "Scan",
        "Slice",
        "Gather",
        "Cast",
        "Einsum",
    ),
    *(
        "TopK",
        "Expand",
        "Tile",
        "RandomNormal",
        "StringNormalizer",
        "SequenceAt",
        "NonZero",
        "QLinearConv",
        "Tanh",
        "",
    ),
)
ATTRIBUTES = (
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "group",
    "to",
    "axis",
    "axes",
    "perm",
    "output_padding",
)
NUMBERS = [0, -1, 1, 2, 3, 255, 2**31, 2**40, 2**62, -(2**62)]

Change = tuple[str, int, int]
"""What is changed, which one of several, and the new value."""


def small_model() -> Any:
    """Draws what it sees, a little paler."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 1, 1], np.eye(3, dtype=np.float32).ravel())
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Tanh", ["y"], ["z"])]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 16, 16]) for n in ("x", "z")]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def broken_models(model: bytes) -> st.SearchStrategy[bytes]:
    """A model after damage to its bytes, or to its meaning."""
    changes = st.tuples(
        st.sampled_from(sorted(CHANGES)), st.integers(0, 100), st.sampled_from(NUMBERS) | st.integers(0, 64)
    )
    meaningless = st.lists(changes, min_size=1, max_size=3).map(lambda these: changed(model, these))
    return st.one_of(st.builds(broken, st.just(model), damages()), meaningless)


def changed(model: bytes, changes: Iterable[Change]) -> bytes:
    """A model that still parses, whatever it means now."""
    parsed = load_model_from_string(model)
    for what, which, number in changes:
        CHANGES[what](parsed.graph, which, number)
    return parsed.SerializeToString()  # type: ignore[no-any-return]


def change_operator(graph: Any, which: int, number: int) -> None:
    """Another operator on the same inputs."""
    graph.node[which % len(graph.node)].op_type = OPERATORS[number % len(OPERATORS)]


def change_domain(graph: Any, which: int, number: int) -> None:
    """An operator from elsewhere."""
    graph.node[which % len(graph.node)].domain = ("com.microsoft", "ai.onnx.ml", "x", "")[number % 4]


def change_input(graph: Any, which: int, number: int) -> None:
    """An operator reads something else: nothing, what is not there, what comes after it."""
    node = graph.node[which % len(graph.node)]
    names = ["", "nobody", graph.node[-1].output[0], graph.input[0].name, graph.node[0].output[0]]
    if node.input:
        node.input[0] = names[number % len(names)]


def change_dimension(graph: Any, which: int, number: int) -> None:
    """Pictures of another size."""
    dimensions = [*graph.input, *graph.output][which % 2].type.tensor_type.shape.dim
    if dimensions:
        dimensions[number % len(dimensions)].dim_value = number


def change_rank(graph: Any, which: int, number: int) -> None:
    """No pictures at all."""
    del [*graph.input, *graph.output][which % 2].type.tensor_type.shape.dim[number % 4 :]


def change_type(graph: Any, which: int, number: int) -> None:
    """Texts, booleans, types that nobody knows."""
    [*graph.input, *graph.output][which % 2].type.tensor_type.elem_type = number % 30


def change_name(graph: Any, which: int, number: int) -> None:
    """Names that are none."""
    [*graph.input, *graph.output][which % 2].name = ("", "w", "a" * 5000, "\x00", "é", "../x")[number % 6]


def change_weights(graph: Any, which: int, number: int) -> None:
    """A tensor that claims another shape."""
    tensor = graph.initializer[which % len(graph.initializer)]
    if tensor.dims:
        tensor.dims[which % len(tensor.dims)] = number


def change_attribute(graph: Any, which: int, number: int) -> None:
    """One more attribute, or one with a strange value."""
    attribute = helper.make_attribute(ATTRIBUTES[which % len(ATTRIBUTES)], [number % 2**62] * 2)
    graph.node[which % len(graph.node)].attribute.append(attribute)


def change_place_of_weights(graph: Any, which: int, number: int) -> None:
    """Weights in a file of their own, somewhere else."""
    tensor = graph.initializer[which % len(graph.initializer)]
    tensor.data_location = TensorProto.EXTERNAL
    place = ("../home/sentinel", "/etc/passwd", "/dev/zero", "", "pipe", "deep/er/sentinel")[number % 6]
    tensor.external_data.add(key="location", value=place)
    tensor.external_data.add(key="length", value=str(number))


CHANGES: dict[str, Callable[[Any, int, int], None]] = {
    name.removeprefix("change_"): function
    for name, function in globals().items()
    if name.startswith("change_")
}
