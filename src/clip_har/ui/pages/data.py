"""Data: the card of the newest version, what was rejected, and labels that may be wrong."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from clip_har.ui import connection, failures
from clip_har.ui.curation.rejected import show_queue
from clip_har.ui.curation.suspects import show_suspects
from clip_har.ui.drawing import figures
from clip_har.ui.measured.runs import Run, published_runs
from clip_har.ui.wording import plain, short_id

_PARTS = ("Card", "Rejected", "Label errors")
_PAGE_HEIGHT = 900
_NOTHING_ELSE = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"


def page() -> None:
    """What lies in the workspace beside the app."""
    st.title("What was it trained on?")
    start = connection.settings()
    if not start.workspace.is_dir():
        st.info(
            f"There is no workspace here (looked for {plain(str(start.workspace))}). Start the app beside one: "
            "`make ui WORKSPACE=…`; `make train` makes one.",
            icon=":material/info:",
        )
        return
    runs = published_runs(start.outputs)
    part = st.segmented_control(
        "Show", _PARTS, default=_PARTS[0], required=True, key="data_part", label_visibility="collapsed"
    )
    with failures.caught():
        if part == "Card":
            _card(runs)
        elif part == "Rejected":
            show_queue(start.workspace, _labels(runs))
        else:
            show_suspects(runs, start.workspace)


def _data_runs(runs: list[Run]) -> list[Run]:
    return [run for run in runs if "version" in run.record and "manifest_hash" in run.metrics]


def _card(runs: list[Run]) -> None:
    published = _data_runs(runs)
    if not published:
        st.info("No data were published yet: `python run.py --pipeline data`.", icon=":material/info:")
        return
    names = {
        run.folder: f"{short_id(str(run.record['version'].get('git_revision', '')))}, {run.folder.name}"
        for run in published
    }
    run = published[0]
    if len(published) > 1:
        run = st.selectbox("Version", published, format_func=lambda one: names[one.folder], key="data_version")
    found = run.metrics.get("data", {})
    figures(
        [
            ("Photographs", f"{found.get('accepted', 0):,}"),
            ("Actions", f"{len(run.record.get('counts', {})):,}"),
            ("Rejected", f"{found.get('rejected', 0):,}"),
            ("Warnings", f"{found.get('warnings', 0):,}"),
        ]
    )
    page, readme = run.folder / "report.html", run.folder / "README.md"
    if page.is_file():
        _framed(page)
    if readme.is_file():
        st.download_button(
            "Download it as Markdown", readme.read_bytes(), "README.md", "text/markdown", icon=":material/download:"
        )


def _framed(page: Path) -> None:
    """The card as it is. It needs nothing from anywhere, and no scripts; so it gets nothing and runs none."""
    content = page.read_text(encoding="utf-8").replace("<head>", f"<head>{_NOTHING_ELSE}", 1)
    st.iframe(content, height=_PAGE_HEIGHT, alt="The dataset card")


def _labels(runs: list[Run]) -> list[str]:
    published = _data_runs(runs)
    return sorted(published[0].record.get("counts", {})) if published else []
