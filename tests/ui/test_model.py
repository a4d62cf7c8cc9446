from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui.conftest import texts
from tests.ui.stand_in import LABELS, MODEL_ID


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


def figures(accuracy: float = 0.8) -> dict[str, Any]:
    return {
        "split": "test",
        "samples": 40,
        "accuracy": estimate(accuracy),
        "macro_f1": estimate(accuracy - 0.1),
        "per_class": {label: {"precision": 0.5, "recall": 0.6, "f1": 0.55} for label in LABELS},
        "zero_shot": {"accuracy": estimate(0.6), "gain": estimate(0.2)},
        "trust": {"coverage": 0.9, "covered": 0.95, "mean_set_size": 1.4, "answered": 0.8, "answered_precision": 0.97},
    }


def evaluation() -> dict[str, Any]:
    bins = [{"low": 0.9, "high": 1.0, "confidence": 0.95, "accuracy": 0.9, "count": 20}]
    wrong = {
        "id": "1",
        "label": "texting",
        "predicted": "calling",
        "confidence": 0.8,
        "picture": "data:image/png;base64,AAAA",
    }
    return {
        "model_id": MODEL_ID,
        "split": "test",
        "labels": LABELS,
        "confusion": [[8, 0, 2, 0], [0, 10, 0, 0], [4, 0, 6, 0], [0, 0, 0, 10]],
        "per_class": [{"label": "texting", "average_precision": 0.7, "support": 10, "confused_with": "calling"}],
        "temperature": 1.2,
        "uncalibrated": {"ece": 0.1, "bins": bins},
        "calibrated": {"ece": 0.02, "bins": bins},
        "wrong": [wrong, {**wrong, "picture": "https://example.org/spy.png"}],
        "right": [],
    }


def publish(place, name: str, model_id: str, accuracy: float) -> None:
    folder = place / "outputs" / name
    (folder / "plots").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"model_id": model_id, "method": "lora", "started": name}))
    (folder / "metrics.json").write_text(json.dumps({"test": figures(accuracy)}))
    (folder / "plots" / "confusion.csv").write_text("actual,predicted\ncalling,calling\ncalling,texting\n")


@pytest.fixture
def whole(place):
    """The artifact store's evaluation of the served model."""
    folder = place / "workspace" / "artifacts" / "evaluate_model" / "evaluation" / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation()))


@pytest.fixture
def show_part(show):
    from clip_har.ui.pages import model as module

    def shown(part: str):
        module._runs.clear()
        module._evaluation.clear()
        page = show("model")
        page.session_state["model_part"] = part
        return page.run()

    return shown


def test_figures_come_from_the_service(show_part, client):
    client.contents["evaluation"] = {"test": figures(), "data": {}}
    page = show_part("Figures")
    assert [one.value for one in page.metric] == ["80.0\u202f%", "70.0\u202f%"]
    said = texts(page)
    assert "**95.0\u202f%** of the time" in said
    assert "+20.0 points" in said


def test_the_leaderboard_is_ranked(show_part, client):
    client.contents["leaderboard"] = {
        "winner": "lora",
        "zero_shot": {"accuracy": estimate(0.6)},
        "lora": {"accuracy": estimate(0.8)},
    }
    page = show_part("Leaderboard")
    assert list(page.dataframe[0].value["candidate"]) == ["lora", "zero shot"]
    assert page.get("arrow_vega_lite_chart") or page.get("vega_lite_chart")


def test_confusion_and_examples_beside_the_workspace(show_part, whole):
    said = texts(show_part("Confusion"))
    assert "**texting** taken for **calling**, 4 of 10 times" in said
    said = texts(show_part("Examples"))
    assert said.count("<img") == 1  # nothing is fetched from elsewhere
    assert "example.org" not in said


def test_confusion_reliability_and_examples_of_a_service_elsewhere(show_part, client):
    client.contents["evaluation_details"] = evaluation()
    assert "**texting** taken for **calling**, 4 of 10 times" in texts(show_part("Confusion"))
    assert "from 10.0\u202f% to **2.0\u202f%**" in texts(show_part("Reliability"))
    assert texts(show_part("Examples")).count("<img") == 1


@pytest.mark.parametrize("content", [[], {"model_id": MODEL_ID}, {**evaluation(), "model_id": "ab" * 32}])
def test_a_report_that_is_not_this_models_is_not_shown(show_part, client, content):
    client.contents["evaluation_details"] = content
    for part in ("Confusion", "Reliability", "Examples"):
        page = show_part(part)
        assert page.info
        assert not page.error


def test_confusion_from_the_published_run_where_nothing_else_is(show_part, place):
    publish(place, "run-1", MODEL_ID, 0.8)
    assert "**calling** taken for **texting**, 1 of 2 times" in texts(show_part("Confusion"))


def test_reliability(show_part, whole):
    assert "from 10.0\u202f% to **2.0\u202f%**" in texts(show_part("Reliability"))


def test_actions(show_part, client, whole):
    client.contents["evaluation"] = {"test": figures()}
    table = show_part("Actions").dataframe[0].value
    assert len(table) == len(LABELS)
    assert dict(zip(table["action"], table["taken for"], strict=True))["texting"] == "calling"


def test_two_versions_side_by_side(show_part, place):
    publish(place, "run-1", MODEL_ID, 0.8)
    publish(place, "run-2", "ab" * 32, 0.7)
    page = show_part("Versions")
    table = page.dataframe[0].value
    assert dict(zip(table["figure"], table["difference, points"], strict=True))["Accuracy"] == pytest.approx(10.0)
    assert [box.label for box in page.selectbox] == ["Version", "compared with"]


@pytest.mark.parametrize(
    "part", ["Figures", "Leaderboard", "Confusion", "Actions", "Reliability", "Examples", "Versions"]
)
def test_what_is_not_there_is_said(show_part, part):
    page = show_part(part)
    assert not page.exception
    assert page.info


@pytest.mark.parametrize("damaged", ["{", "[]", '{"model_id": 3}', ""])
def test_files_of_others_are_passed_over(show_part, place, damaged):
    for name in (
        "outputs/x/run.json",
        "outputs/x/metrics.json",
        "workspace/artifacts/a/evaluation/b/c/evaluation.json",
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(damaged)
    for part in ("Versions", "Reliability"):
        page = show_part(part)
        assert not page.exception
        assert not page.error
