"""Step: open a published version of the data, and find out what the code is now. Never cached."""

from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint, hash_of_code
from clip_har.data.manifest import Manifest
from clip_har.data.validation import ValidationReport
from clip_har.data.versions import VersionStore
from clip_har.progress import progress
from materializers.fingerprint import FingerprintMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.validation_report import ValidationReportMaterializer
from steps.code import PROJECT_CODE


@step(
    enable_cache=False,
    output_materializers={
        "manifest": ManifestMaterializer,
        "validation_report": ValidationReportMaterializer,
        "fingerprint": FingerprintMaterializer,
    },
)
def open_data(
    version: str, workspace: str, remote: str | None
) -> tuple[
    Annotated[Manifest, "manifest"],
    Annotated[ValidationReport, "validation_report"],
    Annotated[DataFingerprint, "fingerprint"],
]:
    """The version's Manifest, its pictures in a folder, and the report of its validation."""
    store = VersionStore(workspace, remote)
    with progress("opening the data") as report:
        data = store.open(store.resolve(version), report)
    found = DataFingerprint(
        data_hash=data.manifest.content_hash, records=len(data.manifest), code_hash=hash_of_code(PROJECT_CODE)
    )
    return data.manifest, data.report, found
