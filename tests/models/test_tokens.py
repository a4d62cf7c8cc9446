"""Tokens without torch are those that `DualEncoder` makes, and so is the scale of the text scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import ModelError
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.text_scale import stored_text_head
from clip_har.models.tokens import TextTokens
from tests.adaptation.tiny_study import ARCHITECTURES

TEXTS = ["a photo of a person running.", "Someone!! sits, über 5", "x " * 200, "", "a"]


@pytest.fixture(scope="module", params=[*ARCHITECTURES, "tiny-clip"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DualEncoder, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    made = ARCHITECTURES.get(request.param)
    encoder = DualEncoder.load(ModelConfig(backbone=str(made(folder / "made")) if made else "tiny-clip"))
    (folder / "saved").mkdir()
    encoder.save(folder / "saved")
    return encoder, folder / "saved"


def assert_same(encoder: DualEncoder, folder: Path, texts: list[str]) -> None:
    found = TextTokens.read(folder)(texts)
    for name, wanted in encoder.tokenize(texts).items():
        assert found[name].dtype == np.int64
        np.testing.assert_array_equal(found[name], wanted.numpy(), err_msg=name)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_tokens_are_the_dual_encoders(saved: tuple[DualEncoder, Path], number: int) -> None:
    assert_same(*saved, TEXTS[-number:])


def test_the_scale_is_the_dual_encoders(saved: tuple[DualEncoder, Path]) -> None:
    encoder, folder = saved
    head = stored_text_head(folder)
    assert head is not None
    assert head.scale == pytest.approx(encoder.logit_scale, rel=1e-6)
    assert head.bias == pytest.approx(encoder.logit_bias, rel=1e-6)


def test_tokens_of_a_real_model(har_dual_encoder: Path, tmp_path: Path) -> None:
    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    encoder.save(tmp_path)
    assert_same(encoder, tmp_path, TEXTS)


def test_weights_that_numpy_does_not_know_are_left_to_torch(saved: tuple[DualEncoder, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    assert stored_text_head(tmp_path) is None
    save_file({"logit_scale": torch.zeros((), dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    assert stored_text_head(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        stored_text_head(tmp_path)


def test_a_tokenizer_that_cannot_be_used_says_why(saved: tuple[DualEncoder, Path], tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        with pytest.raises(ModelError, match=rf"{name} cannot be read"):
            TextTokens.read(tmp_path)
        (tmp_path / name).write_bytes((saved[1] / name).read_bytes())
    TextTokens.read(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "no such token"}))
    with pytest.raises(ModelError, match="names no padding token"):
        TextTokens.read(tmp_path)
