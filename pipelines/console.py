"""What a person sees of a run: a line a step while it works, and a table at its end."""

from __future__ import annotations

import json
import logging
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from clip_har.errors import ClipHarError
from clip_har.runs import read_record

_STARTED = re.compile(r"Step `?(\S+?)`? has started")
_FINISHED = re.compile(r"Step `?(\S+?)`? has finished in `?([^`]+?)`?\.$")
_LABELS_SHOWN = 20
_CACHED = re.compile(r"Using cached version of step `?(\S+?)`?\.$")


class StepLines(logging.Filter):
    """Turns ZenML's talk into a line a step; warnings pass, users' mistakes lose their traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], ClipHarError | KeyboardInterrupt):
            return False
        if not record.name.startswith("zenml"):
            return record.levelno >= logging.WARNING
        if not getattr(record, "_is_shown", False):  # ZenML has several handlers, and each asks
            record._is_shown = True
            self._show(record.getMessage())
        # what a step failed of is raised, and shown once, by run.py
        return record.levelno >= logging.ERROR and not record.getMessage().startswith("Failed to run step")

    def _show(self, text: str) -> None:
        if match := _CACHED.search(text):
            print(f"  = {match[1]} (cached)", file=sys.stderr, flush=True)
        elif match := _FINISHED.search(text):
            print(f"  ✓ {match[1]} ({match[2]})", file=sys.stderr, flush=True)
        elif match := _STARTED.search(text):
            print(f"  … {match[1]}", file=sys.stderr, flush=True)


def quieten() -> None:
    """Put the filter on every handler of the root logger; called after ZenML has set up its own."""
    logging.raiseExceptions = False  # a library's log file that cannot be written is no matter of the user's
    for handler in logging.getLogger().handlers:
        if not any(isinstance(present, StepLines) for present in handler.filters):
            handler.addFilter(StepLines())


def show_data_first(folder: Path) -> None:
    """A line about a version of the data that was made on the way to something else."""
    data = json.loads((folder / "metrics.json").read_text())["data"]
    kept_out = f"; {data['rejected']:,} kept out ({_command('clip-har')} quarantine show)" if data["rejected"] else ""
    print(f"  {data['accepted']:,} of {data['found']:,} photographs accepted{kept_out}", file=sys.stderr, flush=True)


def show_result(folder: Path, seconds: float, settings: str) -> None:
    """The table at the end of a run, where things are, and what to type next.

    Args:
        settings: the options that the run's configuration came from, to be typed again.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    record, metrics = read_record(folder), json.loads((folder / "metrics.json").read_text())
    if (folder / "backbone").is_dir():
        _show_backbone(console, folder, metrics, seconds)
        return
    if (folder / "version.json").is_file():
        _show_data(console, folder, record, metrics, seconds, settings)
        return
    if (folder / "hub.json").is_file():
        _show_hub(console, folder, record["hub"], seconds, settings)
        return
    if "batch" in record:
        _show_batch(console, folder, record, metrics["batch"], seconds, settings)
        return
    if "decision" in record:
        _show_rollback(console, folder, record, seconds)
        return
    if (folder / "export_report.json").is_file():
        _show_exports(console, folder, record, seconds, settings)
        return
    times = {step["name"]: step for step in record["steps"]}
    if record["leaderboard"]:
        table = Table(title="Methods on the validation split", title_justify="left", title_style="bold")
        for column in ("method", "accuracy", "95 % interval", "macro F1", "time"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for number, name in enumerate(record["leaderboard"]):
            row = metrics["validation"][name]
            step = times.get(f"adapt_{name}", {"seconds": 0.0, "status": ""})
            took = "cached" if step["status"] == "cached" else f"{step['seconds']:.1f} s"
            style = "bold" if number == 0 else None
            table.add_row(
                name,
                _percent(row["accuracy"]),
                _interval(row["accuracy"]),
                _percent(row["macro_f1"]),
                took,
                style=style,
            )
        console.print(table)
        if "open_vocabulary" in metrics:
            _show_other_labels(console, metrics["open_vocabulary"], record["leaderboard"])
    split, figures = _measured(metrics)
    console.print(
        f"\n[bold]{record['method']}[/bold] on {figures['samples']} photographs of the {split} split: "
        f"accuracy [bold]{_percent(figures['accuracy'])}[/bold] ({_interval(figures['accuracy'])}), "
        f"macro F1 {_percent(figures['macro_f1'])}; the run took {seconds:.0f} s."
    )
    _show_next(
        console,
        folder,
        "bundle",
        (f"{_RUN} evaluate{settings}", "measure the bundle again, or on other data"),
        (f"{_RUN} train{settings} --dry-run", "see everything that can be set"),
    )


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


def _show_other_labels(console: Any, figures: dict[str, Any], names: list[str]) -> None:
    """Base and novel accuracy of each method, in the leaderboard's order, below zero-shot's."""
    from rich.table import Table

    without = ", ".join(figures["novel_classes"])
    table = Table(
        title=f"Fitted without {without}, on the {figures['split']} split", title_justify="left", title_style="bold"
    )
    for column in ("method", "base", "novel", "harmonic mean", "other labels"):
        table.add_column(column, justify="left" if column in ("method", "other labels") else "right")
    rows = {name: figures["methods"][name] for name in names}
    for name, row in {"zero-shot, to compare with": figures["zero_shot"], **rows}.items():
        shares = [f"{100 * row[key]:.1f} %" for key in ("base", "novel", "harmonic_mean")]
        table.add_row(name, *shares, row.get("word", ""), style="dim" if "word" not in row else None)
    console.print(table)


def _show_exports(console: Any, folder: Path, record: dict[str, Any], seconds: float, settings: str) -> None:
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
        _show_promotion(console, folder)
    report_page = _shown(folder) / "export_report.html"
    console.print(f"  report  {report_page}", highlight=False, soft_wrap=True, markup=False)
    served = _show_bento(console, record["bento"]) if record.get("bento") else ()
    named = f" --set bundle={_shown(folder) / 'bundle'}" if "bundle=" in settings else ""
    runtime = f" --set evaluation.runtime={fastest['runtime']}" if fastest["runtime"] != "torch" else ""
    _show_next(
        console,
        folder,
        "bundle",
        *served,
        (f"{_RUN} evaluate{settings}{named}{runtime}", "measure what runs fastest here, on the test split"),
        (f"{_RUN} deploy{settings} --dry-run", "see everything that can be set"),
    )


def _show_bento(console: Any, bento: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The Bento of `deploy`; the commands that serve it."""
    was = "" if bento["built"] else ", as it was"
    text = f"  bento  {bento['tag']} ({bento['bytes'] / 1e6:,.1f} MB{was}), in {_relative(bento['store'])}"
    console.print(text, highlight=False, soft_wrap=True, markup=False)
    home = shlex.quote(str(_relative(bento["store"])))
    workspace = _relative(str(Path(bento["store"]).parent))
    named = "" if str(workspace) == "workspace" else f" WORKSPACE={shlex.quote(str(workspace))}"
    return (
        (f"BENTOML_HOME={home} {_command('bentoml')} serve {bento['tag']}", "serve this Bento"),
        (f"make serve{named}", "serve the champion, and follow it"),
    )


def _relative(path: str) -> Path:
    """A path as it can be typed here."""
    return Path(path).relative_to(Path.cwd()) if Path(path).is_relative_to(Path.cwd()) else Path(path)


def _show_promotion(console: Any, folder: Path) -> None:
    """The decision of `deploy` and its reasons."""
    from clip_har.registry.report import PromotionReport

    report = PromotionReport.model_validate_json((folder / "promotion_report.json").read_text(encoding="utf-8"))
    colour = "green" if report.outcome == "promoted" else "yellow"
    console.print(f"\n[{colour}]{report.outcome}[/{colour}]  ", end="", highlight=False)
    for line in (report.decision, *(f"  {said}" for said in (*report.reasons, *report.notes, *report.mirrors))):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"  why  {_shown(folder) / 'promotion.html'}", highlight=False, soft_wrap=True, markup=False)


def _show_rollback(console: Any, folder: Path, record: dict[str, Any], seconds: float) -> None:
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
    workspace = yaml.safe_load(record["settings"])["workspace"]["path"]
    named = "" if workspace == "workspace" else f" --workspace {shlex.quote(workspace)}"
    _show_next(console, folder, None, (f"{_command('clip-har')} registry list{named}", "see all versions"))


def _show_backbone(console: Any, folder: Path, metrics: dict[str, Any], seconds: float) -> None:
    """The end of a pretraining: zero-shot on seen and on unseen actions, and how to use the backbone."""
    from rich.table import Table

    titles = {"all": "all", "seen": "seen in pretraining", "unseen": "never seen"}
    table = Table(title="Zero-shot with the new backbone", title_justify="left", title_style="bold")
    for column in ("actions", "photographs", "chance", "accuracy among themselves", "95 % interval", "among all"):
        table.add_column(column, justify="left" if column == "actions" else "right")
    for name in (name for name in titles if name in metrics["zero_shot"]["groups"]):
        group = metrics["zero_shot"]["groups"][name]
        table.add_row(
            f"{titles[name]} ({group['classes']})",
            str(group["samples"]),
            f"{100 * group['chance']:.1f} %",
            _percent(group["among_themselves"]),
            _interval(group["among_themselves"]),
            _percent(group["among_all"]),
        )
    console.print(table)
    made = metrics["pretraining"]
    console.print(
        f"\n{made['steps']:,} steps over {made['trained_on']:,} pictures; retrieval among a batch's pictures "
        f"{100 * metrics['retrieval']['accuracy']:.1f} %; the run took {seconds:.0f} s.",
        highlight=False,
    )
    shown = _shown(folder)
    _show_next(
        console,
        folder,
        "backbone",
        (f"{_RUN} train --set model.backbone={shown / 'backbone'}", "adapt it to photographs"),
        (f"less {shown / 'backbone' / 'README.md'}", "read its model card"),
    )


def _show_data(
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
    path = yaml.safe_load(record["settings"])["workspace"]["path"]
    workspace = "" if path == "workspace" else f" --workspace {shlex.quote(path)}"
    console.print(f"  version {version['git_revision'][:12]}{named}", highlight=False, soft_wrap=True)
    _show_next(
        console,
        folder,
        None,
        (f"{_command('clip-har')} quarantine show{workspace}", "look at what was kept out"),
        (f"{_RUN} train{settings}", "train on these photographs"),
        (f"{_command('clip-har')} data list{workspace}", "see all versions"),
    )


def _show_hub(console: Any, folder: Path, sent: dict[str, Any], seconds: float, settings: str) -> None:
    """The end of `publish`: what is where now, and how to fetch it."""
    figures = json.loads((folder / "metrics.json").read_text())["hub"]
    size = f"{figures['files']} files ({figures['bytes'] / 1e6:,.1f} MB)"
    tags = f"tags {', '.join(sent['tags'])}"
    seen = "private" if sent["private"] else "public"
    if sent["dry_run"]:
        said = f"{size} would be sent to {sent['repository']} ({seen}; {tags}). Nothing was sent."
    else:
        said = f"{size} are at {sent['url']} ({seen}; {tags}), {len(sent['sent'])} of them sent now."
    console.print(f"\n{said} The run took {seconds:.0f} s.", highlight=False, soft_wrap=True)
    if sent["dry_run"]:
        next_step = (f"{_RUN} publish{settings} --set hub.dry_run=false", "send it")
    else:
        pull = f"{_command('clip-har')} hub pull {sent['repository']} --revision {sent['tags'][0]}"
        next_step = (pull, "fetch it anywhere, its checksums verified")
    card = (f"less {_shown(folder) / 'README.md'}", "read its model card")
    _show_next(console, folder, "would_send" if sent["dry_run"] else None, card, next_step)


def _show_batch(
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
    _show_next(console, folder, None, (f"{_RUN} batch{settings} --dry-run", "see everything that can be set"))


def _command(name: str) -> str:
    """A command of this environment as it can be typed here."""
    place = Path(sys.executable).parent / name
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else name


_RUN = f"{_command('python')} run.py --pipeline"


def _shown(folder: Path) -> Path:
    return Path("outputs/latest") if Path("outputs/latest").resolve() == folder.resolve() else folder


def _show_next(console: Any, folder: Path, made: str | None, *commands: tuple[str, str]) -> None:
    if made is not None:
        console.print(f"  {made}  {folder / made}", highlight=False, soft_wrap=True)
    console.print(f"  report  {folder / 'report.html'}", highlight=False, soft_wrap=True)
    from rich.markup import escape  # `[lora]` in a command is no markup

    console.print("\nNext:", highlight=False)
    viewer = "open" if sys.platform == "darwin" else "xdg-open"
    for command, purpose in ((f"{viewer} {_shown(folder) / 'report.html'}", "look at the report"), *commands):
        console.print(f"  {escape(command)}  [dim]# {purpose}[/dim]", highlight=False, soft_wrap=True)


def _measured(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    split = next(key for key in metrics if isinstance(metrics[key], dict) and metrics[key].get("split") == key)
    return split, metrics[split]


def _percent(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['value']:.1f} %"


def _interval(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['low']:.1f} to {100 * estimate['high']:.1f}"
