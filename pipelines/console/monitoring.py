"""The end of `monitor`: the checks, the decision, and what came of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from clip_har.monitoring.alerts import Outcome
from clip_har.monitoring.history import Retraining
from clip_har.monitoring.report import CheckResult, DriftReport
from pipelines.console.ending import RUN, relative, show_next, typed, viewer

_COLOURS = {"ok": "green", "watch": "yellow", "retrain": "red"}
_VERDICTS = {"ok": "[green]ok[/green]", "drift": "[red]drift[/red]", "not checked": "[dim]not checked[/dim]"}


def show_drift(console: Any, folder: Path, record: dict[str, Any], seconds: float, settings: str) -> None:
    """A row a check, what changed, the decision with its reasons, and what to do next."""
    from rich.table import Table

    report = DriftReport.model_validate_json((folder / "drift_report.json").read_text(encoding="utf-8"))
    window = report.window
    heading = f"{window.pictures:,} pictures ({window.source}) beside {report.reference_pictures:,} of the reference"
    table = Table(title=heading, title_justify="left", title_style="bold")
    for column in ("check", "statistic", "threshold", "reference", "window", "verdict"):
        table.add_column(column, justify="left" if column in ("check", "verdict") else "right")
    for check in report.checks:
        figures = (_number(check.statistic), _number(check.threshold), *_beside(check))
        table.add_row(check.title, *figures, _VERDICTS[check.verdict])
    console.print(table)
    for sentence in report.said:
        console.print(f"  {sentence}", highlight=False, soft_wrap=True, markup=False)
    for line in _accuracy(report):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    decided = report.decided
    assert decided is not None, "publishing follows the decision"
    before = f" (before: {decided.before})" if decided.before else ""
    colour = _COLOURS[decided.state]
    console.print(f"\n[{colour}]{decided.state}[/{colour}]{before}  ", end="", highlight=False)
    console.print(" ".join(decided.reasons), highlight=False, soft_wrap=True, markup=False)
    monitor = record["monitor"]
    for sentence in (*monitor["labels"]["said"], *_told(monitor["alert"])):
        console.print(f"  {sentence}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"The run took {seconds:.0f} s.", highlight=False)
    show_next(console, folder, None, *_next(folder, record, report, settings))


def show_retraining(retraining: Retraining, alerted: Outcome | None) -> None:
    """What came of training again."""
    from rich.console import Console

    console = Console()
    colour = {"promoted": "green", "failed": "red"}.get(retraining.outcome, "yellow")
    console.print(f"\n[{colour}]retraining: {retraining.outcome}[/{colour}]", highlight=False)
    told = () if alerted is None else _told(alerted.model_dump())
    for sentence in (*retraining.said, *told):
        console.print(f"  {sentence}", highlight=False, soft_wrap=True, markup=False)
    for pipeline, run in retraining.runs.items():
        console.print(f"  {pipeline:7} {run}", highlight=False, soft_wrap=True, markup=False)


def _next(folder: Path, record: dict[str, Any], report: DriftReport, settings: str) -> list[tuple[str, str]]:
    """What is typed next, with what for."""
    decided, labels = report.decided, record["monitor"]["labels"]
    commands = []
    if labels["sheet"]:
        sheet = shlex.quote(str(relative(labels["sheet"]) / "sheet.html"))
        commands.append((f"{viewer()} {sheet}", "look at the pictures to label"))
    if decided is not None and decided.state == "retrain":
        commands.append(
            (f"{RUN} monitor{settings} --set monitor.retrain=always", "train again, whatever labels there are")
        )
    evidently = record["monitor"].get("evidently")
    if evidently:
        commands.append(
            (f"{typed('evidently')} ui --workspace {shlex.quote(evidently)}", "Evidently's history of all runs")
        )
    commands.append((f"{RUN} monitor{settings} --dry-run", "see everything that can be set"))
    return commands


def _told(alert: dict[str, Any]) -> tuple[str, ...]:
    """An alert is worth a line if it was sent, or should have been."""
    return (alert["said"],) if alert["status"] in ("sent", "failed") else ()


def _accuracy(report: DriftReport) -> list[str]:
    accuracy = report.accuracy
    if accuracy is None:
        return []
    measured = f" of {accuracy.labelled} labelled pictures"
    rows = (("Estimated accuracy", accuracy.estimated, ""), ("Accuracy", accuracy.measured, measured))
    return [
        f"{name}{of}: {100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f}); of the reference "
        f"{100 * accuracy.reference.value:.1f} %."
        for name, value, of in rows
        if value is not None
    ]


def _beside(check: CheckResult) -> tuple[str, str]:
    """What is compared, in the reference and in the window."""
    if check.unit in ("share", "accuracy"):
        return tuple("" if value is None else f"{100 * value:.1f} %" for value in (check.reference, check.current))
    return _number(check.reference), _number(check.current)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
