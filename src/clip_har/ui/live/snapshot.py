"""Where no stream can be had: one picture at a time, from the camera or a file."""

from __future__ import annotations

import streamlit as st

from clip_har.ui import failures
from clip_har.ui.answers import show_answer
from clip_har.ui.asking import Picture, ask
from clip_har.ui.connection import Service
from clip_har.ui.pictures import KINDS, show


def show_snapshot(service: Service, *, camera: bool = True) -> None:
    """A picture taken now, and what it shows.

    Args:
        camera: whether the browser gives this page the camera. Otherwise a file is asked for: phones then offer theirs.
    """
    taken, known = st.columns([3, 2], gap="large")
    with taken:
        if camera:
            given = st.camera_input(
                "Take a picture", key="live-snapshot", help="Your browser asks whether it may use the camera."
            )
        else:
            given = st.file_uploader(
                "Take or choose a picture", type=KINDS, key="live-file", help="A phone offers its camera here."
            )
        if given is None:
            return
        picture = Picture("the camera's picture" if camera else given.name, given.getvalue())
        if not camera:
            show(picture)
    with known, failures.caught("The picture was not recognised."):
        with st.spinner("Looking at it …"):
            (answer,) = ask(service, [picture])
        show_answer(service, answer, f"live-{picture.digest[:8]}")
