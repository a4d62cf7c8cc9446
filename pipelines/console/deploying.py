"""The end of `deploy` and `rollback`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pipelines.console.ending import RUN, place_of, relative, show_next, typed, workspace_option


def show_exports(console: Any, folder: Path, record: dict[str, Any], seconds: float, settings: str) -> None:
    """The end of `deploy`: the verdict on each form, what runs fastest here, and how to use the bundle."""
    from rich.table import Table

    from clip_har.export.report import ExportReport

    report = ExportReport.model_validate_json((folder / "export_report.json").read_text(encoding="utf-8"))
    shown = ("Lowest cosine", "Mean cosine", "Same best label", "Change in accuracy")
    heading = f"Forms beside PyTorch, on {report.samples} photographs of the {report.split} split"
    table = Table(title=heading, title_justify="left", title_style="bold")
    for column in ("form", *(name.lower() for name in shown), "verdict"):
        table.add_column(column, justify="left" if column in ("form", "verdict") else "right")
    for row in report.forms:
        checks = {check.name: check.text(check.figure) for check in row.checks}
        verdict = "[green]kept[/green]" if row.accepted else "[red]kept out[/red]"
        alone = " for batch 1" if row.accepted and row.form.single_only else ""
        table.add_row(row.form.name, *(checks.get(name, "") for name in shown), verdict + alone)
    console.print(table)
    for row in report.forms:
        for reason in row.reasons:
            console.print(f"  {row.form.name}: {reason}", highlight=False, soft_wrap=True, markup=False)
    for row in report.not_made:
        what = "not made" if row.file is None else "made, but not measured here, and so kept out"
        text = f"  {row.exporter} of the {row.encoder} encoder: {what}: {row.reason}"
        console.print(text, highlight=False, soft_wrap=True, markup=False, style="dim")
    fastest = record["latency"]["rows"][0]
    console.print(
        f"\n{report.decision} The fastest runtime here is [bold]{fastest['runtime']}[/bold]: {fastest['median']:.1f} ms a "
        f"picture; the run took {seconds:.0f} s.",
        highlight=False,
    )
    if (folder / "promotion_report.json").is_file():
        show_promotion(console, folder)
    report_page = place_of(folder) / "export_report.html"
    console.print(f"  report  {report_page}", highlight=False, soft_wrap=True, markup=False)
    served = _show_bento(console, record["bento"]) if record.get("bento") else ()
    named = f" --set bundle={place_of(folder) / 'bundle'}" if "bundle=" in settings else ""
    runtime = f" --set evaluation.runtime={fastest['runtime']}" if fastest["runtime"] != "torch" else ""
    show_next(
        console,
        folder,
        "bundle",
        *served,
        (f"{RUN} evaluate{settings}{named}{runtime}", "measure what runs fastest here, on the test split"),
        (f"{RUN} deploy{settings} --dry-run", "see everything that can be set"),
    )


def _show_bento(console: Any, bento: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The Bento of `deploy`; the commands that serve it."""
    was = "" if bento["built"] else ", as it was"
    text = f"  bento  {bento['tag']} ({bento['bytes'] / 1e6:,.1f} MB{was}), in {relative(bento['store'])}"
    console.print(text, highlight=False, soft_wrap=True, markup=False)
    home = shlex.quote(str(relative(bento["store"])))
    workspace = relative(str(Path(bento["store"]).parent))
    named = "" if str(workspace) == "workspace" else f" WORKSPACE={shlex.quote(str(workspace))}"
    return (
        (f"BENTOML_HOME={home} {typed('bentoml')} serve {bento['tag']}", "serve this Bento"),
        (f"make serve{named}", "serve the champion, and follow it"),
    )


def show_promotion(console: Any, folder: Path) -> None:
    """The decision of `deploy` and its reasons."""
    from clip_har.registry.report import PromotionReport

    report = PromotionReport.model_validate_json((folder / "promotion_report.json").read_text(encoding="utf-8"))
    colour = "green" if report.outcome == "promoted" else "yellow"
    console.print(f"\n[{colour}]{report.outcome}[/{colour}]  ", end="", highlight=False)
    for line in (report.decision, *(f"  {said}" for said in (*report.reasons, *report.notes, *report.mirrors))):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"  why  {place_of(folder) / 'promotion.html'}", highlight=False, soft_wrap=True, markup=False)


def show_rollback(console: Any, folder: Path, record: dict[str, Any], seconds: float) -> None:
    """The end of `rollback`: which version is the champion again."""
    decision = record["decision"]
    console.print(
        f"\n{record['method']} ({decision['champion'][:12]}) is the champion again, instead of "
        f"{decision['replaced'][:12]}; the run took {seconds:.0f} s.",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    for problem in record["mirrors"]:
        console.print(f"  {problem}", highlight=False, soft_wrap=True, markup=False)
    listed = f"{typed('clip-har')} registry list{workspace_option(record)}"
    show_next(console, folder, None, (listed, "see all versions"))
