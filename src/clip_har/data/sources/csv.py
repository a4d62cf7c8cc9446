"""A table of labels beside a folder of pictures: Kaggle's layout.

path/Training_set.csv     filename,label
path/train/Image_1.jpg
path/test/                pictures without labels, if there are any
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import Field

from clip_har.data.sources.base import IMAGE_SUFFIXES, DataSource, SourceConfig, SourceRecord, require_folder
from clip_har.errors import DataError, did_you_mean


class CsvSourceConfig(SourceConfig):
    """A CSV with a file name and a label in each row, beside a folder of pictures."""

    source: Literal["csv"] = "csv"
    path: str = Field(description="Folder that holds the table and the pictures.")
    labels_file: str = Field("Training_set.csv", description="The table, relative to `path`.")
    images_folder: str = Field("train", description="Folder of the pictures, relative to `path`.")
    test_folder: str | None = Field(
        "test",
        description="Folder of pictures without labels, relative to `path`: none of them should be among the labelled. "
        "Nothing where it is not there.",
    )
    filename_column: str = Field("filename", description="Column with the picture's file name.")
    label_column: str = Field("label", description="Column with its class.")


class CsvSource(DataSource):
    """Labels from a table. File names may carry folders, also in Windows' form (`train\\Image_1.jpg`)."""

    Config = CsvSourceConfig
    config: CsvSourceConfig

    @cached_property
    def root(self) -> Path:
        return Path(self.config.path) / self.config.images_folder

    @property
    def data_folder(self) -> Path:
        return Path(self.config.path)

    def unlabelled_files(self) -> list[Path]:
        if self.config.test_folder is None:
            return []
        folder = Path(self.config.path) / self.config.test_folder
        return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)

    @property
    def _table(self) -> Path:
        return Path(self.config.path) / self.config.labels_file

    def check(self) -> None:
        folder = require_folder(self.config.path, "data.path")
        if not self._table.is_file():
            known = [path.name for path in folder.glob("*.csv")]
            raise DataError(
                f"data.labels_file: there is no {self.config.labels_file!r} in {self.config.path!r}. "
                f"CSV files there: {', '.join(sorted(known)) or 'none'} (for a folder a class: data.source=folder)."
            )
        if not self.root.is_dir():
            known = [path.name for path in folder.iterdir() if path.is_dir()]
            raise DataError(
                f"data.images_folder: there is no folder {self.config.images_folder!r} in {self.config.path!r}. "
                f"{did_you_mean(self.config.images_folder, known)}"
            )
        self._header()

    def _header(self) -> list[str]:
        with self._open() as file:
            header = next(csv.reader(file, self._dialect()), None)
        if not header:
            raise DataError(f"{self._table} is empty; a header with the column names is wanted in its first line.")
        header = [name.strip() for name in header]
        for key in ("filename_column", "label_column"):
            wanted = getattr(self.config, key)
            if wanted not in header:
                raise DataError(
                    f"data.{key}: {self._table} has no column {wanted!r}. {did_you_mean(wanted, header, limit=10)}"
                )
        return header

    def _open(self):
        return open(self._table, encoding="utf-8-sig", errors="replace", newline="")

    def _dialect(self) -> type[csv.Dialect]:
        class Dialect(csv.excel):
            delimiter = ","

        with self._open() as file:
            first = file.readline()
        Dialect.delimiter = max(",;\t", key=first.count) if first.strip() else ","
        return Dialect

    def records(self) -> list[SourceRecord]:
        self.check()
        header = self._header()
        name_at, label_at = header.index(self.config.filename_column), header.index(self.config.label_column)
        records = []
        with self._open() as file:
            reader = csv.reader(file, self._dialect())
            next(reader)
            for row in self._rows(reader):
                if not any(cell.strip() for cell in row):
                    continue
                name = row[name_at].strip() if name_at < len(row) else ""
                label = row[label_at].strip() if label_at < len(row) else ""
                records.append(self._record(name, label or None, reader.line_num))
        if not records:
            raise DataError(f"{self._table} has a header but no rows.")
        return records

    def _rows(self, reader: Any) -> Iterator[list[str]]:
        try:
            yield from reader
        except csv.Error as error:
            raise DataError(
                f"{self._table}, line {reader.line_num}: {error}. Is there a quote that is opened and never closed?"
            ) from error

    def _record(self, name: str, label: str | None, line: int) -> SourceRecord:
        where = f"line {line} of {self._table.name}"
        if not name:
            return SourceRecord("", label, ("missing_file", f"{where} names no file"))
        path = PurePosixPath(name.replace("\\", "/"))
        if ".." in path.parts:
            return SourceRecord(name, label, ("outside_data_folder", f"{where} leaves the folder with '..'"))
        found = self._find(path)
        if found is None and (path.is_absolute() or PureWindowsPath(name).is_absolute()):
            detail = f"{where} names an absolute path, and no file of that name is in the folder"
            return SourceRecord(name, label, ("outside_data_folder", detail))
        if found is None:
            return SourceRecord(name, label, ("missing_file", f"{where} names a file that is not there"))
        if label is None:
            return SourceRecord(found, label, ("missing_label", f"{where} has no label"))
        return SourceRecord(found, label)

    def _find(self, path: PurePosixPath) -> str | None:
        """The picture's uri: as named, without the leading pictures' folder, or (absolute or foreign) by its name."""
        candidates = [path]
        if path.parts and path.parts[0] == self.config.images_folder:
            candidates.append(path.relative_to(path.parts[0]))
        root = PurePosixPath(self.root.absolute().as_posix())
        if path.is_relative_to(root):
            candidates.append(path.relative_to(root))
        candidates.append(PurePosixPath(path.name))
        for candidate in candidates:
            if not candidate.is_absolute() and candidate.name and _is_file(self.root / candidate):
                return candidate.as_posix()
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have, such as one that is too long
        return False
