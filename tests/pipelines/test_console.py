"""What a pipeline prints at its end."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from pipelines.console.ending import show_next


def test_commands_are_printed_as_they_are_typed() -> None:
    shown = Console(file=io.StringIO(), width=40)
    command = "python run.py --pipeline train --set 'adaptation.methods=[lora]'"
    show_next(shown, Path("outputs/x"), None, (command, "again"))
    assert f"{command}  # again" in shown.file.getvalue()
