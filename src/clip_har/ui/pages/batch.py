"""Batch: many pictures at once, as a gallery and as a table to take along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from clip_har.ui import connection, failures
from clip_har.ui.batch.gallery import show_gallery
from clip_har.ui.batch.job import Job
from clip_har.ui.batch.rows import Row, as_csv, as_parquet
from clip_har.ui.batch.sources import Given, in_folder, in_zip
from clip_har.ui.beside import at_this_machine
from clip_har.ui.connection import Service
from clip_har.ui.drawing import figures
from clip_har.ui.pictures import KINDS
from clip_har.ui.wording import seconds_in_words, words

_JOB = "batch_job"
_ZIP, _OWN, _BESIDE = "A ZIP", "A folder of yours", "A folder beside the app"
_EVERY = 4  # the progress bar moves after so many


def page() -> None:
    """Choose, wait, look, download."""
    st.title("Many pictures at once")
    service = connection.service()
    job: Job | None = st.session_state.get(_JOB)
    if job is None or not job.running:
        _choice(job)
        job = st.session_state.get(_JOB)
    if job is None:
        st.caption(
            "Each picture becomes a row, those that cannot be read as well. For very large folders: `--pipeline batch`."
        )
        return
    if job.running:
        _run(service, job)
    _results(job)


def _choice(job: Job | None) -> None:
    ways = [_ZIP, _OWN, *([_BESIDE] if at_this_machine() else [])]
    with st.expander("Choose other pictures" if job else "Choose pictures", expanded=job is None):
        way = st.segmented_control("Where are the pictures?", ways, default=_ZIP, required=True, key="batch_way")
        with failures.caught():
            given, name = _given(way)
            if given and st.button(
                f"Recognise {len(given):,} picture{'s' if len(given) > 1 else ''}",
                type="primary",
                icon=":material/play_arrow:",
            ):
                st.session_state[_JOB] = Job(name, given)
                st.rerun()


def _given(way: str) -> tuple[list[Given], str]:
    if way == _ZIP:
        file = st.file_uploader("ZIP with pictures", type=["zip"], key="batch_zip")
        return ([], "") if file is None else (in_zip(file, file.name), file.name)
    if way == _OWN:
        files = st.file_uploader("Folder", type=KINDS, accept_multiple_files="directory", key="batch_own")
        return [Given(file.name, file.getvalue) for file in files or []], "your folder"
    typed = st.text_input(
        "Folder on this machine", key="batch_folder", placeholder="photos", help="With the folders below it."
    ).strip()
    return ([], "") if not typed else (in_folder(Path(typed).expanduser()), typed)


def _run(service: Service, job: Job) -> None:
    st.button("Stop", icon=":material/stop:", on_click=setattr, args=(job, "running", False))
    total = len(job.given)
    bar = st.progress(len(job.rows) / total, "Beginning …")
    try:
        for done in job.go_on(service, top_k=min(5, len(service.labels))):
            if done % _EVERY == 0 or done == total:
                left = job.seconds_left or 0.0
                bar.progress(
                    done / total, f"{done:,} of {total:,} · {seconds_in_words(left)} left" if done < total else "Done."
                )
    except Exception as error:
        job.running = False
        failures.show(error, f"It stopped after {len(job.rows):,} of {total:,} pictures.")
        st.button("Go on", icon=":material/play_arrow:", on_click=setattr, args=(job, "running", True))
        return
    st.rerun()


def _results(job: Job) -> None:
    if not job.rows:
        return
    failed = sum(row.failed for row in job.rows)
    unsure = sum(bool(row.values["abstained"]) for row in job.rows)
    figures(
        [
            ("Pictures", f"{len(job.rows):,}" + ("" if job.done else f" of {len(job.given):,}")),
            ("Not sure", f"{unsure:,}"),
            ("Could not be read", f"{failed:,}"),
            ("Took", seconds_in_words(job.seconds)),
        ]
    )
    if not job.done and not job.running:
        st.button("Go on with the rest", icon=":material/play_arrow:", on_click=setattr, args=(job, "running", True))
    chosen = _filtered(job.rows)
    left, right, _ = st.columns([1, 1, 2])
    left.download_button(
        "Download CSV",
        lambda: as_csv(job.rows),
        "predictions.csv",
        "text/csv",
        icon=":material/download:",
        width="stretch",
    )
    right.download_button(
        "Download Parquet",
        lambda: as_parquet(job.rows),
        "predictions.parquet",
        "application/vnd.apache.parquet",
        icon=":material/download:",
        width="stretch",
    )
    if len(chosen) < len(job.rows):
        st.caption(f"{len(chosen):,} of {len(job.rows):,} are shown. The files have all.")
    show_gallery(chosen)


def _filtered(rows: Sequence[Row]) -> list[Row]:
    labels = sorted({str(row.label) for row in rows if not row.failed})
    left, right = st.columns([3, 2], gap="medium")
    actions = left.multiselect("Only these actions", labels, format_func=words, placeholder="All", key="batch_actions")
    low, high = right.slider(
        "Confidence", 0, 100, (0, 100), format="%d %%", key="batch_confidence", help="Of the best label."
    )
    return [
        row
        for row in rows
        if (row.failed and low == 0 and not actions)
        or (not row.failed and low / 100 <= row.confidence <= high / 100 and (not actions or row.label in actions))
    ]
