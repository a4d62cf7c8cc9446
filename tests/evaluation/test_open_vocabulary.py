"""What was measured of other labels, as figures and in the pages."""

from __future__ import annotations

import re

import numpy as np
import pytest

from clip_har.evaluation.leaderboard import Entry, Leaderboard, compare
from clip_har.evaluation.open_vocabulary import open_vocabulary_figures, open_vocabulary_section, wilson_interval
from clip_har.evaluation.report import render_leaderboard
from clip_har.models.bundle import OpenVocabulary

LABELS = np.tile(np.arange(4), 10)
NOTHING = OpenVocabulary(word="degraded", basis="no held-out classes were measured")


def said(base: float, novel: float, word: str = "kept") -> OpenVocabulary:
    return OpenVocabulary(
        word=word,
        basis="",
        base_accuracy=base,
        novel_accuracy=novel,
        harmonic_mean=2 * base * novel / (base + novel),
        novel_classes=("using_laptop", "<b>"),
        split="test",
        base_samples=200,
        novel_samples=50,
        zero_shot_base_accuracy=0.5,
        zero_shot_novel_accuracy=0.8,
        zero_shot_harmonic_mean=8 / 13,
    )


def board(**open_vocabularies: OpenVocabulary) -> Leaderboard:
    """Candidates, the first the best."""
    generator = np.random.default_rng(0)
    entries = [
        Entry(
            name=name,
            method=name,
            logits=(4 - number) * np.eye(4)[LABELS] + generator.normal(size=(40, 4)),
            trained_parameters=0,
            open_vocabulary=vocabulary,
        )
        for number, (name, vocabulary) in enumerate(open_vocabularies.items())
    ]
    return compare(entries, LABELS, select_by="accuracy", resamples=100)


NAMED = {"lora": said(0.9, 0.4, "lost"), "zero_shot": said(0.5, 0.8), "probe": said(0.7, 0.8)}


def test_figures_hold_every_method_beside_zero_shot() -> None:
    figures = open_vocabulary_figures(NAMED)
    assert figures["zero_shot"] == {"base": 0.5, "novel": 0.8, "harmonic_mean": 8 / 13}
    harmonic_mean = pytest.approx(0.72 / 1.3)
    assert figures["methods"]["lora"] == {"base": 0.9, "novel": 0.4, "harmonic_mean": harmonic_mean, "word": "lost"}
    assert list(figures["methods"]) == list(NAMED)
    assert (figures["split"], figures["base_samples"], figures["novel_samples"]) == ("test", 200, 50)
    assert figures["novel_classes"] == ["using_laptop", "<b>"]


def test_nothing_measured_is_nothing_shown() -> None:
    assert open_vocabulary_figures({"lora": NOTHING}) is open_vocabulary_section({"lora": NOTHING}) is None
    assert open_vocabulary_section({}) is None
    page = render_leaderboard(board(lora=NOTHING, probe=NOTHING))
    assert "Novel" not in page
    assert page.count("<td>degraded</td>") == 2


def test_zero_shot_comes_first_and_once() -> None:
    rows = open_vocabulary_section(NAMED)["rows"]
    assert [(row["name"], row["word"], row["baseline"]) for row in rows] == [
        ("zero_shot", "kept", True),
        ("lora", "lost", False),
        ("probe", "kept", False),
    ]
    # a variant of the same name with other figures is no baseline
    rows = open_vocabulary_section({"zero_shot": said(0.45, 0.8)})["rows"]
    assert [(row["name"], row["word"], row["baseline"]) for row in rows] == [
        ("zero_shot", None, True),
        ("zero_shot", "kept", False),
    ]


def test_rows_have_the_distance_to_zero_shot() -> None:
    row = open_vocabulary_section(NAMED)["rows"][1]["kinds"]
    assert row["base"]["gain"] == pytest.approx(0.4)
    assert row["novel"]["gain"] == pytest.approx(-0.4)
    assert row["harmonic_mean"]["gain"] == pytest.approx(0.72 / 1.3 - 8 / 13)
    assert (row["base"]["low"], row["base"]["high"]) == wilson_interval(0.9, 200)
    assert (row["novel"]["low"], row["novel"]["high"]) == wilson_interval(0.4, 50)
    assert row["harmonic_mean"]["low"] is None


@pytest.mark.parametrize(("share", "samples"), [(0.3, 40), (0.0, 12), (1.0, 12), (0.5, 1000)])
def test_the_ends_of_an_interval_are_where_the_share_is_just_believable(share: float, samples: int) -> None:
    """Wilson's interval by its definition: |share - p| = z · sqrt(p (1 - p) / n) at both ends."""
    for end in wilson_interval(share, samples):
        assert abs(share - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / samples), abs=1e-6)


def test_the_leaderboard_has_the_figures_and_keeps_its_order() -> None:
    measured, unmeasured = board(**NAMED), board(**dict.fromkeys(NAMED, NOTHING))
    assert [row.name for row in measured.rows] == [row.name for row in unmeasured.rows] == list(NAMED)
    assert measured.figures() == unmeasured.figures()
    assert measured.open_vocabularies == NAMED
    page = render_leaderboard(measured).replace("\u202f", " ")
    rows = re.findall(r"<tr.*?</tr>", page[page.index("<tbody>") :], re.DOTALL)
    for name, figures in (("lora", ("90.0 %", "40.0 %", "55.4 %")), ("probe", ("70.0 %", "80.0 %", "74.7 %"))):
        row = next(row for row in rows if f"<td>{name}</td>" in row)
        assert re.findall(r">([^<>]+ %)<", row)[2:] == list(figures)
        assert f"<td>{NAMED[name].word}</td>" in row
    assert "without using laptop, &lt;b&gt;, on the test split; zero-shot's are 50.0, 80.0 and 61.5 %" in page
