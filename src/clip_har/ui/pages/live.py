"""Live: what is being done before the camera, as it happens."""

from __future__ import annotations

import streamlit as st

from clip_har.ui import connection, failures
from clip_har.ui.live.reasons import NO_PACKAGE, NOT_SECURE, camera_forbidden, package_missing
from clip_har.ui.live.snapshot import show_snapshot

_STREAM, _SNAPSHOTS = "Stream", "Snapshots"
_WAYS = {_STREAM: ":material/videocam: Stream", _SNAPSHOTS: ":material/photo_camera: Snapshots"}


def page() -> None:
    """The camera's stream, or its pictures one by one where there can be none."""
    st.title("What is being done now?")
    service = connection.service()
    if camera_forbidden(st.context.url):
        _say(f"{NOT_SECURE} Until then, give it a picture:")
        show_snapshot(service, camera=False)
    elif package_missing():
        _say(f"{NO_PACKAGE} Until then, take pictures one by one:")
        show_snapshot(service)
    elif _way() == _SNAPSHOTS:
        show_snapshot(service)
    else:
        from clip_har.ui.live.stream import show_stream

        with failures.caught("The stream cannot be shown."):
            if show_stream(service) == "failed":
                st.markdown("Take pictures one by one instead:")
                show_snapshot(service)


def _way() -> str:
    return st.segmented_control(
        "How is the camera used?",
        list(_WAYS),
        format_func=_WAYS.__getitem__,
        default=_STREAM,
        required=True,
        key="live-way",
        label_visibility="collapsed",
    )


def _say(why: str) -> None:
    st.info(why, icon=":material/videocam_off:")
