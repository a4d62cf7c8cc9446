"""Encoders of a few layers, written as ONNX by hand: quick to quantise, to cast and to build engines from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16
TOKENS, WIDTH = 6, 32
LOUD = 3000.0  # value of the loud channel: an int8 step that covers it leaves nothing of the others


class Drawing:
    """A graph that grows node by node."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((scale * self.random.standard_normal(shape)).astype(np.float32))

    def add(self, kind: str, *inputs: str, name: str = "", output: str = "", **attributes: object) -> str:
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        output = output or f"{name}_out"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def normalised(self, tensor: str, output: str) -> None:
        norm = self.add("ReduceL2", tensor, self.constant(np.array([-1])), keepdims=1)
        self.add("Div", tensor, norm, output=output)

    def save(self, path: Path, inputs: dict[str, tuple], output: tuple) -> Path:
        given = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in inputs.items()
        ]
        made = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, ["batch", output[1]])]
        graph = helper.make_graph(self.nodes, "encoder", given, made, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return path


def convolutional_encoder(path: Path, seed: int = 0, *, spread: float = 4.0) -> Path:
    """pixel_values [batch, 3, 16, 16] → image_embeds [batch, 8]: convolutions, two of them depthwise, with residual sums.

    Args:
        spread: by how much the depthwise filters' sizes differ between channels; the next layer undoes it.
    """
    draw = Drawing(seed)
    low, high = draw.constant(np.float32(0)), draw.constant(np.float32(6))

    def convolution(tensor: str, name: str, filters: np.ndarray, **attributes: object) -> str:
        weight = draw.constant(filters.astype(np.float32))
        bias = draw.normal(len(filters), scale=0.1)
        return draw.add("Conv", tensor, weight, bias, name=name, **attributes)

    def block(tensor: str, name: str, channels: int) -> str:
        sizes = np.geomspace(1, spread, channels)[:, None, None, None]
        depthwise = draw.random.standard_normal((channels, 1, 3, 3)) * sizes
        mixed = draw.random.standard_normal((channels, channels, 1, 1)) / sizes.reshape(1, -1, 1, 1) / 8
        tensor = convolution(tensor, f"{name}_depthwise", depthwise, group=channels, pads=[1, 1, 1, 1])
        return convolution(draw.add("Relu", tensor), f"{name}_mixed", mixed)

    wide = draw.random.standard_normal((16, 3, 3, 3)) / 4
    tensor = draw.add("Clip", convolution("pixel_values", "first", wide, strides=[2, 2], pads=[1, 1, 1, 1]), low, high)
    for name in ("one", "two"):
        tensor = draw.add("Add", tensor, block(tensor, name, 16), name=f"{name}_sum")
    tensor = draw.add("Relu", convolution(tensor, "last", draw.random.standard_normal((24, 16, 1, 1)) / 4))
    tensor = draw.add("Flatten", draw.add("GlobalAveragePool", tensor))
    tensor = draw.add("Gemm", tensor, draw.normal(8, 24, scale=0.2), name="projection", transB=1)
    draw.normalised(tensor, "image_embeds")
    return draw.save(path, {"pixel_values": (3, SIDE, SIDE)}, ("image_embeds", 8))


def transformer_encoder(path: Path, seed: int = 0, *, loud_channel: bool = False) -> Path:
    """tokens [batch, 6, 32] → embeds [batch, 8]: attention, a two-layer network, residual sums, layer norms.

    Args:
        loud_channel: one channel before the network's second layer ("second") is thousands of times the others, and that
            layer ignores it.
    """
    draw = Drawing(seed)

    def linear(tensor: str, name: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        product = draw.add("MatMul", tensor, draw.constant(weight.astype(np.float32)), name=name)
        given = draw.random.standard_normal(weight.shape[1]) / 10 if bias is None else bias
        return draw.add("Add", product, draw.constant(given.astype(np.float32)))

    def matrix(rows: int, columns: int) -> np.ndarray:
        return draw.random.standard_normal((rows, columns)) / np.sqrt(rows)

    def norm(tensor: str) -> str:
        ones = draw.constant(np.ones(WIDTH, dtype=np.float32))
        return draw.add("LayerNormalization", tensor, ones, draw.normal(WIDTH, scale=0.1))

    normal = norm("tokens")
    query, key, value = (linear(normal, name, matrix(WIDTH, WIDTH)) for name in ("query", "key", "value"))
    scores = draw.add("MatMul", query, draw.add("Transpose", key, perm=[0, 2, 1]), name="scores")
    weights = draw.add("Softmax", draw.add("Mul", scores, draw.constant(np.float32(WIDTH**-0.5))), axis=-1)
    mixed = linear(draw.add("MatMul", weights, value, name="mixing"), "output", matrix(WIDTH, WIDTH))
    tensor = draw.add("Add", "tokens", mixed)
    bias, second = np.zeros(4 * WIDTH), matrix(4 * WIDTH, WIDTH)
    if loud_channel:
        bias[5], second[5] = LOUD, 0.0
    hidden = draw.add("Relu", linear(norm(tensor), "first", matrix(WIDTH, 4 * WIDTH), bias))
    tensor = draw.add("Add", tensor, linear(hidden, "second", second))
    pooled = draw.add("ReduceMean", norm(tensor), draw.constant(np.array([1])), keepdims=0)
    tensor = draw.add("Gemm", pooled, draw.normal(WIDTH, 8, scale=0.2), name="projection")
    draw.normalised(tensor, "embeds")
    return draw.save(path, {"tokens": (TOKENS, WIDTH)}, ("embeds", 8))


def pictures(count: int, seed: int = 1) -> np.ndarray:
    """float32 [count, 3, 16, 16]."""
    return np.random.default_rng(seed).standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)


def sequences(count: int, seed: int = 1) -> np.ndarray:
    """float32 [count, 6, 32]."""
    return np.random.default_rng(seed).standard_normal((count, TOKENS, WIDTH)).astype(np.float32)
