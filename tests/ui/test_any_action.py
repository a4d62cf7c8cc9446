from __future__ import annotations

from clip_har.serving.schemas import OpenVocabularyDescription
from tests.ui.conftest import texts
from tests.ui.stand_in import picture


def given(page, *files):
    page.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    return page.run()


def test_own_labels_stand_beside_the_trained_ones(show, client):
    page = show("any_action")
    page.text_area(key="own_labels").set_value("playing the lute\n\n  walking   the dog \nplaying the lute")
    page.text_area(key="own_templates").set_value("a photo of someone {}.\nno place for it")
    given(page, ("a.png", picture()))
    own = next(options for _, options in client.asked if "labels" in options)
    assert own["labels"] == ["playing the lute", "walking the dog"]
    assert own["templates"] == ["a photo of someone {}."]
    assert any("labels" not in options for _, options in client.asked)
    said = texts(page)
    assert "## playing the lute" in said
    assert "## calling" in said
    assert "Not calibrated" in said
    assert "no place for it" in said


def test_one_label_is_too_few(show, client):
    page = show("any_action")
    page.text_area(key="own_labels").set_value("walking")
    given(page, ("a.png", picture()))
    assert "two labels" in page.info[0].value
    assert client.asked == []


def test_a_model_without_open_vocabulary_says_so(show, client):
    lost = OpenVocabularyDescription(
        word="lost", basis="a linear probe", base_accuracy=None, novel_accuracy=None, harmonic_mean=None
    )
    page = show("any_action", open_vocabulary=lost)
    assert "a linear probe" in page.info[0].value
    assert not page.text_area
