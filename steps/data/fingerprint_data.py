"""Step: find out what the data and the code are now. Never cached."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint, fingerprint
from clip_har.data.sources import AnySourceConfig, build_source
from clip_har.progress import progress
from materializers.fingerprint import FingerprintMaterializer

_PROJECT = Path(__file__).parents[2]
_CODE = [_PROJECT / name for name in ("src", "steps", "pipelines", "materializers")]


@step(enable_cache=False, output_materializers=FingerprintMaterializer)
def fingerprint_data(data: AnySourceConfig, workspace: str) -> Annotated[DataFingerprint, "fingerprint"]:
    """Fetch or make the data if they are not there, and hash all of them."""
    with progress("reading the data") as report:
        return fingerprint(build_source(data, workspace), _CODE, report)
