"""Pass: a packed float32 model becomes a typed float16 one; what float16 would spoil stays in float32.

    input uint8 ─ Cast ─ pixels in float32 ─ Cast ─ generator in float16 ─ Cast ─ picture in float32 ─ Cast ─ output
                                                        └ Cast ─ normalisation in float32 ─ Cast ┘

Precision is in the types of the graph, which is how TensorRT 10 and later want it. ONNX Runtime's CPU reads
such a model and computes it in float32; `half_executed` makes a model that shows what float16 does to a picture.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import (
    PassReport,
    constant_values,
    copied,
    node_text,
    opset_of,
    quoted,
    replace_nodes,
    tensor_names,
)
from edgegan.pack.half_ends import fit_ends, replace_constant
from edgegan.pack.half_kept import ANY_FLOAT, CONSTANT, Formals, Kinds, kept_in_float32

__all__ = ["half", "kinds_of"]

_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_OPSET_OF_HALF_SCALES, _ITS_IR = 19, 9
_SUFFIXES: dict[int, str] = {TensorProto.FLOAT16: "/float16", TensorProto.FLOAT: "/float32"}


def half(model: ModelProto, keep: Collection[str] = ()) -> tuple[ModelProto, PassReport]:
    """Let everything between the pixels of a packed model be float16: tensors, weights, scales of Q/DQ.

    keep: names of nodes that stay in float32 beside those that the pass keeps there by its rules: pixels up to
    where the generator begins and from where its last layer ends, reductions and normalisations, powers and
    differences that are squared, arithmetic on these alone, constants that float16 cannot hold. Names stay;
    a Cast and a second copy of a constant go by the tensor's name and its new type. A model with Q/DQ is
    raised to opset 19, the first whose scales may be float16; another one keeps its opset.

    Raises `ModelError` for branches and loops, for a tensor whose type cannot be derived, and for a model
    that breaks the pixel contract.
    """
    _refuse_what_is_inside(model)
    unknown = set(keep) - {node.name for node in model.graph.node}
    if unknown:
        raise ModelError(f"the model has no node {quoted(min(unknown))}", "give names of nodes to keep")
    if TensorProto.FLOAT16 in kinds_of(model).values():
        return copied(model), PassReport("half", "float16 already", changed=False)
    raised, ends = fit_ends(_raised(model))
    kinds = kinds_of(raised)
    formals = Formals(opset_of(raised))
    kept = kept_in_float32(raised.graph, kinds, formals, keep)
    names = [node_text(node) for node in raised.graph.node]
    casts = _Retyping(raised.graph, kinds, formals, kept).run()
    _declare(raised)
    check_contract(raised)
    return raised, PassReport("half", _did(raised, kept, names, casts, opset_of(model), ends))


def kinds_of(model: ModelProto) -> Kinds:
    """The element type of every tensor of the graph itself. Raises `ModelError` if one cannot be derived."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    kinds = {v.name: v.type.tensor_type.elem_type for v in values if v.type.HasField("tensor_type")}
    others = {v.name: 0 for v in values if not v.type.HasField("tensor_type")}
    kinds |= others | {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name and (name not in kinds or (not kinds[name] and name not in others)):
                raise ModelError(
                    f"the type of {quoted(name)}, which {node_text(node)} makes, cannot be derived",
                    "float16 needs ONNX's own operators alone",
                )
    return kinds


def _refuse_what_is_inside(model: ModelProto) -> None:
    for node in model.graph.node:
        kinds = {attribute.type for attribute in node.attribute}
        if kinds & {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
            raise ModelError(
                f"{node_text(node)} has a graph inside, which cannot become float16",
                "export the model without branches and loops, or leave fp16 out: --precision fp32,int8",
            )
    if model.functions:
        raise ModelError(
            f"the model has a function of its own, {quoted(model.functions[0].name)}, which cannot become float16",
            "inline it: onnx.inliner.inline_local_functions(m)",
        )


def _raised(model: ModelProto) -> ModelProto:
    """A copy; one with Q/DQ in an opset whose scales may be float16."""
    quantised = any(node.op_type in _QUANTISERS for node in model.graph.node)
    if not quantised or opset_of(model) >= _OPSET_OF_HALF_SCALES:
        return copied(model)
    try:
        raised = onnx.version_converter.convert_version(model, _OPSET_OF_HALF_SCALES)
    except Exception as error:  # its C++ core has no class of errors of its own
        raise ModelError(
            f"a model with Q/DQ needs opset {_OPSET_OF_HALF_SCALES} to be float16, and cannot be raised: {error}",
            "export the generator with opset_version=19",
        ) from error
    raised.ir_version = max(raised.ir_version, _ITS_IR)
    _name_new_nodes(raised.graph)
    return raised


def _name_new_nodes(graph: GraphProto) -> None:
    """The converter adds Constant nodes without a name, as for the axes of ReduceMean."""
    for node in graph.node:
        node.name = node.name or node.output[0]


class _Retyping:
    """Walks the nodes in order and gives each its inputs in the type in which it computes."""

    def __init__(self, graph: GraphProto, kinds: Kinds, formals: Formals, kept: Collection[int]) -> None:
        self._graph, self._formals, self._kept = graph, formals, kept
        self._was, self._now = kinds, dict(kinds)
        self._names = tensor_names(graph) | {node.name for node in graph.node}
        self._other: dict[str, str] = {}
        self._nodes: list[NodeProto] = []

    def run(self) -> int:
        """Retype, in place; returns how many Casts that took."""
        self._convert_constants()
        nodes = list(self._graph.node)
        for index, node in enumerate(nodes):
            self._type_outputs(index, node)
            for place, name, kind in list(self._wanted(index, node)):
                if self._now[name] != kind:
                    node.input[place] = self._cast(name, kind)
            self._nodes.append(node)
        replace_nodes(self._graph, self._nodes)
        return len(self._nodes) - len(nodes)

    def _wanted(self, index: int, node: NodeProto) -> Iterator[tuple[int, str, int]]:
        """Place, name and type of each input that was float32 and must be of one type now."""
        if node.op_type in ANY_FLOAT:
            return
        variables = self._halved(index, node)
        for place, (name, formal) in enumerate(self._formals.of_inputs(node)):
            if self._was.get(name) == TensorProto.FLOAT:
                yield place, name, TensorProto.FLOAT16 if formal.type_str in variables else TensorProto.FLOAT

    def _halved(self, index: int, node: NodeProto) -> set[str]:
        return set() if index in self._kept else self._formals.halved(node, self._was)

    def _type_outputs(self, index: int, node: NodeProto) -> None:
        variables = self._halved(index, node)
        for name, formal in self._formals.of_outputs(node):
            if self._was.get(name) == TensorProto.FLOAT and formal.type_str in variables:
                self._now[name] = TensorProto.FLOAT16

    def _cast(self, name: str, kind: int) -> str:
        """The tensor `name` in another type; one Cast serves all who want it."""
        if name not in self._other:
            made = self._other[name] = self._fresh(name + _SUFFIXES[kind])
            self._nodes.append(helper.make_node("Cast", [name], [made], made, to=kind))
        return self._other[name]

    def _convert_constants(self) -> None:
        """In place where only float16 is wanted, else into a copy."""
        wanted: dict[str, set[int]] = {}
        for index, node in enumerate(self._graph.node):
            for _, name, kind in self._wanted(index, node):
                wanted.setdefault(name, set()).add(kind)
        for name, value in constant_values(self._graph).items():
            kinds = wanted.get(name, set())
            if TensorProto.FLOAT16 in kinds:
                self._convert_constant(name, value, in_place=len(kinds) == 1)

    def _convert_constant(self, name: str, value: npt.NDArray[np.generic], in_place: bool) -> None:
        with np.errstate(over="ignore", under="ignore"):
            array = value.astype(np.float16)
        if in_place:
            replace_constant(self._graph, numpy_helper.from_array(array, name))
            self._now[name] = TensorProto.FLOAT16
        else:
            self._other[name] = self._fresh(name + _SUFFIXES[TensorProto.FLOAT16])
            self._graph.initializer.append(numpy_helper.from_array(array, self._other[name]))

    def _fresh(self, name: str) -> str:
        while name in self._names:
            name = "_" + name
        self._names.add(name)
        return name


def _declare(model: ModelProto) -> None:
    """Let value_info say the new types, and ONNX's own rules check them."""
    del model.graph.value_info[:]
    try:
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True))
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            f"the float16 model does not fit together: {error}",
            "leave fp16 out of --precision, and please report this model",
        ) from error


def _did(
    model: ModelProto, kept: dict[int, str], nodes: list[str], casts: int, opset: int, ends: PassReport
) -> str:
    said = [f"float16 with {casts} casts", *([ends.did] if ends.changed else [])]
    if opset_of(model) != opset:
        said.append(f"opset {opset} raised to {opset_of(model)} for Q/DQ")
    counts = Counter(reason for reason in kept.values() if not reason.startswith(CONSTANT))
    groups = [f"{reason} ({count})" for reason, count in sorted(counts.items())]
    groups += [
        f"{nodes[i]} for its constant {reason[len(CONSTANT) :].strip()}"
        for i, reason in kept.items()
        if reason.startswith(CONSTANT)
    ]
    return "; ".join(said) + "; in float32: " + ", ".join(groups)
