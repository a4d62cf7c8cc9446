"""Engines: built for real where `tensorrt_rtx` is installed; the rest of the API through a stand-in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from clip_har.errors import ConfigError, ModelError
from clip_har.export.tensorrt import TensorRTConfig, build_engine, file_name
from clip_har.hashing import sha256_file
from clip_har.inference.tensorrt_engine import EngineMetadata, ShapeRange
from tests.export.small_encoders import Drawing, convolutional_encoder, transformer_encoder
from tests.tensorrt_stand_in import TensorRTStandIn

SMALL = {"usual_batch": 4, "largest_batch": 16}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return transformer_encoder(tmp_path / "fp32.onnx")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> TensorRTStandIn:
    """`tensorrt` 10 on a machine with a GPU of compute capability 8.6."""
    package = TensorRTStandIn("tensorrt", "10.9.0.34")
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device=None: (8, 6))
    return package


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.fixture
def rtx() -> object:
    return pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx is not installed (pip install 'clip-har[tensorrt-rtx]')"
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_engines_are_built_for_a_gpu_that_is_not_here(
    rtx, source: Path, tmp_path: Path, no_gpu: None, precision: str
) -> None:
    target = tmp_path / file_name("image", precision, "8.6")
    config = TensorRTConfig(precision=precision, compute_capability="8.6", **SMALL)
    metadata = build_engine(source, target, config)
    assert target.name == f"image-{precision}-sm86.engine"
    assert target.stat().st_size > 1000
    assert metadata.package == "tensorrt_rtx"
    assert metadata.version == rtx.__version__
    assert metadata.compute_capabilities == ("8.6",)
    assert metadata.precision == precision
    assert metadata.inputs == {"tokens": ShapeRange(smallest=(1, 6, 32), usual=(4, 6, 32), largest=(16, 6, 32))}
    assert (metadata.onnx_sha256, metadata.engine_sha256) == (sha256_file(source), sha256_file(target))
    assert EngineMetadata.read(target) == metadata
    assert ("Softmax" in metadata.float32_operators) == (precision != "fp32")


def test_convolutions_are_built_too(rtx, tmp_path: Path, no_gpu: None) -> None:
    source = convolutional_encoder(tmp_path / "fp32.onnx")
    metadata = build_engine(source, tmp_path / "engine", TensorRTConfig(compute_capability="8.9", **SMALL))
    assert metadata.inputs["pixel_values"].largest == (16, 3, 16, 16)


def test_a_compute_capability_that_the_package_does_not_know_is_refused(
    rtx, source: Path, tmp_path: Path, no_gpu: None
) -> None:
    with pytest.raises(ConfigError, match=r"does not build for 6\.1; it knows 7\.5, 8\.0, 8\.6, 8\.9, 12\.0"):
        build_engine(source, tmp_path / "engine", TensorRTConfig(compute_capability="6.1"))
    assert not (tmp_path / "engine").exists()


def test_what_the_parser_does_not_take_is_refused_in_its_words(rtx, tmp_path: Path, no_gpu: None) -> None:
    draw = Drawing(0)
    draw.add("Unsqueeze", draw.add("Det", "values"), draw.constant(np.array([1])), output="embeds")
    path = draw.save(tmp_path / "encoder.onnx", {"values": (4, 4)}, ("embeds", 1))
    with pytest.raises(ModelError, match=r"TensorRT cannot read the graph: .*Det"):
        build_engine(path, tmp_path / "engine", TensorRTConfig(precision="fp32", compute_capability="8.6"))
    assert not (tmp_path / "engine").exists()


def test_a_file_that_is_no_graph_is_refused(rtx, tmp_path: Path, no_gpu: None) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"not ONNX")
    with pytest.raises(ModelError, match=r"encoder\.onnx cannot be read"):
        build_engine(path, tmp_path / "engine", TensorRTConfig(compute_capability="8.6"))


def test_without_a_gpu_a_compute_capability_must_be_named(source: Path, tmp_path: Path, no_gpu: None) -> None:
    with pytest.raises(ConfigError, match=r'no GPU here, so name the one to build for, like "8\.6"'):
        build_engine(source, tmp_path / "engine", TensorRTConfig())


def test_tensorrt_builds_on_its_gpu_only(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    with pytest.raises(ConfigError, match=r"for the GPU in this machine \(8\.6\) only, not for 8\.9"):
        build_engine(source, tmp_path / "engine", TensorRTConfig(package="tensorrt", compute_capability="8.9"))
    metadata = build_engine(source, tmp_path / "engine", TensorRTConfig(compute_capability="8.6"))
    assert (metadata.package, metadata.compute_capabilities) == ("tensorrt", ("8.6",))


def test_tensorrt_without_a_gpu_is_refused(source: Path, tmp_path: Path, no_gpu: None) -> None:
    with pytest.raises(ConfigError, match="built on their GPU"):
        build_engine(source, tmp_path / "engine", TensorRTConfig(package="tensorrt", compute_capability="8.6"))


def test_a_package_that_is_not_installed_is_named_with_its_extra(
    source: Path, tmp_path: Path, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(ConfigError, match=r"pip install 'clip-har\[tensorrt-rtx\]'"):
        build_engine(source, tmp_path / "engine", TensorRTConfig(compute_capability="8.6"))


def test_a_version_before_the_api_is_refused(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    stand_in.__version__ = "8.6.1"
    with pytest.raises(ConfigError, match=r"tensorrt 8\.6\.1 is installed; version 10"):
        build_engine(source, tmp_path / "engine", TensorRTConfig(package="tensorrt"))


def test_the_api_is_used_as_version_10_wants_it(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    config = TensorRTConfig(workspace_mib=64, optimisation_level=2, **SMALL)
    build_engine(source, tmp_path / "engine", config)
    built = stand_in.builds[-1]
    assert built.flags == 1 << stand_in.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert built.profiles == [{"tokens": ((1, 6, 32), (4, 6, 32), (16, 6, 32))}]
    assert built.config.memory == {"workspace": 64 << 20}
    assert built.config.builder_optimization_level == 2
    half = onnx.load_model_from_string(built.onnx)
    assert any(array.data_type == onnx.TensorProto.FLOAT16 for array in half.graph.initializer)


def test_the_timing_cache_is_kept_between_builds(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    cache = tmp_path / "timing.cache"
    build_engine(source, tmp_path / "one", TensorRTConfig(), timing_cache=cache)
    assert stand_in.builds[0].config.cache.began_with == b""
    build_engine(source, tmp_path / "other", TensorRTConfig(), timing_cache=cache)
    assert stand_in.builds[1].config.cache.began_with == b"timed once"
    assert cache.read_bytes() == b"timed twice"


def test_a_timing_cache_of_another_gpu_is_begun_anew(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    cache = tmp_path / "timing.cache"
    cache.write_bytes(b"of another GPU")
    build_engine(source, tmp_path / "one", TensorRTConfig(), timing_cache=cache)
    assert stand_in.builds[0].config.cache.began_with == b""
    assert cache.read_bytes() == b"timed once"


def test_a_build_that_fails_says_why_and_leaves_nothing(
    source: Path, tmp_path: Path, stand_in: TensorRTStandIn
) -> None:
    stand_in.failure = "no kernel found for this layer"
    with pytest.raises(ModelError, match="could not build the engine: no kernel found"):
        build_engine(source, tmp_path / "engine", TensorRTConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["fp32.onnx"]


def test_texts_have_a_free_length(tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    draw = Drawing(0)
    draw.add("ReduceMean", "tokens", draw.constant([1]), keepdims=0, output="embeds")
    model = onnx.load(draw.save(tmp_path / "text.onnx", {"tokens": (7, 8)}, ("embeds", 8)))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"
    onnx.save(model, tmp_path / "text.onnx")
    config = TensorRTConfig(precision="fp32", usual_length=12, largest_length=40, **SMALL)
    metadata = build_engine(tmp_path / "text.onnx", tmp_path / "engine", config)
    assert metadata.inputs["tokens"] == ShapeRange(smallest=(1, 1, 8), usual=(4, 12, 8), largest=(16, 40, 8))


def test_metadata_are_json_that_people_can_read(source: Path, tmp_path: Path, stand_in: TensorRTStandIn) -> None:
    build_engine(source, tmp_path / "image.engine", TensorRTConfig())
    found = json.loads((tmp_path / "image.engine.json").read_text())
    assert found["version"] == "10.9.0.34"
    assert found["strongly_typed"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"compute_capability": "86"},
        {"compute_capability": "sm_86"},
        {"usual_batch": 300},
        {"smallest_batch": 64},
        {"usual_length": 100},
        {"precision": "int8"},
        {"optimisation_level": 9},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={next(iter(wrong.values()))}",
)
def test_the_config_refuses_what_makes_no_sense(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        TensorRTConfig(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["tiny", "vit-b-32"])
def test_real_image_encoders_are_built(rtx, tmp_path: Path, no_gpu: None, shape: str) -> None:
    """tiny-clip with its weights; ViT-B/32 with random ones, which say nothing of accuracy."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    import clip_har
    from clip_har.models.backbone import PACKAGED

    if shape == "tiny":
        model = CLIPModel.from_pretrained(Path(clip_har.__file__).parent / "assets" / PACKAGED["tiny-clip"])
    else:
        torch.manual_seed(0)
        vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
        vision |= {"patch_size": 32, "image_size": 224}
        text = {"num_hidden_layers": 1, "vocab_size": 100}
        model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=512))
    side = model.config.vision_config.image_size

    class ImageEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            embeds = self.model.get_image_features(pixel_values=pixel_values).pooler_output
            return embeds / embeds.norm(p=2, dim=-1, keepdim=True)

    batch = torch.export.Dim("batch", min=1, max=1024)
    torch.onnx.export(
        ImageEncoder().eval(),
        (torch.zeros(2, 3, side, side),),
        tmp_path / "fp32.onnx",
        dynamo=True,
        input_names=["pixel_values"],
        output_names=["image_embeds"],
        dynamic_shapes={"pixel_values": {0: batch}},
        opset_version=18,
        external_data=False,
    )
    metadata = build_engine(
        tmp_path / "fp32.onnx", tmp_path / "image.engine", TensorRTConfig(precision="fp16", compute_capability="8.6")
    )
    assert metadata.inputs["pixel_values"].largest == (256, 3, side, side)
    weights = sum(parameter.numel() for parameter in model.vision_model.parameters())
    assert 1.5 * weights < (tmp_path / "image.engine").stat().st_size < 4 * weights + 8e6
