"""docs/monitoring-figures.md: the tables and plots of what `monitoring.py` measured."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from drift_windows import DETECTED, OTHER_MIX, SIZE, smallest
from measuring import PROJECT
from shifts import DIALS, PHOTOGRAPHS, Shift

from clip_har.environment import describe_environment
from clip_har.storage import write_atomic

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#9c6b4e")
IMAGES = PROJECT / "docs" / "images"
WORLDS = (("photographs", "Real photographs", PHOTOGRAPHS), ("drawn", "The drawn world", DIALS))


def write_page(results: dict[str, dict[str, Any]], flat: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write the page and its two pictures."""
    write_atomic(IMAGES / "monitoring-power.png", draw_power(results))
    write_atomic(IMAGES / "monitoring-accuracy.png", draw_accuracy(results))
    write_atomic(PROJECT / "docs" / "monitoring-figures.md", document(results, flat(results)).encode())


def draw_power(results: dict[str, dict[str, Any]]) -> bytes:
    """PNG: share of windows with an alarm against strength, a line a shift."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.9), dpi=100, layout="constrained")
    for axes, (world, title, shifts) in zip(figure.subplots(1, 2, sharey=True), WORLDS, strict=True):
        found = results[world]
        for shift, colour in zip(shifts, COLOURS, strict=False):
            points = [found["nothing"], *found["points"][shift.name]]
            axes.plot(
                [one["strength"] for one in points],
                [100 * one["detected"] for one in points],
                color=colour,
                marker="o",
                markersize=3.5,
                linewidth=1.4,
                label=shift.name.replace("_", " "),
            )
        axes.axhline(100 * DETECTED, color="#888888", linewidth=0.8, linestyle=":")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("strength")
        _plain(axes)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.axes[0].set_ylabel(f"windows of {SIZE} with an alarm, %")
    return _png(figure)


def draw_accuracy(results: dict[str, dict[str, Any]]) -> bytes:
    """PNG: estimated against true accuracy, a point a shift and strength."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.3), dpi=100, layout="constrained")
    for axes, (world, title, shifts) in zip(figure.subplots(1, 2, sharex=True, sharey=True), WORLDS, strict=True):
        found = results[world]
        axes.plot([0, 100], [0, 100], color="#888888", linewidth=0.8)
        for shift, colour in zip(shifts, COLOURS, strict=False):
            points = [one for one in found["points"][shift.name] if one["estimated"] is not None]
            axes.scatter(
                [100 * one["true"] for one in points],
                [100 * one["estimated"] for one in points],
                s=[12 + 30 * one["strength"] for one in points],
                color=colour,
                alpha=0.85,
                linewidth=0,
                label=shift.name.replace("_", " "),
            )
        nothing = found["nothing"]
        if nothing["estimated"] is not None:
            at = (100 * nothing["true"], 100 * nothing["estimated"])
            axes.plot(*at, marker="*", markersize=10, color="black", linestyle="", label="nothing changed")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("true accuracy, %")
        axes.set_aspect("equal")
        _plain(axes)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.axes[0].set_ylabel("estimated without labels, %")
    return _png(figure)


