"""A window against the reference profile: verdicts, the cause, times, classes, examples, and what cannot be checked."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clip_har.errors import ConfigError
from clip_har.monitoring.checking import check_window
from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.report import DriftReport
from clip_har.monitoring.thresholds import Thresholds
from tests.monitoring.observed import START, observations

CONFIG = MonitorConfig(examples=4)


@pytest.fixture(scope="module")
def profile() -> SimpleNamespace:
    """Of 400 pictures; what `check_window` takes of a ReferenceProfile."""
    config = ProfileConfig(partitions=150)
    held_out = observations(400, 1)
    return SimpleNamespace(
        observations=held_out, thresholds=Thresholds.draw(held_out, config), splits=("test",), config=config
    )


def results(report: DriftReport) -> dict:
    return {check.name: check for check in report.checks}


def test_a_window_of_the_same_world_is_no_alarm(profile):
    report = check_window(profile, observations(150, 14), CONFIG, method="linear_probe")
    assert not report.alarm
    assert report.cause is None
    assert report.said == ()
    assert report.changed_since is None
    assert report.p_value > 0.05
    assert {check.verdict for check in report.checks} == {"ok"}
    assert (report.method, report.reference_pictures, report.partitions) == ("linear_probe", 400, 150)
    assert (report.window.pictures, report.window.tested, report.window.labelled) == (150, 140, 150)
    assert DriftReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"darker": 1.5, "figures": {"contrast": -1.8, "bits_per_pixel": -1.0}}, "brightness"),
        ({"figures": {"sharpness": -1.2, "bits_per_pixel": -1.8}}, "sharpness"),
        ({"figures": {"bits_per_pixel": -2.5, "saturation": -0.6}}, "bits_per_pixel"),
        ({"figures": {"aspect": -2.0}}, "aspect"),
        ({"figures": {"saturation": -2.5, "bits_per_pixel": -1.0}}, "saturation"),
        ({"figures": {"red": 1.5}}, "red"),
        ({"figures": {"sharpness": 1.2, "bits_per_pixel": 0.9}, "strange": 0.3}, "sharpness"),
        ({"mix": (8, 1, 1, 1, 1, 1)}, "predicted_labels"),
        ({"strange": 0.3}, "out_of_vocabulary"),
        ({"errors": {"too_large": 60}}, "errors"),
        ({"moved": 0.5}, "embedding"),
    ],
)
def test_the_right_check_names_what_changed(profile, change, cause):
    report = check_window(profile, observations(200, 3, **change), CONFIG)
    assert report.alarm
    assert report.p_value <= 0.05
    assert report.cause.startswith(cause)
    assert report.said[0] == results(report)[report.cause].said


def test_no_alarm_and_no_p_value_contradict_each_other(profile):
    for seed in range(12):
        report = check_window(profile, observations(100, 50 + seed, darker=0.04 * seed), CONFIG)
        assert report.alarm == (report.p_value <= CONFIG.false_alarm_rate), report.p_value


def test_the_same_window_gives_the_same_report_and_id(profile):
    window = observations(330, 4)
    first, again = (check_window(profile, window, CONFIG) for _ in range(2))
    assert first == again
    assert first.window.id != check_window(profile, window.take(np.arange(329)), CONFIG).window.id


def test_a_change_within_the_window_is_dated(profile):
    """The camera goes dark after 130 of 200 pictures, one a minute."""
    before, after = observations(130, 5), observations(70, 6, darker=1.5)
    window = replace(before, **_appended(before, after), times=START + 60.0 * np.arange(200))
    report = check_window(profile, window, CONFIG)
    assert report.cause == "brightness"
    minutes = (np.datetime64(report.changed_since[:-1]) - np.datetime64(int(START), "s")) / np.timedelta64(60, "s")
    assert 120 <= minutes <= 140
    assert any(report.changed_since in sentence for sentence in report.said)
    values = [moment.values["brightness"] for moment in report.timeline]
    assert np.mean(values[-3:]) < np.mean(values[:5]) - 0.08
    assert sum(moment.pictures for moment in report.timeline) == 200
    assert report.timeline[0].start == report.window.first
    assert report.timeline[-1].end == report.window.last


def test_a_change_before_the_window_is_not_dated_within_it(profile):
    report = check_window(profile, observations(200, 7, darker=1.5), CONFIG)
    assert report.changed_since == report.window.first
    assert "It began before the window, or with it." in report.said


def test_what_is_told_of_a_window_without_times_has_none(profile):
    report = check_window(profile, observations(200, 7, darker=1.5, start=None), CONFIG)
    assert report.alarm
    assert (report.changed_since, report.timeline, report.window.first) == (None, (), None)


def test_a_short_table_is_checked_for_what_it_has(profile):
    window = replace(observations(100, 8, detailed=False), source="answers.parquet")
    report = check_window(profile, window, CONFIG)
    found = results(report)
    for name in ("embedding_mmd", "entropy", "brightness", "out_of_vocabulary"):
        assert found[name].verdict == "not checked"
        assert "batch.details=true" in found[name].said
        assert found[name].statistic is None
    assert found["predicted_labels"].verdict == "ok"
    assert found["confidence"].verdict == "ok"
    assert (report.nearest, report.farthest) == ((), ())


def test_a_figure_that_few_pictures_have_is_not_checked_and_one_that_most_have_is(profile):
    window = observations(200, 9)
    figures = dict(window.figures)
    for name, known in (("sharpness", 20), ("aspect", 190), ("red", 0)):
        figures[name] = np.where(np.arange(200) < known, figures[name], np.nan).astype(np.float32)
    window = replace(window, figures=figures)
    found = results(check_window(profile, window.take(np.arange(150)), CONFIG))
    assert found["sharpness"].said == "It is known for 20 of 150 pictures only."
    assert found["red"].verdict == "not checked"
    assert found["aspect"].verdict == "ok"
    assert found["aspect"].current == pytest.approx(np.nanmean(figures["aspect"][:150]), rel=1e-6)


def test_too_few_pictures_are_not_compared_but_their_errors_are(profile):
    report = check_window(profile, observations(5, 10, errors={"unreadable": 30}), CONFIG)
    assert results(report)["brightness"].verdict == "not checked"
    assert "thresholds begin at 10" in results(report)["brightness"].said
    assert report.cause == "errors"
    assert report.window.tested == 0


def test_a_window_of_refused_pictures_alone_is_told_of(profile):
    report = check_window(profile, observations(5, 10, errors={"unreadable": 30}).take(np.arange(0)), CONFIG)
    assert report.cause == "errors"
    assert report.window.refused == 30
    assert report.per_class == ()
    assert results(report)["errors"].current == 1.0


def test_only_the_checks_that_are_asked_for_are_made(profile):
    window = observations(200, 3, darker=1.5)
    report = check_window(profile, window, CONFIG.model_copy(update={"checks": ("aspect", "contrast")}))
    assert [check.name for check in report.checks] == ["contrast", "aspect"]
    assert not report.alarm
    alone = check_window(profile, window, CONFIG.model_copy(update={"checks": ("brightness",)}))
    assert (
        results(alone)["brightness"].threshold < results(check_window(profile, window, CONFIG))["brightness"].threshold
    )
    with pytest.raises(ConfigError, match="brightness"):
        check_window(profile, window, CONFIG.model_copy(update={"checks": ("brightnes",)}))


def test_a_window_of_another_model_is_refused(profile):
    with pytest.raises(MonitoringError, match=r"own model"):
        check_window(profile, replace(observations(100, 1), model_id="b" * 64), CONFIG)


def test_feedback_that_shows_a_fall_of_the_accuracy_is_an_alarm(profile):
    report = check_window(profile, observations(200, 11, accuracy=0.6), CONFIG)
    assert results(report)["accuracy"].verdict == "drift"
    assert report.accuracy.measured.value == pytest.approx(0.6, abs=0.1)
    assert report.accuracy.measured.low < 0.65 < report.accuracy.reference.low
    assert report.accuracy.estimated.value > 0.85  # confidence does not see it; labels do
    unlabelled = check_window(profile, observations(200, 11, accuracy=0.6, labelled=0.0), CONFIG)
    assert results(unlabelled)["accuracy"].verdict == "not checked"
    assert unlabelled.accuracy.measured is None


def test_classes_are_told_with_the_most_changed_first(profile):
    report = check_window(profile, observations(200, 3, mix=(8, 1, 1, 1, 1, 1)), CONFIG)
    first = report.per_class[0]
    assert first.label == "running"
    assert first.current_share > 0.4 > first.reference_share
    assert first.excess > 5
    assert sum(row.current_share for row in report.per_class) == pytest.approx(1)
    assert sum(row.labelled for row in report.per_class) == 200
    assert len(report.per_class) == 6


def test_examples_are_the_nearest_and_the_farthest(profile):
    window = observations(60, 12, strange=0.2)
    report = check_window(profile, window, CONFIG)
    assert [len(report.nearest), len(report.farthest)] == [4, 4]
    distances = [example.distance for example in (*report.nearest, *report.farthest[::-1])]
    assert distances == sorted(distances)
    strange = {window.ids[row] for row in np.flatnonzero(window.truth == -1)}
    assert len({example.id for example in report.farthest} & strange) >= 3
    assert not {example.id for example in report.nearest} & strange


def test_more_pictures_than_thresholds_are_known_for_are_sampled_and_told_whole(profile):
    window = observations(3000, 13, figures={"aspect": 0.02})
    report = check_window(profile, window, CONFIG)
    assert report.window.tested == 200
    assert results(report)["aspect"].current == pytest.approx(float(window.figures["aspect"].mean()), rel=1e-5)
    assert results(report)["embedding_classifier"].current is not None
    assert not report.alarm


def _appended(first, second) -> dict:
    arrays = ("predicted", "confidence", "abstained", "embeddings", "probabilities", "truth")
    joined = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in arrays}
    figures = {name: np.concatenate([values, second.figures[name]]) for name, values in first.figures.items()}
    return joined | {"ids": first.ids + second.ids, "figures": figures}
