"""Model: how good it is, where it is wrong, how far its numbers can be trusted, and how it compares with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from clip_har.client import ServiceProblem
from clip_har.ui import connection, failures
from clip_har.ui.connection import Service
from clip_har.ui.measured import views
from clip_har.ui.measured.runs import Run, confusion_of, evaluation_of, figures_in, is_evaluation, published_runs
from clip_har.ui.wording import percent, plain, short_id, words

_FRESH_SECONDS = 20
_PARTS = ("Figures", "Leaderboard", "Confusion", "Actions", "Reliability", "Examples", "Versions")


def page() -> None:
    """All that was measured of the served model."""
    st.title("How good is the model?")
    service = connection.service()
    _about(service)
    reports = {entry.name: entry for entry in service.client.reports().reports}
    part = st.segmented_control(
        "Show", _PARTS, default=_PARTS[0], required=True, key="model_part", label_visibility="collapsed"
    )
    with failures.caught():
        _SHOW[part](service, reports)
    _pages(service, reports)


def _about(service: Service) -> None:
    model = service.model
    with st.expander(
        f"`{short_id(model.model_id)}`: {plain(words(model.method))}, {len(model.labels)} actions",
        icon=":material/info:",
    ):
        st.markdown(
            f"- Model id: `{model.model_id}`\n"
            f"- Began from: {plain(model.backbone)}; runs on {plain(model.runtime)}\n"
            f"- Data: revision `{model.data.revision[:12]}`\n"
            f"- Other labels: {plain(model.open_vocabulary.word)} ({plain(model.open_vocabulary.basis)})\n"
            f"- Calibrated on {model.calibration.samples:,} photographs of the {plain(model.calibration.split)} split"
            + (
                f"; label sets hold the right label {percent(model.calibration.coverage)} of the time"
                if model.calibration.coverage
                else ""
            )
            + (f"; it abstains below {percent(model.calibration.threshold)}" if model.calibration.threshold else "")
            + f"\n- Actions: {plain(', '.join(map(words, model.labels)))}"
        )


def _figures(service: Service, reports: dict[str, Any]) -> None:
    figures = _evaluation_figures(service, reports)
    if figures is None:
        _nothing("figures of this model on the test split")
        return
    views.show_headline(figures)
    baseline = figures.get("zero_shot")
    if baseline and baseline.get("gain"):
        gain = baseline["gain"]
        st.markdown(
            f"Zero-shot, without any training, it is {percent(baseline['accuracy']['value'], 1)} on the same photographs: "
            f"**{100 * gain['value']:+.1f} points** ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})."
        )


def _leaderboard(service: Service, reports: dict[str, Any]) -> None:
    if "leaderboard" not in reports or "json" not in reports["leaderboard"].formats:
        _nothing("a leaderboard of this model's run")
        return
    views.show_leaderboard(service.client.report("leaderboard").content)


def _confusion(service: Service, reports: dict[str, Any]) -> None:
    whole = _whole(service, reports)
    if whole is not None:
        views.show_confusion(whole["labels"], whole["confusion"], whole.get("wrong", ()))
        return
    found = next((read for run in _runs_of(service) if (read := confusion_of(run.folder))), None)
    if found is None:
        _nothing("its confusion matrix")
        return
    views.show_confusion(*found)


def _actions(service: Service, reports: dict[str, Any]) -> None:
    figures = _evaluation_figures(service, reports)
    if figures is None or not figures.get("per_class"):
        _nothing("figures of the single actions")
        return
    whole = _whole(service, reports)
    views.show_classes(figures["per_class"], whole["per_class"] if whole else ())


def _reliability(service: Service, reports: dict[str, Any]) -> None:
    whole = _whole(service, reports)
    if whole is None:
        _nothing("its reliability diagram")
        return
    views.show_reliability(whole)


def _examples(service: Service, reports: dict[str, Any]) -> None:
    whole = _whole(service, reports)
    if whole is None:
        _nothing("examples")
        return
    for title, name in (("Surely wrong", "wrong"), ("Surely right", "right")):
        st.markdown(f"## {title}")
        if whole.get(name):
            views.show_examples(whole[name])
        else:
            st.caption("None.")


def _versions(service: Service, reports: dict[str, Any]) -> None:
    views.show_comparison(_runs(connection.settings().outputs), service.model.model_id)
    if "promotion" in reports and "json" in reports["promotion"].formats:
        st.markdown("## The last decision")
        views.show_decision(service.client.report("promotion").content)


def _pages(service: Service, reports: dict[str, Any]) -> None:
    """Links to the reports as pages, which the service gives."""
    pages = [entry for entry in reports.values() if "html" in entry.formats]
    if not pages:
        return
    with st.expander("The reports as pages", icon=":material/description:"):
        for entry in pages:
            st.markdown(
                f"[{plain(words(entry.name))}]({service.url}/v1/reports/{entry.name}?format=html), from {plain(entry.source)}"
            )


def _evaluation_figures(service: Service, reports: dict[str, Any]) -> dict[str, Any] | None:
    content = _content(service, reports, "evaluation")
    return None if content is None else figures_in(content)


def _whole(service: Service, reports: dict[str, Any]) -> dict[str, Any] | None:
    """All that the model's evaluation found: as the service has it, else as the workspace beside the app has it."""
    model_id = service.model.model_id
    content = _content(service, reports, "evaluation_details")
    if content is not None and is_evaluation(content, model_id):
        return content
    return _evaluation(connection.settings().workspace, model_id)


def _content(service: Service, reports: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What one of the service's reports says; None if there is none."""
    if name not in reports or "json" not in reports[name].formats:
        return None
    try:
        content = service.client.report(name).content
    except ServiceProblem as problem:
        if problem.status == 404:  # removed since it was listed
            return None
        raise
    return content if isinstance(content, dict) else None


def _runs_of(service: Service) -> list[Run]:
    return [run for run in _runs(connection.settings().outputs) if run.model_id == service.model.model_id]


@st.cache_resource(show_spinner=False, ttl=_FRESH_SECONDS)
def _runs(outputs: Path) -> list[Run]:
    return published_runs(outputs)


@st.cache_resource(show_spinner=False, ttl=_FRESH_SECONDS, max_entries=8)
def _evaluation(workspace: Path, model_id: str) -> dict[str, Any] | None:
    return evaluation_of(workspace, model_id)


def _nothing(what: str) -> None:
    st.info(
        f"There is no record of {plain(what)}. It comes with the run that made the model (`make train`, or "
        "`python run.py --pipeline evaluate`), from the service that runs beside it, or whose bundle carries its reports.",
        icon=":material/info:",
    )


_SHOW = {
    "Figures": _figures,
    "Leaderboard": _leaderboard,
    "Confusion": _confusion,
    "Actions": _actions,
    "Reliability": _reliability,
    "Examples": _examples,
    "Versions": _versions,
}
