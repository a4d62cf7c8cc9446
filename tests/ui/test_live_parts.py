from __future__ import annotations

import asyncio
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from clip_har.errors import ClipHarError, ConfigError
from clip_har.ui.live.mailbox import Mailbox
from clip_har.ui.live.pace import Pace
from clip_har.ui.live.reasons import Attempt, camera_forbidden
from clip_har.ui.live.settings import VARIABLE, LiveSettings
from clip_har.ui.live.smoothing import ranked, smoothed


def test_the_newest_is_taken_and_the_rest_is_gone():
    box: Mailbox[int] = Mailbox()
    for number in range(5):
        box.put(number)
    assert box.take(0) == 4
    assert box.take(0.01) is None
    assert box.replaced == 4


def test_who_waits_is_woken_and_who_lays_in_never_waits():
    box: Mailbox[str] = Mailbox()
    got: list[str | None] = []
    taker = threading.Thread(target=lambda: got.append(box.take(10)))
    taker.start()
    began = time.monotonic()
    box.put("frame")
    taker.join(10)
    assert got == ["frame"]
    assert time.monotonic() - began < 5


def test_smoothing_goes_by_time_and_not_by_the_number_of_answers():
    start = {"a": 1.0, "b": 0.0}
    now = {"a": 0.0, "b": 1.0}
    once = smoothed(start, now, 1.0, half_life=0.5)
    often = start
    for _ in range(10):
        often = smoothed(often, now, 0.1, half_life=0.5)
    assert once["a"] == pytest.approx(0.25)  # two half-lives
    assert often == pytest.approx(once)


def test_smoothing_keeps_the_sum_and_takes_labels_of_either():
    mixed = smoothed({"a": 0.6, "b": 0.4}, {"b": 0.3, "c": 0.7}, 0.3, half_life=0.5)
    assert set(mixed) == {"a", "b", "c"}
    assert sum(mixed.values()) == pytest.approx(1)
    assert smoothed({"a": 1.0}, {"b": 1.0}, 0.1, half_life=0) == pytest.approx({"a": 0.0, "b": 1.0})
    assert smoothed(None, {"b": 1.0}, 0.1, half_life=9) == {"b": 1.0}


def test_ranking_is_steady_among_equals():
    assert [label for label, _ in ranked({"b": 0.3, "a": 0.3, "c": 0.4})] == ["c", "a", "b"]


def test_pace_is_of_the_last_seconds():
    now = 0.0
    pace = Pace(window=2.0, clock=lambda: now)
    for number in range(41):
        now = number / 10
        pace.happened(took=number / 10)
    assert pace.rate() == pytest.approx(10)
    assert pace.took() == pytest.approx(3.0)
    now = 60.0
    assert pace.rate() == 0
    assert pace.took() is None


@pytest.mark.parametrize(
    ("url", "forbidden"),
    [
        ("http://localhost:8501/live", False),
        ("http://127.0.0.1:8501", False),
        ("http://[::1]:8501", False),
        ("http://app.localhost", False),
        ("https://har.example.org/live", False),
        ("http://192.168.1.20:8501", True),
        ("http://har.example.org", True),
        (None, False),
    ],
)
def test_browsers_give_the_camera_to_secure_pages_only(url, forbidden):
    assert camera_forbidden(url) is forbidden


def test_without_settings_nobody_else_is_asked():
    """A list that is missing would make both sides ask a server of Google's; an empty one does not."""
    assert LiveSettings.of({}).rtc_configuration() == {"iceServers": []}


def test_ice_servers_are_read_as_addresses_or_json():
    plain = LiveSettings.of({VARIABLE: "stun:stun.example.org:3478, stun:other.example.org"})
    assert plain.rtc_configuration() == {
        "iceServers": [{"urls": ["stun:stun.example.org:3478"]}, {"urls": ["stun:other.example.org"]}]
    }
    full = LiveSettings.of(
        {VARIABLE: '[{"urls": "turn:t.example.org?transport=tcp", "username": "u", "credential": "c"}]'}
    )
    assert full.rtc_configuration()["iceServers"][0] == {
        "urls": ["turn:t.example.org?transport=tcp"],
        "username": "u",
        "credential": "c",
    }


