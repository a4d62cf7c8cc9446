"""What of a graph is quantised, and in which groups."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from clip_har.errors import ModelError
from clip_har.export.quantisation.graph import QuantisableGraph
from tests.export.small_encoders import Drawing, convolutional_encoder, transformer_encoder


@pytest.fixture
def transformer(tmp_path: Path) -> QuantisableGraph:
    return QuantisableGraph.read(transformer_encoder(tmp_path / "encoder.onnx"))


@pytest.fixture
def convolutional(tmp_path: Path) -> QuantisableGraph:
    return QuantisableGraph.read(convolutional_encoder(tmp_path / "encoder.onnx"))


def test_of_a_transformer_only_products_with_weights_are_quantised(transformer: QuantisableGraph) -> None:
    assert not transformer.convolutional
    assert transformer.nodes == ["query", "key", "value", "output", "first", "second", "projection"]


def test_between_convolutions_everything_passes_int8_on(convolutional: QuantisableGraph) -> None:
    assert convolutional.convolutional
    kinds = {node.op_type for node in convolutional.model.graph.node if node.name in convolutional.nodes}
    assert kinds == {"Conv", "Relu", "Clip", "Add", "Gemm"}


def test_layers_that_read_the_same_tensor_are_one_group(transformer: QuantisableGraph) -> None:
    assert [group.nodes for group in transformer.groups(99)] == [
        ("query", "key", "value"),
        ("output",),
        ("first",),
        ("second",),
        ("projection",),
    ]


def test_neighbours_are_joined_until_there_are_no_more_groups_than_wanted(transformer: QuantisableGraph) -> None:
    groups = transformer.groups(2)
    assert len(groups) == 2
    assert [node for group in groups for node in group.nodes] == transformer.nodes


@pytest.mark.parametrize("most", [1, 3, 99])
def test_groups_hold_every_node_once(convolutional: QuantisableGraph, most: int) -> None:
    nodes = [node for group in convolutional.groups(most) for node in group.nodes]
    assert sorted(nodes) == sorted(convolutional.nodes)


def test_what_follows_a_convolution_goes_with_it(convolutional: QuantisableGraph) -> None:
    first = convolutional.groups(99)[0]
    kinds = [node.op_type for node in convolutional.model.graph.node if node.name in first.nodes]
    assert kinds == ["Conv", "Clip"]


def test_work_counts_multiplications(convolutional: QuantisableGraph, transformer: QuantisableGraph) -> None:
    assert convolutional.work(["first"]) == 8 * 8 * 16 * 3 * 3 * 3
    assert convolutional.work(["one_depthwise"]) == 8 * 8 * 16 * 3 * 3
    assert convolutional.work(["projection"]) == 24 * 8
    assert transformer.work(["first", "second"]) == 2 * 6 * 32 * 128
    assert transformer.work(["projection"]) == 32 * 8


def test_sums_of_sizes_are_no_activations(tmp_path: Path) -> None:
    """An exported graph computes positions with integer Adds, which look like residual sums."""
    path = convolutional_encoder(tmp_path / "encoder.onnx")
    model = onnx.load(path)
    size = onnx.helper.make_node("Shape", ["pixel_values"], ["size"], name="size")
    total = onnx.helper.make_node("Add", ["size", "size"], ["twice"], name="twice")
    model.graph.node.extend([size, total])
    model.graph.output.append(onnx.helper.make_tensor_value_info("twice", onnx.TensorProto.INT64, [4]))
    onnx.save(model, path)
    graph = QuantisableGraph.read(path)
    assert "twice" in {node.name for node in graph.model.graph.node}
    assert "twice" not in graph.nodes
    assert "twice" not in graph.activations


def test_nodes_without_names_get_one(tmp_path: Path) -> None:
    model = onnx.load(convolutional_encoder(tmp_path / "encoder.onnx"))
    for node in model.graph.node:
        node.name = ""
    graph = QuantisableGraph(model)
    assert len(set(graph.nodes)) == len(graph.nodes)
    assert all(graph.nodes)
    assert len(graph.weighted) == 7


def test_a_graph_without_weights_is_refused(tmp_path: Path) -> None:
    draw = Drawing(0)
    draw.normalised("tokens", "embeds")
    path = draw.save(tmp_path / "encoder.onnx", {"tokens": (8,)}, ("embeds", 8))
    with pytest.raises(ModelError, match="no layers with weights"):
        QuantisableGraph.read(path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"not ONNX at all")
    with pytest.raises(ModelError, match=r"encoder\.onnx cannot be prepared"):
        QuantisableGraph.read(path)
    with pytest.raises(ModelError, match=r"none\.onnx cannot be prepared"):
        QuantisableGraph.read(tmp_path / "none.onnx")
