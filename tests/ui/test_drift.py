from __future__ import annotations

import json
from typing import Any

import pytest

from clip_har.ui.drift.found import chance, moment, written
from tests.ui.conftest import texts
from tests.ui.drifted import drift_report
from tests.ui.stand_in import MODEL_ID


@pytest.fixture
def show_part(show):
    from clip_har.ui.pages import drift as module

    def shown(part: str = "Checks", **changes):
        module._content.clear()
        module._history.clear()
        page = show("drift", **changes)
        if any(one.label == "Show" for one in page.get("button_group")):
            page.session_state["drift_part"] = part
            page.run()
        assert not page.exception
        return page

    return shown


@pytest.fixture
def client(client):
    """One whose reports that are not there are answered as the service answers."""
    from clip_har.client import ServiceProblem

    there = client.report

    def report(name: str):
        if name not in client.contents:
            raise ServiceProblem(f"There is no report {name!r}.", status=404, code="not_found")
        return there(name)

    client.report = report
    return client


def looked_at(place, run: str, number: int, report: dict[str, Any], **own: Any) -> None:
    """A row of the history, as monitoring writes it."""
    folder = place / "workspace" / "monitoring" / "history"
    folder.mkdir(parents=True, exist_ok=True)
    row = report | {"run": run, "number": number, "time": f"2026-11-{20 + number}T10:00:00+00:00", "retraining": None}
    (folder / f"{run}.json").write_text(json.dumps(row | own))


def test_where_nothing_was_looked_at_it_says_how(show_part):
    page = show_part()
    assert "--pipeline monitor" in page.info[0].value
    assert not page.error


@pytest.mark.parametrize(("state", "box"), [("ok", "success"), ("watch", "warning"), ("retrain", "error")])
def test_the_decision_and_what_changed_in_words(show_part, client, state, box):
    client.contents["drift"] = drift_report(state)
    page = show_part()
    assert len(getattr(page, box)) == 1
    said = texts(page)
    assert "What changed: **Brightness**, since about **2026\\-11\\-24 12\\:00 UTC**" in said
    assert "Pictures are darker" in said
    assert "One window with an alarm" in said
    assert "3 were refused (3 truncated)" in said
    assert [one.value for one in page.metric] == ["2 of 4", "< 0.1\u202f%", "1"]


def test_each_check_has_its_statistic_its_threshold_and_its_verdict_the_cause_first(show_part, client):
    client.contents["drift"] = drift_report()
    table = show_part().dataframe[0].value.to_dict("records")
    assert [row["check"] for row in table] == ["Brightness", "Embedding mmd", "Contrast", "Abstentions", "Accuracy"]
    assert [row["verdict"] for row in table] == ["changed", "changed", "as before", "as before", "not checked"]
    assert (table[0]["statistic"], table[0]["threshold"]) == (0.62, 0.2)
    assert (table[0]["reference"], table[0]["window"]) == ("0.51", "0.22")
    assert table[3]["window"] == "12.0\u202f%"
    assert table[4]["what was found"] == "Too few labels."


def test_accuracy_as_measured_estimated_and_told(show_part, client):
    client.contents["drift"] = drift_report()
    said = texts(show_part("Accuracy"))
    for figure in (
        "80.0\u202f% (76.0 to 84.0)",
        "61.0\u202f% (55.0 to 67.0)",
        "58.0\u202f% (42.0 to 72.0)",
    ):
        assert figure in said
    client.contents["drift"] = drift_report(accuracy=None)
    assert "Nothing is known of the accuracy" in texts(show_part("Accuracy"))


def test_the_course_of_the_figure_that_changed(show_part, client):
    client.contents["drift"] = drift_report()
    page = show_part("Over time")
    assert [box.value for box in page.selectbox] == ["brightness"]
    assert list(page.dataframe[0].value["Brightness"]) == [0.5, 0.52, 0.49, 0.5, 0.24, 0.21]
    client.contents["drift"] = drift_report(timeline=())
    assert "no times" in texts(show_part("Over time"))


def test_actions_the_most_changed_first(show_part, client):
    client.contents["drift"] = drift_report()
    first = show_part("Actions").dataframe[0].value.to_dict("records")[0]
    assert (first["action"], first["window"], first["recognised"]) == ("calling", "55.0\u202f%", "6 of 10")


def test_pictures_are_those_in_the_report_and_nothing_is_fetched(show_part, client):
    client.contents["drift"] = drift_report()
    said = texts(show_part("Pictures"))
    assert said.count("<img") == 1
    assert said.count("not kept") == 2
    assert "example.org" not in said


def test_a_report_about_another_model_says_so(show_part, client):
    client.contents["drift"] = drift_report("ok", model_id="ab" * 32)
    page = show_part()
    assert "abababababab" in page.warning[0].value
    assert MODEL_ID[:12] in page.warning[0].value


def test_the_history_beside_the_workspace(show_part, client, place):
    client.contents["drift"] = drift_report()
    looked_at(place, "run-1", 1, drift_report("ok", cause=None))
    looked_at(place, "run-2", 2, drift_report("retrain"), retraining={"outcome": "kept", "said": ["It was no better."]})
    page = show_part()
    table = page.dataframe[-1].value.to_dict("records")
    assert [row["run"] for row in table] == ["run-2", "run-1"]
    assert [row["what changed"] for row in table] == ["Brightness", "–"]
    assert table[0]["trained again"] == "kept"
    assert "It was no better" in texts(page)


def test_the_history_of_another_workspace_is_not_shown_for_a_service_elsewhere(show_part, place):
    looked_at(place, "run-1", 1, drift_report(model_id="ab" * 32))
    assert not show_part().dataframe


@pytest.mark.parametrize("damaged", [[], {"verdict": "no drift"}, {"model_id": 1, "window": {}, "checks": []}])
def test_what_monitoring_has_not_written_is_a_sentence(show_part, client, place, damaged):
    client.contents["drift"] = damaged
    folder = place / "workspace" / "monitoring" / "history"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(json.dumps(damaged))
    page = show_part()
    assert not page.error
    assert page.warning
    assert not page.dataframe


def test_a_report_with_the_least_that_there_can_be_is_shown(show_part, client):
    client.contents["drift"] = drift_report(
        checks=(), cause=None, said=(), changed_since=None, accuracy=None, per_class=(), timeline=(), farthest=(),
        nearest=(), decided=None, p_value=None,
    )  # fmt: skip
    for part in ("Checks", "Accuracy", "Over time", "Actions", "Pictures"):
        assert not show_part(part).error


def test_look_again_reads_it_again(show_part, client):
    page = show_part()
    client.contents["drift"] = drift_report()
    assert not page.run().metric  # kept for a while
    next(one for one in page.button if one.label == "Look again").click().run()
    assert page.metric


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(None, "", "–"), (0.123, "share", "12.3\u202f%"), (-0.05, "accuracy", "−5.0\u202f%"), (1.8349, "megapixels", "1.83 megapixels"), (12345.6, "", "12,346"), (5.8e-10, "nats", "0 nats")],
)  # fmt: skip
def test_figures_are_written_with_their_units(value, unit, shown):
    assert written(value, unit) == shown


def test_times_and_chances_in_words():
    assert moment("2026-11-24T13:30:00+01:00") == "2026-11-24 12:30 UTC"
    assert moment("yesterday") == "yesterday"
    assert moment(None) == ""
    assert chance(0.0) == "< 0.1\u202f%"
    assert chance(0.25) == "25.0\u202f%"