@pytest.mark.parametrize(
    "text", ["stun.example.org", "http://stun.example.org", "turn:t.example.org", "[{", '[{"url": "x"}]']
)
def test_ice_servers_that_cannot_be_asked_are_refused(text):
    with pytest.raises(ConfigError, match=VARIABLE):
        LiveSettings.of({VARIABLE: text})


def test_a_stream_that_arrives_is_seen():
    attempt = Attempt(patience=12)
    assert attempt.look(active=False, frames=0, now=0) == "idle"
    assert attempt.look(active=True, frames=0, now=1) == "connecting"
    assert attempt.look(active=True, frames=3, now=2) == "streaming"
    assert attempt.look(active=False, frames=90, now=5) == "idle"


@pytest.mark.parametrize("ended", [True, False], ids=["the browser gives up", "nothing comes"])
def test_a_stream_that_does_not_arrive_has_failed(ended):
    attempt = Attempt(patience=12)
    attempt.look(active=True, frames=7, now=0)  # 7: of a stream before
    assert attempt.look(active=True, frames=7, now=11) == "connecting"
    assert attempt.look(active=not ended, frames=7, now=13) == "failed"
    assert attempt.look(active=False, frames=7, now=14) == "failed", "it says so until another try"
    assert attempt.look(active=True, frames=7, now=20) == "connecting"


def test_stop_at_once_is_no_failure():
    attempt = Attempt(patience=12)
    attempt.look(active=True, frames=0, now=0)
    assert attempt.look(active=False, frames=0, now=1) == "idle"


