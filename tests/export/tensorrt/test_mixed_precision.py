"""Half precision in the graph itself: what is cast, what stays, and how far the embeddings move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from clip_har.errors import ModelError
from clip_har.export.tensorrt import FLOAT32_OPERATORS, with_precision
from tests.export.small_encoders import (
    Drawing,
    convolutional_encoder,
    pictures,
    sequences,
    transformer_encoder,
)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    graph = inferred.graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    found = {info.name: info.type.tensor_type.elem_type for info in infos}
    return found | {array.name: array.data_type for array in graph.initializer}


def run(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


@pytest.fixture
def transformer(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(transformer_encoder(tmp_path / "encoder.onnx"))


@pytest.fixture
def convolutional(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(convolutional_encoder(tmp_path / "encoder.onnx"))


@pytest.mark.parametrize(
    ("precision", "half"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)], ids=["fp16", "bf16"]
)
def test_products_are_half_and_norms_and_softmax_are_not(
    transformer: onnx.ModelProto, precision: str, half: int
) -> None:
    converted = with_precision(transformer, precision, FLOAT32_OPERATORS)
    types = types_of(converted)
    for node in converted.graph.node:
        floats = {types[name] for name in (*node.input, *node.output)} - {TensorProto.INT64}
        if node.op_type in ("LayerNormalization", "Softmax", "ReduceMean", "ReduceL2"):
            assert floats == {TensorProto.FLOAT}, node.name
        elif node.op_type in ("MatMul", "Gemm", "Relu", "Mul"):
            assert floats == {half}, node.name


def test_inputs_and_outputs_stay_float32(transformer: onnx.ModelProto) -> None:
    converted = with_precision(transformer, "fp16", FLOAT32_OPERATORS)
    for value in (*converted.graph.input, *converted.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    last = next(node for node in converted.graph.node if "embeds" in node.output)
    assert {types_of(converted)[name] for name in last.input} == {TensorProto.FLOAT}


def test_embeddings_stay_where_they_were(transformer: onnx.ModelProto, convolutional: onnx.ModelProto) -> None:
    for model, values in ((transformer, sequences(32)), (convolutional, pictures(32))):
        converted = with_precision(model, "fp16", FLOAT32_OPERATORS)
        onnx.checker.check_model(converted, full_check=True)
        before, after = run(model, values), run(converted, values)
        assert not np.array_equal(before, after), "nothing was rounded"
        assert (before * after).sum(axis=1).min() > 0.9999
        assert np.linalg.norm(after, axis=1) == pytest.approx(np.ones(32), abs=1e-6)


def test_weights_take_half_the_bytes(transformer: onnx.ModelProto) -> None:
    converted = with_precision(transformer, "fp16", FLOAT32_OPERATORS)
    assert converted.ByteSize() < 0.65 * transformer.ByteSize()
    used = {name for node in converted.graph.node for name in node.input}
    assert {array.name for array in converted.graph.initializer} <= used


def test_the_graph_that_was_given_is_not_changed(transformer: onnx.ModelProto) -> None:
    before = transformer.SerializeToString()
    with_precision(transformer, "fp16", FLOAT32_OPERATORS)
    assert transformer.SerializeToString() == before


def test_a_tensor_is_cast_once_for_all_that_read_it(transformer: onnx.ModelProto) -> None:
    """Query, key and value read one layer norm."""
    converted = with_precision(transformer, "fp16", FLOAT32_OPERATORS)
    cast = [node.input[0] for node in converted.graph.node if node.op_type == "Cast"]
    assert len(cast) == len(set(cast))
    readers = [node.input[0] for node in converted.graph.node if node.name in ("query", "key", "value")]
    assert len(set(readers)) == 1


def test_operators_that_stay_are_chosen(transformer: onnx.ModelProto) -> None:
    converted = with_precision(transformer, "fp16", {*FLOAT32_OPERATORS, "Gemm", "MatMul"})
    types = types_of(converted)
    assert {types[node.output[0]] for node in converted.graph.node if node.op_type == "MatMul"} == {TensorProto.FLOAT}


def test_weights_beyond_the_range_become_its_largest(tmp_path: Path) -> None:
    """Attention masks hold the least float32, which as float16 would be minus infinity, and a masked row not a number."""
    draw = Drawing(0)
    least = draw.constant(np.array([0.0, np.finfo(np.float32).min], dtype=np.float32))
    masked = draw.add("Softmax", draw.add("Add", draw.add("Add", "scores", least), least), axis=-1)
    draw.add("Identity", masked, output="embeds")
    model = onnx.load(draw.save(tmp_path / "encoder.onnx", {"scores": (2,)}, ("embeds", 2)))
    converted = with_precision(model, "fp16", FLOAT32_OPERATORS)
    assert np.isfinite(onnx.numpy_helper.to_array(converted.graph.initializer[0])).all()
    assert run(converted, np.zeros((1, 2), dtype=np.float32)) == pytest.approx(np.array([[1.0, 0.0]]))


def test_sizes_and_positions_are_left_alone(tmp_path: Path) -> None:
    draw = Drawing(0)
    size = draw.add("Shape", draw.add("Relu", "values"))
    halved = draw.add("Div", draw.add("Cast", size, to=TensorProto.FLOAT), draw.constant(np.float32(2)))
    positions = draw.add("Cast", draw.add("Floor", halved), to=TensorProto.INT64)
    draw.add("Expand", draw.normal(1, 4), positions, output="embeds")
    model = onnx.load(draw.save(tmp_path / "encoder.onnx", {"values": (8,)}, ("embeds", 4)))
    converted = with_precision(model, "fp16", FLOAT32_OPERATORS)
    onnx.checker.check_model(converted, full_check=True)
    values = np.zeros((2, 8), dtype=np.float32)
    assert run(converted, values) == pytest.approx(run(model, values), abs=1e-3)


def test_a_graph_with_branches_is_refused() -> None:
    node = onnx.helper.make_node("If", ["choice"], ["embeds"], name="branch")
    for name in ("then_branch", "else_branch"):
        inner = onnx.helper.make_node("Constant", [], ["made"], value_float=1.0)
        made = onnx.helper.make_tensor_value_info("made", TensorProto.FLOAT, [])
        node.attribute.append(onnx.helper.make_attribute(name, onnx.helper.make_graph([inner], name, [], [made])))
    choice = onnx.helper.make_tensor_value_info("choice", TensorProto.BOOL, [])
    embeds = onnx.helper.make_tensor_value_info("embeds", TensorProto.FLOAT, [])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "encoder", [choice], [embeds]))
    with pytest.raises(ModelError, match="branch: a graph with subgraphs"):
        with_precision(model, "fp16", FLOAT32_OPERATORS)
