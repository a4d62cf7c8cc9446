from __future__ import annotations

import csv
import json

import pytest

from clip_har.data.quarantine import RejectionQueue
from clip_har.data.quarantine.table import Entry, write_table
from tests.ui.conftest import texts
from tests.ui.stand_in import picture


@pytest.fixture
def queue(place) -> RejectionQueue:
    """Two rejected pictures, one that can be shown."""
    folder = place / "workspace" / "quarantine"
    (folder / "too_small").mkdir(parents=True)
    (folder / "too_small" / "a-111111111111.png").write_bytes(picture())
    about = {"source": str(place / "photos"), "data_version": "1", "time": "2026-01-01T00:00:00+00:00"}
    small = Entry(
        "1" * 12,
        "a" * 64,
        "run/a.png",
        "running",
        "too_small",
        "20 pixels",
        **about,
        file="too_small/a-111111111111.png",
        bytes=100,
    )
    other = Entry("2" * 12, "", "run/b.png", "running", "missing_file", "![x](http://example.org/a)", **about)
    write_table(folder / "queue.parquet", [small, other], 0)
    return RejectionQueue(folder)


def part(page, name: str):
    page.session_state["data_part"] = name
    return page.run()


def test_without_a_workspace_the_page_says_what_to_do(show):
    page = show("data")
    assert "make train" in page.info[0].value


@pytest.mark.parametrize("name", ["Card", "Rejected", "Label errors"])
def test_an_empty_workspace(show, place, name):
    (place / "workspace").mkdir()
    page = part(show("data"), name)
    assert not page.exception
    assert page.info


def test_rejected_pictures_with_their_reasons(show, queue):
    page = part(show("data"), "Rejected")
    said = texts(page)
    assert "**too small**, listed as running" in said
    assert "](http" not in said  # what a file's name says is text
    assert len(page.checkbox) == 2
    page.selectbox(key="queue_reason").set_value("too_small").run()
    assert len(page.checkbox) == 1


def test_a_decision_is_written_down(show, queue, monkeypatch):
    monkeypatch.setattr("clip_har.ui.curation.rejected.at_this_machine", lambda: True)
    page = part(show("data"), "Rejected")
    page.checkbox(key="choose-" + "1" * 12).check().run()
    again = next(one for one in page.button if one.label == "Look at them again")
    again.click().run()
    assert "who" in page.error[0].value
    assert len(queue.decisions()) == 0
    page.text_input(key="decide_who").set_value("Ada")
    page.text_input(key="decide_why").set_value("large enough")
    page.multiselect(key="decide_waive").set_value(["too_small"])
    next(one for one in page.button if one.label == "Look at them again").click().run()
    (decision,) = queue.decisions().decisions
    assert (decision.action, decision.uri, decision.who, decision.waive) == (
        "requeue",
        "run/a.png",
        "Ada",
        ("too_small",),
    )
    assert "Noted for 1" in page.success[0].value


def test_people_elsewhere_may_look_and_not_decide(show, queue, monkeypatch):
    monkeypatch.setattr("clip_har.ui.curation.rejected.at_this_machine", lambda: False)
    page = part(show("data"), "Rejected")
    page.checkbox(key="choose-" + "1" * 12).check().run()
    assert not [one for one in page.button if one.label.startswith("Look")]


def test_a_kept_file_outside_the_queue_is_not_shown(show, queue, place):
    (place / "secret.png").write_bytes(picture())
    rows = [*queue.rows()]
    moved = Entry(**{**rows[0].__dict__, "file": "../../secret.png", "key": "3" * 12})
    write_table(queue.folder / "queue.parquet", [moved], 0)
    page = part(show("data"), "Rejected")
    assert "No picture that can be shown" in texts(page)


def test_likely_label_errors_with_their_pictures(show, place):
    images = place / "workspace" / "versions" / "v1" / "images" / "run"
    images.mkdir(parents=True)
    (images / "a.png").write_bytes(picture())
    run = place / "outputs" / "run-1"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"started": "1"}))
    (run / "metrics.json").write_text("{}")
    with open(run / "likely_label_errors.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "uri", "label", "suggested", "quality", "confidence", "split"])
        writer.writerow(["1", "run/a.png", "running", "cycling", "0.01", "0.97", "train"])
        writer.writerow(["2", "../../../../x.png", "running", "sleeping", "0.02", "0.9", "train"])
    page = part(show("data"), "Label errors")
    said = texts(page)
    assert "looks like <b>cycling</b> 97\u202f%" in said
    assert said.count("<img") == 1
    assert "not here any more" in said


def test_the_card_runs_no_scripts_and_fetches_nothing(show, place):
    (place / "workspace").mkdir()
    run = place / "outputs" / "data" / "run-1"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"version": {"git_revision": "abc"}, "counts": {"running": {"train": 3}}}))
    (run / "metrics.json").write_text(json.dumps({"manifest_hash": "1", "data": {"accepted": 3, "rejected": 1}}))
    (run / "report.html").write_text("<html><head><title>x</title></head><body>card</body></html>")
    page = show("data")
    assert [one.value for one in page.metric] == ["3", "1", "1", "0"]
    assert "default-src 'none'" in page.get("iframe")[0].proto.srcdoc
