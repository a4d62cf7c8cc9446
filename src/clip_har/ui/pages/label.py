"""Label: captured pictures that are worth a person's word, and what they show."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from clip_har.errors import ClipHarError
from clip_har.labelling.config import LabellingConfig
from clip_har.ui import connection, failures
from clip_har.ui.beside import at_this_machine
from clip_har.ui.labelling.grid import show_grid
from clip_har.ui.labelling.one import show_one
from clip_har.ui.labelling.round import Round, new_round
from clip_har.ui.wording import plain, words

_WINDOWS = {
    "all that is kept": None,
    "the last day": 86_400.0,
    "the last week": 7 * 86_400.0,
    "the last month": 30 * 86_400.0,
}
_WAYS = ("One at a time", "Many at once")
_ROUND, _SAID, _PROBLEM, _SEED = "label_round", "label_said", "label_problem", "label_seed"
_HERE = {"localhost", "127.0.0.1", "::1"}


def page() -> None:
    """Choose pictures, ask about them, and write down what is said."""
    st.title("What do these pictures show?")
    workspace = connection.settings().workspace
    if not _can_be_shown(workspace):
        return
    if said := st.session_state.pop(_SAID, None):
        st.toast(said)
    if problem := st.session_state.pop(_PROBLEM, None):
        failures.show(problem, "The answer was not written down.")
    labelling: Round | None = st.session_state.get(_ROUND)
    if labelling is None:
        _choose(workspace)
    else:
        with failures.caught("Nothing was written down."):
            _ask(labelling)


def _can_be_shown(workspace: Path) -> bool:
    if not at_this_machine():
        st.info(
            "Pictures that were captured are shown only where the app serves this machine alone (`make ui`). Elsewhere: "
            "`clip-har labelling sheet`.",
            icon=":material/lock:",
        )
        return False
    url, _ = connection.wanted()
    if url and urlsplit(url).hostname not in _HERE:
        st.warning(
            f"The service that is asked, {plain(url)}, runs on another machine, and what it captures lies there: start the app "
            f"there. Shown here is what lies in {plain(str(workspace))}.",
            icon=":material/cloud_off:",
        )
    if not (workspace / "capture").is_dir():
        st.info(
            f"Nothing has been captured in {plain(str(workspace))} yet. Start the service with its pictures kept: "
            "`make serve SET=serving.capture.images=true`; then come back.",
            icon=":material/info:",
        )
        return False
    return True


def _choose(workspace: Path) -> None:
    st.markdown(
        "Pictures that the model doubts, and that differ from each other and from those with a label, are worth the most. "
        "What you say is written down at once, as data that `run.py` can train on."
    )
    defaults = LabellingConfig()
    with st.form("choose", border=False):
        left, middle, right = st.columns(3)
        count = left.number_input("Pictures", 1, 1000, min(defaults.budget, 50), key="label_count")
        window = middle.selectbox("Of", list(_WINDOWS), key="label_window")
        doubt = right.slider(
            "Doubt rather than diversity",
            0.0,
            1.0,
            defaults.uncertainty,
            0.1,
            key="label_doubt",
            help="0: pictures as different as possible; 1: those that the model is least sure of.",
        )
        go = st.form_submit_button("Choose pictures", type="primary", icon=":material/filter_center_focus:")
    if not go:
        return
    seconds = _WINDOWS[window]
    with failures.caught("No pictures were chosen."):
        st.session_state[_ROUND] = new_round(
            workspace,
            int(count),
            uncertainty=doubt,
            since=None if seconds is None else time.time() - seconds,
            seed=st.session_state.get(_SEED, 0),
            labels=_labels_of_the_service(),
        )
        st.rerun()


def _labels_of_the_service() -> tuple[str, ...]:
    try:
        return tuple(connection.service().labels)
    except Exception:  # the shell says what is wrong with it; captured pictures can be labelled without
        return ()


def _ask(labelling: Round) -> None:
    done, number = len(labelling.answers), labelling.number
    st.progress(done / number if number else 1.0, text=f"{done} of {number} pictures")
    bar = st.container(horizontal=True)
    way = bar.segmented_control(
        "Show", _WAYS, default=_WAYS[0], required=True, key="label_way", label_visibility="collapsed"
    )
    bar.button(
        "Undo", icon=":material/undo:", shortcut="U", disabled=not labelling.answers, on_click=_undo, args=(labelling,)
    )
    bar.button("End", icon=":material/done:", on_click=_end, key="label_end")
    if not labelling.open:
        _thanks(labelling)
    elif way == _WAYS[0]:
        show_one(labelling)
    else:
        show_grid(labelling)
    if not labelling.open and done < labelling.number:  # the last were deleted while they were shown
        st.rerun()
    if labelling.gone:
        st.caption(f"{len(labelling.gone)} pictures were deleted meanwhile, and are not asked about.")


def _thanks(labelling: Round) -> None:
    rows = labelling.store.rows()
    st.success(
        f"{len(labelling.answers)} answers are written down. {len(rows):,} labelled pictures are there now.",
        icon=":material/check:",
    )
    for name, said in labelling.store.conflicts().items():
        st.caption(f"{name[:12]}… has different labels: {plain(', '.join(map(words, said)))}.")
    st.markdown("`python run.py --pipeline monitor --set monitor.retrain=always` trains on them.")


def _undo(labelling: Round) -> None:
    try:
        labelling.undo()
    except (ClipHarError, OSError) as error:
        st.session_state[_PROBLEM] = error


def _end() -> None:
    st.session_state.pop(_ROUND, None)
    st.session_state[_SEED] = st.session_state.get(_SEED, 0) + 1
