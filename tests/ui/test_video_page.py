from __future__ import annotations

import pytest

pytest.importorskip("av")

from clip_har.client import ServiceProblem
from clip_har.ui.pages import video
from clip_har.ui.video.clip import ClipLimits
from tests.ui.clips import clip
from tests.ui.conftest import texts
from tests.ui.stand_in import no_answer


@pytest.fixture(scope="module")
def four_seconds() -> bytes:
    return clip([(200, 30, 30), (30, 200, 30), (30, 30, 200), (90, 90, 90)])


def given(show, data: bytes, name: str = "clip.mp4"):
    page = show("video")
    page.file_uploader[0].upload(name, data, "video/mp4").run()
    assert not page.exception
    return page


def test_actions_over_time(show, client, four_seconds):
    page = given(show, four_seconds)
    assert len(client.asked) == 8, "half a second apart for a clip as short as that"
    assert {options["top_k"] for _, options in client.asked} == {4}
    (table,) = page.dataframe
    assert table.value["Action"].tolist() == ["calling"]
    assert table.value["When"].tolist() == ["0:00.0 – 0:04.0"]
    assert page.get("vega_lite_chart") or page.get("arrow_vega_lite_chart")
    assert len(page.get("download_button")) == 3


def test_nothing_is_asked_twice_and_another_step_is_asked_anew(show, client, four_seconds):
    page = given(show, four_seconds)
    page.select_slider(key="video-calm").set_value(2.0).run()
    assert len(client.asked) == 8
    step = next(one for one in page.select_slider if one.label == "One frame every")
    step.set_value(1.0).run()
    assert len(client.asked) == 12


def test_a_service_that_dies_leaves_what_came_before_and_a_button(show, client, four_seconds):
    ask, count = client.predict, 0

    def dies(data, **options):
        nonlocal count
        count += 1
        if count > 5:
            raise no_answer()
        return ask(data, **options)

    client.predict = dies
    page = given(show, four_seconds)
    assert "not looked at to its end" in texts(page)
    assert page.dataframe
    client.predict = ask
    before = len(client.asked)
    next(button for button in page.button if button.label == "Go on").click().run()
    assert not page.exception
    assert "not looked at to its end" not in texts(page)
    assert len(client.asked) - before < 8, "it goes on where it was broken off"


def test_a_frame_without_an_answer_is_counted(show, client, four_seconds):
    ask, refused = client.predict, []

    def refuses_one(data, **options):
        if not refused:
            refused.append(data)
            raise ServiceProblem("The picture is damaged.", status=400, code="truncated")
        return ask(data, **options)

    client.predict = refuses_one
    page = given(show, four_seconds)
    assert "1 of 8 frames have no answer" in texts(page)
    assert "The picture is damaged" in texts(page)


def test_what_is_no_clip_is_a_sentence(show, client):
    page = given(show, b"nothing" * 100)
    assert "no clip that can be read" in texts(page)
    assert not client.asked


def test_a_clip_that_is_too_long_is_a_sentence(show, client, four_seconds, monkeypatch):
    monkeypatch.setattr(video, "_LIMITS", ClipLimits(max_seconds=2.0))
    page = given(show, four_seconds)
    assert "clips of up to 2" in texts(page)
    assert not client.asked


def test_a_clip_that_browsers_do_not_play_is_looked_at_all_the_same(show, client):
    page = given(show, clip([(1, 2, 3)], codec="mpeg4", kind="avi"), "old.avi")
    assert "Most browsers do not play such files" in texts(page)
    assert page.dataframe
