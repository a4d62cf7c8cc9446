"""Any action: labels of one's own, beside the ones that were trained."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from clip_har.ui import connection
from clip_har.ui.answers import headline, show_answer
from clip_har.ui.asking import Answer, ask
from clip_har.ui.connection import Service
from clip_har.ui.drawing import bars
from clip_har.ui.giving import given_pictures
from clip_har.ui.pictures import show
from clip_har.ui.wording import plain

_EXAMPLES = "riding a bicycle\nplaying the guitar\nwalking the dog\ncooking\nsleeping"
_MOST_LABELS, _MOST_TEMPLATES = 100, 16


def page() -> None:
    """The same picture, asked twice: with labels of one's own, and with the trained ones."""
    st.title("Any action you can name")
    service = connection.service()
    vocabulary = service.model.open_vocabulary
    if vocabulary.word == "lost":
        st.info(
            f"This model answers for the labels it was trained with, and for no others ({plain(vocabulary.basis)}). Serve a "
            "model that keeps the open vocabulary: a zero-shot one, or one of learned prompts.",
            icon=":material/info:",
        )
        return
    if vocabulary.word == "degraded":
        st.caption(f"Other labels work less well in this model than before it was adapted ({plain(vocabulary.basis)}).")
    labels, templates = _asked()
    pictures = given_pictures("any", service.labels, most=8)
    if not pictures:
        st.caption("Give it a picture, and it says which of your labels fits best.")
        return
    if len(labels) < 2:
        st.info("Write two labels at least: it says which of them fits best.", icon=":material/info:")
        return
    with st.spinner("Looking at it twice …"):
        trained = ask(service, pictures, top_k=min(5, len(service.labels)))
        own = ask(
            service,
            pictures,
            labels=labels,
            top_k=min(len(labels), 20),
            **({"templates": templates} if templates else {}),
        )
    for number, (ours, theirs) in enumerate(zip(own, trained, strict=True)):
        _compare(service, ours, theirs, f"any-{number}-{ours.picture.digest[:8]}")


def _asked() -> tuple[list[str], list[str]]:
    left, right = st.columns([3, 2], gap="medium")
    typed = left.text_area("Your labels, one a line", _EXAMPLES, height=150, key="own_labels", max_chars=8000)
    wrapped = right.text_area(
        "Texts around them, one a line (optional)",
        "",
        height=150,
        key="own_templates",
        placeholder="a photo of a person {}.\na blurry photo of somebody {}.",
        help="{} stands for the label. Without any, the model's own texts are used.",
        max_chars=4000,
    )
    labels, templates = _lines(typed), _lines(wrapped)
    wrong = [text for text in templates if text.count("{}") != 1]
    if wrong:
        right.markdown(f":material/info: {plain(wrong[0])} has no {{}} for the label, and is left out.")
    if len(labels) > _MOST_LABELS:
        left.markdown(f":material/info: The first {_MOST_LABELS} of {len(labels)} labels are asked for.")
    return labels[:_MOST_LABELS], [text for text in templates if text not in wrong][:_MOST_TEMPLATES]


def _lines(text: str) -> list[str]:
    """Lines that are not empty, each once."""
    return list(dict.fromkeys(line for line in map(_tidy, text.splitlines()) if line))


def _tidy(line: str) -> str:
    return " ".join(line.split())


def _compare(service: Service, ours: Answer, theirs: Answer, key: str) -> None:
    with st.container(border=True):
        picture, own, trained = st.columns([3, 4, 4], gap="medium")
        with picture:
            show(ours.picture, caption=ours.picture.name, side=480)
        with own:
            st.caption("**Your labels**")
            if ours.result is None:
                show_answer(service, ours, f"{key}-own")
            else:
                st.markdown(headline(ours.result))
                bars(_scored(ours.result.labels), title="Your labels")
                st.caption("Not calibrated: they compare your labels with each other, and one always fits best.")
        with trained:
            st.caption("**The trained labels**")
            show_answer(service, theirs, f"{key}-trained", correct=False)


def _scored(labels: Iterable) -> list[tuple[str, float]]:
    return [(one.label, one.score) for one in labels]
