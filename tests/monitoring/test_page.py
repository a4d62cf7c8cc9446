"""The drift page: what it says, for whom, and that it asks nothing of any server."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from clip_har.monitoring.decision import MonitoringState
from clip_har.monitoring.distributions import with_distributions
from clip_har.monitoring.history import HistoryRow, Retraining
from clip_har.monitoring.page import dated, in_words, next_steps, rarity, readable_time, render_drift
from clip_har.monitoring.report import DriftReport
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report
from tests.self_contained import requests_of

REFERENCE, WINDOW = observations(600, 0), observations(400, 1, darker=1.0)


@pytest.fixture(scope="module")
def drifted() -> DriftReport:
    return with_distributions(drift_report(WINDOW), REFERENCE, WINDOW)


def words(page: str) -> str:
    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def handle_data(self, data: str) -> None:
            self.said.append(data)

    parser = Text()
    parser.feed(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    return " ".join(" ".join(parser.said).split())


def test_it_says_what_changed_since_when_and_how_sure_that_is(drifted):
    said = words(render_drift(drifted))
    assert "To be watched Drift. The pictures are darker: brightness fell from 0.45 to 0.38." in said
    assert "1 window with an alarm (brightness, confidence); retraining is asked for after 2." in said
    assert "2 of 3 checks found drift, which begins about 25 Nov 2026, 00:00" in said
    assert "Fewer than 1 window in 400 without any change" in said
    assert "1 window in 20 without any change raises an alarm (5.0 %)" in said
    assert "400 disjoint pairs" in said
    assert "600 pictures (calibration, validation, test)" in said
    assert "Kolmogorov-Smirnov distance 0.41, threshold 0.16" in said
    assert "No label is known <yet>." in said
    assert "truncated 5, too many pixels 2" in said
    assert "12 of another model" in said


def test_without_drift_it_says_so_and_asks_for_nothing():
    said = words(render_drift(drift_report(WINDOW, drifted=False)))
    assert "All is well No drift." in said
    assert "None of 3 checks found drift." in said
    assert "Nothing now. Look again when there is a new window: python run.py --pipeline monitor" in said
    assert "Since when" not in said


def test_it_asks_nothing_of_any_server(drifted):
    row = HistoryRow(
        run="r", number=1, time="2026-11-25T00:00:00+00:00", report=drifted, state_after=MonitoringState(model_id="m")
    )
    assert requests_of(render_drift(drifted, history=[row], run={"facts": {"Run": "r"}})) == []


def test_each_alarm_has_a_chart_with_the_begin_of_the_change(drifted):
    page = render_drift(drifted)
    charts = re.findall(r'<svg viewBox="0 0 460.*?</svg>', page, flags=re.DOTALL)
    assert len(charts) == 2
    assert all("change begins" in chart and "reference" in chart and chart.count("<circle") == 8 for chart in charts)
    unknown = render_drift(drifted.model_copy(update={"changed_since": None}))
    assert "change begins" not in unknown
    assert "When it began cannot be told" in unknown
    assert "When it began cannot be told" in render_drift(drifted.model_copy(update={"timeline": ()}))


def test_alarms_come_first_and_their_cause_before_them(drifted):
    checks = drifted.checks[::-1]
    page = render_drift(drifted.model_copy(update={"checks": checks}))
    names = re.findall(r'<td class="name"[^>]*><b>(.*?)</b>', page)
    assert names == ["Brightness", "Confidence", "Predicted labels", "Accuracy"]
    assert "names the change" in page


def test_bars_show_statistic_against_threshold(drifted):
    page = render_drift(drifted)
    bars = re.findall(r'class="meter (\w+)".*?width:([\d.]+)%.*?left:([\d.]+)%', page)
    assert [(kind, float(width) > float(left)) for kind, width, left in bars] == [
        ("drift", True),
        ("drift", True),
        ("ok", False),
    ]


def test_pictures_are_shown_where_they_were_kept_and_if_not_it_says_how_to_keep_them(drifted):
    assert "capture: {images: true}" in render_drift(drifted)
    pixel = "data:image/jpeg;base64,AAAA"
    shown = tuple(one.model_copy(update={"picture": pixel}) for one in drifted.farthest)
    with_images = drifted.window.model_copy(update={"images": 400})
    page = render_drift(drifted.model_copy(update={"farthest": shown, "window": with_images}))
    assert page.count(f'src="{pixel}"') == 4
    assert page.count("not kept") == 2
    assert "capture: {images: true}" not in page
    elsewhere = drifted.window.model_copy(update={"source": "rows.parquet"})
    assert "cannot be read" in render_drift(drifted.model_copy(update={"window": elsewhere}))


def test_the_history_is_a_strip_and_a_table(drifted):
    quiet = drift_report(WINDOW, drifted=False)
    rows = [
        HistoryRow(
            run=f"run {number}",
            number=number,
            time=f"2026-11-{number:02d}T08:00:00+00:00",
            report=drifted if number == 20 else quiet,
            retraining=Retraining(outcome="promoted") if number == 20 else None,
            state_after=MonitoringState(model_id="m"),
        )
        for number in range(1, 21)
    ]
    page = render_drift(drifted, history=rows)
    strip = re.search(r'<div class="strip".*?</div>', page, flags=re.DOTALL)[0]
    assert re.findall(r'<span class="(\w+)"', strip) == ["ok"] * 19 + ["watch"]
    said = words(page)
    assert "20 Nov 2026, 08:00 to be watched promoted 400 Brightness, Confidence 71.0 % est." in said
    listed = said.partition("The last windows")[2]
    assert " 9 Nov 2026, 08:00" in listed
    assert " 8 Nov 2026, 08:00" not in listed


def test_what_to_do_depends_on_the_decision(drifted):
    watched = next_steps(drifted, {"sheet": "labelling/sheet.html"})
    assert [step["link"] for step in watched] == ["", "labelling/sheet.html", ""]
    assert "camera" in watched[0]["said"]
    decided = drifted.decided.model_copy(update={"state": "retrain"})
    asked = next_steps(drifted.model_copy(update={"decided": decided}), {})
    assert asked[-1]["command"] == "python run.py --pipeline monitor --set monitor.retrain=always"
    undecided = render_drift(drifted.model_copy(update={"decided": None}))
    assert "Look again at the next window" in undecided


def test_links_lead_to_what_is_there(drifted):
    page = render_drift(drifted, links={"evidently": "evidently.html", "json": "drift_report.json"})
    assert 'href="evidently.html"' in page
    assert 'href="drift_report.json"' in page
    assert "Evidently" not in render_drift(drifted)


def test_what_came_from_outside_is_text(drifted):
    bad = "<script>alert(1)</script>"
    window = drifted.window.model_copy(update={"source": bad, "errors": {bad: 1}, "skipped": {bad: 2}})
    per_class = tuple(row.model_copy(update={"label": bad}) for row in drifted.per_class)
    checks = tuple(check.model_copy(update={"title": bad, "said": bad}) for check in drifted.checks)
    page = render_drift(
        drifted.model_copy(update={"window": window, "per_class": per_class, "checks": checks, "said": (bad,)})
    )
    assert "<script" not in page
    assert requests_of(page) == []


def test_numbers_are_in_words():
    assert (in_words(0.4512, "share"), in_words(1.79, "bits per pixel"), in_words(1e-9), in_words(None)) == (
        *("45.1 %", "1.79 bits per pixel"),
        *("0", "–"),
    )
    assert rarity(1 / 401, 400) == "fewer than 1 window in 400"
    assert (rarity(0.05, 400), rarity(0.62, 400), rarity(None, 400)) == ("1 window in 20", "62 % of windows", "–")
    assert readable_time("2026-11-25T01:30:00+02:00") == "24 Nov 2026, 23:30"
    assert dated("It began at 2026-05-28T23:44:40Z.") == "It began at 28 May 2026, 23:44 (UTC)."
