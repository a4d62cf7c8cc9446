"""Many pictures beside each other, each with its suggested label: those that are right need no click of their own."""

from __future__ import annotations

import streamlit as st

from clip_har.labelling.answers import NONE, SKIP
from clip_har.ui.labelling.round import Round
from clip_har.ui.pictures import small
from clip_har.ui.wording import percent, plain, words

A_PAGE, _COLUMNS = 12, 4
LATER = "decide later"


def show_grid(labelling: Round) -> None:
    """A page of pictures in a form; what it says is written down at once for all of them."""
    shown = [(one, data) for one in labelling.open[: A_PAGE * 2] if (data := labelling.picture(one)) is not None]
    shown = shown[:A_PAGE]
    if not shown:
        return
    with st.form(f"grid-{shown[0][0].id}", border=False):
        said = {}
        for start in range(0, len(shown), _COLUMNS):
            columns = st.columns(_COLUMNS)
            for column, (one, data) in zip(columns, shown[start : start + _COLUMNS], strict=False):
                with column.container(border=True):
                    small_one = small(data, 360)
                    if small_one is None:
                        st.caption(":material/broken_image: No picture that can be shown.")
                    else:
                        st.image(small_one, alt=f"Looks like {words(one.suggested)}", width="stretch")
                    st.caption(f"Looks like {plain(words(one.suggested))}, {percent(one.confidence)}")
                    said[one.id] = st.selectbox(
                        "It shows",
                        [*labelling.choices(one), NONE, SKIP, LATER],
                        format_func=words,
                        key=f"grid-{one.id}",
                        label_visibility="collapsed",
                    )
        save = st.form_submit_button(
            f"All {len(said)} are right as they stand", type="primary", icon=":material/done_all:", width="stretch"
        )
    if save:
        given = labelling.answer({one: label for one, label in said.items() if label != LATER})
        st.session_state["label_said"] = f"{given} answers are written down."
        st.rerun()
