"""Promoted or kept, and why: every check refuses by itself, and says so with its figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clip_har.registry.page import render_promotion
from clip_har.registry.promotion import Answers, Gate, PromotionConfig, Speed, already_champion, decide
from clip_har.registry.report import PromotionReport, Side
from tests.self_contained import requests_of

LABELS = ("cycling", "running", "sleeping")
SAMPLES = 240
QUICK = PromotionConfig(resamples=300)


def side(letter: str, labels: tuple[str, ...] = LABELS) -> Side:
    return Side(
        model_id=letter * 64, method=f"method_{letter}", backbone="tiny", labels=labels, data_revision=f"data-{letter}"
    )


OURS, THEIRS = side("a"), side("b")


def truth() -> np.ndarray:
    return np.arange(SAMPLES) % len(LABELS)


def probabilities(wrong: slice | np.ndarray, confidence: float = 0.8) -> np.ndarray:
    """Right for all photographs but these, always equally confident."""
    predicted = truth()
    predicted[wrong] = (predicted[wrong] + 1) % len(LABELS)
    found = np.full((SAMPLES, len(LABELS)), (1 - confidence) / (len(LABELS) - 1))
    found[np.arange(SAMPLES), predicted] = confidence
    return found


def given(wrong: Any, champion_wrong: Any, **changes: Any) -> Answers:
    """Answers of a challenger and a champion that are wrong for these photographs."""
    data = Answers("the newest data", "revision", LABELS, truth(), probabilities(wrong), probabilities(champion_wrong))
    return replace(data, **changes)


def decided(*data: Answers, config: PromotionConfig = QUICK, **changes: Any) -> PromotionReport:
    parts: dict[str, Any] = {
        "challenger": OURS,
        "champion": THEIRS,
        "gate": Gate(made=2, accepted=1),
        "speed": Speed("onnx", 10.0, "onnx", 10.0),
    }
    return decide(tested=data, config=config, **(parts | changes))


def failed(report: PromotionReport) -> set[str]:
    return {check.name for check in report.checks if check.verdict == "failed"}


BETTER = given(slice(0, 48), slice(0, 72))  # 80 % against 70 %, and 24 photographs that only it gets right
GAIN, CHANCE = "Gain in accuracy", "Probability of such a difference by chance"


def test_a_better_one_is_promoted_with_the_numbers() -> None:
    report = decided(BETTER)
    assert report.outcome == "promoted"
    assert not failed(report)
    said = " ".join(report.reasons)
    assert "accuracy on 240 test photographs of the newest data is 80.0 %, the champion's 70.0 %: +10.0 points" in said
    assert "Of the 24 photographs that only one of them gets right, 24 are the challenger's" in said
    assert report.decision == f"method_a ({'a' * 12}) is the champion now, instead of method_b ({'b' * 12})."


def test_a_worse_one_is_refused_with_the_numbers() -> None:
    report = decided(given(slice(0, 72), slice(0, 48)))
    assert report.outcome == "kept"
    assert {GAIN, CHANCE} <= failed(report)
    assert "70.0 %, the champion's 80.0 %: \u221210.0 points" in report.reasons[0]
    assert "0 are the challenger's; 18 would be more than chance" in report.reasons[1]
    assert report.decision.endswith(f"method_b ({'b' * 12}) stays the champion.")


def test_an_equal_one_is_refused_unless_the_config_says_otherwise() -> None:
    equal = given(slice(0, 48), slice(0, 48))
    report = decided(equal)
    assert failed(report) == {GAIN, CHANCE}
    assert "they are equally good" in report.reasons[1]
    as_good = QUICK.model_copy(update={"non_inferior": True})
    assert decided(equal, config=as_good).outcome == "promoted"
    worse = given(slice(0, 54), slice(0, 48))
    assert failed(decided(worse, config=as_good)) == {GAIN}, "two and a half points are more than the margin"


def test_a_gain_that_chance_explains_is_none() -> None:
    # five more right: 5 of 5 coins fall alike once in sixteen times
    report = decided(given(slice(0, 48), slice(0, 53)))
    assert failed(report) == {CHANCE}
    assert "even all would be no more than chance (McNemar's exact p = 0.062, wanted: below 0.05" in report.reasons[0]


def test_the_chosen_metric_decides() -> None:
    config = QUICK.model_copy(update={"metric": "macro_f1"})
    report = decided(BETTER, config=config)
    assert report.outcome == "promoted"
    assert "macro F1" in report.reasons[0]
    assert "permutation p" in report.reasons[1]


def test_worse_on_the_champions_own_data_is_refused() -> None:
    older = given(slice(0, 60), slice(0, 48), name="the data of the champion", revision="older")
    report = decided(BETTER, older)
    assert failed(report) == {"Not worse on the data of the champion"}
    assert "75.0 %, the champion's 80.0 %: \u22125.0 points" in report.reasons[0]
    assert "wanted: at least \u22121.0 points" in report.reasons[0]
    assert decided(BETTER, given(slice(0, 50), slice(0, 48), name="older")).outcome == "promoted", "within the margin"
    anything = QUICK.model_copy(update={"older_margin": None})
    assert decided(BETTER, older, config=anything).outcome == "promoted"


def test_a_lost_class_refuses_a_better_model() -> None:
    running = np.flatnonzero(truth() == 1)
    others = np.flatnonzero(truth() != 1)
    report = decided(given(running[:20], others[:70]))
    assert failed(report) == {"Classes lost on the newest data"}
    assert "running: 100.0 % to 75.0 % of 80 photographs, p below 0.0001" in report.reasons[0]
    rows = {row.label: row for row in report.comparisons[0].beside.classes}
    assert [name for name, row in rows.items() if row.lost] == ["running"]
    tolerant = QUICK.model_copy(update={"class_margin": 0.3})
    assert decided(given(running[:20], others[:70]), config=tolerant).outcome == "promoted"


def test_labels_that_the_champion_answers_with_must_not_go() -> None:
    fewer = side("a", LABELS[:2])
    answers = given(slice(0, 0), slice(0, 200), challenger=probabilities(slice(0, 0))[:, :2])
    report = decided(answers, challenger=fewer)
    assert "Labels of the champion that it lacks" in failed(report)
    assert "It lacks 1 of the 3 labels that the champion answers with: sleeping." in report.reasons[0]


def test_photographs_of_a_class_that_the_champion_does_not_know_count_as_wrong_for_it() -> None:
    champion = side("b", LABELS[:2])
    answers = given(slice(0, 0), slice(0, 0), champion=probabilities(slice(0, 0))[:, :2])
    report = decided(replace(answers, challenger=probabilities(slice(0, 0), 0.95)), champion=champion)
    assert report.outcome == "promoted"
    assert report.comparisons[0].beside.metrics["accuracy"].value == pytest.approx(2 / 3)
    assert {row.label for row in report.comparisons[0].beside.classes} == set(LABELS[:2])


def test_confidence_that_cannot_be_trusted_any_more_is_refused() -> None:
    report = decided(replace(BETTER, challenger=probabilities(slice(0, 48), confidence=0.999)))
    assert failed(report) == {"Calibration error beside the champion's"}
    assert "Its calibration error is 19.9 %, the champion's 10.0 %: +9.9 points" in report.reasons[0]
    loose = QUICK.model_copy(update={"ece_increase": 0.15})
    assert decided(replace(BETTER, challenger=probabilities(slice(0, 48), 0.999)), config=loose).outcome == "promoted"


@pytest.mark.parametrize(
    ("changes", "config", "name", "said"),
    [
        ({"speed": Speed("torch", 20.0, "onnx", 10.0)}, {}, "Latency beside the champion's", "2.00 times as long"),
        ({}, {"maximum_latency": 5}, "Latency", "takes 10.0 ms here (runtime onnx); wanted: at most 5 ms"),
        ({"gate": Gate(2, 0)}, {}, "Forms that passed the export gate", "0 of 2 forms of the image encoder passed"),
        ({}, {"minimum": 0.9}, "Accuracy", "wanted: at least 90.0 %"),
        ({}, {"maximum_ece": 0.0}, "Calibration error (ECE)", "wanted: at most 0.0 %"),
    ],
)
def test_each_bound_refuses_by_itself(changes: dict, config: dict, name: str, said: str) -> None:
    changed = QUICK.model_copy(update=config)
    calibrated = replace(BETTER, challenger=probabilities(slice(0, 48), 0.7))
    report = decided(calibrated if "maximum_ece" in config else BETTER, config=changed, **changes)
    assert failed(report) == {name}
    assert said in report.reasons[0]


def test_a_first_version_needs_only_the_absolute_bounds() -> None:
    first = {"champion": None, "speed": Speed("onnx", 10.0)}
    good = decided(replace(BETTER, champion=None), **first)
    assert good.outcome == "promoted"
    assert "There was no champion" in good.reasons[0]
    guessing = replace(BETTER, challenger=probabilities(slice(0, 160)), champion=None)
    refused = decided(guessing, **first)
    assert "Accuracy above guessing" in failed(refused)
    assert "33.3 % (27" in refused.reasons[0]
    assert refused.decision.endswith("there is no champion.")


def test_without_test_photographs_nothing_is_promoted() -> None:
    none = Answers("the newest data", "r", LABELS, truth()[:0], np.empty((0, 3)), np.empty((0, 3)), left_out=7)
    report = decided(none)
    assert report.outcome == "kept"
    assert "7 are, and one of the models was fitted on each" in report.reasons[0]
    assert render_promotion(report)


def test_own_words_are_kept_with_the_decision() -> None:
    config = QUICK.model_copy(update={"note": "agreed with the field team"})
    assert decided(BETTER, config=config).reasons[-1] == "agreed with the field team"


def test_figures_are_the_same_for_the_same_answers_and_hold_no_times() -> None:
    slow = decided(BETTER, speed=Speed("onnx", 11.0, "onnx", 10.0)).figures()
    assert slow == decided(BETTER).figures()
    assert slow["data"]["the_newest_data"]["gained"] == 24


def test_the_page_tells_it_all_and_asks_nothing_of_any_server() -> None:
    older = given(slice(0, 48), slice(0, 48), name="the data of the champion", revision="older", left_out=5)
    report = decided(replace(BETTER, left_out=3), older, notes=["a note"])
    page = render_promotion(report, {"facts": {"Machine": "m <1>"}, "export": "export_report.html"})
    assert requests_of(page) == ["export_report.html"], "a link to the page beside it, and no more"
    shown = page.replace("\u202f", " ")
    assert "method a</b> is the champion now, instead of method b" in shown
    assert "+10.0 points" in shown
    for check in report.checks:
        assert check.name.replace("'", "&#39;") in shown
    assert "3 more are left out" in shown
    assert "m &lt;1&gt;" in shown
    kept = render_promotion(already_champion(OURS, QUICK))
    assert "is the champion already" in kept
    assert not requests_of(kept)
