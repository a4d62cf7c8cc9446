"""Several sources as one: pictures of the model's data beside those that people labelled since.

data:
  source: combined
  parts:
    - {source: folder, path: photos}
    - {source: csv, path: workspace/labelling, labels_file: labels.csv, images_folder: images, test_folder: null}
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from clip_har.component import parse_tagged
from clip_har.data.sources import SOURCES, AnySourceConfig, build_source
from clip_har.data.sources.base import COMBINED, CURRENT, DataSource, Progress, SourceConfig, SourceRecord
from clip_har.errors import DataError
from clip_har.hashing import sha256_json


class CombinedSourceConfig(SourceConfig):
    """Data that come from several sources."""

    source: Literal["combined"] = "combined"
    parts: tuple[AnySourceConfig, ...] = Field(
        min_length=1,
        description="The sources, in order. Pictures of the first keep the uris that they have without the others.",
    )

    @field_validator("parts", mode="before")
    @classmethod
    def _named(cls, parts: Any) -> Any:
        """Each part's own mistakes, with its place."""
        if not isinstance(parts, list | tuple):
            return parts
        return [
            parse_tagged(SourceConfig, SOURCES, "source", part, f"data.parts.{number}")
            for number, part in enumerate(parts)
        ]

    @field_validator("parts")
    @classmethod
    def _plain(cls, parts: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        for number, part in enumerate(parts):
            if isinstance(part, CombinedSourceConfig):
                raise ValueError(f"part {number + 1} is a combination itself: name its parts here instead")
            if part.version != CURRENT:
                raise ValueError(f"part {number + 1} names a version; data.version is that of all parts together")
        return parts

    @model_validator(mode="after")
    def _one_list_of_labels(self) -> CombinedSourceConfig:
        for number, part in enumerate(self.parts):
            if part.labels is not None:
                raise ValueError(f"part {number + 1} names labels; data.labels are those of all parts together")
        return self

    @classmethod
    def of(cls, base: SourceConfig, part: SourceConfig, labels: Iterable[str] = ()) -> CombinedSourceConfig:
        """A source with one more part; nothing is added where it has that part already.

        Args:
            labels: classes that come with the part, where `base` names its classes.
        """
        parts = base.parts if isinstance(base, CombinedSourceConfig) else (_bare(base),)
        part = _bare(part)
        named = None if base.labels is None else tuple(dict.fromkeys((*base.labels, *labels)))
        return cls(parts=parts if part in parts else (*parts, part), labels=named, version=base.version)


class CombinedSource(DataSource):
    """A folder of links to what the parts have: the first part's as it is named there, that of the others below `part-2/`, `part-3/` …

    So a uri names one picture of one part, and data that a part is added to keep their uris, and what people decided by them.
    The links are made anew where they differ; nothing is copied, and no part is written to.
    """

    Config = CombinedSourceConfig
    config: CombinedSourceConfig

    @cached_property
    def parts(self) -> tuple[DataSource, ...]:
        """The sources."""
        return tuple(build_source(part, str(self.workspace)) for part in self.config.parts)

    @cached_property
    def root(self) -> Path:
        key = sha256_json([part.content() for part in self.config.parts])[:16]
        return self.workspace / COMBINED / key

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for part in self.parts for kind in part.kinds)

    @property
    def data_folders(self) -> tuple[Path, ...]:
        return tuple(folder for part in self.parts for folder in (*part.data_folders, part.root))

    def part_of(self, uri: str) -> tuple[DataSource, str]:
        for number, part in enumerate(self.parts[1:], start=2):
            if uri.startswith(f"{_name(number)}/"):
                return part, uri.removeprefix(f"{_name(number)}/")
        return self.parts[0], uri

    def check(self) -> None:
        for number, part in enumerate(self.parts, start=1):
            try:
                part.check()
            except DataError as error:
                raise DataError(f"data.parts, part {number} ({part.config.source}): {error}") from error

    def prepare(self, progress: Progress | None = None) -> None:
        for part in self.parts:
            part.prepare(progress)
        self._link()

    def records(self) -> list[SourceRecord]:
        records = list(self.parts[0].records())
        for number, part in enumerate(self.parts[1:], start=2):
            records += [
                SourceRecord(f"{_name(number)}/{one.uri}" if one.uri else "", one.label, one.problem)
                for one in part.records()
            ]
        self._link()
        return records

    def unlabelled_files(self) -> list[Path]:
        found = []
        for part in self.parts:
            files = part.unlabelled_files()
            listed = {os.path.normpath(part.root / record.uri) for record in part.records()} if files else set()
            found += [path for path in files if os.path.normpath(path) not in listed]
        return found

    def _link(self) -> None:
        """Bring the folder of links in line. Processes that do so at once do the same."""
        first = self.parts[0].root
        wanted = {entry.name: Path(entry.path) for entry in os.scandir(first)} if first.is_dir() else {}
        for number, part in enumerate(self.parts[1:], start=2):
            if _name(number) in wanted:
                raise DataError(
                    f"data.parts: {first / _name(number)} has the name that stands for part {number} here. Rename it."
                )
            wanted[_name(number)] = part.root
        self.root.mkdir(parents=True, exist_ok=True)
        there = {entry.name: entry for entry in os.scandir(self.root)}
        for name in there.keys() - wanted.keys():
            with suppress(FileNotFoundError):
                os.unlink(there[name].path)
        for name, place in wanted.items():
            target = os.path.abspath(place)
            if name in there and os.path.islink(there[name].path) and os.readlink(there[name].path) == target:
                continue
            _point(self.root / name, target)


def _bare(part: SourceConfig) -> SourceConfig:
    """A part's own settings: without labels and version, which are those of the whole."""
    return part.model_copy(update={"labels": None, "version": CURRENT})


def _name(number: int) -> str:
    return f"part-{number}"


def _point(link: Path, target: str) -> None:
    partial = link.with_name(f".link-{hashlib.sha256(os.urandom(16)).hexdigest()[:12]}")
    os.symlink(target, partial)
    os.replace(partial, link)
