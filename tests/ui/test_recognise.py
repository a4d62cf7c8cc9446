from __future__ import annotations

import pytest

from clip_har.client import ServiceProblem
from tests.ui.conftest import texts
from tests.ui.stand_in import picture


def given(page, *files):
    page.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    return page.run()


def test_an_answer_has_bars_set_time_and_model(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    said = texts(page)
    assert not page.exception
    assert "## calling · 70" in said
    assert "holds the right answer 90\u202f% of the time: **one of\\: calling, texting**" in said
    assert 'style="width:70.00%"' in said
    assert "70.0\u202f%" in said
    assert "answered in" in said
    assert "`3f6c3f6c3f6c`" in said
    assert "calibrated" in said


def test_abstention_is_shown_as_such(show, client):
    client.abstained = True
    said = texts(given(show("recognise"), ("a.png", picture())))
    assert "Not sure enough to say. The best guess is **calling**" in said
    assert "## calling" not in said


def test_one_bad_picture_does_not_hide_the_others(show, client):
    client.problems[b"bad"] = ServiceProblem("It is no image.", status=415, code="not_an_image", field="images[0]")
    page = given(show("recognise"), ("a.png", picture()), ("b.png", b"bad"), ("c.png", picture((1, 2, 3))))
    assert len(page.error) == 1
    assert "It is no image" in page.error[0].value
    assert texts(page).count("## calling") == 2


def test_the_same_picture_is_not_asked_twice(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    page.run()
    assert len(client.asked) == 1
    page.toggle(key="explain").set_value(True).run()
    assert len(client.asked) == 2
    assert client.asked[1][1]["explain"] is True
    assert any("rests on" in str(one.proto) for kind in ("imgs", "image") for one in page.get(kind))


def test_options_are_sent_only_if_they_are_not_the_models_own(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    assert set(client.asked[0][1]) == {"top_k", "explain"}
    page.select_slider(key="coverage").set_value(0.8).run()
    assert client.asked[1][1]["coverage"] == 0.8
    page.checkbox(key="own_threshold").set_value(True).run()
    assert client.asked[2][1]["threshold"] == 0.5


def test_a_wrong_answer_is_corrected(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    box = next(one for one in page.selectbox if one.label == "What does it show?")
    assert "calling" not in box.options  # that is what it said
    box.set_value("using_laptop")
    next(one for one in page.button if one.label == "Send").click().run()
    assert [label for _, label in client.told] == ["using_laptop"]
    assert "Noted as **using laptop**" in texts(page)
    assert not [one for one in page.button if one.label == "Send"]


def test_a_right_answer_is_confirmed(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    next(one for one in page.button if one.label == "This is right").click().run()
    assert [label for _, label in client.told] == ["calling"]


def test_feedback_that_does_not_arrive_is_said_so(show, client):
    page = given(show("recognise"), ("a.png", picture()))
    client.problems[None] = ServiceProblem("Nothing is captured here.", status=503, code="unavailable", retry_after=2)
    next(one for one in page.button if one.label == "This is right").click().run()
    assert page.warning[0].value.startswith("The label was not sent. Nothing is captured here")
    assert client.told == []


def test_a_drawn_sample_needs_no_file(show, client):
    page = show("recognise")
    page.get("button_group")  # the ways are a segmented control
    page.session_state["way-recognise"] = "Sample"
    page.run()
    assert "## calling" in texts(page)
    assert client.asked[0][0].startswith(b"\xff\xd8")


@pytest.mark.parametrize("status", [401, 503])
def test_a_service_that_refuses_all_ends_the_page_with_a_sentence(show, client, status, monkeypatch):
    """The shell shows it; here it must come out of the page as what it is."""
    client.problems[None] = ServiceProblem("No.", status=status, code="unauthorized")
    page = given(show("recognise"), ("a.png", picture()))
    if status == 401:
        assert page.exception[0].message == "No."
    else:
        assert "No" in page.warning[0].value
