"""ONNX files: what PyTorch gives, for any batch and length; nothing in them that does not belong there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from clip_har.errors import ModelError
from clip_har.export import EXPORTERS
from clip_har.export.onnx import write_onnx
from clip_har.export.tracing import trace_image_encoder, trace_text_encoder
from tests.command import PROJECT
from tests.export.conftest import FLOAT_FORMS, Exported

ARCHITECTURES = ("clip", "siglip", "vision_text")
TEXTS = (
    "a photo of a person running",
    "someone",
    "a picture of a person who is sleeping and dancing and sitting . . .",
)
TOLERANCE = {"onnx": 5e-6, "onnx-fp16": 2e-2, "torch-export": 1e-6}


def pictures(exported: Exported, number: int) -> np.ndarray:
    size = exported.encoder.preprocessing.output_size
    return np.random.default_rng(number).normal(size=(number, 3, *size)).astype(np.float32)


def tokens(exported: Exported, texts: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in exported.encoder.tokenize(texts).items()}


def run(exported: Exported, exporter: str, encoder: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    form = exported.form(exporter, encoder)
    return EXPORTERS.get(exporter).open(exported.made.path / form.file, form, 1)(inputs)


@pytest.mark.parametrize("exporter", FLOAT_FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_as_pytorch_sees_them(exported: Callable[[str], Exported], architecture: str, exporter: str) -> None:
    made = exported(architecture)
    for number in (1, 2, 5):
        pixel_values = pictures(made, number)
        embeddings = run(made, exporter, "image", {"pixel_values": pixel_values})
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
        wanted = made.encoder.encode_images(pixel_values)
        np.testing.assert_allclose(embeddings, wanted, atol=TOLERANCE[exporter])


@pytest.mark.parametrize("exporter", FLOAT_FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_texts_as_pytorch_reads_them(exported: Callable[[str], Exported], architecture: str, exporter: str) -> None:
    made = exported(architecture)
    for texts in (TEXTS[:1], TEXTS[1:2], TEXTS):
        embeddings = run(made, exporter, "text", tokens(made, texts))
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, made.encoder.encode_texts(texts), atol=TOLERANCE[exporter])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_signature(exported: Callable[[str], Exported], architecture: str) -> None:
    """Names and sizes that a program without this library can rely on."""
    made = exported(architecture)
    length = 64 if architecture == "siglip" else "length"  # SigLIP's texts are all padded to 64 tokens
    wanted = {
        "image": {"pixel_values": ["batch", 3, 32, 32], "image_embeds": ["batch", made.bundle.class_matrix.shape[1]]},
        "text": {
            **{name: ["batch", length] for name in tokens(made, TEXTS[:1])},
            "text_embeds": ["batch", made.bundle.class_matrix.shape[1]],
        },
    }
    for encoder, shapes in wanted.items():
        for exporter in ("onnx", "onnx-fp16"):
            model = onnx.load(made.path(exporter, encoder))
            onnx.checker.check_model(model, full_check=True)
            found = {
                value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
                for value in (*model.graph.input, *model.graph.output)
            }
            assert found == shapes
            assert [opset.version for opset in model.opset_import if not opset.domain] == [18]
            types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
            assert onnx.TensorProto.FLOAT16 not in types
    form = made.form("onnx", "text")
    assert form.details["inputs"] == list(tokens(made, TEXTS[:1]))
    assert form.details.get("length") == (64 if architecture == "siglip" else None)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_keeps_norms_and_softmax_in_float32(
    exported: Callable[[str], Exported], architecture: str
) -> None:
    made, seen = exported(architecture), set()
    for encoder in ("image", "text"):
        model = onnx.shape_inference.infer_shapes(onnx.load(made.path("onnx-fp16", encoder)))
        types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
        weights = [array.data_type for array in model.graph.initializer if len(array.dims) > 1]
        assert weights.count(onnx.TensorProto.FLOAT16) > len(weights) / 2
        for node in model.graph.node:
            if node.op_type in ("LayerNormalization", "Softmax", "ReduceL2", "ReduceMean"):
                seen.add(node.op_type)
                assert types[node.output[0]] == onnx.TensorProto.FLOAT, node.name
    assert {"LayerNormalization", "Softmax", "ReduceL2"} <= seen


def test_nothing_of_this_machine_is_written(exported: Callable[[str], Exported]) -> None:
    made = exported("clip")
    for _, form in made.made.forms:
        data = (made.made.path / form.file).read_bytes()
        for trace in (str(PROJECT), "site-packages", str(made.bundle.path), 'File "'):
            assert trace.encode() not in data, (form.name, trace)


def test_an_encoder_is_written_without_the_other(exported: Callable[[str], Exported]) -> None:
    made = exported("clip")
    parameters = {
        encoder: sum(
            value.numel()
            for name, value in made.encoder.model.state_dict().items()
            if name.startswith(prefixes) and value.is_floating_point()
        )
        for encoder, prefixes in {"image": ("vision_", "visual_"), "text": ("text_",)}.items()
    }
    for encoder, number in parameters.items():
        model = onnx.load(made.path("onnx", encoder))
        written = sum(int(np.prod(array.dims)) for array in model.graph.initializer if array.data_type == 1)
        assert abs(written - number) < 0.02 * number
        assert made.path("torch-export", encoder).stat().st_size < 4 * sum(parameters.values()) + 150_000


def test_the_same_model_gives_the_same_bytes(exported: Callable[[str], Exported], tmp_path) -> None:
    made = exported("clip")
    write_onnx(trace_image_encoder(made.bundle.load_encoder()), tmp_path / "again.onnx", 18)
    assert (tmp_path / "again.onnx").read_bytes() == made.path("onnx", "image").read_bytes()


def test_a_model_for_one_length_gets_padded_texts(
    exported: Callable[[str], Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch cannot follow a free length, the length is the tokenizer's longest, and said."""
    made = exported("clip")
    module = "clip_har.export.tracing"
    from clip_har.export import tracing

    real = tracing._exported

    def only_one_length(traced, example, shapes):
        if any(1 in axes for axes in shapes.get("tokens", ())):
            raise ModelError("this model has one length")
        return real(traced, example, shapes)

    monkeypatch.setattr(f"{module}._exported", only_one_length)
    traced = trace_text_encoder(made.bundle.load_encoder())
    assert traced.length == made.encoder.tokenize(["running " * 100])["input_ids"].shape[1]
    assert traced.details["length"] == traced.length
    assert set(traced.dimensions.values()) == {"batch"}


def test_an_encoder_that_cannot_be_followed_is_an_error(exported: Callable[[str], Exported]) -> None:
    encoder = exported("clip").bundle.load_encoder()
    forward = encoder.model.vision_model.forward

    def branching(*args, **kwargs):
        found = forward(*args, **kwargs)
        return found if found.pooler_output.sum() > 0 else forward(*args, **kwargs)

    encoder.model.vision_model.forward = branching
    with pytest.raises(ModelError, match=r"torch\.export cannot follow"):
        trace_image_encoder(encoder)
