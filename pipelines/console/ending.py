"""What every pipeline's end has: where things are, and what to type next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml


def typed(name: str) -> str:
    """A command of this environment as it can be typed here."""
    place = Path(sys.executable).parent / name
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else name


def viewer() -> str:
    """What opens a page here."""
    return "open" if sys.platform == "darwin" else "xdg-open"


RUN = f"{typed('python')} run.py --pipeline"


def relative(path: str) -> Path:
    """A path as it can be typed here."""
    return Path(path).relative_to(Path.cwd()) if Path(path).is_relative_to(Path.cwd()) else Path(path)


def workspace_option(record: dict[str, Any]) -> str:
    """` --workspace FOLDER` for the run's workspace; nothing for the default one."""
    workspace = yaml.safe_load(record["settings"])["workspace"]["path"]
    return "" if workspace == "workspace" else f" --workspace {shlex.quote(workspace)}"


def place_of(folder: Path) -> Path:
    """The run's folder as it is typed: by its short name if it is the newest."""
    return Path("outputs/latest") if Path("outputs/latest").resolve() == folder.resolve() else folder


def show_next(console: Any, folder: Path, made: str | None, *commands: tuple[str, str]) -> None:
    """Where the run's report is, and commands with what each is for.

    Args:
        made: the part of the folder that was made for others (`bundle`).
    """
    if made is not None:
        console.print(f"  {made}  {folder / made}", highlight=False, soft_wrap=True)
    console.print(f"  report  {folder / 'report.html'}", highlight=False, soft_wrap=True)
    from rich.markup import escape  # `[lora]` in a command is no markup

    console.print("\nNext:", highlight=False)
    for command, purpose in ((f"{viewer()} {place_of(folder) / 'report.html'}", "look at the report"), *commands):
        console.print(f"  {escape(command)}  [dim]# {purpose}[/dim]", highlight=False, soft_wrap=True)


def percent(estimate: dict[str, float]) -> str:
    """Of an estimate: 71.3 %."""
    return f"{100 * estimate['value']:.1f} %"


def interval(estimate: dict[str, float]) -> str:
    """Its 95 % interval: 68.1 to 74.5."""
    return f"{100 * estimate['low']:.1f} to {100 * estimate['high']:.1f}"
