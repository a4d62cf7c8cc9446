"""The end of `train`, `evaluate` and `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.console.ending import RUN, interval, percent, place_of, show_next


def show_measured(
    console: Any, folder: Path, record: dict[str, Any], metrics: dict[str, Any], seconds: float, settings: str
) -> None:
    """The end of `train` and `evaluate`: the methods side by side, and what the bundle reaches."""
    from rich.table import Table

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
                percent(row["accuracy"]),
                interval(row["accuracy"]),
                percent(row["macro_f1"]),
                took,
                style=style,
            )
        console.print(table)
        if "open_vocabulary" in metrics:
            _show_other_labels(console, metrics["open_vocabulary"], record["leaderboard"])
    split, figures = _measured(metrics)
    console.print(
        f"\n[bold]{record['method']}[/bold] on {figures['samples']} photographs of the {split} split: "
        f"accuracy [bold]{percent(figures['accuracy'])}[/bold] ({interval(figures['accuracy'])}), "
        f"macro F1 {percent(figures['macro_f1'])}; the run took {seconds:.0f} s."
    )
    show_next(
        console,
        folder,
        "bundle",
        (f"{RUN} evaluate{settings}", "measure the bundle again, or on other data"),
        (f"{RUN} train{settings} --dry-run", "see everything that can be set"),
    )


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


def show_backbone(console: Any, folder: Path, metrics: dict[str, Any], seconds: float) -> None:
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
            percent(group["among_themselves"]),
            interval(group["among_themselves"]),
            percent(group["among_all"]),
        )
    console.print(table)
    made = metrics["pretraining"]
    console.print(
        f"\n{made['steps']:,} steps over {made['trained_on']:,} pictures; retrieval among a batch's pictures "
        f"{100 * metrics['retrieval']['accuracy']:.1f} %; the run took {seconds:.0f} s.",
        highlight=False,
    )
    shown = place_of(folder)
    show_next(
        console,
        folder,
        "backbone",
        (f"{RUN} train --set model.backbone={shown / 'backbone'}", "adapt it to photographs"),
        (f"less {shown / 'backbone' / 'README.md'}", "read its model card"),
    )


def _measured(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    split = next(key for key in metrics if isinstance(metrics[key], dict) and metrics[key].get("split") == key)
    return split, metrics[split]
