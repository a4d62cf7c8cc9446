"""From the parts of a finished job to what people read: one table, or parts where they were wanted, and the summary."""

from __future__ import annotations

from pathlib import Path

from clip_har.batch.config import BatchConfig
from clip_har.batch.job import FinishedJob
from clip_har.batch.parts import PartStore
from clip_har.batch.sources import build_batch_source
from clip_har.batch.summary import Summary, fetch_thumbnails, summarise
from clip_har.batch.table import write_table
from clip_har.errors import DataError
from clip_har.hashing import sha256_json
from clip_har.progress import progress

_TABLE = "predictions"


def summary_of(job: FinishedJob, config: BatchConfig) -> Summary:
    """Counts, and the rows to look at with their pictures.

    Raises:
        DataError: if another job has taken the place of this one's parts.
    """
    store = _store(job)
    source = build_batch_source(config.named_source, config.limits)
    summary = summarise(store.tables(), config.summary, in_order=not source.random_access)
    with progress("fetching pictures for the summary"):
        fetch_thumbnails(summary, source)
    return summary


def write_result(job: FinishedJob, config: BatchConfig, folder: Path) -> Path:
    """The whole table as one file in a folder, a part held at a time."""
    store, target = _store(job), folder / f"{_TABLE}.{config.format}"
    with open(target, "wb") as file:
        write_table(store.tables(), file, config.format)
    return target


def finish(job: FinishedJob, config: BatchConfig) -> None:
    """Leave the parts where they were wanted, in the wanted format; otherwise remove them."""
    store = _store(job)
    if config.output is None:
        store.clear()
    elif config.format != "parquet":
        store.convert(config.format)


def _store(job: FinishedJob) -> PartStore:
    store = PartStore(job.url)
    there = dict(store.manifest() or {})
    there.pop("runtime", None)
    if sha256_json(there) != job.identity:
        raise DataError(f"Another batch job took the place of this one in {job.url}. Run this one again, alone.")
    return store