class TestFrames:
    """What is done with frames: needs PyAV."""

    @pytest.fixture
    def frame(self):
        av = pytest.importorskip("av")
        return av.VideoFrame.from_ndarray(np.full((240, 320, 3), 120, np.uint8), format="rgb24").reformat(
            format="yuv420p"
        )

    def test_words_are_drawn_at_the_bottom_and_nowhere_else(self, frame):
        from clip_har.ui.live.overlay import Caption, Overlay

        drawn = Overlay().drawn(frame, Caption("cycling", 0.5, sure=True)).to_ndarray(format="rgb24").astype(int)
        before = frame.to_ndarray(format="rgb24").astype(int)
        assert np.abs(drawn - before)[:150].max() <= 2
        strip = drawn[190:, 10:-10]
        assert strip.max() > 200, "white letters"
        assert strip.min() < 70, "a dark panel"
        left, right = drawn[222:234, 30:150], drawn[222:234, 170:290]
        assert left[..., 2].max() > left[..., 0].min() + 60, "the bar's colour up to half"
        assert right.std() < left.std() + 30

    @pytest.mark.parametrize(("size", "kind"), [((121, 161), "rgb24"), ((640, 361), "rgb24"), ((40, 40), "rgb24")])
    def test_any_size_and_format_is_drawn_on(self, size, kind):
        av = pytest.importorskip("av")
        from clip_har.ui.live.overlay import Caption, Overlay

        frame = av.VideoFrame.from_ndarray(np.zeros((*size, 3), np.uint8), format=kind)
        drawn = Overlay().drawn(
            frame, Caption("a very long name of an action that does not fit", 1.0, sure=False, note="30 fps")
        )
        assert (drawn.width, drawn.height) in ((size[1], size[0]), (size[1] // 2 * 2, size[0] // 2 * 2))

    def test_a_slow_service_never_holds_up_frames_and_gets_the_newest(self, frame):
        from clip_har.ui.live.recogniser import LiveRecogniser

        asked, go_on = [], threading.Semaphore(0)

        def ask(picture: bytes):
            asked.append(np.asarray(Image.open(io.BytesIO(picture)))[:10].mean())
            go_on.acquire(timeout=10)
            return {"cycling": 0.9, "texting": 0.1}

        av = pytest.importorskip("av")
        recogniser = LiveRecogniser(ask, threshold=0.5)
        began = time.monotonic()
        for level in range(0, 200, 10):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), level, np.uint8), format="rgb24")
            assert recogniser.video_frame(picture) is not None
            time.sleep(0.005)
        assert time.monotonic() - began < 5
        assert len(asked) == 1, "one at a time"
        go_on.release()
        _until(lambda: len(asked) == 2)
        assert asked[1] == pytest.approx(190, abs=4), "the newest, not the next"
        go_on.release()
        _until(lambda: recogniser.reading is not None and recogniser.answered.took() is not None)
        assert recogniser.reading.label == "cycling"
        assert recogniser.caption().title.startswith("cycling")
        assert recogniser.frames == 20

    def test_answers_are_calmed_over_time(self, frame):
        from clip_har.ui.live.recogniser import LiveRecogniser

        answers = iter([{"a": 1.0, "b": 0.0}])
        recogniser = LiveRecogniser(lambda _: next(answers, {"a": 0.0, "b": 1.0}), half_life=1000.0, threshold=0.9)
        for _ in range(3):
            recogniser.video_frame(frame)
            time.sleep(0.05)
        _until(lambda: recogniser.reading is not None)
        assert recogniser.reading.label == "a", "one other answer changes nothing in so short a time"

    def test_a_problem_is_kept_for_the_page_and_goes_with_the_next_answer(self, frame, monkeypatch):
        from clip_har.ui.live import recogniser as module

        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
        problems = [ClipHarError("The service is busy.")]

        def ask(_: bytes):
            if problems:
                raise problems.pop()
            return {"a": 0.2}

        recogniser = module.LiveRecogniser(ask, threshold=0.5)
        recogniser.video_frame(frame)
        _until(lambda: recogniser.problem is not None)
        assert recogniser.caption().title == "no answer"
        recogniser.video_frame(frame)
        _until(lambda: recogniser.reading is not None)
        assert recogniser.problem is None
        assert recogniser.caption().title == "not sure: a?"

    def test_a_frame_that_cannot_be_drawn_on_is_shown_as_it_is(self):
        from clip_har.ui.live.recogniser import LiveRecogniser

        recogniser = LiveRecogniser(lambda _: {"a": 1.0})
        broken = object()
        assert recogniser.video_frame(broken) is broken
        _until(lambda: recogniser.problem is not None)  # from here on there is something to draw
        assert recogniser.video_frame(broken) is broken

    def test_who_is_slow_gets_the_newest_frame_and_not_the_next(self, monkeypatch):
        """Otherwise the picture falls behind for as long as the stream goes on."""
        webrtc = pytest.importorskip("streamlit_webrtc.relay")
        from aiortc import MediaStreamTrack
        from aiortc.contrib.media import MediaRelay

        from clip_har.ui.live.relay import newest_frames_only

        class Counting(MediaStreamTrack):
            kind = "video"
            given = 0

            async def recv(self):
                await asyncio.sleep(0.001)
                self.given += 1
                return self.given

        async def lag() -> int:
            relay = MediaRelay()
            monkeypatch.setattr(webrtc, "get_global_relay", lambda: relay)
            newest_frames_only()
            newest_frames_only()  # at every run of the page
            camera = Counting()
            slow = relay.subscribe(camera)
            await slow.recv()
            for _ in range(3):
                await asyncio.sleep(0.1)
                got = await slow.recv()
            behind = camera.given - got
            camera.stop()
            slow.stop()
            return behind

        assert asyncio.run(lag()) <= 2

    def test_large_frames_are_sent_small(self):
        av = pytest.importorskip("av")
        from clip_har.ui.live.recogniser import jpeg_of

        frame = av.VideoFrame.from_ndarray(np.zeros((720, 1280, 3), np.uint8), format="rgb24")
        assert Image.open(io.BytesIO(jpeg_of(frame))).size == (512, 288)


def _until(true, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
