"""The page Label: pictures are chosen, answered, skipped, taken back; what is missing is said."""

from __future__ import annotations

import pytest

from clip_har.capture import CaptureStore
from clip_har.labelling.labelled import LabelledStore
from clip_har.ui.labelling import one
from tests.labelling.seen import LABELS, captured, identity
from tests.ui.conftest import texts


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("clip_har.ui.pages.label.at_this_machine", lambda: True)


@pytest.fixture
def chosen(show, place, here):
    """The page with six captured pictures chosen."""
    captured(place / "workspace" / "capture", 6)
    page = show("label", labels=list(LABELS))
    page.number_input(key="label_count").set_value(6)
    return press(page, "Choose pictures")


def press(page, label: str):
    return next(button for button in page.button if button.label.startswith(label)).click().run()


def suggested(page):
    return next(button for button in page.button if button.proto.type == "primary")


def store(place) -> LabelledStore:
    return LabelledStore.of(place / "workspace")


def test_a_click_confirms_and_another_chooses_another_label(chosen, place):
    assert not chosen.exception
    assert "0 of 6 pictures" in str(chosen.get("progress")[0].proto)
    assert suggested(chosen).label.startswith("running")
    page = suggested(chosen).click().run()
    page = press(page, "eating")
    assert sorted(row.label for row in store(place).rows()) == ["eating", "running"]
    assert {row.source for row in store(place).rows()} == {"app"}
    assert "2 of 6 pictures" in str(page.get("progress")[0].proto)


def test_every_answer_has_a_key(chosen):
    keys = {button.label.partition(" (")[0]: button.proto.shortcut for button in chosen.button}
    assert keys["running"].lower() == "enter"
    assert len({key for key in keys.values() if key}) == len([key for key in keys.values() if key]) == 6
    assert keys["eating"] == "1"


def test_skip_none_and_undo(chosen, place):
    page = press(press(chosen, "Skip"), "None of these")
    assert sorted(row.label for row in store(place).set_aside()) == ["none of these", "skip"]
    assert not store(place).rows()
    page = press(page, "Undo")
    assert [row.label for row in store(place).set_aside()] == ["skip"]
    assert "1 of 6 pictures" in str(page.get("progress")[0].proto)
    page = press(press(page, "Undo"), "sitting")
    assert [row.label for row in store(place).rows()] == ["sitting"]


def test_a_key_that_comes_before_the_next_picture_changes_nothing(chosen, place):
    labelling = chosen.session_state["label_round"]
    first = labelling.open[0]
    for label in ("skip", "none of these"):
        one._give(labelling, first, label)
    assert [row.label for row in store(place).set_aside()] == ["skip"]


def test_to_the_end_and_the_next_round_asks_about_others(chosen, place):
    page = chosen
    for _ in range(6):
        page = suggested(page).click().run()
    assert "6 labelled pictures are there now" in page.success[0].value
    page = press(press(page, "End"), "Choose pictures")
    assert "nothing is left to label" in page.error[0].value


def test_many_at_once(chosen, place):
    chosen.session_state["label_way"] = "Many at once"
    page = chosen.run()
    boxes = page.selectbox
    assert len(boxes) == 6
    assert boxes[0].value == "running"
    boxes[0].set_value("sitting")
    boxes[1].set_value("decide later")
    page = press(page, "All 6 are right")
    assert sorted(row.label for row in store(place).rows()) == ["running"] * 4 + ["sitting"]
    assert len(page.selectbox) == 1


def test_a_picture_that_is_deleted_meanwhile_is_not_asked_about(chosen, place):
    first = chosen.session_state["label_round"].open[0].id
    CaptureStore(place / "workspace" / "capture").delete([first])
    page = chosen.run()
    assert not page.exception
    assert "1 pictures were deleted" in texts(page)
    page = suggested(page).click().run()
    assert first not in {answered for row in store(place).rows() for answered in row.predictions}


def test_nothing_captured_is_said(show, here):
    assert "serving.capture.images=true" in show("label").info[0].value


def test_images_that_are_off_are_said_with_the_setting(show, place, here):
    captured(place / "workspace" / "capture", 3, images=False)
    page = press(show("label", labels=list(LABELS)), "Choose pictures")
    assert "serving.capture.images=true" in page.error[0].value.replace("\\", "")


def test_a_service_elsewhere_is_said(show, place, here):
    captured(place / "workspace" / "capture", 3)
    page = show("label", labels=list(LABELS))
    page.session_state["service_url"] = "https://har.example.org"
    assert "runs on another machine" in page.run().warning[0].value


def test_pictures_are_shown_only_at_this_machine(show, place):
    captured(place / "workspace" / "capture", 3)
    page = show("label", labels=list(LABELS))
    assert "this machine alone" in page.info[0].value
    assert not page.button
    assert identity(0)[-6:] not in texts(page)
