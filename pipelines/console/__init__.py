"""What a person sees of a run: a line a step while it works, and a table at its end."""

from __future__ import annotations

import json
from pathlib import Path

from clip_har.runs import read_record
from pipelines.console.batch import show_batch
from pipelines.console.data import show_data, show_data_first
from pipelines.console.deploying import show_exports, show_rollback
from pipelines.console.monitoring import show_drift, show_retraining
from pipelines.console.sharing import show_hub
from pipelines.console.step_lines import quieten
from pipelines.console.training import show_backbone, show_measured

__all__ = [
    "quieten",
    "show_data_first",
    "show_elsewhere",
    "show_result",
    "show_retraining",
    "show_tracking",
]


def show_result(folder: Path, seconds: float, settings: str) -> None:
    """The table at the end of a run, where things are, and what to type next.

    Args:
        settings: the options that the run's configuration came from, to be typed again.
    """
    from rich.console import Console

    console = Console()
    record, metrics = read_record(folder), json.loads((folder / "metrics.json").read_text())
    if (folder / "backbone").is_dir():
        show_backbone(console, folder, metrics, seconds)
        return
    if (folder / "version.json").is_file():
        show_data(console, folder, record, metrics, seconds, settings)
        return
    if (folder / "hub.json").is_file():
        show_hub(console, folder, record["hub"], seconds, settings)
        return
    if "batch" in record:
        show_batch(console, folder, record, metrics["batch"], seconds, settings)
        return
    if "monitor" in record:
        show_drift(console, folder, record, seconds, settings)
        return
    if "decision" in record:
        show_rollback(console, folder, record, seconds)
        return
    if (folder / "export_report.json").is_file():
        show_exports(console, folder, record, seconds, settings)
        return
    show_measured(console, folder, record, metrics, seconds, settings)


def show_elsewhere(folder: Path, stack: str) -> None:
    """The end of a run whose steps wrote where this machine does not see it."""
    print(f"The run has ended. The stack {stack} published it in {folder}, which this machine does not have.")


def show_tracking(links: dict[str, dict[str, str]]) -> None:
    """Where the trackers show the runs of a command: name of a run → tracker → link."""
    from rich.console import Console

    console = Console()
    for number, name in enumerate(links):
        if links[name]:
            console.print(f"{'' if number else chr(10)}Recorded as {name}:", highlight=False, markup=False)
        for tracker, link in links[name].items():
            console.print(f"  {tracker}  {link}", highlight=False, soft_wrap=True, markup=False)
