"""Drift: whether what comes is still what the model was made for, what changed, since when, and what is to be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from clip_har.client import ServiceProblem
from clip_har.ui import connection, failures
from clip_har.ui.connection import Service
from clip_har.ui.drift import views
from clip_har.ui.drift.found import REPORT, Looked, is_report, read_history
from clip_har.ui.wording import plain, short_id

_FRESH_SECONDS = 20
_COMMAND = "`python run.py --pipeline monitor`"


def page() -> None:
    """The newest report, part by part, and those before it."""
    st.title("Is it still what the model was made for?")
    service = connection.service()
    if st.button("Look again", icon=":material/refresh:", help="Read the report again: monitoring may have run since."):
        _content.clear()
        _history.clear()
    report = _content(service.url, connection.wanted()[1], service.client)
    if report is None:
        _nothing(service)
    elif not is_report(report):
        st.warning(
            f"The service's report {plain(REPORT)} is none that monitoring has made. Make a new one: {_COMMAND}.",
            icon=":material/warning:",
        )
    else:
        with failures.caught("The report cannot be shown."):
            _show(service, report)
    history = _of_these(_history(connection.settings().workspace), service, report)
    if history:
        st.markdown("## Before")
        with failures.caught("The history cannot be shown."):
            views.show_history(history)


def _show(service: Service, report: dict[str, Any]) -> None:
    if report["model_id"] != service.model.model_id:
        st.warning(
            f"This is about `{short_id(report['model_id'])}`. The service answers with "
            f"`{short_id(service.model.model_id)}` now, of which nothing has been looked at yet: {_COMMAND}.",
            icon=":material/history:",
        )
    views.show_decision(report)
    views.show_window(report)
    part = st.segmented_control(
        "Show", list(_PARTS), default=next(iter(_PARTS)), required=True, key="drift_part", label_visibility="collapsed"
    )
    with failures.caught():
        _PARTS[part](report)
    st.markdown(f"[The whole report as a page]({service.url}/v1/reports/{REPORT}?format=html)")


def _nothing(service: Service) -> None:
    st.info(
        f"Nothing has been looked at yet. {_COMMAND} compares what the service has captured with pictures that the model was "
        "not trained on, and this page then shows what has changed. A folder or a table of a batch job can be looked at "
        "as well: `--set monitor.source=FOLDER`.",
        icon=":material/info:",
    )
    if not service.local:
        st.caption("It has to run beside the service: the report is read from the service's workspace.")


@st.cache_resource(show_spinner=False, ttl=_FRESH_SECONDS, max_entries=8)
def _content(url: str, key: str | None, _client: Any) -> Any | None:
    """What the service's report says; None if it has none."""
    try:
        return _client.report(REPORT).content
    except ServiceProblem as problem:
        if problem.status == 404:
            return None
        raise


def _of_these(history: list[Looked], service: Service, report: Any) -> list[Looked]:
    """The history, if it is this service's: one elsewhere has another workspace than the one beside the app."""
    about = {service.model.model_id, report["model_id"] if is_report(report) else None}
    return history if any(row.report["model_id"] in about for row in history) else []


@st.cache_resource(show_spinner=False, ttl=_FRESH_SECONDS, max_entries=4)
def _history(workspace: Path) -> list[Looked]:
    return read_history(workspace)


_PARTS = {
    "Checks": views.show_checks,
    "Accuracy": views.show_accuracy,
    "Over time": views.show_timeline,
    "Actions": views.show_classes,
    "Pictures": views.show_pictures,
}
