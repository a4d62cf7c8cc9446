"""The parts of the page Model, each from what was measured."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clip_har.ui.measured.charts import CELL, class_chart, confusion_chart, interval_chart, reliability_chart
from clip_har.ui.measured.runs import Run
from clip_har.ui.wording import percent, plain, short_id, words

FIGURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "top3_accuracy": "Top-3 accuracy",
    "top5_accuracy": "Top-5 accuracy",
}
"""Figures that are shares, and what they are called."""


def show_leaderboard(content: dict[str, Any]) -> None:
    """Candidates on the validation split, the best first.

    Args:
        content: the report: `winner`, and the figures of each candidate.
    """
    figures = {name: found for name, found in content.items() if isinstance(found, dict)}
    known = [name for name in FIGURES if any(name in found for found in figures.values())]
    if not known:
        st.info("The leaderboard has no figures.", icon=":material/info:")
        return
    chosen = st.selectbox("Figure", known, format_func=FIGURES.__getitem__, key="leaderboard_figure")
    there = {name: found[chosen] for name, found in figures.items() if chosen in found}
    ranked = sorted(there, key=lambda name: -there[name]["value"])
    winner = content.get("winner")
    rows = [{"name": words(name) + (" (chosen)" if name == winner else ""), **there[name]} for name in ranked]
    st.altair_chart(interval_chart(rows, f"{FIGURES[chosen]}, with its 95 % interval"), width="stretch")
    table = [
        {"candidate": words(name)} | {FIGURES[figure]: _written(figures[name].get(figure)) for figure in known}
        for name in ranked
    ]
    st.dataframe(table, hide_index=True, width="stretch")


def show_headline(figures: dict[str, Any]) -> None:
    """The main figures on the split that reports are made on."""
    st.caption(
        f"On {figures.get('samples', 0):,} photographs of the {plain(figures.get('split', ''))} split, with 95 % intervals."
    )
    with st.container(horizontal=True, gap="medium"):
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy"):
            if name in figures:
                found = figures[name]
                with st.container(width=170, gap="xsmall"):
                    st.metric(FIGURES[name], percent(found["value"], 1))
                    st.caption(f"{100 * found['low']:.1f} to {percent(found['high'], 1)}")
    trust = figures.get("trust") or {}
    if trust.get("covered") is not None:
        st.markdown(
            f"Label sets that are to hold the right label {percent(trust['coverage'])} of the time do so "
            f"**{percent(trust['covered'], 1)}** of the time, with {trust['mean_set_size']:.2f} labels on average."
        )
    if trust.get("answered") is not None and trust.get("answered_precision") is not None:
        st.markdown(
            f"It answers {percent(trust['answered'])} of the photographs and abstains from the rest; of these answers "
            f"**{percent(trust['answered_precision'], 1)}** are right."
        )


def show_confusion(
    labels: Sequence[str], counts: Sequence[Sequence[int]], examples: Sequence[dict[str, Any]] = ()
) -> None:
    """The confusion matrix; a cell that is chosen is explained below it.

    Args:
        examples: wrong predictions with `label`, `predicted` and `picture`, for the chosen cell.
    """
    shares = st.toggle("Shares of each class, instead of counts", value=True, key="confusion_shares")
    event = st.altair_chart(
        confusion_chart(labels, counts, shares=shares, dark=st.context.theme.type == "dark"),
        width="stretch",
        on_select="rerun",
        selection_mode=CELL,
        key="confusion",
    )
    pairs = sorted(
        (
            (counts[row][column], row, column)
            for row in range(len(labels))
            for column in range(len(labels))
            if row != column and counts[row][column]
        ),
        reverse=True,
    )
    chosen = (event.get("selection") or {}).get(CELL) or []
    if chosen:
        _explain(labels, counts, chosen[0], examples)
    elif pairs:
        count, row, column = pairs[0]
        st.markdown(
            f"Mixed up most: **{plain(words(labels[row]))}** taken for **{plain(words(labels[column]))}**, {count} of "
            f"{sum(counts[row])} times. Choose a cell to see more."
        )
    else:
        st.markdown("Nothing was mixed up.")
    with st.expander("As a table"):
        st.dataframe(
            [
                {
                    "really": words(labels[row]),
                    "taken for": words(labels[column]),
                    "times": count,
                    "of": sum(counts[row]),
                }
                for count, row, column in pairs
            ],
            hide_index=True,
            width="stretch",
        )


def _explain(
    labels: Sequence[str], counts: Sequence[Sequence[int]], cell: dict[str, Any], examples: Sequence[dict]
) -> None:
    places = {words(label): place for place, label in enumerate(labels)}
    row, column = places.get(cell.get("true")), places.get(cell.get("predicted"))
    if row is None or column is None:
        return
    said = "recognised" if row == column else f"taken for **{plain(words(labels[column]))}**"
    st.markdown(f"**{plain(words(labels[row]))}** is {said} {counts[row][column]} of {sum(counts[row])} times.")
    of_it = [one for one in examples if one["label"] == labels[row] and one["predicted"] == labels[column]]
    if of_it:
        show_examples(of_it)


def show_classes(per_class: dict[str, dict[str, float]], curves: Sequence[dict[str, Any]] = ()) -> None:
    """Precision, recall and F1 of each class.

    Args:
        per_class: label → precision, recall, f1.
        curves: rows with label, average_precision and support, if known.
    """
    names = {"f1": "F1", "precision": "Precision", "recall": "Recall"}
    chosen = st.selectbox("Figure", list(names), format_func=names.__getitem__, key="class_figure")
    ranked = sorted(per_class, key=lambda label: per_class[label].get(chosen) or 0.0)
    rows = [{"label": words(label), "name": "model", "value": per_class[label].get(chosen) or 0.0} for label in ranked]
    st.altair_chart(class_chart(rows, ["model"], names[chosen]), width="stretch")
    more = {row["label"]: row for row in curves}
    table = []
    for label in ranked:
        row = {"action": words(label)}
        row |= {title: percent(per_class[label].get(name) or 0.0, 1) for name, title in names.items()}
        if label in more:
            row |= {"average precision": percent(more[label].get("average_precision") or 0.0, 1)}
            row |= {
                "photographs": more[label].get("support"),
                "taken for": words(more[label].get("confused_with") or "–"),
            }
        table.append(row)
    st.dataframe(table, hide_index=True, width="stretch")


def show_reliability(evaluation: dict[str, Any]) -> None:
    """Whether a confidence of 80 % is right 80 % of the time, before and after calibration."""
    before, after = evaluation["uncalibrated"], evaluation["calibrated"]
    st.markdown(
        f"Answers given with 80 % confidence should be right 80 % of the time: points on the dashed line. Calibration "
        f"(temperature {evaluation['temperature']:.2f}) takes the mean distance (ECE) from {percent(before['ece'], 1)} to "
        f"**{percent(after['ece'], 1)}**."
    )
    st.altair_chart(reliability_chart({"calibrated": after["bins"], "before": before["bins"]}), width="stretch")


def show_examples(examples: Sequence[dict[str, Any]]) -> None:
    """Photographs with what they show and what was said."""
    figures = []
    for one in examples:
        picture = str(one.get("picture", ""))
        if not picture.startswith("data:image/"):
            continue  # nothing is fetched from elsewhere
        right = one["label"] == one["predicted"]
        said = f"<b>{html.escape(words(one['predicted']))}</b> {percent(one['confidence'])}"
        truth = "" if right else f'<span class="ch-quiet">really {html.escape(words(one["label"]))}</span>'
        figures.append(
            f'<figure><img src="{html.escape(picture, quote=True)}" alt="{html.escape(words(one["label"]))}" loading="lazy">'
            f"<figcaption><span>{said}</span>{truth}</figcaption></figure>"
        )
    st.html(f'<div class="ch-grid">{"".join(figures)}</div>')


def show_comparison(runs: Sequence[Run], served: str) -> None:
    """Two versions beside each other.

    Args:
        runs: with figures, the newest first.
        served: model id of the served one.
    """
    newest: dict[str, Run] = {}
    for run in runs:
        if run.model_id and run.figures is not None:
            newest.setdefault(run.model_id, run)
    if len(newest) < 2:
        st.info(
            "There is only one version with figures here. Train another (`make train`), and compare them.",
            icon=":material/info:",
        )
        return
    ids = list(newest)

    def named(model_id: str) -> str:
        run = newest[model_id]
        note = ", served" if model_id == served else ""
        return f"{short_id(model_id)} ({words(str(run.record.get('method', '')))}{note})"

    left, right = st.columns(2)
    first = left.selectbox(
        "Version", ids, index=ids.index(served) if served in ids else 0, format_func=named, key="first"
    )
    others = [one for one in ids if one != first]
    second = right.selectbox("compared with", others, format_func=named, key="second")
    one, two = newest[first].figures or {}, newest[second].figures or {}
    if (one.get("split"), one.get("samples")) != (two.get("split"), two.get("samples")):
        st.markdown(
            f":material/info: They were measured on different photographs ({one.get('samples')} of {plain(str(one.get('split')))}, "
            f"{two.get('samples')} of {plain(str(two.get('split')))}): differences say little."
        )
    table = [
        {
            "figure": title,
            named(first): _written(one[name]),
            named(second): _written(two[name]),
            "difference, points": round(100 * (one[name]["value"] - two[name]["value"]), 1),
        }
        for name, title in FIGURES.items()
        if name in one and name in two
    ]
    st.dataframe(table, hide_index=True, width="stretch")
    classes = [label for label in one.get("per_class", {}) if label in two.get("per_class", {})]
    rows = [
        {"label": words(label), "name": name, "value": found["per_class"][label]["f1"]}
        for label in classes
        for name, found in ((named(first), one), (named(second), two))
    ]
    if rows:
        st.altair_chart(class_chart(rows, [named(first), named(second)], "F1"), width="stretch")


def show_decision(content: dict[str, Any]) -> None:
    """What the last promotion decided, and by which checks."""
    verdicts = {"promoted": "was promoted", "kept": "was not promoted", "refused": "was refused"}
    about = content.get("challenger") or {}
    outcome = str(content.get("outcome", ""))
    st.markdown(
        f"`{short_id(str(about.get('model_id', '')))}` {verdicts.get(outcome, plain(outcome))}. "
        f"{plain(' '.join(map(str, content.get('reasons', [])[:1])))}"
    )
    checks = [
        {"check": one.get("name"), "verdict": one.get("verdict"), "what was found": one.get("said")}
        for one in content.get("checks", [])
    ]
    st.dataframe(checks, hide_index=True, width="stretch")


def _written(estimate: dict[str, float] | None) -> str:
    if not estimate:
        return ""
    return f"{percent(estimate['value'], 1)} ({100 * estimate['low']:.1f}–{100 * estimate['high']:.1f})"
