"""Step: draw the pairs if they are to be drawn, and find out what they and the code are now. Never cached."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint, hash_of_code
from clip_har.data.pairs import AnyPairSourceConfig, build_pair_source
from clip_har.hashing import sha256_folder, sha256_json
from clip_har.models.backbone import location
from clip_har.progress import progress
from materializers.fingerprint import FingerprintMaterializer
from steps.code import PROJECT_CODE


@step(enable_cache=False, output_materializers=FingerprintMaterializer)
def fingerprint_pairs(
    pairs: AnyPairSourceConfig, backbone: str | None, workspace: str
) -> Annotated[DataFingerprint, "pairs_fingerprint"]:
    """Hash all pictures and captions, and the backbone to go on from where it is a folder here."""
    with progress("reading pictures and captions") as report:
        found = build_pair_source(pairs, workspace).read(report)
    data_hash = found.content_hash()
    place = Path(location(backbone)) if backbone is not None else None
    if place is not None and place.is_dir():
        data_hash = sha256_json([data_hash, sha256_folder(place)])
    return DataFingerprint(data_hash=data_hash, records=len(found), code_hash=hash_of_code(PROJECT_CODE))
