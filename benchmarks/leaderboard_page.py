"""docs/leaderboard.md: the table and the plot of what `adaptation.py` measured."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from measuring import PROJECT

from clip_har.environment import describe_environment

NOVEL = ("cycling", "sleeping", "texting")
NOVEL_SHOTS = 16
ALL = 0  # shots: all there are
FIXED = {"zero_shot"}  # the same for any number of shots


@dataclass(frozen=True)
class Cell:
    """A method, its shots and a seed; novel: fitted without the novel classes."""

    name: str
    shots: int
    seed: int
    novel: bool = False


def accuracy(row: dict[str, Any]) -> float:
    """Share of the test split that was right."""
    return sum(row["right"].values()) / len(row["right"])


def draw(points: dict[str, dict[int, list[float]]], probe: float) -> bytes:
    """SVG: accuracy against shots, a line a method, seeds as a band."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axes = figure.subplots()
    shots = sorted({number for by_shots in points.values() for number in by_shots if number != ALL})
    places = {number: index for index, number in enumerate([*shots, ALL])}
    colours = [
        "#4269d0",
        "#efb118",
        "#ff725c",
        "#6cc5b0",
        "#3ca951",
        "#ff8ab7",
        "#a463f2",
        "#97bbf5",
        "#9c6b4e",
        "#5a5a5a",
    ]
    for number, (name, by_shots) in enumerate(points.items()):
        colour = colours[number % len(colours)]
        if name in FIXED:
            axes.axhline(100 * np.mean(by_shots[ALL]), color=colour, linestyle="--", linewidth=1.4, label=name)
            continue
        at = [places[key] for key in by_shots]
        means = [100 * np.mean(values) for values in by_shots.values()]
        axes.plot(at, means, color=colour, marker="o", markersize=4, linewidth=1.6, label=name)
        low = [100 * min(values) for values in by_shots.values()]
        high = [100 * max(values) for values in by_shots.values()]
        axes.fill_between(at, low, high, color=colour, alpha=0.1, linewidth=0)
    if probe:
        axes.plot(
            [places[ALL]],
            [100 * probe],
            marker="*",
            markersize=12,
            color="black",
            linestyle="",
            label="scikit-learn's best probe",
        )
    axes.set_xticks(list(places.values()), [str(number or "all") for number in places])
    axes.set_xlabel("labelled photographs of each class")
    axes.set_ylabel("accuracy on the test split, %")
    axes.grid(axis="y", linewidth=0.5, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "leaderboard"}):  # the same numbers, the same file
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def document(
    names: list[str], shots: list[int], seeds: int, rows: dict[Cell, dict], probes: list[dict], gain: str
) -> str:
    """docs/leaderboard.md."""

    def mean(name: str, number: int) -> str:
        values = [100 * accuracy(rows[Cell(name, ALL if name in FIXED else number, seed)]) for seed in range(seeds)]
        return f"{np.mean(values):.1f} ± {np.std(values):.1f}"

    machine = describe_environment(PROJECT)
    first = next(iter(rows.values()))
    lines = [
        "# Leaderboard",
        "",
        "Every adaptation method on real photographs, made by `python benchmarks/adaptation.py`. The accuracy is on the test",
        f"split, mean ± standard deviation over {seeds} seeds; each seed has splits, photographs and a start of its own "
        f"({len(first['right'])} test photographs in the first).",
        "The backbone is a small dual encoder (MobileNetV2 and MiniLM); methods are with their recipes for two CPU cores.",
        f"Made on {machine['processor']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}.",
        "",
        "![accuracy against photographs of each class](images/leaderboard.svg)",
        "",
        "| method | "
        + " | ".join(f"{number or 'all'}" + (" shots" if number > 1 else " shot" if number else "") for number in shots)
        + " | numbers fitted (all) | seconds (all) |",
        "|---|" + "---:|" * (len(shots) + 2),
    ]
    for name in names:
        last = [rows[Cell(name, ALL, seed)] for seed in range(seeds)]
        seconds = np.median([row["seconds"] for row in last])
        lines.append(
            f"| {name} | "
            + " | ".join(mean(name, number) for number in shots)
            + f" | {last[0]['parameters']:,} | {seconds:.0f} |"
        )
    if probes:
        values = [100 * accuracy(row) for row in probes]
        lines += [
            "| scikit-learn's best probe on pooled features | "
            + " | ".join("" for _ in shots[:-1])
            + f" | {np.mean(values):.1f} ± {np.std(values):.1f} | | |",
            "",
            gain,
            "scikit-learn's probes are logistic regression, linear and RBF support vector machines, ridge, discriminant analysis and",
            f"nearest neighbours, tuned on the same validation splits; the best were {'; '.join(row['probe'] for row in probes)}.",
        ]
    lines += [
        "",
        "## Other labels",
        "",
        f"Fitted on {NOVEL_SHOTS} photographs of each of the 12 base classes, without {', '.join(NOVEL)}. Base is among base classes,",
        "novel among novel ones, scored through their texts; test split, mean over the seeds.",
        "",
        "| method | base | novel | harmonic mean | other labels |",
        "|---|---:|---:|---:|---|",
    ]
    for name in names:
        found = [rows[Cell(name, NOVEL_SHOTS, seed, novel=True)] for seed in range(seeds)]
        base = np.mean([row["adapted"]["base"] for row in found])
        novel = np.mean([row["adapted"]["novel"] for row in found])
        harmonic = np.mean([2 / (1 / row["adapted"]["base"] + 1 / row["adapted"]["novel"]) for row in found])
        words = ", ".join(sorted({row["word"] for row in found}))
        lines.append(f"| {name} | {100 * base:.1f} | {100 * novel:.1f} | {100 * harmonic:.1f} | {words} |")
    return "\n".join([*lines, ""])
