"""The rejection queue as people look at it: pictures with their reason, and what to do about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from clip_har.data.quarantine import Entry, RejectionQueue
from clip_har.ui import failures
from clip_har.ui.beside import at_this_machine
from clip_har.ui.pictures import small
from clip_har.ui.wording import plain, words

_A_PAGE = 12
_COLUMNS = 3
_LARGEST = 50_000_000
_SAID = "queue_said"


def show_queue(workspace: Path, labels: Sequence[str]) -> None:
    """The queue, a page of pictures at a time, with a form to decide about those that are chosen.

    Args:
        labels: of the data, for a sample that is to have another.
    """
    queue = RejectionQueue(workspace / "quarantine")
    if not queue.exists():
        st.info(
            "There is no rejection queue yet. The data pipeline makes it: `python run.py --pipeline data`.",
            icon=":material/info:",
        )
        return
    rows = [row for row in queue.rows() if row.status != "resolved"]
    if not rows:
        st.success("Nothing is rejected.", icon=":material/check:")
        return
    if said := st.session_state.pop(_SAID, None):
        st.success(said, icon=":material/check:")
    shown = _filtered(rows)
    if not shown:
        st.caption("None of these.")
        return
    chosen = _pictures(queue.folder, shown)
    if at_this_machine():
        _decide(queue, chosen, labels)
    else:
        st.caption("Decisions are made where the app serves this machine alone, or with `clip-har quarantine`.")


def _filtered(rows: list[Entry]) -> list[Entry]:
    reasons, statuses = Counter(row.reason for row in rows), Counter(row.status for row in rows)
    left, right = st.columns(2)
    reason = left.selectbox(
        "Reason",
        [None, *(name for name, _ in reasons.most_common())],
        format_func=lambda name: f"all ({len(rows)})" if name is None else f"{words(name)} ({reasons[name]})",
        key="queue_reason",
    )
    status = right.selectbox(
        "Decision",
        [None, *statuses],
        format_func=lambda name: f"all ({len(rows)})" if name is None else f"{name} ({statuses[name]})",
        key="queue_status",
    )
    return [row for row in rows if reason in (None, row.reason) and status in (None, row.status)]


def _pictures(folder: Path, rows: list[Entry]) -> list[Entry]:
    pages = -(-len(rows) // _A_PAGE)
    number = 1 if pages == 1 else st.number_input(f"Page (of {pages})", 1, pages, 1, key="queue_page")
    chosen = []
    for start in range(_A_PAGE * (number - 1), min(len(rows), _A_PAGE * number), _COLUMNS):
        for column, row in zip(st.columns(_COLUMNS), rows[start : start + _COLUMNS], strict=False):
            with column.container(border=True):
                _picture(folder, row)
                if st.checkbox("Choose", key=f"choose-{row.key}", help=row.uri):
                    chosen.append(row)
    return chosen


def _picture(folder: Path, row: Entry) -> None:
    data = _bytes(folder, row)
    shown = small(data, 360) if data else None
    if shown is not None:
        st.image(shown, alt=row.uri or row.key, width="stretch")
    else:
        st.caption(":material/broken_image: No picture that can be shown.")
    label = f", listed as {plain(words(row.label))}" if row.label else ""
    st.markdown(f"**{plain(words(row.reason))}**{label}")
    st.caption(f"{plain(row.details or row.note)}  \n{plain(row.uri or row.key)} · {row.status}")


def _bytes(folder: Path, row: Entry) -> bytes | None:
    place = folder / row.file
    try:
        inside = place.resolve().is_relative_to(folder.resolve())
        if row.file and inside and place.is_file() and place.stat().st_size <= _LARGEST:
            return place.read_bytes()
    except OSError:
        pass
    return None


def _decide(queue: RejectionQueue, chosen: list[Entry], labels: Sequence[str]) -> None:
    st.markdown("## Decide")
    if not chosen:
        st.caption("Choose pictures above, to have them looked at again or to leave them out for good.")
        return
    with st.form("decide"):
        st.markdown(
            f"{len(chosen)} chosen: {plain(', '.join(row.uri or row.key for row in chosen[:6]))}{' …' if len(chosen) > 6 else ''}"
        )
        left, right = st.columns(2)
        who = left.text_input("Who decides", key="decide_who")
        why = right.text_input("Why", key="decide_why")
        waive = left.multiselect(
            "Reasons that shall not apply",
            sorted({row.reason for row in chosen}),
            format_func=words,
            key="decide_waive",
            help="Without one, the file or its listing must have been mended, or it is rejected again.",
        )
        label = right.selectbox(
            "Label to use instead",
            [None, *labels],
            format_func=lambda one: words(one or "the listed one"),
            key="decide_label",
        )
        again = left.form_submit_button("Look at them again", type="primary", icon=":material/replay:", width="stretch")
        out = right.form_submit_button("Leave them out for good", icon=":material/delete:", width="stretch")
    if not again and not out:
        return
    with failures.caught("Nothing was decided."):
        keys = [row.key for row in chosen]
        if again:
            queue.requeue(keys, who, why, waive, label)
            done = "They are looked at again by the next run of the data pipeline: `python run.py --pipeline data`."
        else:
            queue.discard(keys, who, why)
            done = "They are left out for good."
        st.session_state[_SAID] = f"Noted for {len(keys)}. {done}"
        st.rerun()
