"""A winner made into a bundle: what its calibration is computed from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.zero_shot import ZeroShotConfig
from clip_har.errors import DataError
from clip_har.training.embedding_cache import EmbeddingCache
from tests.adaptation.tiny_study import PROMPTS, Study


def test_a_changed_encoder_is_calibrated_on_its_own_embeddings_which_are_kept(study: Study, tmp_path: Path) -> None:
    encoder = study.load()
    with torch.no_grad():
        encoder.model.visual_projection.weight[0] += 1.0
    adapted = replace(study.fit(ZeroShotConfig()), encoder=encoder)
    cache = EmbeddingCache(tmp_path / "embeddings")

    def temperature(name: str, root: str = study.manifest.root, **options) -> float:
        manifest = replace(study.manifest, root=root)
        settings = (study.model, PROMPTS, study.compute, {})
        bundle = assemble_bundle(tmp_path / name, adapted, manifest, study.embeddings, *settings, **options)
        return bundle.calibration.temperature

    first = temperature("first", embedding_cache=cache)
    assert cache.encoded == len(study.manifest.split("calibration"))
    assert temperature("without") == first
    assert temperature("from the cache alone", str(tmp_path), embedding_cache=cache) == first
    with pytest.raises(DataError, match="cannot be read any more"):
        temperature("from nothing", str(tmp_path))
    unchanged = replace(adapted, encoder=None)
    assert study.assemble(tmp_path / "unchanged", unchanged).calibration.temperature != first
