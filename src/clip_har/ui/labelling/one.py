"""A picture at a time: the suggested label first, a key for each answer."""

from __future__ import annotations

import streamlit as st

from clip_har.errors import ClipHarError
from clip_har.labelling.answers import NONE, SKIP
from clip_har.labelling.selection import Candidate
from clip_har.ui.labelling.round import Round
from clip_har.ui.pictures import small
from clip_har.ui.wording import percent, plain, words

_KEYS = "123456789"
_COLUMNS = 2


def show_one(labelling: Round) -> None:
    """The next picture that has no answer, with all that can be answered."""
    one, data = _next(labelling)
    if one is None or data is None:
        return
    left, right = st.columns([3, 2])
    with left:
        shown = small(data, 900)
        if shown is None:
            st.caption(":material/broken_image: No picture that can be shown here: skip it, or label the file itself.")
        else:
            st.image(shown, alt=f"Picture {len(labelling.answers) + 1}", width="stretch")
    with right:
        _answers(labelling, one)


def _next(labelling: Round) -> tuple[Candidate | None, bytes | None]:
    for one in labelling.open:
        data = labelling.picture(one)
        if data is not None:
            return one, data
    return None, None


def _answers(labelling: Round, one: Candidate) -> None:
    choices = labelling.choices(one)
    st.markdown("What does it show?")
    suggested = one.suggested in labelling.labels
    if suggested:
        _button(
            labelling,
            one,
            choices[0],
            f"{plain(words(choices[0]))} ({percent(one.confidence)})",
            "Enter",
            primary=True,
        )
    rest = choices[1:] if suggested else choices
    columns = st.columns(_COLUMNS)
    for number, label in enumerate(rest):
        with columns[number % _COLUMNS]:
            _button(labelling, one, label, plain(words(label)), _KEYS[number] if number < len(_KEYS) else None)
    aside = st.columns(_COLUMNS)
    with aside[0]:
        _button(labelling, one, SKIP, "Skip", "S", icon=":material/skip_next:")
    with aside[1]:
        _button(labelling, one, NONE, "None of these", "N", icon=":material/block:")
    st.caption(f"Captured by model {labelling.selection.model_id[:12]} · {plain(one.id)}")


def _button(
    labelling: Round,
    one: Candidate,
    label: str,
    text: str,
    shortcut: str | None,
    *,
    primary: bool = False,
    icon: str | None = None,
) -> None:
    st.button(
        text,
        key=f"label-{one.id}-{label}",
        type="primary" if primary else "secondary",
        icon=":material/check:" if primary else icon,
        width="stretch",
        shortcut=shortcut,
        on_click=_give,
        args=(labelling, one, label),
    )


def _give(labelling: Round, one: Candidate, label: str) -> None:
    if one.id in labelling.answers:  # a key that was pressed before the next picture was there is not about either
        return
    try:
        labelling.answer({one.id: label})
    except (ClipHarError, OSError) as error:
        st.session_state["label_problem"] = error
