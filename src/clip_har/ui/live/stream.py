"""The stream on the page: the camera's picture with words on it, and what is known beside it."""

from __future__ import annotations

import time

import streamlit as st

from clip_har.ui import failures
from clip_har.ui.connection import Service
from clip_har.ui.drawing import bars
from clip_har.ui.live.asking import asking
from clip_har.ui.live.reasons import NO_WAY, Attempt, State
from clip_har.ui.live.recogniser import LiveRecogniser
from clip_har.ui.live.relay import newest_frames_only
from clip_har.ui.live.settings import LiveSettings
from clip_har.ui.wording import percent, plain, seconds_in_words, words

_KEY, _RECOGNISER, _ATTEMPT, _HALF_LIFE = "live-stream", "live-recogniser", "live-attempt", "live-half-life"
_LOOK_SECONDS = 0.5
_SHOWN = 5
_CAMERA = {
    "video": {"width": {"ideal": 640}, "height": {"ideal": 480}, "frameRate": {"ideal": 30}},
    "audio": False,
}
_WORDS = {
    "start": "Start",
    "stop": "Stop",
    "select_device": "Choose a camera",
    "media_api_not_available": "This browser gives no camera to this page.",
    "device_ask_permission": "Please allow the browser to use the camera.",
    "device_not_available": "There is no camera, or another program uses it.",
    "device_access_denied": "The browser does not let this page use the camera. Allow it beside the address, and start again.",
}


def show_stream(service: Service) -> State:
    """The stream and what is known of it; says whether it arrives."""
    from streamlit_webrtc import WebRtcMode, webrtc_streamer

    servers = LiveSettings.of().rtc_configuration()
    newest_frames_only()
    recogniser = _recogniser(service)
    picture, known = st.columns([3, 2], gap="large")
    with picture:
        stream = webrtc_streamer(
            key=_KEY,
            mode=WebRtcMode.SENDRECV,
            rtc_configuration=servers,
            media_stream_constraints=_CAMERA,
            video_frame_callback=recogniser.video_frame,
            on_video_ended=recogniser.reset,
            async_processing=False,  # the callback is quick; a thread between would show every frame one later
            video_html_attrs={
                "autoPlay": True,
                "controls": False,
                "muted": True,
                "style": {"width": "100%", "borderRadius": "0.6rem"},
            },
            translations=_WORDS,
            sendback_audio=False,
            media_toggle_controls=False,
        )
    attempt: Attempt = st.session_state.setdefault(_ATTEMPT, Attempt())

    def look() -> State:
        active = bool(stream.state.playing or stream.state.signalling)
        return attempt.look(active=active, frames=recogniser.frames, now=time.monotonic())

    state = look()
    with known:
        _smoothing(recogniser)

        def read() -> None:
            if look() != state:
                st.rerun()
            _show(recogniser, state)

        st.fragment(read, run_every=_LOOK_SECONDS if state in ("connecting", "streaming") else None)()
    if state == "failed":
        st.warning(NO_WAY, icon=":material/videocam_off:")
    return state


def _recogniser(service: Service) -> LiveRecogniser:
    held: LiveRecogniser = st.session_state.setdefault(_RECOGNISER, LiveRecogniser(asking(service)))
    held.ask, held.threshold = asking(service), service.model.calibration.threshold
    return held


def _smoothing(recogniser: LiveRecogniser) -> None:
    recogniser.half_life = st.select_slider(
        "Calm the answers over",
        [0.0, 0.25, 0.5, 1.0, 2.0],
        value=0.5,
        format_func=lambda seconds: f"{seconds:g}\u202fs" if seconds else "not at all",
        key=_HALF_LIFE,
        help="After so many seconds an answer counts half. The longer, the calmer, and the later a change is seen.",
    )


def _show(recogniser: LiveRecogniser, state: State) -> None:
    """What is known now."""
    reading, problem = recogniser.reading, recogniser.problem
    if state in ("idle", "failed"):
        if state == "idle":
            st.caption("Press Start. The frames go to the app and from there to the service; nothing else is asked.")
        return
    took = recogniser.answered.took()
    parts = [f"{recogniser.shown.rate():.0f} frames a second", f"{recogniser.answered.rate():.0f} answers a second"]
    parts += [f"{seconds_in_words(took)} from a frame to its answer"] if took is not None else []
    st.caption(" · ".join(parts))
    if problem is not None:
        failures.show(problem, "The newest frame has no answer.")
    if reading is None:
        st.markdown(":material/hourglass: The camera's first frame is awaited …" if problem is None else "")
        return
    name = f"**{plain(words(reading.label))}**"
    said = f"##### {plain(words(reading.label))} · {percent(reading.confidence)}"
    st.markdown(
        said
        if reading.sure
        else f":material/help: Not sure enough to say. The best guess is {name}, at {percent(reading.confidence)}."
    )
    bars(reading.scores[:_SHOWN], None if reading.sure else [])
