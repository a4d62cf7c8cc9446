"""The real client of `huggingface_hub` in this process, against a Hub on this machine; a tiny bundle to send."""

from __future__ import annotations

import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from clip_har.models.backbone import ModelConfig
from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
from clip_har.models.calibration import Calibration
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.head import TextHead
from tests.hub_server import WRITER, Hub, hub_server
from tests.tiny_models import tiny_clip

LABELS = ("cycling", "running", "using_laptop")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub that the client here talks to, with a token that may write; retries do not wait."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    with hub_server() as server:
        point_client_at(server.address, monkeypatch, tmp_path)
        for module in (_http, file_download):
            monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=lambda _: None, time=time.time))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
        _http.close_session()


def point_client_at(address: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """What HF_ENDPOINT, HF_HUB_DISABLE_XET and HF_HOME do, in a process that has read them."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setenv("HF_TOKEN", WRITER)


def make_bundle(target: Path, encoder: DualEncoder, **changes: object) -> ModelBundle:
    """A zero-shot bundle."""
    facts = {
        "labels": LABELS,
        "head": "text",
        "method": "zero_shot",
        "recipe": {"method": "zero_shot", "prompts": "single"},
        "backbone": "tiny",
        "backbone_hash": "b+t",
        "encoder_hash": encoder.image_encoder_hash(),
        "data_hash": "d" * 64,
        "data_revision": "f" * 40,
        "config_hash": "c",
        "open_vocabulary": OpenVocabulary(word="kept", basis="nothing was adapted"),
        "metrics": {"accuracy": 0.5},
    }
    return ModelBundle.create(
        target,
        save_encoder=encoder.save,
        info=BundleInfo(**(facts | changes)),
        head=TextHead(encoder.logit_scale, encoder.logit_bias),
        class_matrix=encoder.encode_texts(LABELS),
        prompts={"single": "{}", "templates": ["{}"], "class_names": {}, "texts": {label: [label] for label in LABELS}},
        calibration=Calibration(temperature=1.5, split="calibration", samples=3, data_hash="d"),
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return DualEncoder.load(ModelConfig(backbone=str(tiny_clip(tmp_path_factory.mktemp("hub") / "backbone"))))


@pytest.fixture(scope="session")
def bundle(tiny_encoder: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle with three attachments; only to be read."""
    made = make_bundle(tmp_path_factory.mktemp("hub") / "bundle", tiny_encoder)
    for kind, name in (("exports", "image.onnx"), ("reference", "profile.parquet"), ("notes", "notes.txt")):
        made.attach(kind, lambda folder, name=name, kind=kind: (folder / name).write_bytes(kind.encode() * 50))
    return made
