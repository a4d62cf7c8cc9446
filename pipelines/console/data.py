"""The end of `data`, and a line about data that were made on the way to something else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipelines.console.ending import RUN, show_next, typed, workspace_option


def show_data_first(folder: Path) -> None:
    """A line about a version of the data that was made on the way to something else."""
    data = json.loads((folder / "metrics.json").read_text())["data"]
    kept_out = f"; {data['rejected']:,} kept out ({typed('clip-har')} quarantine show)" if data["rejected"] else ""
    print(f"  {data['accepted']:,} of {data['found']:,} photographs accepted{kept_out}", file=sys.stderr, flush=True)


def show_data(
    console: Any, folder: Path, record: dict[str, Any], metrics: dict[str, Any], seconds: float, settings: str
) -> None:
    """The end of `data`: what was found and kept out, the version, and what to do about rejected samples."""
    from rich.table import Table

    found, version = metrics["data"], record["version"]
    table = Table(title="Kept out, or kept with a warning", title_justify="left", title_style="bold")
    for column in ("reason", "rejected", "warnings"):
        table.add_column(column, justify="left" if column == "reason" else "right")
    rejected, warned = found["rejected_by_reason"], found["warned_by_reason"]
    for reason in {**rejected, **warned}:
        table.add_row(reason, *(str(counts.get(reason, "")) for counts in (rejected, warned)))
    if table.row_count:
        console.print(table)
    console.print(
        f"\n{found['accepted']:,} of {found['found']:,} photographs accepted, {found['exact_duplicate_groups']} groups of "
        f"equal files, {found['near_duplicate_pairs']} near-duplicate pairs; the run took {seconds:.0f} s.",
        highlight=False,
    )
    named = f" ({', '.join(version['tags'])})" if version["tags"] else ""
    workspace = workspace_option(record)
    console.print(f"  version {version['git_revision'][:12]}{named}", highlight=False, soft_wrap=True)
    show_next(
        console,
        folder,
        None,
        (f"{typed('clip-har')} quarantine show{workspace}", "look at what was kept out"),
        (f"{RUN} train{settings}", "train on these photographs"),
        (f"{typed('clip-har')} data list{workspace}", "see all versions"),
    )
