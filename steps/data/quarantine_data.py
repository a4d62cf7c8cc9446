"""Step: bring the rejection queue in line with what validation found. Never cached: the queue is a place."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.quarantine import QuarantineConfig, RejectionQueue
from clip_har.data.sources import AnySourceConfig, build_source
from clip_har.data.validation import ValidationReport
from clip_har.progress import progress


@step(enable_cache=False)
def quarantine_data(
    validation_report: ValidationReport,
    fingerprint: DataFingerprint,
    data: AnySourceConfig,
    quarantine: QuarantineConfig,
    workspace: str,
) -> Annotated[dict[str, int], "queue"]:
    """How many rejected samples wait, by reason."""
    queue = RejectionQueue(Path(workspace) / "quarantine", quarantine)
    root = build_source(data, workspace).root
    with progress("keeping rejected files") as report:
        return queue.update(
            validation_report,
            root,
            fingerprint.data_hash[:16],
            decisions_hash=fingerprint.decisions_hash,
            progress=report,
        ).waiting
