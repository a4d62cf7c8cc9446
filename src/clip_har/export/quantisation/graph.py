"""What of an ONNX graph can be quantised: its weighted layers, in groups, and what goes through them."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import ModelError

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "Gemm", "MatMul")
# What stands between convolutions and has int8 kernels: without them, every layer would go to float and back.
_BETWEEN_CONVOLUTIONS = ("Add", "Clip", "LeakyRelu", "MaxPool", "Mul", "Relu")
_CONVOLUTIONS_OF_A_TRANSFORMER = 4  # patch embedding, and the stems that some have


@dataclass(frozen=True)
class LayerGroup:
    """Layers that are quantised, or left in float, together.

    Attributes:
        nodes: their names.
        work: multiplications for one sample.
    """

    nodes: tuple[str, ...]
    work: float

    @property
    def name(self) -> str:
        """For messages: the first node and how many follow it."""
        return self.nodes[0] if len(self.nodes) == 1 else f"{self.nodes[0]} and {len(self.nodes) - 1} more"


class QuantisableGraph:
    """An fp32 encoder, ready for quantisation.

    Attributes:
        model: the graph with constants folded, shapes inferred and every node named.
        convolutional: whether it is made of convolutions, which then pass int8 on from one to the next. In a transformer
            only the inputs and weights of matrix products are int8: their outputs go into residual sums, layer norm and
            softmax, which lose most by rounding.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        _name_all_nodes(model)
        self._constants = {array.name: array for array in model.graph.initializer}
        self._shapes = _float_tensors(model)
        self.convolutional = sum(node.op_type == "Conv" for node in model.graph.node) > _CONVOLUTIONS_OF_A_TRANSFORMER
        self._nodes = [node for node in model.graph.node if self._is_quantisable(node)]
        if not any(node.op_type in WEIGHTED for node in self._nodes):
            raise ModelError(f"{model.graph.name or 'The graph'} has no layers with weights that could be quantised.")

    @classmethod
    def read(cls, source: Path) -> QuantisableGraph:
        """An fp32 ONNX file.

        Raises:
            ModelError: if it cannot be read or prepared, or has nothing to quantise.
        """
        import onnx
        from google.protobuf.message import DecodeError
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf
        from onnxruntime.quantization import quant_pre_process

        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            try:
                # Symbolic shape inference fails on torch's graphs, which bring their shapes with them.
                quant_pre_process(source, prepared, skip_symbolic_shape=True)
                return cls(onnx.load(prepared))
            except (OSError, ValueError, DecodeError, Fail, InvalidGraph, InvalidProtobuf) as error:
                raise ModelError(f"{source} cannot be prepared for quantisation: {error}") from error

    @property
    def nodes(self) -> list[str]:
        """Names of everything that can be quantised, in the order of computation."""
        return [node.name for node in self._nodes]

    @property
    def weighted(self) -> list[str]:
        """Names of the layers with weights among them."""
        return [node.name for node in self._nodes if node.op_type in WEIGHTED]

    @property
    def operators(self) -> list[str]:
        """Kinds of nodes that are quantised."""
        return sorted({node.op_type for node in self._nodes})

    @property
    def activations(self) -> list[str]:
        """Names of the tensors whose ranges are needed, inputs of the graph included."""
        through = itertools.chain.from_iterable((*node.input, *node.output) for node in self._nodes)
        return [name for name in dict.fromkeys(through) if name in self._shapes and name not in self._constants]

    def work(self, nodes: list[str]) -> float:
        """Multiplications of these layers for one sample."""
        wanted = set(nodes)
        return sum(self._work(node) for node in self._nodes if node.name in wanted)

    def groups(self, most: int) -> list[LayerGroup]:
        """All quantisable nodes, in at most `most` groups, in the order of computation.

        Layers that read the same tensor (query, key, value) belong together, and what follows a layer without weights of
        its own belongs to it; then neighbours are joined.
        """
        together: dict[str, list[onnx.NodeProto]] = {}
        read_by: dict[str, str] = {}
        key = ""
        for node in self._nodes:
            if node.op_type in WEIGHTED:
                key = read_by.setdefault(node.input[0], node.name)
            together.setdefault(key or node.name, []).append(node)
        members = list(together.values())
        parts = np.array_split(np.arange(len(members)), min(most, len(members)))
        joined = [[node for index in part for node in members[index]] for part in parts]
        return [
            LayerGroup(tuple(node.name for node in nodes), sum(self._work(node) for node in nodes)) for nodes in joined
        ]

    def _is_quantisable(self, node: onnx.NodeProto) -> bool:
        if node.output[0] not in self._shapes:
            return False  # of integers: sizes and positions
        if node.op_type in WEIGHTED:
            return node.input[1] in self._constants and node.input[0] not in self._constants
        return self.convolutional and node.op_type in _BETWEEN_CONVOLUTIONS

    def _work(self, node: onnx.NodeProto) -> float:
        each = float(np.prod([size for size in self._shapes[node.output[0]][1:] if size], dtype=np.float64))
        if node.op_type not in WEIGHTED:
            return 0.0
        weight = self._constants[node.input[1]].dims
        if node.op_type == "Conv":
            return each * float(np.prod(weight[1:]))
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return each * float(weight[-1] if transposed else weight[-2])


def _name_all_nodes(model: onnx.ModelProto) -> None:
    seen: set[str] = set()
    for position, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{position}"
        seen.add(node.name)


def _float_tensors(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the float32 tensors of a graph, by name; 0 where a size is free."""
    import onnx

    infos = itertools.chain(model.graph.value_info, model.graph.input, model.graph.output)
    return {
        info.name: [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
        for info in infos
        if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
