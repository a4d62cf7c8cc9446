"""Dual encoders of three kinds, and a few pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from tests.tiny_models import colour_photos, tiny_clip, tiny_siglip, tiny_vision_text

LABELS = ("cycling", "running", "using_laptop")
KINDS = {"clip": tiny_clip, "siglip": tiny_siglip, "vision_text": tiny_vision_text}


@pytest.fixture(scope="session")
def backbones(tmp_path_factory) -> dict[str, Path]:
    """Folders of the tiny backbones by kind; only to be read."""
    folder = tmp_path_factory.mktemp("backbones")
    return {kind: make(folder / kind) for kind, make in KINDS.items()}


@pytest.fixture(scope="session")
def encoders(backbones) -> dict[str, DualEncoder]:
    """The tiny backbones, loaded; not to be changed."""
    return {kind: DualEncoder.load(ModelConfig(backbone=str(folder))) for kind, folder in backbones.items()}


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> list[Path]:
    """Twelve small JPEGs of three classes."""
    return sorted(colour_photos(tmp_path_factory.mktemp("photos"), LABELS, 4).rglob("*.jpg"))
