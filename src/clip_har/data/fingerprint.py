"""What a run started from, in two hashes: the data, and the code."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.sources import DataSource
from clip_har.data.sources.base import Progress
from clip_har.hashing import sha256_file, sha256_json


class DataFingerprint(ComponentConfig):
    """Hashes of what a run started from."""

    data_hash: str = Field(description="sha256 over the source's listing and the bytes of all listed files.")
    records: int = Field(description="How many samples the source lists.")
    code_hash: str = Field(description="sha256 over the sources of the package and of the project around it.")


def fingerprint(source: DataSource, code: list[Path], progress: Progress | None = None) -> DataFingerprint:
    """Look at everything that a source lists, and at the code.

    Args:
        code: folders and files with the project's code.
    """
    source.prepare(progress)
    return DataFingerprint(
        data_hash=source.fingerprint(progress), records=len(source.records()), code_hash=hash_of_code(code)
    )


def hash_of_code(places: list[Path]) -> str:
    """sha256 over all Python files in these places."""
    files = {}
    for place in places:
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        files |= {f"{place.name}/{path.relative_to(place).as_posix()}": sha256_file(path) for path in found}
    return sha256_json(files)
