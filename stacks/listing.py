"""All stacks as a table: their components, and whether each can be reached from here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stacks.reachability import Component, StackReport, look_at
from stacks.register import known_stacks

_COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}
_WORDS = {"yes": "reachable", "no": "not reachable", "unknown": "not known"}


def show_stacks(workspace: str | Path) -> None:
    """Print the table.

    Args:
        workspace: the folder that the stacks' files call CLIP_HAR_WORKSPACE.

    Raises:
        ConfigError: if a stack's file cannot be used.
    """
    reports = look_at(known_stacks(), {**os.environ, "CLIP_HAR_WORKSPACE": str(Path(workspace).absolute())})
    from rich.console import Console

    console = Console()
    console.print(_table(reports))
    for report in reports:
        if report.missing:
            names = ", ".join(report.missing)
            console.print(
                f"  {report.name} needs in the environment: {names}", highlight=False, soft_wrap=True, markup=False
            )
    console.print(
        "\nRun on one with: python run.py --pipeline NAME --stack STACK (docs/stacks.md).",
        highlight=False,
        soft_wrap=True,
    )


def _table(reports: Sequence[StackReport]):
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Stacks", title_justify="left", title_style="bold")
    for column in ("stack", "component", "flavor", "reachable", "what was found"):
        table.add_column(column, overflow="fold")
    for report in reports:
        for number, part in enumerate(report.components):
            state = part.reachability.state
            table.add_row(
                Text(report.name, style="bold" if report.usable else "dim") if number == 0 else "",
                part.kind.replace("_", " "),
                part.flavor,
                Text(_WORDS[state], style=_COLOURS[state]),
                Text(_note(part, report)),
                end_section=number == len(report.components) - 1,
            )
    return table


def _note(part: Component, report: StackReport) -> str:
    """What was found; in a stack that misses variables, what is without a value says so itself."""
    unset = report.missing and part.reachability.note.startswith("no ") and part.reachability.state == "no"
    return f"{part.reachability.note}: a variable is not set" if unset else part.reachability.note
