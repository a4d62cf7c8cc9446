"""A table of pictures and captions: CSV or Parquet, a row for each caption.

image,caption
images/000001.jpg,a man reading a book
images/000001.jpg,someone reads on a bench
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from clip_har.data.pairs.base import ImageTextPairs, PairSource, PairSourceConfig, Progress
from clip_har.errors import DataError, did_you_mean

_SUFFIXES = (".csv", ".tsv", ".parquet")
_SHOWN = 3  # how many of the rows that cannot be used are named in a message


class PairTableConfig(PairSourceConfig):
    """A CSV or Parquet file with a picture and a caption in each row; a picture may have several rows."""

    source: Literal["table"] = "table"
    path: str = Field(description="The table (.csv, .tsv or .parquet); pictures are relative to its folder.")
    image_column: str = Field("image", description="Column with the picture's path.")
    caption_column: str = Field("caption", description="Column with its caption.")


class PairTable(PairSource):
    """Pairs of one's own. No path may leave the table's folder."""

    Config = PairTableConfig
    config: PairTableConfig

    def check(self) -> None:
        path = Path(self.config.path)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not there"
            raise DataError(
                f"pretraining.pairs.path: {self.config.path!r} is {what} (looked in {path.absolute()}); a .csv or "
                ".parquet file is wanted, with a row for each caption."
            )
        _check_columns(path, self.config.image_column, self.config.caption_column)

    def read(self, progress: Progress | None = None) -> ImageTextPairs:
        self.check()
        pairs = read_pairs(Path(self.config.path), self.config.image_column, self.config.caption_column)
        _check_held_out(pairs, self.config.held_out, self.config.path)
        return pairs


def read_pairs(path: Path, image_column: str, caption_column: str) -> ImageTextPairs:
    """Read a table of pairs; rows of the same picture are put together.

    Raises:
        DataError: if the table lacks a column, is empty, or a row has no caption or names a picture that is not there.
    """
    _check_columns(path, image_column, caption_column)
    captions: dict[str, list[str]] = {}
    problems: list[str] = []
    rows = 0
    for number, image, caption in _rows(path, image_column, caption_column):
        rows += 1
        uri = image.strip().replace("\\", "/")
        if uri not in captions:
            problem = _problem(path.parent, uri)
            if problem:
                problems.append(f"row {number}: {problem}")
                continue
        if not caption.strip():
            problems.append(f"row {number}: the caption is empty")
            continue
        said = captions.setdefault(uri, [])
        if caption.strip() not in said:
            said.append(caption.strip())
    if not rows:
        raise DataError(f"pretraining.pairs: {path} has a header but no rows.")
    if problems:
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"pretraining.pairs: {len(problems)} of {rows} rows of {path} cannot be used:\n  "
            + "\n  ".join(problems[:_SHOWN])
            + more
        )
    return ImageTextPairs(tuple(captions), tuple(map(tuple, captions.values())), path.parent)


def _problem(folder: Path, uri: str) -> str | None:
    path = PurePosixPath(uri)
    if not uri:
        return "no picture is named"
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", uri):
        return f"{uri!r} leaves the table's folder; a path below it is wanted"
    try:
        found = (folder / path).is_file()
    except OSError:  # a name that no file can have
        found = False
    return None if found else f"there is no file {uri!r} below {folder}"


def _check_held_out(pairs: ImageTextPairs, held_out: Iterable[str], path: str) -> None:
    for label in held_out:
        words = re.compile(
            rf"\b{re.sub(r'[_ -]+', '[ _-]+', re.escape(label).replace(chr(92) + '-', '-'))}\b", re.IGNORECASE
        )
        for uri, captions in zip(pairs.uris, pairs.captions, strict=True):
            telling = next((caption for caption in captions if words.search(caption)), None)
            if telling is not None:
                raise DataError(
                    f"pretraining.pairs.held_out: {label!r} is held out, but {path} tells of it: {telling!r} ({uri}). "
                    "Take such rows out, or the label off the list."
                )


def _check_columns(path: Path, *wanted: str) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"pretraining.pairs: {path} is no table that can be read; wanted: {', '.join(_SUFFIXES)}.")
    header = _parquet(path).schema_arrow.names if _is_parquet(path) else _header(path)
    for column in wanted:
        if column not in header:
            raise DataError(f"pretraining.pairs: {path} has no column {column!r}. {did_you_mean(column, header)}")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parquet(path: Path):
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"pretraining.pairs: {path} is not a readable Parquet file: {error}") from error


def _header(path: Path) -> list[str]:
    with _open(path) as file:
        header = next(csv.reader(file, delimiter=_delimiter(path)), None)
    if not header:
        raise DataError(f"pretraining.pairs: {path} is empty; a header with the column names is wanted.")
    return [name.strip() for name in header]


def _open(path: Path):
    return open(path, encoding="utf-8-sig", errors="replace", newline="")


def _delimiter(path: Path) -> str:
    with _open(path) as file:
        first = file.readline()
    return max(",;\t", key=first.count)


def _rows(path: Path, image_column: str, caption_column: str) -> Iterator[tuple[int, str, str]]:
    """(number of the row, from 1 without the header; picture; caption)."""
    if _is_parquet(path):
        number = 0
        for batch in _parquet(path).iter_batches(columns=[image_column, caption_column]):
            for image, caption in zip(
                *(batch[column].to_pylist() for column in (image_column, caption_column)), strict=True
            ):
                number += 1
                yield number, str(image or ""), str(caption or "")
        return
    header = _header(path)
    image_at, caption_at = header.index(image_column), header.index(caption_column)
    with _open(path) as file:
        reader = csv.reader(file, delimiter=_delimiter(path))
        next(reader)
        try:
            for number, row in enumerate((row for row in reader if any(cell.strip() for cell in row)), start=1):
                row += [""] * (max(image_at, caption_at) + 1 - len(row))
                yield number, row[image_at], row[caption_at]
        except csv.Error as error:
            raise DataError(f"pretraining.pairs: {path}, line {reader.line_num}: {error}.") from error
