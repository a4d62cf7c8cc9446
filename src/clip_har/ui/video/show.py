"""A clip's answers on the page: player, chart, segments and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import streamlit as st

from clip_har.ui.video.chart import UNSURE, timeline
from clip_har.ui.video.clip import Clip
from clip_har.ui.video.export import as_json, frames_csv, segments_csv
from clip_har.ui.video.moments import Moment, Segment
from clip_har.ui.wording import percent, words

_TABLE = "video-segments"


def show_player(file: BinaryIO, clip: Clip, found: Sequence[Segment]) -> None:
    """The clip, from the segment that was chosen in the table; or why it cannot be played here."""
    if not clip.played_by_browsers:
        st.info(
            f"Most browsers do not play such files ({clip.codec} in {clip.container.split(',')[0]}); what the clip shows is found all the same.",
            icon=":material/videocam_off:",
        )
        return
    chosen = _chosen(found)
    file.seek(0)
    st.video(
        file,
        start_time=0 if chosen is None else int(chosen.start),
        autoplay=chosen is not None,
        muted=chosen is not None,
    )


def show_segments(found: Sequence[Segment], end: float) -> None:
    """The segments as a table; choosing one plays the clip from there."""
    rows = [
        {
            "When": f"{clock(one.start, end)} – {clock(one.end, end)}",
            "Action": UNSURE if one.label is None else words(one.label),
            "Confidence": percent(one.confidence),
        }
        for one in found
    ]
    st.dataframe(rows, hide_index=True, width="stretch", key=_TABLE, on_select="rerun", selection_mode="single-row")
    st.caption("Choose a row to play the clip from there.")


def show_timeline(moments: Sequence[Moment], found: Sequence[Segment], end: float) -> None:
    """The chart."""
    st.altair_chart(timeline(moments, found, end), width="stretch")


def show_files(
    stem: str, facts: dict[str, Any], moments: Sequence[Moment], found: Sequence[Segment], labels: Sequence[str]
) -> None:
    """What can be taken home."""
    one, two, three = st.columns(3)
    offers = (
        (one, "Segments (CSV)", segments_csv(found), f"{stem}-segments.csv", "text/csv"),
        (two, "Frames (CSV)", frames_csv(moments, labels), f"{stem}-frames.csv", "text/csv"),
        (three, "Everything (JSON)", as_json(facts, moments, found), f"{stem}.json", "application/json"),
    )
    for place, title, text, name, kind in offers:
        place.download_button(title, text, name, kind, icon=":material/download:", width="stretch", on_click="ignore")


def clock(seconds: float, end: float) -> str:
    """62.5 → 1:02.5; with hours if the clip has them."""
    minutes, rest = divmod(round(seconds, 1), 60)
    if end >= 3600:
        return f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:04.1f}"
    return f"{int(minutes)}:{rest:04.1f}"


def _chosen(found: Sequence[Segment]) -> Segment | None:
    held = st.session_state.get(_TABLE)
    rows = held["selection"]["rows"] if held else []
    return found[rows[0]] if rows and rows[0] < len(found) else None
