"""Step: send a bundle with its card to the Hub, and write down what was sent. Never cached: nothing else has side effects."""

import json
from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.environment import describe_environment
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from clip_har.registry.hub.bundles import push_bundle
from clip_har.registry.hub.config import HubConfig
from clip_har.registry.hub.page import render_sent
from clip_har.runs import publish
from steps.code import PROJECT
from steps.scratch import scratch_folder
from steps.timing import describe_current_run


@step(enable_cache=False)
def publish_to_hub(
    bundle: ModelBundle, card: str, hub: HubConfig, outputs: str, folder: str | None, settings: str
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/` with the listing and the card; of a dry run, with `would_send/` too, and nothing is sent.

    Args:
        folder: the run's folder, if it is to be a certain one.
        settings: the composed configuration as YAML, to be written down.
    """
    run = describe_current_run()
    would_send = Path(scratch_folder()) / "would_send"
    with progress("writing what would be sent" if hub.dry_run else f"sending to {hub.repository}"):
        sent = push_bundle(bundle, card, hub, dry_run_folder=would_send)
    published = publish(
        outputs,
        run["name"],
        report=render_sent(sent, bundle, card),
        metrics={"hub": {"files": len(sent.files), "bytes": sent.bytes}},
        record={
            **run,
            "model_id": bundle.model_id,
            "method": bundle.info.method,
            "data_hash": bundle.info.data_hash,
            "environment": describe_environment(PROJECT),
            "settings": settings,
            "leaderboard": None,
            "hub": sent.model_dump(mode="json", exclude={"files"}),
        },
        files={
            "README.md": card,
            "hub.json": json.dumps(sent.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n",
        },
        folders={"would_send": would_send} if sent.dry_run else None,
        fixed=folder,
    )
    return str(published)
