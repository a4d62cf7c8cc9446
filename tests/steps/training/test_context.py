"""What makes a fit the same fit when it is started again, and what makes it another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clip_har.adaptation.clip_adapter import ClipAdapterConfig
from clip_har.adaptation.lora import LoraConfig
from clip_har.data.image import ImageLimits
from clip_har.data.pixel_cache import PixelCacheConfig
from clip_har.training.embedding_cache import EmbeddingCacheConfig
from steps import code
from steps.training.context import FitSettings, adaptation_context
from tests.adaptation.tiny_study import PROMPTS, Study, tiny_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return tiny_study(tmp_path_factory.mktemp("study"))


def key(study: Study, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "model": study.model,
        "prompts": PROMPTS,
        "compute": study.compute,
        "seed": 0,
        "limits": ImageLimits(),
        "cache": PixelCacheConfig(),
        "embedding_cache": EmbeddingCacheConfig(),
        "workspace": "workspace",
    }
    fit = FitSettings(**settings | {name: value for name, value in changes.items() if name in settings})
    given = {"manifest": study.manifest, "embeddings": study.embeddings, "method": ClipAdapterConfig()}
    given |= {name: value for name, value in changes.items() if name not in settings}
    context = adaptation_context(given["manifest"], given["embeddings"], fit, given["method"], None, print)
    assert context.workspace == Path("workspace")
    return context.key


@pytest.mark.parametrize(
    "machinery",
    [
        {"checkpoint": {"every_steps": 3}},
        {"distributed": {"mode": "ddp", "timeout": 5}},
    ],
)
def test_how_it_is_saved_and_spread_makes_no_other_fit(study: Study, machinery: dict) -> None:
    """The mode does, which the trainer sees to."""
    assert key(study, method=ClipAdapterConfig(training=machinery)) == key(study)


def test_what_is_fitted_on_what_and_from_which_seed_does(study: Study) -> None:
    fewer = replace(study.manifest, frame=study.manifest.frame.iloc[1:])
    others = [
        {"method": ClipAdapterConfig(reduction=2)},
        {"method": ClipAdapterConfig(training={"learning_rate": 0.5})},
        {"method": LoraConfig()},
        {"manifest": fewer},
        {"embeddings": replace(study.embeddings, encoder_hash="another")},
        {"prompts": PROMPTS.model_copy(update={"single": "someone {}."})},
        {"seed": 1},
        {"cache": PixelCacheConfig(enabled="always")},
    ]
    keys = [key(study), *(key(study, **other) for other in others)]
    assert len(set(keys)) == len(keys)


def test_so_does_other_code_of_the_method(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before, whole = key(study), code.sha256_file
    monkeypatch.setattr(code, "sha256_file", lambda path: "changed" if path.name == "trainer.py" else whole(path))
    assert key(study) != before
    monkeypatch.setattr(code, "sha256_file", lambda path: "changed" if path.name == "leaderboard.py" else whole(path))
    assert key(study) == before
