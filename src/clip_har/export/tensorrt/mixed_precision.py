"""Half precision written into an ONNX graph: casts around the layers that stay in float32.

TensorRT 11 and the RTX package know strongly typed networks only: every layer computes in the types that the graph gives
it. So precision is a property of the graph, the same for every package and version.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from clip_har.errors import ModelError

if TYPE_CHECKING:
    import onnx

# Their inputs may have any type, which says nothing about their outputs.
_TYPELESS = ("Cast", "Shape", "Size")
# Of all else, those whose float inputs are sizes or bounds of their own type.
_MAKE_FLOATS = ("ConstantOfShape", "Constant", "Range", "Resize")


def with_precision(
    model: onnx.ModelProto, precision: Literal["fp16", "bf16"], float32_operators: Collection[str]
) -> onnx.ModelProto:
    """A copy of an fp32 graph that computes in half precision where it may.

    Inputs and outputs of the graph keep their types; what makes the outputs (the last step of L2 normalisation) stays in
    float32, and so do the operators named. Weights are rounded to the precision; values beyond float16's range become its
    largest.

    Args:
        model: with the types of its tensors known (shape inference fills them in where they are not).

    Raises:
        ModelError: if the graph has subgraphs, or a tensor's type cannot be found.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    half = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    return _Caster(inferred, half, set(float32_operators)).converted()


class _Caster:
    """Walks a graph once, in order, keeping which type every float tensor has."""

    def __init__(self, model: onnx.ModelProto, half: int, float32_operators: set[str]) -> None:
        import onnx

        self._single = onnx.TensorProto.FLOAT
        self._half = half
        self._float32_operators = float32_operators
        self._model = model
        graph = model.graph
        self._initializers = {array.name: array for array in graph.initializer}
        self._types = {name: array.data_type for name, array in self._initializers.items()}
        for info in (*graph.input, *graph.output, *graph.value_info):
            self._types[info.name] = info.type.tensor_type.elem_type
        self._outputs = {info.name for info in graph.output}
        self._now = {name: kind for name, kind in self._types.items() if kind == self._single}
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._new_initializers: dict[str, onnx.TensorProto] = {}

    def converted(self) -> onnx.ModelProto:
        graph = self._model.graph
        for node in graph.node:
            self._convert(node)
        used = {name for node in self._nodes for name in node.input}
        kept = [array for name, array in self._initializers.items() if name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend([*kept, *self._new_initializers.values()])
        return self._model

    def _convert(self, node: onnx.NodeProto) -> None:
        import onnx

        if any(
            attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise ModelError(
                f"{node.name or node.op_type}: a graph with subgraphs cannot be written in half precision."
            )
        unknown = next((name for name in node.output if name and name not in self._types), None)
        if unknown is not None:
            raise ModelError(f"{node.name or node.op_type}: the type of {unknown} is not known.")
        if node.op_type in _TYPELESS:
            self._nodes.append(node)
            return
        kind = self._half if self._may_be_half(node) else self._single
        for position, name in enumerate(node.input):
            if name in self._now and self._now[name] != kind:
                node.input[position] = self._cast(name, kind)
        self._nodes.append(node)
        for name in node.output:
            if self._types.get(name) == self._single:
                self._now[name] = kind

    def _may_be_half(self, node: onnx.NodeProto) -> bool:
        """Only what gives floats, and not those that end in an output of the graph."""
        outputs = [name for name in node.output if name]
        return (
            node.op_type not in self._float32_operators
            and node.op_type not in _MAKE_FLOATS
            and any(self._types[name] == self._single for name in outputs)
            and not self._outputs.intersection(outputs)
        )

    def _cast(self, name: str, kind: int) -> str:
        """The name of the same tensor in another type; it is made the first time that it is asked for."""
        if (name, kind) not in self._casts:
            new = f"{name}_as_{'float32' if kind == self._single else 'half'}"
            self._casts[name, kind] = new
            if name in self._initializers:
                self._new_initializers[new] = _rounded(self._initializers[name], new, kind)
            else:
                self._nodes.append(_cast_node(name, new, kind))
        return self._casts[name, kind]


def _cast_node(name: str, new: str, kind: int) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node("Cast", [name], [new], name=f"cast_{new}", to=kind)


def _rounded(array: onnx.TensorProto, name: str, kind: int) -> onnx.TensorProto:
    import ml_dtypes
    import onnx

    values = onnx.numpy_helper.to_array(array)
    if kind == onnx.TensorProto.FLOAT16:
        largest = float(np.finfo(np.float16).max)
        values = np.clip(values, -largest, largest).astype(np.float16)
    else:
        values = values.astype(ml_dtypes.bfloat16)
    return onnx.numpy_helper.from_array(values, name)