def _plain(axes: Any) -> None:
    axes.grid(linewidth=0.5, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def document(results: dict[str, dict[str, Any]], figures: dict[str, Any]) -> str:
    """The page."""
    machine = describe_environment(PROJECT)
    parts = [
        "# Figures of monitoring",
        "Made by `python benchmarks/monitoring.py --write` on "
        f"{machine['processor']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}. Every window is looked at by the function "
        "that `--pipeline monitor` calls, with its defaults, and without the true labels. What each check is and how thresholds are set: "
        "[monitoring.md](monitoring.md).",
        _false_alarms(results["false_alarms"], figures),
        *_power(results),
        _accuracy(results, figures),
        _report(results["report"]),
    ]
    return "\n\n".join(parts) + "\n"


def _false_alarms(found: dict[str, Any], figures: dict[str, Any]) -> str:
    rows, wanted = found["partitions"], found["wanted"]
    within = figures["partitions_within"]
    said = "contains" if rows[0]["low"] <= wanted <= rows[0]["high"] else "does **not** contain"
    table = _table(
        ("partition", "fitted on", "in the profile", "windows from", "windows with an alarm", "rate", "99 % interval"),
        [
            (
                row["partition"],
                f"{row['train']:,}",
                f"{row['profile']:,}",
                f"{row['pool']:,}",
                f"{row['alarms']} of {row['windows']}",
                f"{row['rate']:.1%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
            )
            for row in rows
        ],
    )
    names = list(rows[0]["alone"])
    checks = _table(
        ("check", "alone, at the whole rate", "its part of the joint alarms"),
        [
            (f"`{name}`", *(f"{sum(row[kind][name] for row in rows) / len(rows):.1%}" for kind in ("alone", "jointly")))
            for name in names
        ],
    )
    return "\n\n".join(
        [
            "## False alarms",
            f"{rows[0]['windows']} windows of {SIZE} real photographs, each drawn without replacement from photographs that neither the "
            f"model nor its profile has seen (nearly alike ones are on one side). Wanted: {wanted:.0%} over all checks together. The "
            f"interval (Clopper and Pearson) of the first partition {said} it; the further partitions of the same data are there so that "
            f"no lucky one stands alone: {within} of {len(rows)} intervals contain it, and the mean of the rates is "
            f"{figures['false_alarm_rate_of_all_partitions']:.1%}.",
            table,
            "The windows of one partition share one profile and one set of photographs to be drawn from, which differ by chance: rates "
            "differ more between partitions than windows that had nothing in common would.",
            "Each check by itself, mean over the partitions:",
            checks,
        ]
    )


def _power(results: dict[str, dict[str, Any]]) -> list[str]:
    parts = [
        "## The smallest change that is seen",
        f"Strengths from 0.1 to 1. Detected: at least {DETECTED:.0%} of the windows of {SIZE} pictures raise an alarm; the smallest such "
        "strength is found by halving. Named rightly: of the windows with an alarm, those in which the report's cause is the check that was "
        "written down for this change before anything was measured.",
        "![windows with an alarm against the strength of the change](images/monitoring-power.png)",
    ]
    for world, title, shifts in WORLDS:
        found = results[world]
        rows = [_power_row(shift, found["points"][shift.name]) for shift in shifts]
        windows = found["nothing"]["windows"]
        parts += [
            f"### {title}",
            f"{windows} windows a strength, drawn from {found['pictures']} changed pictures.",
            _table(
                (
                    "change",
                    "",
                    "smallest detected",
                    "named rightly there",
                    "at full strength",
                    "named by",
                    "what was named (windows)",
                ),
                rows,
            ),
        ]
        if world == "photographs":
            parts.append(
                f"Another class mix is drawn from the first {OTHER_MIX} of the 15 actions. Other things are the 400 photographs of "
                "`../shared/data/out_of_domain`: `other_things` are cut and saved as the photographs are, so that only what they show "
                "differs; `other_files` are as they come, and differ in size and compression too."
            )
        else:
            parts.append(
                "The model, its 0.35 × 900 held-out pictures and the tiny backbone are those of the default configuration; that profile is "
                "good for windows of up to 140 pictures, so that 140 of each 200 are compared."
            )
    return parts


def _power_row(shift: Shift, points: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    least = smallest(points)
    at = next((one for one in points if one["strength"] == least), points[-1])
    return (
        f"`{shift.name}`",
        shift.title,
        "not detected" if least is None else f"{least:g}",
        "" if at["named"] is None else f"{at['named']:.0%}",
        "" if points[-1]["named"] is None else f"{points[-1]['named']:.0%}",
        ", ".join(f"`{name}`" for name in shift.named_by),
        ", ".join(f"{name} {count}" for name, count in at["causes"].items()),
    )


def _accuracy(results: dict[str, dict[str, Any]], figures: dict[str, Any]) -> str:
    rows = []
    for world, title, shifts in WORLDS:
        nothing = results[world]["nothing"]
        for name, points in (
            ("nothing", [nothing]),
            *((shift.name, results[world]["points"][shift.name]) for shift in shifts),
        ):
            known = [one for one in points if one["error"] is not None]
            if not known:
                continue
            last = known[-1]
            rows.append(
                (
                    title,
                    f"`{name}`",
                    f"{sum(one['error'] for one in known) / len(known):.1%}",
                    f"{last['true']:.1%}",
                    f"{last['estimated']:.1%}",
                )
            )
    text = [
        "## Estimated accuracy",
        "Accuracy that is estimated without labels, from calibrated confidence and the distance to the reference, beside what it really is, for the same windows and changes. The error "
        f"is the mean of |estimated − true| over single windows of {SIZE}, in which true accuracy itself is known to about ±3 points. On real "
        f"photographs it is {_points(figures.get('estimated_accuracy_mae'))}, on the drawn world "
        f"{_points(figures.get('estimated_accuracy_mae_drawn'))}, over all changes and strengths that were measured.",
        "![estimated against true accuracy](images/monitoring-accuracy.png)",
        _table(("world", "change", "mean absolute error", "true, full strength", "estimated, full strength"), rows),
        "Confidence cannot tell what a model has never been shown: of other things a part is answered confidently, and every answer is wrong. "
        "There the estimate is too high; `out_of_vocabulary` is what tells.",
    ]
    return "\n\n".join(text)


def _points(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.1f} points"


def _report(found: dict[str, Any]) -> str:
    steps = ", ".join(f"{name} {found[f'{name}_s']:.0f} s" for name in ("collect", "check", "evidently", "page"))
    return "\n\n".join(
        [
            "## A report on very many rows",
            f"{found['rows']:,} captured rows (512 dimensions, 15 classes), written by the service's own writer, collected, checked, given to "
            f"Evidently (a sample, `monitor.evidently_rows`) and made a page, in a process of its own: **{found['report_s']:.0f} s** "
            f"({steps}; {found['report_cpu_s']:.0f} s of processor time) and **{found['report_gb']:.2f} GB** at most.",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---", *["---:" if _number(rows, place) else "---" for place in range(1, len(header))]], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _number(rows: Sequence[Sequence[Any]], place: int) -> bool:
    return any(str(row[place])[:1].isdigit() for row in rows)
