"""Reports of validation, as a queue gets them, and files to go with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clip_har.data.validation import REJECTION_COLUMNS, ValidationReport
from clip_har.hashing import sha256_bytes

Row = tuple[str, str, str, str, str]


def rejected(root: Path, uri: str, reason: str, data: bytes | None, label: str = "running", detail: str = "") -> Row:
    """A rejected file with these bytes below `root` (none if None), and its row of a report."""
    if data is not None:
        (root / uri).parent.mkdir(parents=True, exist_ok=True)
        (root / uri).write_bytes(data)
    return uri, label, reason, detail or f"{reason}!", sha256_bytes(data) if data else ""


def report_of(rows: Sequence[Row], accepted: int = 5) -> ValidationReport:
    """A report with these rejections."""
    frame = pd.DataFrame(list(rows), columns=list(REJECTION_COLUMNS))
    return ValidationReport(accepted + len(rows), accepted, frame)
