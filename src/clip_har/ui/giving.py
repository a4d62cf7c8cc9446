"""How people give the app pictures: files, the clipboard, the camera, or a drawn one."""

from __future__ import annotations

import streamlit as st

from clip_har.ui.asking import Picture
from clip_har.ui.pictures import KINDS, drawn
from clip_har.ui.wording import words

_WAYS = {
    "Upload": ":material/upload: Upload",
    "Paste": ":material/content_paste: Paste",
    "Camera": ":material/photo_camera: Camera",
    "Sample": ":material/brush: A drawn sample",
}
_PASTED = "pasted"


def given_pictures(key: str, labels: list[str], *, most: int = 24) -> list[Picture]:
    """The pictures that were given, in one of several ways.

    Args:
        key: makes the widgets' names unique.
        labels: the model's; what a drawn sample may show.
        most: of the files, at one time.
    """
    way = st.segmented_control(
        "Where is the picture?",
        list(_WAYS),
        format_func=_WAYS.__getitem__,
        default="Upload",
        required=True,
        key=f"way-{key}",
    )
    if way == "Paste":
        return _pasted(key)
    if way == "Camera":
        taken = st.camera_input(
            "Take a picture", key=f"camera-{key}", help="Your browser asks whether it may use the camera."
        )
        return [] if taken is None else [Picture("the camera's picture", taken.getvalue())]
    if way == "Sample":
        return _sample(key, labels)
    files = st.file_uploader("Pictures", type=KINDS, accept_multiple_files=True, key=f"files-{key}")
    if len(files) > most:
        st.info(
            f"The first {most} of {len(files)} pictures are shown. For more, use the page Batch.",
            icon=":material/info:",
        )
    return [Picture(file.name, file.getvalue()) for file in files[:most]]


def _pasted(key: str) -> list[Picture]:
    kept = f"{_PASTED}-{key}"
    with st.container():
        sent = st.chat_input(
            "Click here, paste a picture (Ctrl+V), then press Enter",
            accept_file="multiple",
            file_type=KINDS,
            key=f"paste-{key}",
        )
    if sent is not None:
        st.session_state[kept] = [Picture(file.name, file.getvalue()) for file in sent.files]
        if not sent.files:
            st.info("There was no picture in what was pasted. Copy a picture, not its address.", icon=":material/info:")
    return st.session_state.get(kept, [])


def _sample(key: str, labels: list[str]) -> list[Picture]:
    from clip_har.samples import ACTIONS

    known = [action for action in ACTIONS if action in labels] or list(ACTIONS)
    action, other = st.columns([3, 1], vertical_alignment="bottom")
    chosen = action.selectbox("Action", known, format_func=words, key=f"drawn-{key}")
    number = f"number-{key}"
    st.session_state.setdefault(number, 1)
    if other.button("Draw another", key=f"another-{key}", width="stretch"):
        st.session_state[number] += 1
    seed = st.session_state[number]
    return [Picture(f"a drawn picture of {words(chosen)}", drawn(chosen, 10_000 + seed))]
