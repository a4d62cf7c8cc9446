"""The end of `batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.console.ending import RUN, show_next

_LABELS_SHOWN = 20


def show_batch(
    console: Any, folder: Path, record: dict[str, Any], found: dict[str, Any], seconds: float, settings: str
) -> None:
    """The end of `batch`: how often each label was found, what could not be used, and where the table is."""
    from rich.table import Table

    table = Table(title="Best labels", title_justify="left", title_style="bold")
    for column in ("label", "images", "share"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for label, count in sorted(found["labels"].items(), key=lambda entry: (-entry[1], entry[0]))[:_LABELS_SHOWN]:
        table.add_row(label, f"{count:,}", f"{100 * count / found['answered']:.1f} %")
    if table.row_count:
        console.print(table)
    errors = ", ".join(f"{count:,} {reason}" for reason, count in found["errors"].items())
    console.print(
        f"\n{found['answered']:,} of {found['images']:,} images answered, {found['abstained']:,} of them abstained"
        f"{f'; not used: {errors}' if errors else ''}; the run took {seconds:.0f} s.",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    where = record["batch"]["table"]
    made = folder / where if (folder / where).is_file() else where
    console.print(f"  table   {made}", highlight=False, soft_wrap=True, markup=False)
    show_next(console, folder, None, (f"{RUN} batch{settings} --dry-run", "see everything that can be set"))
