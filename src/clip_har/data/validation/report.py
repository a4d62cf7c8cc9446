"""The report: accepted + rejected = found, always, with a reason for each rejection and each warning."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.component import Artifact
from clip_har.data.validation.config import REASONS
from clip_har.hashing import sha256_json
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    import pandas as pd

REJECTION_COLUMNS = ("uri", "label", "reason", "detail", "id")
WARNING_COLUMNS = REJECTION_COLUMNS
PAIR_COLUMNS = ("first", "second", "distance", "similarity")
_TABLES = ("rejections", "warnings", "near_duplicates")
_ROWS_SHOWN = 500


def table_of(rows: Iterable[tuple], columns: tuple[str, ...] = REJECTION_COLUMNS) -> pd.DataFrame:
    """A table with its rows sorted, so that the order of a listing or of threads changes nothing."""
    import pandas as pd

    return pd.DataFrame(sorted(rows), columns=list(columns))


@dataclass(frozen=True)
class ValidationReport(Artifact):
    """What validation found.

    Attributes:
        found, accepted: numbers of samples.
        rejections: a row a rejected sample with `REJECTION_COLUMNS`; id is the sha256 of its bytes where they could
            be read, else "".
        near_duplicates: a row a verified pair of accepted samples with `PAIR_COLUMNS` (first and second are uris).
        warnings: a row a warning with `WARNING_COLUMNS`, about an accepted sample, or (uri and id empty) a class.
    """

    found: int
    accepted: int
    rejections: pd.DataFrame
    near_duplicates: pd.DataFrame = field(default_factory=lambda: table_of((), PAIR_COLUMNS))
    warnings: pd.DataFrame = field(default_factory=lambda: table_of((), WARNING_COLUMNS))

    def __post_init__(self) -> None:
        if self.accepted + len(self.rejections) != self.found:
            raise AssertionError(
                f"{self.accepted} accepted + {len(self.rejections)} rejected samples are not {self.found} found"
            )

    @property
    def reasons(self) -> dict[str, int]:
        """Number of rejections by reason, the most frequent first."""
        return _by_reason(self.rejections)

    @property
    def warned_reasons(self) -> dict[str, int]:
        """Number of warnings by reason, the most frequent first."""
        return _by_reason(self.warnings)

    def summary(self) -> dict:
        """Counts as JSON."""
        return {
            "found": self.found,
            "accepted": self.accepted,
            "rejected": len(self.rejections),
            "rejected_by_reason": self.reasons,
            "warnings": len(self.warnings),
            "warned_by_reason": self.warned_reasons,
            "exact_duplicate_groups": self._groups("exact_duplicate"),
            "label_conflict_groups": self._groups("label_conflict"),
            "near_duplicate_pairs": len(self.near_duplicates),
        }

    def _groups(self, reason: str) -> int:
        return int(self.rejections["id"][self.rejections["reason"] == reason].nunique())

    def write(self, folder: str | Path) -> None:
        """Write `summary.json`, and each table as Parquet, into a folder."""
        folder = Path(folder)
        for name in _TABLES:
            buffer = io.BytesIO()
            getattr(self, name).to_parquet(buffer, index=False)
            write_atomic(folder / f"{name}.parquet", buffer.getvalue())
        write_json(folder / "summary.json", self.summary())

    @classmethod
    def read(cls, folder: str | Path) -> ValidationReport:
        """Read what `write` wrote."""
        import pandas as pd

        folder = Path(folder)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _TABLES}
        return cls(summary["found"], summary["accepted"], **tables)

    def to_html(self) -> str:
        """The report as a plain page: counts, reasons in words, and the samples, the first 500 of each table."""
        import pandas as pd

        counted = [
            (what, reason, number, REASONS.get(reason, ""))
            for what, reasons in (("rejected", self.reasons), ("warning", self.warned_reasons))
            for reason, number in reasons.items()
        ]
        tables = [
            ("Reasons", pd.DataFrame(counted, columns=["", "reason", "samples", "meaning"])),
            ("Rejected", self.rejections),
            ("Warnings (accepted)", self.warnings),
            ("Nearly the same picture (kept, in one split)", self.near_duplicates),
        ]
        parts = [f"<p>{self.found} found, {self.accepted} accepted, {len(self.rejections)} rejected.</p>"]
        for title, table in tables:
            if len(table):
                parts.append(f"<h3>{escape(title)}</h3>{table.head(_ROWS_SHOWN).to_html(index=False, border=0)}")
            if len(table) > _ROWS_SHOWN:
                parts.append(f"<p>… and {len(table) - _ROWS_SHOWN} more.</p>")
        return "\n".join(parts)

    @property
    def content_hash(self) -> str:
        """sha256 of all that the report says."""
        return sha256_json([self.summary(), *(getattr(self, name).to_numpy().tolist() for name in _TABLES)])


def _by_reason(table: pd.DataFrame) -> dict[str, int]:
    return dict(sorted(Counter(table["reason"]).items(), key=lambda item: (-item[1], item[0])))
