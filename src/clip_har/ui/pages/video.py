"""Video: what is done when in a clip?"""

from __future__ import annotations

import time
from pathlib import PurePath
from typing import Any

import streamlit as st

from clip_har.ui import connection, failures
from clip_har.ui.connection import Service
from clip_har.ui.video.clip import KINDS, Clip, ClipLimits, look_at
from clip_har.ui.video.moments import calmed, segments
from clip_har.ui.video.reading import Reading, read_on
from clip_har.ui.video.show import clock, show_files, show_player, show_segments, show_timeline
from clip_har.ui.wording import plain, seconds_in_words

_LIMITS = ClipLimits()
_STEPS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_READ, _REMEMBERED = "video-readings", 4
_MANY_FRAMES = 300


def page() -> None:
    """A clip in, its actions over time out."""
    st.title("What is done when?")
    service = connection.service()
    file = st.file_uploader("A clip", type=KINDS, key="video-file", max_upload_size=_LIMITS.max_bytes // 1_000_000)
    if file is None:
        st.caption(
            f"MP4, WebM, MOV, MKV and AVI of up to {seconds_in_words(_LIMITS.max_seconds)} are taken. "
            "One frame every so many seconds is looked at, each by itself; sound is not."
        )
        return
    with failures.caught():
        clip = look_at(file, file.name, _LIMITS)
        _show(service, file, clip)


def _show(service: Service, file: Any, clip: Clip) -> None:
    options, (player, found_here) = _options(clip), st.columns([3, 2], gap="large")
    below = st.container()
    reading = _reading(service, file, clip, options["seconds"])
    end = clip.seconds or (reading.moments[-1].time + options["seconds"] if reading.moments else 0.0)
    moments = calmed(reading.moments, options["calm"])
    threshold = service.model.calibration.threshold
    found = segments(moments, end, threshold=threshold, shortest=options["shortest"])
    with player:
        show_player(file, clip, found)
    if not moments:
        return
    with found_here:
        show_segments(found, end)
    with below:
        show_timeline(moments, found, end)
        _notes(reading)
        facts = {
            "clip": file.name,
            "seconds": end,
            "model_id": service.model.model_id,
            "settings": options,
            "threshold": threshold,
        }
        show_files(PurePath(file.name).stem, facts, reading.moments, found, service.labels)


def _options(clip: Clip) -> dict[str, float]:
    long = clip.seconds or 0.0
    fitting = [step for step in _STEPS if long / step <= _LIMITS.max_frames] or [_STEPS[-1]]
    default = next(
        (step for step in fitting if step >= (0.5 if long < 30 else 1.0) and long / step <= _MANY_FRAMES), fitting[-1]
    )
    with st.expander("How to look", icon=":material/tune:"):
        one, two, three = st.columns(3)
        seconds = default
        if len(fitting) > 1:
            seconds = one.select_slider(
                "One frame every",
                fitting,
                default,
                format_func=seconds_in_words,
                key=f"video-step-{len(fitting)}-{default}",
            )
        calm = two.select_slider(
            "Calm the answers over",
            [0.0, 0.5, 1.0, 2.0, 5.0],
            0.5,
            format_func=lambda value: seconds_in_words(value) if value else "not at all",
            key="video-calm",
            help="Each frame's answer is averaged with those around it; so many seconds away they count half.",
        )
        shortest = three.select_slider(
            "Shortest segment",
            [0.0, 0.5, 1.0, 2.0, 5.0, 10.0],
            1.0,
            format_func=lambda value: seconds_in_words(value) if value else "any",
            key="video-shortest",
            help="What is shorter becomes part of the longer one beside it.",
        )
    return {"seconds": seconds, "calm": calm, "shortest": shortest}


def _reading(service: Service, file: Any, clip: Clip, seconds: float) -> Reading:
    """What the clip shows; asked once for each session, clip, model and step."""
    held: dict[tuple, Reading] = st.session_state.setdefault(_READ, {})
    key = (file.file_id, service.url, service.model.model_id, seconds)
    reading = held.pop(key, None) or Reading()
    held[key] = reading  # the newest is the last to be forgotten
    for old in list(held)[: max(0, len(held) - _REMEMBERED)]:
        del held[old]
    if reading.whole:
        return reading
    begun, before, long = time.monotonic(), len(reading.moments), clip.seconds
    bar = st.progress(0.0, "Looking at the first frames …")

    def progress(at: float) -> None:
        done = len(reading.moments)
        if not long:
            bar.progress(0.0, f"{done} frames, until {clock(at, at)}")
            return
        share = min(1.0, at / long)
        total = int(long / seconds) + 1
        left = (time.monotonic() - begun) / max(1, done - before) * max(0, total - done)
        bar.progress(
            share,
            f"{done} of {total} frames, until {clock(at, long)} of {clock(long, long)}; about {seconds_in_words(left)} left",
        )

    try:
        with failures.caught("The clip was not looked at to its end."):
            read_on(reading, service, file, file.name, seconds, _LIMITS, progress)
    finally:
        bar.empty()
    if not reading.whole and st.button("Go on", icon=":material/play_arrow:"):
        connection.again()
        st.rerun()
    return reading


def _notes(reading: Reading) -> None:
    if reading.damage is not None:
        failures.show(reading.damage, "What is shown ends early.")
    missed = sum(moment.scores is None for moment in reading.moments)
    if missed:
        why = f" The first: {plain(str(reading.missed))}" if reading.missed else ""
        st.warning(f"{missed} of {len(reading.moments)} frames have no answer.{why}", icon=":material/warning:")
    if len(reading.moments) >= _LIMITS.max_frames:
        st.info(
            f"The first {_LIMITS.max_frames} frames were looked at. Look at fewer for the whole clip.",
            icon=":material/info:",
        )
