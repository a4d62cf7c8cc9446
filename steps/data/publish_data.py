"""Step: publish a version of the data, with a card for people. Never cached: a version is made for good."""

from typing import Annotated

from zenml import step

from clip_har.data.card import CardConfig, dataset_card
from clip_har.data.fingerprint import DataFingerprint, source_key
from clip_har.data.manifest import Manifest
from clip_har.data.splits import SplitConfig
from clip_har.data.validation import Inspection, ValidationReport
from clip_har.data.versions import VersionStore, WorkspaceConfig
from clip_har.data.versions.earlier import SPLITS_FILE, splits_file
from clip_har.environment import describe_environment
from clip_har.labelling.labelled import LabelledStore
from clip_har.progress import progress
from clip_har.runs import publish
from steps.code import PROJECT
from steps.recording import record_published
from steps.timing import describe_current_run


@step(enable_cache=False)
def publish_data(
    manifest: Manifest,
    validation_report: ValidationReport,
    inspection: Inspection,
    fingerprint: DataFingerprint,
    queue: dict[str, int],
    splits: SplitConfig,
    versions: WorkspaceConfig,
    card: CardConfig,
    workspace: str,
    outputs: str,
    folder: str | None,
    settings: str,
    settings_hash: str,
) -> Annotated[str, "published"]:
    """Commit the version, and write `outputs/<run>/` with its card.

    Args:
        queue: how many rejected samples wait, by reason.
        settings: the composed configuration as YAML, to be written down.
        settings_hash: of the settings and the code that made the Manifest.
    """
    made = dataset_card(manifest, validation_report, inspection, card)
    with progress("publishing the data") as report:
        version = VersionStore(workspace, versions.remote).publish(
            manifest,
            validation_report,
            inspection,
            source_key=source_key(fingerprint, settings_hash),
            files={"README.md": made.markdown, "card.html": made.html, SPLITS_FILE: splits_file(splits)},
            tag=versions.tag,
            push=versions.push,
            progress=report,
        )
    LabelledStore.of(workspace).note_published(manifest.ids, version.git_revision)
    run = describe_current_run()
    counts = {label: dict(row) for label, row in manifest.counts().T.to_dict().items()}
    published = publish(
        outputs,
        run["name"],
        report=made.html,
        metrics={"data": validation_report.summary(), "manifest_hash": manifest.content_hash},
        record={
            **run,
            "version": version.model_dump(mode="json"),
            "queue": queue,
            "counts": counts,
            "code_hash": fingerprint.code_hash,
            "environment": describe_environment(PROJECT),
            "settings": settings,
        },
        fixed=folder,
        files={"README.md": made.markdown, "version.json": version.to_json()},
    )
    record_published(
        published,
        tables={"classes": [{"class": label, **row} for label, row in counts.items()]},
        files=("README.md", "version.json"),
    )
    return str(published)
