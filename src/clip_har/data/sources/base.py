"""What a data source is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import DataError
from clip_har.hashing import sha256_file, sha256_json

CURRENT = "workspace"
"""`data.version` of the data as they lie in the source now."""

COMBINED = "combined"
"""Folder of the workspace with folders of links, one for each combination of sources."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`."""


class SourceConfig(ComponentConfig):
    """Base of the sources' configs; `source` names which one it is."""

    source: str = Field(description="Name of the data source.")
    labels: tuple[str, ...] | None = Field(
        None, min_length=2, description="The classes, in order. If not given: all labels that occur, sorted."
    )
    version: str = Field(
        CURRENT,
        min_length=1,
        description="A tag, branch or commit of the workspace's published data; `workspace`: the source as it lies now.",
    )

    def content(self) -> dict[str, Any]:
        """The settings that decide what the source gives: all but the version."""
        return self.model_dump(mode="json", exclude={"version"})


@dataclass(frozen=True)
class SourceRecord:
    """One thing that the source lists.

    Attributes:
        uri: path relative to the source's root, with forward slashes; as listed if it cannot be used.
        label: as listed, or None if there is none.
        problem: (reason, detail) if the listing itself shows that the sample cannot be used.
    """

    uri: str
    label: str | None
    problem: tuple[str, str] | None = None


class DataSource(ABC):
    """Base of all data sources."""

    Config: ClassVar[type[SourceConfig]]

    def __init__(self, config: SourceConfig, workspace: str) -> None:
        self.config = config
        self.workspace = Path(workspace)

    @property
    @abstractmethod
    def root(self) -> Path:
        """Folder that the records' uris are relative to."""

    @property
    def data_folder(self) -> Path:
        """Folder that no picture may lie outside of."""
        return self.root

    @property
    def data_folders(self) -> tuple[Path, ...]:
        """`data_folder`, of each part where there are several."""
        return (self.data_folder,)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the sources that it is made of: its own, but for a combination."""
        return (self.config.source,)

    def part_of(self, uri: str) -> tuple[DataSource, str]:
        """The source that a record comes from, and its uri there: itself, but for a combination."""
        return self, uri

    @abstractmethod
    def check(self) -> None:
        """Find what can be found wrong in a moment, before anything is started.

        Raises:
            DataError: naming what is wrong, where, and what would be right.
        """

    @abstractmethod
    def records(self) -> list[SourceRecord]:
        """Everything that the source lists, in a fixed order.

        Raises:
            DataError: if the listing cannot be used as a whole.
        """

    def unlabelled_files(self) -> list[Path]:
        """Pictures that the source keeps for tests, without labels: none of them should be among the labelled."""
        return []

    def prepare(self, progress: Progress | None = None) -> None:
        """Fetch or make the files, where they are not simply there. Called once, before `records`."""
        return

    def fingerprint(self, progress: Progress | None = None) -> str:
        """sha256 over the listing and the bytes of all listed files: changes whenever the data do."""
        records = self.records()

        def hash_of(record: SourceRecord) -> str:
            path = self.root / record.uri
            readable = record.problem is None or record.problem[0] == "missing_label"
            return sha256_file(path) if readable and path.is_file() else ""

        entries = []
        with ThreadPoolExecutor() as pool:
            for number, digest in enumerate(pool.map(hash_of, records), start=1):
                record = records[number - 1]
                entries.append([printable(record.uri), record.label and printable(record.label), digest])
                if progress:
                    progress(number, len(records))
        for path in self.unlabelled_files():  # of which validation tells where they are labelled too
            entries.append([f"unlabelled:{printable(path.name)}", None, sha256_file(path) if path.is_file() else ""])
        return sha256_json(sorted(entries, key=lambda entry: (entry[0], entry[1] or "", entry[2])))


def printable(text: str) -> str:
    """The text itself if it is valid, else with escapes: names of files can be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def require_folder(path: str, key: str) -> Path:
    """The folder at `path`.

    Raises:
        DataError: if it is missing, a file or empty; `key` is the config key to name.
    """
    folder = Path(path)
    if not folder.exists():
        raise DataError(f"{key}: there is no folder {path!r} (looked in {folder.absolute()}).")
    if not folder.is_dir():
        raise DataError(f"{key}: {path!r} is a file; a folder is wanted.")
    if not any(folder.iterdir()):
        raise DataError(f"{key}: the folder {path!r} is empty.")
    return folder
