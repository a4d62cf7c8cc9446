"""A Parquet table with a column of images, as the Hugging Face Hub keeps data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from clip_har.batch.sources.base import (
    BatchSource,
    BatchSourceConfig,
    BytesInFlight,
    Fingerprint,
    Item,
    failing,
    stamp_of,
)
from clip_har.data.sources.base import printable
from clip_har.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ROWS_READ = 16
_BUFFER = 1 << 20


class ParquetSourceConfig(BatchSourceConfig):
    """A Parquet file of pictures."""

    kind: Literal["parquet"] = "parquet"
    image: str | None = Field(
        None,
        description="Column of the images, bytes or {bytes, path}; the first such column if not given.",
    )
    id: str | None = Field(None, description="Column that names each; their paths or row numbers if not given.")


class ParquetSource(BatchSource):
    """The images of a Parquet file, row by row. A row without an image is a row of the result too."""

    Config = ParquetSourceConfig
    config: ParquetSourceConfig

    def check(self) -> None:
        self.require_file()
        with self._open() as table:
            self._columns(table)

    def fingerprint(self) -> Fingerprint:
        with self._open() as table:
            count = table.metadata.num_rows
        return Fingerprint(hashlib.sha256(stamp_of(self.place).encode()).hexdigest(), count)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        flying = BytesInFlight()
        with self._open() as table:
            image, name = self._columns(table)
            groups, number = _groups_from(table, start)
            columns = [image, *([name] if name else [])]
            for batch in table.iter_batches(batch_size=_ROWS_READ, row_groups=groups, columns=columns):
                names = batch.column(name) if name else None
                for row, value in enumerate(batch.column(image)):
                    if stop is not None and number >= stop:
                        return
                    if number >= start:
                        given = None if names is None else names[row].as_py()
                        yield self._item(value.as_py(), given, number, flying)
                    number += 1

    def _item(self, value: Any, given: Any, number: int, flying: BytesInFlight) -> Item:
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        named = next((str(name) for name in (given, path) if name is not None), f"{self.config.path}#{number}")
        shown = printable(named)
        if data is None:
            return Item(shown, failing("missing_file", f"Row {number} of {self.config.path} has no bytes of an image."))
        return Item(shown, flying.hold(data))

    def _open(self) -> pq.ParquetFile:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.place, buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"batch.source: {self.config.path!r} is no Parquet file: {error}.") from error

    def _columns(self, table: pq.ParquetFile) -> tuple[str, str | None]:
        """Names of the columns of the images and of what names them."""
        schema = table.schema_arrow
        for key in ("image", "id"):
            wanted = getattr(self.config, key)
            if wanted is not None and wanted not in schema.names:
                raise ConfigError(
                    f"batch.source.{key}: there is no column {wanted!r}. {did_you_mean(wanted, schema.names)}"
                )
        image = self.config.image or next((field.name for field in schema if _holds_images(field.type)), None)
        if image is None or not _holds_images(schema.field(image).type):
            raise DataError(
                f"batch.source: {self.config.path} has no column of bytes, or of {{bytes, path}}, "
                f"{'by this name' if image else 'at all'}; its columns: {', '.join(schema.names)}."
            )
        return image, self.config.id


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_images(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _groups_from(table: pq.ParquetFile, start: int) -> tuple[list[int], int]:
    """Row groups from the one that has row `start` on, and the number of the first's first row."""
    first = 0
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if start < first + rows:
            return list(range(group, table.num_row_groups)), first
        first += rows
    return [], first
