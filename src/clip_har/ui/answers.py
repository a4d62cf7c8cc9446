"""One picture's answer, for people: what it shows, how sure that is, and what to say if it is wrong."""

from __future__ import annotations

import io

import streamlit as st

from clip_har.client import PictureResult, heat_map_of
from clip_har.ui import failures
from clip_har.ui.asking import Answer
from clip_har.ui.connection import Service
from clip_har.ui.drawing import bars
from clip_har.ui.wording import one_of, percent, plain, seconds_in_words, short_id, words

_TOLD = "told"


def show_answer(
    service: Service, answer: Answer, key: str, *, coverage: float | None = None, correct: bool = True
) -> None:
    """The answer, or why there is none.

    Args:
        key: makes the widgets' names unique.
        coverage: that was asked for; the model's own if None.
        correct: whether it can be said to be wrong.
    """
    if answer.result is None:
        failures.show(answer.error, "This picture has no answer.")
        return
    result = answer.result
    st.markdown(headline(result))
    if result.label_set is not None:
        kept = coverage or service.model.calibration.coverage
        often = f" that holds the right answer {percent(kept)} of the time" if kept else ""
        st.markdown(f"Label set{often}: **{plain(one_of(result.label_set))}**")
    bars([(one.label, one.score) for one in result.labels], [] if result.abstained else None)
    notes = ["calibrated" if result.calibrated else "not calibrated: compare them, but do not take them at their word"]
    notes += [f"answered in {seconds_in_words(answer.seconds)}", f"model `{short_id(result.model_id)}`"]
    st.caption(f"Probabilities are {' · '.join(notes)}")
    if correct and result.prediction_id:
        _correction(service, result, key)


def headline(result: PictureResult) -> str:
    """The answer in a line of Markdown."""
    named = f"**{plain(words(result.label or ''))}**"
    if result.abstained:
        return (
            f":material/help: Not sure enough to say. The best guess is {named}, at {percent(result.confidence or 0)}."
        )
    return f"## {plain(words(result.label or ''))} · {percent(result.confidence or 0)}"


def show_heat_map(result: PictureResult) -> None:
    """The heat map over the picture, if there is one."""
    overlay = heat_map_of(result)
    if overlay is not None:
        label = words(result.heat_map_label or result.label or "")
        caption = f"What “{plain(label)}” rests on: the warmer, the more"
        st.image(io.BytesIO(overlay), caption=caption, alt=f"Heat map over the picture, for {label}", width="stretch")


def _correction(service: Service, result: PictureResult, key: str) -> None:
    told: dict[str, str] = st.session_state.setdefault(_TOLD, {})
    if result.prediction_id in told:
        st.markdown(f":material/check: Thank you. Noted as **{plain(words(told[result.prediction_id]))}**.")
        return
    right, wrong = st.columns(2)
    chosen = None
    if right.button("This is right", key=f"right-{key}", icon=":material/thumb_up:", width="stretch"):
        chosen = result.label
    with (
        wrong.popover("This is wrong", icon=":material/thumb_down:", width="stretch"),
        st.form(f"wrong-{key}", border=False),
    ):
        others = [label for label in service.labels if label != result.label]
        picked = st.selectbox(
            "What does it show?",
            others,
            index=None,
            format_func=words,
            accept_new_options=True,
            placeholder="Choose, or type another",
            key=f"label-{key}",
        )
        if st.form_submit_button("Send", type="primary", width="stretch"):
            if picked:
                chosen = picked.strip()
            else:
                st.markdown(":material/info: Choose the right label first.")
    if chosen:
        with failures.caught("The label was not sent."):
            service.client.feedback(result.prediction_id, chosen)
            told[result.prediction_id] = chosen
            st.rerun()
