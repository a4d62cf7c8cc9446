"""The parts of the page Drift, each from what monitoring found."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clip_har.ui.drift.charts import history_chart, share_chart, threshold_chart, timeline_chart
from clip_har.ui.drift.found import STATES, VERDICTS, Looked, by_weight, chance, interval, moment, title, written
from clip_har.ui.measured.charts import interval_chart
from clip_har.ui.wording import percent, plain, words

_SENTENCES = 5


def show_decision(report: dict[str, Any]) -> None:
    """What is to be done, why, since when, and how sure that is."""
    decided = report.get("decided") or {}
    state = decided.get("state")
    drifted = [check for check in report["checks"] if check["verdict"] == "drift"]
    if state in STATES:
        name, meaning, icon = STATES[state]
    else:
        name, meaning, icon = "Not decided", "The report has no decision.", ":material/help:"
    box = {"ok": st.success, "watch": st.warning, "retrain": st.error}.get(state, st.info)
    box(f"**{name}.** {meaning}", icon=icon)
    cause = next((title(check) for check in report["checks"] if check["name"] == report.get("cause")), None)
    if cause:
        since = f", since about **{plain(moment(report['changed_since']))}**" if report.get("changed_since") else ""
        st.markdown(f"What changed: **{plain(cause)}**{since}.")
    said = [str(one) for one in report.get("said") or ()][:_SENTENCES]
    reasons = [str(one) for one in decided.get("reasons") or () if str(one) not in said]
    if said or reasons:
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in [*said, *reasons]))
    in_a_row = decided.get("alarms_in_a_row") or 0
    with st.container(horizontal=True, gap="medium"):
        st.metric("Checks that found a change", f"{len(drifted)} of {_made(report)}", width=210)
        st.metric(
            "Chance of that without one",
            chance(report.get("p_value")),
            width=210,
            help="How often a window of the same size in which nothing has changed looks as unlike the reference as this "
            f"one. Alarms are set off by {percent(report.get('false_alarm_rate') or 0, 1)} of such windows.",
        )
        st.metric("Windows with an alarm in a row", f"{in_a_row}", width=230)
    if decided.get("counted") is False:
        st.caption("This window had been looked at before, and does not count a second time.")


def show_window(report: dict[str, Any]) -> None:
    """What was looked at, and beside what."""
    window = report["window"]
    source = "what the service captured" if window.get("source") == "captured" else str(window.get("source", ""))
    times = " to ".join(dict.fromkeys(filter(None, (moment(window.get("first")), moment(window.get("last"))))))
    said = (
        f"{window.get('pictures', 0):,} pictures ({plain(source)}{f', {times}' if times else ''}), of which "
        f"{window.get('tested', 0):,} were compared with {report.get('reference_pictures', 0):,} that the model was not "
        f"trained on ({plain(', '.join(map(str, report.get('reference_splits') or ())))})."
    )
    if window.get("refused"):
        errors = ", ".join(f"{count:,} {words(reason)}" for reason, count in (window.get("errors") or {}).items())
        said += f" {window['refused']:,} were refused{f' ({plain(errors)})' if errors else ''}."
    if window.get("labelled"):
        said += f" Of {window['labelled']:,} the right label is known."
    st.caption(said)
    for what, count in (window.get("skipped") or {}).items():
        st.caption(f"Left out: {count:,} ({plain(str(what))}).")


def show_checks(report: dict[str, Any]) -> None:
    """Each check with its statistic, its threshold and the verdict."""
    checks = by_weight(report["checks"], report.get("cause"))
    chart = threshold_chart(checks)
    if chart is not None:
        st.caption("What is beyond the dashed line has changed by more than chance.")
        st.altair_chart(chart, width="stretch")
    table = [
        {
            "check": title(check),
            "verdict": VERDICTS.get(check["verdict"], check["verdict"]),
            "statistic": _rounded(check.get("statistic")),
            "threshold": _rounded(check.get("threshold")),
            "reference": written(check.get("reference"), str(check.get("unit") or "")),
            "window": written(check.get("current"), str(check.get("unit") or "")),
            "by chance": chance(check.get("p_value")),
            "what was found": str(check.get("said") or ""),
            "the statistic": str(check.get("statistic_name") or ""),
        }
        for check in checks
    ]
    st.dataframe(table, hide_index=True, width="stretch")


def show_accuracy(report: dict[str, Any]) -> None:
    """Accuracy as measured on the reference, as estimated for the window, and as labels say where there are any."""
    found = report.get("accuracy")
    if not found or not found.get("reference"):
        st.info("Nothing is known of the accuracy on this window.", icon=":material/info:")
        return
    names = [("reference", "Measured on the reference"), ("estimated", "Estimated for the window")]
    names += [("measured", f"Measured on {found.get('labelled', 0):,} labelled pictures")]
    rows = [{"name": name, **found[key]} for key, name in names if found.get(key)]
    st.altair_chart(interval_chart(rows, "accuracy, with its 95 % interval"), width="stretch")
    said = [f"- {plain(row['name'])}: **{interval(row)}**" for row in rows]
    if found.get("estimated_of_labelled") is not None:
        said.append(f"- Estimated for the labelled pictures alone: {percent(found['estimated_of_labelled'], 1)}")
    st.markdown("\n".join(said))
    if found.get("method"):
        st.caption(f"Estimated without labels: {plain(str(found['method']))}")
    if not found.get("measured"):
        st.caption("Say what pictures really show (*This is wrong* on the page Recognise), and it is measured as well.")


def show_timeline(report: dict[str, Any]) -> None:
    """A check's figure over the window's time."""
    moments = report.get("timeline") or []
    there = {name for one in moments for name in one.get("values") or {}}
    checks = [check for check in by_weight(report["checks"], report.get("cause")) if check["name"] in there]
    if len(moments) < 2 or not checks:
        st.info("The window's pictures have no times, or too few for a course.", icon=":material/info:")
        return
    titles = {check["name"]: title(check) for check in checks}
    chosen = st.selectbox("Figure", list(titles), format_func=titles.__getitem__, key="drift_figure")
    check = next(check for check in checks if check["name"] == chosen)
    st.altair_chart(timeline_chart(moments, check, report.get("changed_since")), width="stretch")
    dashed = f"The dashed line is the reference's ({written(check.get('reference'), str(check.get('unit') or ''))})."
    began = f" The upright line is where the change began, {moment(report['changed_since'])}." if report.get("changed_since") else ""  # fmt: skip
    st.caption(f"{dashed}{began}")
    with st.expander("As a table"):
        st.dataframe(
            [
                {"from": moment(one["start"]), "to": moment(one["end"]), "pictures": one.get("pictures")}
                | {titles[name]: _rounded((one.get("values") or {}).get(name)) for name in titles}
                for one in moments
            ],
            hide_index=True,
            width="stretch",
        )


def show_classes(report: dict[str, Any]) -> None:
    """The predicted labels, the most changed first."""
    rows = report.get("per_class") or []
    if not rows:
        st.info("The report says nothing of the single actions.", icon=":material/info:")
        return
    st.altair_chart(share_chart(rows), width="stretch")
    table = []
    for row in rows:
        line = {
            "action": words(row["label"]),
            "reference": percent(row["reference_share"], 1),
            "window": percent(row["current_share"], 1),
            "standard deviations": round(row.get("excess") or 0.0, 1),
            "confidence, reference": written(row.get("reference_confidence"), "share"),
            "confidence, window": written(row.get("current_confidence"), "share"),
        }
        if any(one.get("labelled") for one in rows):
            line["recognised"] = f"{row.get('right', 0)} of {row.get('labelled', 0)}" if row.get("labelled") else "–"
        table.append(line)
    st.dataframe(table, hide_index=True, width="stretch")


def show_pictures(report: dict[str, Any]) -> None:
    """Pictures that show it: those least like the reference, and those most like it."""
    for name, heading, none in (
        ("farthest", "Least like what the model was made for", "None."),
        ("nearest", "Most like it", "None."),
    ):
        st.markdown(f"## {heading}")
        examples = report.get(name) or []
        if not examples:
            st.caption(none)
            continue
        st.html(f'<div class="ch-grid">{"".join(map(_figure, examples))}</div>')
    if not any(one.get("picture") for name in ("farthest", "nearest") for one in report.get(name) or ()):
        st.caption("No picture was kept: the service keeps none unless it is told to (`capture.images`).")


def show_history(rows: Sequence[Looked]) -> None:
    """What was found before, the newest first."""
    points = [
        {"time": row.time, "run": row.run, "state": row.state, "said": _first_sentence(row.report)} for row in rows
    ]
    st.altair_chart(history_chart(points), width="stretch")
    table = []
    for row in reversed(rows):
        found = row.report
        causes = {check["name"]: title(check) for check in found["checks"]}
        accuracy = found.get("accuracy") or {}
        estimate = accuracy.get("measured") or accuracy.get("estimated")
        table.append(
            {
                "when": moment(row.time),
                "decided": STATES.get(row.state, ("–",))[0],
                "what changed": causes.get(found.get("cause"), "–"),
                "by chance": chance(found.get("p_value")),
                "accuracy": "–" if not estimate else percent(estimate["value"], 1),
                "pictures": found["window"].get("pictures"),
                "trained again": str((row.retraining or {}).get("outcome") or "–"),
                "model": found["model_id"][:12],
                "run": row.run,
            }
        )
    st.dataframe(table, hide_index=True, width="stretch")
    newest = next((row.retraining for row in reversed(rows) if row.retraining), None)
    if newest and newest.get("said"):
        st.markdown(f"Last trained again: {plain(' '.join(map(str, newest['said'])))}")


def _figure(example: dict[str, Any]) -> str:
    label, picture = words(str(example.get("label", ""))), str(example.get("picture") or "")
    shown = (
        f'<img src="{html.escape(picture, quote=True)}" alt="{html.escape(label, quote=True)}" loading="lazy">'
        if picture.startswith("data:image/")  # nothing is fetched from elsewhere
        else '<div class="ch-none ch-quiet">not kept</div>'
    )
    when = moment(example.get("time"))
    quiet = " · ".join(filter(None, (f"distance {example.get('distance') or 0:.2f}", when)))
    return (
        f"<figure>{shown}<figcaption><span><b>{html.escape(label)}</b> {percent(example.get('confidence') or 0)}</span>"
        f'<span class="ch-quiet">{html.escape(quiet)}</span></figcaption></figure>'
    )


def _made(report: dict[str, Any]) -> int:
    return sum(check["verdict"] != "not checked" for check in report["checks"])


def _first_sentence(report: dict[str, Any]) -> str:
    return str(next(iter(report.get("said") or ()), "nothing"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
