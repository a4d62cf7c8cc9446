"""What is on the Hub is loaded by those who know nothing of clip_har, and by the code that the card and the document show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clip_har.data.versions.store import VersionStore
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from clip_har.registry.hub import HubConfig, push_bundle, push_dataset
from clip_har.registry.hub.card import render_model_card
from clip_har.registry.hub.reports import BundleReports
from tests.command import PROJECT
from tests.data.versions.world import described
from tests.hub_server import Hub
from tests.tiny_models import colour_photos


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def push(bundle: ModelBundle) -> str:
    """Push with a card; the card."""
    config = HubConfig(repository="owner/actions", tag="v1")
    card = render_model_card(bundle, BundleReports(), config)
    push_bundle(bundle, card, config)
    return card


def test_the_cards_code_for_clip_har(
    hub: Hub, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    photos = colour_photos(tmp_path / "photos", ("running",), 1)
    next(photos.rglob("*.jpg")).rename(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = python_blocks(push(bundle))[1]
    exec(compile(code, "README.md", "exec", dont_inherit=True), {})
    assert any(label in capsys.readouterr().out for label in bundle.labels)


@pytest.mark.slow
def test_plain_transformers_and_plain_datasets_load_by_the_id(
    hub: Hub, bundle: ModelBundle, tiny_encoder: DualEncoder, tmp_path: Path
) -> None:
    """From the repository's root, in a process that cannot import our code."""
    blocks = python_blocks((PROJECT / "docs" / "hub.md").read_text(encoding="utf-8").replace("OWNER", "owner"))
    model_of_document = next(code for code in blocks if "AutoModel" in code)
    data_of_document = next(code for code in blocks if "load_dataset" in code)
    store = VersionStore(tmp_path / "workspace")
    photos = colour_photos(tmp_path / "photos", ("running", "sitting"), 8)
    data = store.open(store.publish(*described(photos), source_key="s"))
    push_dataset(data, HubConfig(repository="owner/photographs"))
    script = "\n".join(
        [
            model_of_document,
            python_blocks(push(bundle))[0],
            data_of_document,
            "import json, sys",
            "assert not any(name.partition('.')[0] == 'clip_har' for name in sys.modules)",
            "features = model.get_text_features(**tokenizer(['running'], return_tensors='pt')).pooler_output",
            "print(json.dumps([(features / features.norm()).tolist()[0], sorted(photographs['id'])]))",
        ]
    )
    (tmp_path / "blocked" / "clip_har").mkdir(parents=True)
    (tmp_path / "blocked" / "clip_har" / "__init__.py").write_text("raise ImportError('our code was imported')")
    online = {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": hub.address}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | online | {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(tmp_path / "blocked")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    features, ids = json.loads(done.stdout.splitlines()[-1])
    assert features == pytest.approx(tiny_encoder.encode_texts(["running"])[0].tolist(), abs=1e-4)
    assert ids == sorted(data.manifest.split("train").ids)
