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
    decisions_hash: str = Field(
        "", description="sha256 over what people decided about rejected samples; empty if none."
    )

    @property
    def content_hash(self) -> str:
        """sha256 of what the samples are and what was decided about them; code and counts follow from elsewhere."""
        return sha256_json([self.data_hash, self.decisions_hash]) if self.decisions_hash else self.data_hash


def fingerprint(
    source: DataSource, code: list[Path], progress: Progress | None = None, decisions_hash: str = ""
) -> DataFingerprint:
    """Look at everything that a source lists, and at the code.

    Args:
        code: folders and files with the project's code.
        decisions_hash: of what people decided about rejected samples.
    """
    source.prepare(progress)
    return DataFingerprint(
        data_hash=source.fingerprint(progress),
        records=len(source.records()),
        code_hash=hash_of_code(code),
        decisions_hash=decisions_hash,
    )


def source_key(found: DataFingerprint, settings_hash: str) -> str:
    """What a published version was made of: the source's content, and the settings and code that made it of that."""
    return sha256_json([found.content_hash, settings_hash])


def hash_of_code(places: list[Path]) -> str:
    """sha256 over all Python files in these places."""
    files = {}
    for place in places:
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        files |= {f"{place.name}/{path.relative_to(place).as_posix()}": sha256_file(path) for path in found}
    return sha256_json(files)
