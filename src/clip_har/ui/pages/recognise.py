"""Recognise: what is being done in these pictures?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from clip_har.ui import connection
from clip_har.ui.answers import show_answer, show_heat_map
from clip_har.ui.asking import Answer, ask
from clip_har.ui.connection import Service
from clip_har.ui.giving import given_pictures
from clip_har.ui.pictures import show
from clip_har.ui.wording import percent


def page() -> None:
    """Pictures in, actions out."""
    st.title("What is being done here?")
    service = connection.service()
    pictures = given_pictures("recognise", service.labels)
    options = _options(service)
    if not pictures:
        st.caption(f"The model knows {len(service.labels)} actions. JPEG, PNG, WebP, BMP, GIF and TIFF are taken.")
        return
    doing = "Looking at it, and at what the answer rests on …" if options["explain"] else "Looking at it …"
    with st.spinner(doing):
        answers = ask(service, pictures, **options)
    for number, answer in enumerate(answers):
        _show(service, answer, f"recognise-{number}-{answer.picture.digest[:8]}", options.get("coverage"))


def _options(service: Service) -> dict[str, Any]:
    calibration = service.model.calibration
    explain = st.toggle(
        "Show what the answer rests on (heat map)", key="explain", help="Takes longer, the first time most."
    )
    with st.expander("How to answer", icon=":material/tune:"):
        top = min(5, len(service.labels))
        if len(service.labels) > 1:
            top = st.slider("Labels to show", 1, min(len(service.labels), 20), top, key="top_k")
        coverage = None
        if calibration.coverages:
            coverage = st.select_slider(
                "The label set holds the right label",
                options=calibration.coverages,
                value=calibration.coverage
                if calibration.coverage in calibration.coverages
                else calibration.coverages[0],
                format_func=percent,
                key="coverage",
                help="The more often it is to hold the right label, the more labels it has.",
            )
        own = st.checkbox(
            "Choose when to abstain", key="own_threshold", help="Otherwise the model's own threshold holds."
        )
        threshold = st.slider("Abstain below", 0, 100, 50, format="%d %%", key="threshold", disabled=not own)
    chosen: dict[str, Any] = {"top_k": top, "explain": bool(explain)}
    if coverage is not None and coverage != calibration.coverage:
        chosen["coverage"] = coverage
    if own:
        chosen["threshold"] = threshold / 100
    return chosen


def _show(service: Service, answer: Answer, key: str, coverage: float | None) -> None:
    with st.container(border=True):
        left, right = st.columns([5, 6], gap="medium")
        with left:
            show(answer.picture, caption=answer.picture.name)
            if answer.result is not None:
                show_heat_map(answer.result)
        with right:
            show_answer(service, answer, key, coverage=coverage)
