"""ZenML's database in the workspace: there whole, or made anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clip_har.storage import exclusive, write_atomic

FOLDER = "zenml"
_MADE = "made"
_DATABASE = Path("local_stores") / "default_zen_store" / "zenml.db"


@contextmanager
def prepared_store(workspace: str | Path) -> Iterator[None]:
    """A block in which ZenML's client is asked first; when it ends, ZenML's database in the workspace is there whole.

    ZenML makes it in several steps and cannot finish one that was killed between them: such a database, which holds no
    run yet, is thrown away before the block. Other processes wait meanwhile.

    Raises:
        DataError: if another process has been making it for ten minutes.
    """
    folder = Path(workspace).absolute() / FOLDER
    if os.environ.get("ZENML_CONFIG_PATH") != str(folder) or (folder / _MADE).is_file():
        yield  # a place of the user's own, or nothing to make
        return
    with exclusive(folder.with_name(f".{FOLDER}.lock")):
        if not (folder / _MADE).is_file() and not _has_runs(folder / _DATABASE):
            shutil.rmtree(folder, ignore_errors=True)
        yield
        write_atomic(folder / _MADE, "")


def _has_runs(database: Path) -> bool:
    """Whether a pipeline has run on a database, which then was whole; also of one that does not say."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM pipeline_run)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return "no such table" not in str(error)
