"""Between camera, app and browser no frame waits in a line: who is slow gets the newest."""

from __future__ import annotations

from functools import partial


def newest_frames_only() -> None:
    """Have streamlit-webrtc's relay hand on the newest frame, for all streams of this app.

    It keeps every frame for everybody otherwise. Where encoding is slower than the camera, the picture then falls
    behind for as long as the stream goes on, by minutes if need be.
    """
    from streamlit_webrtc.relay import get_global_relay

    relay = get_global_relay()
    if not isinstance(relay.subscribe, partial):
        relay.subscribe = partial(relay.subscribe, buffered=False)
