"""Step: fetch or make the data, and find out all that a version of them starts from. Never cached."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint, fingerprint
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.sources import AnySourceConfig, build_source
from clip_har.data.splits import EarlierSplits, SplitConfig
from clip_har.data.versions import VersionStore
from clip_har.data.versions.earlier import earlier_splits
from clip_har.progress import progress
from materializers.earlier_splits import EarlierSplitsMaterializer
from materializers.fingerprint import FingerprintMaterializer
from steps.code import PROJECT_CODE


@step(
    enable_cache=False,
    output_materializers={"fingerprint": FingerprintMaterializer, "earlier": EarlierSplitsMaterializer},
)
def ingest_data(
    data: AnySourceConfig, splits: SplitConfig, workspace: str
) -> tuple[Annotated[DataFingerprint, "fingerprint"], Annotated[EarlierSplits, "earlier"]]:
    """Hashes of the data, of what people decided about them and of the code; and where pictures lie already."""
    found = current_fingerprint(data, workspace)
    return found, earlier_splits(VersionStore(workspace), splits)


def current_fingerprint(data: AnySourceConfig, workspace: str) -> DataFingerprint:
    """Hashes of the source as it lies now."""
    decisions = RejectionQueue(Path(workspace) / "quarantine").decisions()
    with progress("reading the data") as report:
        return fingerprint(build_source(data, workspace), PROJECT_CODE, report, decisions.content_hash)
