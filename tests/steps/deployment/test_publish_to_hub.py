"""What `publish` leaves in `outputs/`, and says at its end; the steps called as they are, outside a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clip_har.models.bundle import ModelBundle
from clip_har.registry.hub import HubConfig
from pipelines.console import show_result
from steps.deployment.publish_to_hub import publish_to_hub
from steps.deployment.write_model_card import write_model_card
from tests.hub_server import Hub
from tests.registry.hub.conftest import bundle, hub, tiny_encoder

__all__ = ["bundle", "hub", "tiny_encoder"]


def run(bundle: ModelBundle, outputs: Path, **changes: object) -> Path:
    config = HubConfig(**({"repository": "owner/actions"} | changes))
    card = write_model_card.entrypoint(bundle=bundle, hub=config, outputs=str(outputs))
    return Path(
        publish_to_hub.entrypoint(bundle=bundle, card=card, hub=config, outputs=str(outputs), folder=None, settings="")
    )


def test_a_dry_run_leaves_the_folder_that_would_be_sent(
    hub: Hub, bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = run(bundle, tmp_path / "outputs", dry_run=True)
    assert hub.asked == []
    assert ModelBundle.load(folder / "would_send").model_id == bundle.model_id
    assert not (folder / "would_send" / "attachments" / "reference").exists()
    listed = json.loads((folder / "hub.json").read_text())
    files = {path.relative_to(folder / "would_send").as_posix() for path in (folder / "would_send").rglob("*.*")}
    assert {file["path"] for file in listed["files"]} >= {name for name in files if Path(name).suffix}
    assert (folder / "README.md").read_text() == (folder / "would_send" / "README.md").read_text()
    page = (folder / "report.html").read_text()
    assert "would go" in page
    assert "A dry run: nothing was sent." in page
    show_result(folder, 1.0, " --set hub.dry_run=true")
    said = " ".join(capsys.readouterr().out.split())
    assert "would be sent to owner/actions (private; tags model-" in said
    assert "Nothing was sent." in said


def test_what_was_sent_is_written_down(
    hub: Hub, bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = run(bundle, tmp_path / "outputs", tag="v1")
    record = json.loads((folder / "run.json").read_text())
    assert record["hub"]["commit"] == hub.model("owner/actions").branches["main"]
    assert record["model_id"] == bundle.model_id
    assert (folder / "README.md").read_bytes() == hub.model("owner/actions").files()["README.md"]
    assert not (folder / "would_send").exists()
    number, size = len(hub.model("owner/actions").files()), sum(map(len, hub.model("owner/actions").files().values()))
    assert json.loads((folder / "metrics.json").read_text()) == {"hub": {"files": number, "bytes": size}}
    page = (folder / "report.html").read_text()
    assert f'<a href="{hub.address}/owner/actions">' in page
    assert "there already" not in page
    show_result(folder, 1.0, "")
    said = " ".join(capsys.readouterr().out.split())
    assert f"at {hub.address}/owner/actions (private; tags v1, model-" in said
    assert "hub pull owner/actions --revision v1" in said
