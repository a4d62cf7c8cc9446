"""The queue and validation together: what people decide is what the next validation does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from clip_har.data.quarantine import RejectionQueue
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.validation import ValidationConfig, validate
from tests.tiny_models import colour_photos

LABELS = ["cycling", "running", "sitting"]


@pytest.fixture
def folder(tmp_path) -> Path:
    return colour_photos(tmp_path / "photos", LABELS, 3)


def run(folder: Path) -> tuple[set[str], RejectionQueue]:
    """One run of the data pipeline, as far as the queue is concerned: the accepted uris."""
    queue = RejectionQueue(folder.parent / "workspace" / "quarantine")
    source = build_source(parse_source_config({"source": "folder", "path": str(folder), "labels": LABELS}), "unused")
    decisions = queue.decisions()
    manifest, report, _ = validate(source, ValidationConfig(), decisions=decisions)
    summary = queue.update(report, source.root, "v", decisions_hash=decisions.content_hash)
    assert len(manifest) + summary.rejected == report.found
    return set(manifest.frame["uri"]), queue


def status(queue: RejectionQueue) -> dict[str, tuple[str, str]]:
    table = queue.history()[["uri", "reason", "status"]]
    return {uri: (reason, state) for uri, reason, state in table.itertuples(index=False, name=None)}


def test_an_override_is_honoured_by_the_next_validation(folder):
    Image.effect_noise((24, 24), 90).convert("RGB").save(folder / "sitting" / "icon.png")
    accepted, queue = run(folder)
    assert "sitting/icon.png" not in accepted
    queue.requeue(["sitting/icon.png"], "Ada", "icons are wanted", waive=["too_small"])
    accepted, queue = run(folder)
    assert "sitting/icon.png" in accepted
    assert status(queue) == {"sitting/icon.png": ("too_small", "resolved")}
    queue.requeue(["sitting/icon.png"], "Ada", "not wanted after all")  # withdrawn: the newest decision counts
    accepted, queue = run(folder)
    assert "sitting/icon.png" not in accepted
    assert status(queue) == {"sitting/icon.png": ("too_small", "waiting")}


def test_a_conflict_is_settled_by_discarding_the_wrong_side(folder):
    picture = (folder / "running" / "running_000.jpg").read_bytes()
    (folder / "sitting" / "wrong.jpg").write_bytes(picture)
    accepted, queue = run(folder)
    assert not {"running/running_000.jpg", "sitting/wrong.jpg"} & accepted
    queue.discard(["sitting/wrong.jpg"], "Ada", "he runs")
    accepted, queue = run(folder)
    assert "running/running_000.jpg" in accepted
    assert status(queue) == {
        "sitting/wrong.jpg": ("label_conflict", "discarded"),
        "running/running_000.jpg": ("label_conflict", "resolved"),
    }
    assert not list(queue.folder.rglob("*.jpg"))


def test_a_mended_file_is_accepted_and_the_broken_one_is_kept(folder):
    whole = (folder / "running" / "running_001.jpg").read_bytes()
    (folder / "running" / "running_001.jpg").write_bytes(whole[:400])
    accepted, queue = run(folder)
    assert status(queue) == {"running/running_001.jpg": ("truncated", "waiting")}
    (folder / "running" / "running_001.jpg").write_bytes(whole)
    queue.requeue(["running/running_001.jpg"], "Ada", "fetched again")
    accepted, queue = run(folder)
    assert "running/running_001.jpg" in accepted
    assert status(queue) == {"running/running_001.jpg": ("truncated", "resolved")}
    assert [path.read_bytes() for path in queue.folder.rglob("*.jpg")] == [whole[:400]]
