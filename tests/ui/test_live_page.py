from __future__ import annotations

import pytest

from clip_har.errors import ClipHarError
from clip_har.ui.live import reasons, stream
from clip_har.ui.pages import live
from tests.ui.conftest import texts
from tests.ui.stand_in import no_answer, picture


def test_without_the_package_pictures_are_taken_one_by_one_and_the_page_says_why(show, monkeypatch):
    monkeypatch.setattr(live, "package_missing", lambda: True)
    page = show("live")
    assert not page.exception
    assert "clip-har[webcam]" in texts(page)
    assert page.get("camera_input")


def test_over_plain_http_from_elsewhere_a_file_is_asked_for(show, monkeypatch):
    monkeypatch.setattr(live, "camera_forbidden", lambda url: True)
    page = show("live")
    assert "https" in texts(page)
    assert not page.get("camera_input"), "the browser would not give it"
    page.file_uploader[0].upload("a.png", picture(), "image/png").run()
    assert "calling" in texts(page)


def test_a_stream_that_fails_falls_back_to_the_camera_and_says_why(show, monkeypatch):
    def failed(service):
        import streamlit as st

        st.warning(reasons.NO_WAY)
        return "failed"

    monkeypatch.setattr(stream, "show_stream", failed)
    page = show("live")
    assert "CLIP_HAR_ICE_SERVERS" in texts(page)
    assert page.get("camera_input")


def test_snapshots_can_be_chosen(show, monkeypatch):
    monkeypatch.setattr(stream, "show_stream", lambda service: "idle")
    page = show("live")
    assert not page.get("camera_input")
    page.segmented_control(key="live-way").set_value("Snapshots").run()
    assert page.get("camera_input")


def test_wrong_settings_are_a_sentence(show, monkeypatch):
    pytest.importorskip("streamlit_webrtc")
    monkeypatch.setenv("CLIP_HAR_ICE_SERVERS", "nonsense")
    page = show("live")
    assert not page.exception
    assert "The stream cannot be shown" in texts(page)
    assert "CLIP\\_HAR\\_ICE\\_SERVERS" in texts(page)


class TestReadout:
    """What stands beside the picture."""

    def shown(self, monkeypatch, **values) -> str:
        from streamlit.testing.v1 import AppTest

        recogniser = stream.LiveRecogniser(lambda _: {})
        for name, value in values.items():
            setattr(recogniser, name, value)
        monkeypatch.setattr(stream, "shown_in_test", recogniser, raising=False)
        script = "from clip_har.ui.live import stream\nstream._show(stream.shown_in_test, 'streaming')"
        return texts(AppTest.from_string(script).run())

    def reading(self, sure: bool):
        from clip_har.ui.live.recogniser import Reading

        return Reading((("using_laptop", 0.62), ("texting", 0.38)), sure, 1.0)

    def test_label_and_confidence(self, monkeypatch):
        said = self.shown(monkeypatch, reading=self.reading(True))
        assert "using laptop · 62" in said
        assert "frames a second" in said

    def test_not_sure(self, monkeypatch):
        assert "Not sure enough" in self.shown(monkeypatch, reading=self.reading(False))

    @pytest.mark.parametrize("problem", [no_answer(), ClipHarError("The queue is full.")])
    def test_a_dead_service_is_a_sentence(self, monkeypatch, problem):
        said = self.shown(monkeypatch, problem=problem)
        assert "The newest frame has no answer" in said
