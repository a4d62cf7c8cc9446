"""The report as a browser would read it: whole, self-contained, and safe with any label."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.evaluation.evaluate import EvaluationConfig, EvaluationReport, evaluate
from clip_har.evaluation.leaderboard import Entry, Leaderboard, compare
from clip_har.evaluation.report import render_leaderboard, render_report
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import softmax
from tests.tiny_models import colour_photos

HOSTILE = "<script>alert('x')</script>&\"<img src=http://evil.example/a.png>"
LABELS = ("calling", "using_laptop", HOSTILE, "sleeping")
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements, links and text of a page; raises if an element is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {data}"

    @property
    def said(self) -> str:
        return " ".join(self.text.split())

    def of(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]


@pytest.fixture(scope="module")
def test_split(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = colour_photos(tmp_path_factory.mktemp("photos"), ("a", "b", "c", "d"), 5)
    uris = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.jpg"))]
    rows = [(uri, uri, LABELS["abcd".index(uri[0])], "test", uri, 64, 64, "JPEG", "csv", "") for uri in uris]
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), LABELS, str(folder))


def measured(manifest: Manifest, *, skill: float = 2.0, baseline: bool = True) -> EvaluationReport:
    generator = np.random.default_rng(0)
    truth = np.eye(4)[manifest.label_indices]
    logits = skill * truth + generator.normal(size=truth.shape)
    return evaluate(
        model_id="0123abc",
        method="linear_probe",
        manifest=manifest,
        probabilities=softmax(logits / 1.7),
        uncalibrated=softmax(logits),
        temperature=1.7,
        config=EvaluationConfig(resamples=100, examples=4),
        baseline=("zero_shot", softmax(generator.normal(size=truth.shape))) if baseline else None,
    )


@pytest.fixture(scope="module")
def leaderboard(test_split: Manifest) -> Leaderboard:
    labels, generator = test_split.label_indices, np.random.default_rng(1)
    entries = [
        Entry(
            name=name,
            method="linear_probe",
            logits=skill * np.eye(4)[labels] + generator.normal(size=(20, 4)),
            trained_parameters=68,
            open_vocabulary=OpenVocabulary(word="kept", basis=""),
            remarks=remarks,
        )
        for name, skill, remarks in (("probe", 3.0, ()), ("small_lora", 1.0, (f"remark {HOSTILE}",)))
    ]
    return compare(entries, labels, select_by="accuracy", resamples=100)


def everything(manifest: Manifest, leaderboard: Leaderboard) -> str:
    history = [{"step": 0, "epoch": 0, "accuracy": 0.2, "log_loss": 1.9}]
    history += [{"step": 5 * n, "epoch": n, "loss": 2 / n, "accuracy": 0.3 * n, "log_loss": 1 / n} for n in (1, 2, 3)]
    sweep = [{"inverse_strength": 10.0**n, "accuracy": 0.5 + 0.1 * n, "log_loss": 1 - 0.1 * n} for n in (-1, 0, 1)]
    return render_report(
        measured(manifest),
        leaderboard=leaderboard,
        histories={"small_lora": history, "probe": sweep, HOSTILE: history, "zero_shot": []},
        data={
            "splits": ("train", "validation", "calibration", "test"),
            "counts": [(label, [3, 1, 1, 1]) for label in LABELS],
            "validation": {
                "found": 30,
                "accepted": 24,
                "rejected": 6,
                "rejected_by_reason": {"too_small": 4, "not_an_image": 2},
                "near_duplicate_pairs": 3,
            },
        },
        run={
            "steps": [
                {"name": "embed_images", "status": "completed", "seconds": 75.2},
                {"name": "validate_data", "status": "cached", "seconds": 181.0},
            ],
            "facts": {"Backbone": HOSTILE, "Machine": "two cores"},
            "config": f"seed: 0\nmodel: {HOSTILE}\n",
        },
    )


@pytest.fixture(scope="module")
def html(test_split: Manifest, leaderboard: Leaderboard) -> str:
    return everything(test_split, leaderboard)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_section_is_there_and_linked(page: Page) -> None:
    wanted = ["methods", "figures", "confusion", "classes", "examples", "calibration", "learning", "data", "run"]
    assert [attributes["id"] for attributes in page.of("h2")] == wanted
    assert [link["href"] for link in page.of("a")] == [f"#{name}" for name in wanted]
    for title in (
        "Methods compared",
        "Zero-shot beside linear probe",
        "What is taken for what",
        "Action by action",
        "Precision against recall",
        "The most confident predictions",
        "Does confidence mean what it says?",
        "How the methods learned",
    ):
        assert title in page.said


def test_figures_have_their_intervals(page: Page, test_split: Manifest) -> None:
    report = measured(test_split)
    named = {
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "top3_accuracy": "Top-3 accuracy",
        "macro_f1": "Macro F1",
        "weighted_precision": "Weighted precision",
        "weighted_recall": "Weighted recall",
    }
    for name, title in named.items():
        figure = report.metrics[name]
        shown = f"{title} {100 * figure.value:.1f}\u202f% {100 * figure.low:.1f} to {100 * figure.high:.1f}"
        assert shown.replace("\u202f", " ") in page.said.replace("\u202f", " ")


def test_the_confusion_matrix_has_every_count(html: str, test_split: Manifest) -> None:
    counts = re.search(r'<table class="confusion">.*?</table>', html, re.DOTALL)[0]
    cells = [int(text or 0) for text in re.findall(r"<td[^>]*>(\d*)</td>", counts)]
    assert cells == np.array(measured(test_split).confusion).ravel().tolist()


def test_charts_are_drawn(page: Page, html: str, test_split: Manifest) -> None:
    assert len(page.of("polyline")) == len(LABELS), "a precision–recall curve a class"
    report = measured(test_split)
    pictures = [image["src"] for image in page.of("img")]
    assert pictures == [example.picture for example in (*report.right, *report.wrong)]
    assert pictures
    assert report.wrong, "nothing to show"
    learning = html[html.index('id="learning"') : html.index('id="data"')]
    assert learning.count("<svg") == 6, "accuracy and loss for each history with something to show"
    calibration = html[html.index('id="calibration"') : html.index('id="learning"')]
    assert calibration.count("<svg") == 2, "before and with the temperature"
    assert "1.70" in calibration
    assert all(float(number) >= 0 for line in page.of("polyline") for number in re.split("[ ,]", line["points"]))


def test_nothing_is_fetched_from_anywhere(page: Page, html: str) -> None:
    forbidden = {"script", "iframe", "link", "object", "embed", "base", "form", "audio", "video"}
    assert not {tag for tag, _ in page.elements} & forbidden
    for tag, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), f"<{tag} {key}>"
            if key in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                assert value.startswith(("#", "data:image/")), f"<{tag} {key}={value}>"
            elif not key.startswith("xmlns") and key not in ("title", "aria-label", "alt"):
                assert "//" not in value, f"<{tag} {key}={value}>"
    styles = "".join(re.findall(r"<style.*?</style>", html, re.DOTALL))
    assert styles
    assert "@import" not in styles
    assert "http" not in styles
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\([\"']?([^)\"']*)", html))


def test_text_of_the_users_is_text(page: Page, html: str) -> None:
    assert "<script" not in html
    assert not [image for image in page.of("img") if "evil" in image["src"]]
    shown = " ".join(HOSTILE.split())
    # the label's row, its curve, the remark, the history's title, the fact, the configuration
    assert page.said.count(shown) >= 6


def test_labels_are_shown_as_words(page: Page) -> None:
    assert "using laptop" in page.said
    assert "using_laptop" not in page.said


def test_the_times_of_steps_are_shown(page: Page) -> None:
    assert "embed_images 75.2 s" in page.said
    assert "validate_data cached, 3 min 1 s when it ran" in page.said
    assert "30 photographs found, 24 accepted, 6 rejected: 4 too small, 2 not an image." in page.said


def test_the_gain_over_zero_shot_is_said(test_split: Manifest) -> None:
    report = measured(test_split)
    assert report.baseline.gain.low > 0
    assert re.search(
        r"adaptation gained \d+\.\d points \(\d.* to .*\), more than chance explains", Page(render_report(report)).said
    )
    flat = report.baseline.model_copy(
        update={"gain": report.baseline.gain.model_copy(update={"value": -0.01, "low": -0.02, "high": 0.03})}
    )
    said = Page(render_report(report.model_copy(update={"baseline": flat}))).said
    assert "(\u22122.0 to 3.0) may be chance" in said
    lost = report.baseline.model_copy(
        update={"gain": report.baseline.gain.model_copy(update={"value": -0.1, "low": -0.2, "high": -0.05})}
    )
    said = Page(render_report(report.model_copy(update={"baseline": lost}))).said
    assert "adaptation lost 10.0 points (\u221220.0 to \u22125.0)" in said


@pytest.mark.parametrize("skill", [100.0, -100.0], ids=["all right", "all wrong"])
def test_a_model_without_mistakes_or_without_success_has_a_report(test_split: Manifest, skill: float) -> None:
    report = measured(test_split, skill=skill, baseline=False)
    page = Page(render_report(report))
    titles = [title for title in ("Right", "Wrong") if re.search(rf"\b{title}\b", page.said)]
    assert titles == (["Right"] if skill > 0 else ["Wrong"])
    assert "Zero-shot beside" not in page.said
    assert [attributes["id"] for attributes in page.of("h2")][:2] == ["figures", "confusion"]


def test_the_same_input_gives_the_same_page(test_split: Manifest, leaderboard: Leaderboard, html: str) -> None:
    assert everything(test_split, leaderboard) == html


def test_the_leaderboard_alone(leaderboard: Leaderboard) -> None:
    html = render_leaderboard(leaderboard)
    page = Page(html)
    assert "<script" not in html
    assert leaderboard.why.replace("\u202f", " ") in page.said.replace("\u202f", " ")
    assert page.said.index("probe") < page.said.index("small_lora")
    assert len(page.of("tr", **{"class": "winner"})) == 1


def test_what_augmentation_did_is_shown_where_there_was_one(test_split: Manifest) -> None:
    report = measured(test_split)
    assert "augmentation" not in [attributes["id"] for attributes in Page(render_report(report)).of("h2")]
    sheet = {
        "names": ["lora", HOSTILE],
        "policy": "medium",
        "operations": [("Horizontal flip", "left and right exchanged; 50 % of pictures, never for texting")],
        "mixes": True,
        "pictures": 8,
        "epochs": 5,
        "image": "data:image/jpeg;base64,AAAA",
    }
    html = render_report(report, augmentation=[sheet])
    page = Page(html)
    assert "augmentation" in [attributes["id"] for attributes in page.of("h2")]
    assert "#augmentation" in [link["href"] for link in page.of("a")]
    assert [image["src"] for image in page.of("img", **{"class": "sheet"})] == [sheet["image"]]
    assert "8 training pictures, and what became of each in 5 epochs" in page.said
    assert "Horizontal flip left and right exchanged" in page.said
    assert "policy medium" in page.said
    assert "shares of their labels" in page.said
    assert "<script" not in html
    unmixed = Page(render_report(report, augmentation=[sheet | {"mixes": False}]))
    assert "shares of their labels" not in unmixed.said


def test_base_and_novel_classes_are_shown_where_they_were_measured(
    test_split: Manifest, leaderboard: Leaderboard
) -> None:
    report = measured(test_split)
    figures = {
        "novel_classes": ("using_laptop", HOSTILE),
        "split": "test",
        "base_samples": 130,
        "novel_samples": 33,
        "zero_shot_base_accuracy": 0.5,
        "zero_shot_novel_accuracy": 0.8,
        "zero_shot_harmonic_mean": 0.615,
    }
    lora = OpenVocabulary(
        word="degraded", basis="", base_accuracy=0.75, novel_accuracy=0.7, harmonic_mean=0.724, **figures
    )
    html = render_report(report, leaderboard=leaderboard, vocabulary={"lora": lora, HOSTILE: lora})
    page = Page(html)
    assert [attributes["id"] for attributes in page.of("h2")][:3] == ["methods", "other-labels", "figures"]
    assert "#other-labels" in [link["href"] for link in page.of("a")]
    said = page.said.replace("\u202f", " ")
    assert "fitted once more without using laptop, " in said
    assert "the 130 photographs of the test split" in said
    assert "zero_shot 50.0 %" in said
    assert "lora 75.0 % 66.9 to 81.7 +25.0 70.0 %" in said
    assert "−10.0 72.4 % +10.9 degraded" in said
    bars = [part["style"] for part in page.of("i") if part.get("class") in ("base", "novel", "harmonic_mean")]
    assert bars[:6] == [f"width:{share}%" for share in ("50.00", "80.00", "61.50", "75.00", "70.00", "72.40")]
    assert len(bars) == 9
    assert "<script" not in html
    assert "As the bundle says it" not in said
    assert "As the bundle says it" in Page(render_report(report, vocabulary={"lora": lora})).said
    unmeasured = Page(render_report(report, vocabulary={"lora": OpenVocabulary(word="kept", basis="")}))
    assert "other-labels" not in [attributes["id"] for attributes in unmeasured.of("h2")]


def test_likely_label_errors_are_shown_where_there_are_some(test_split: Manifest) -> None:
    report = measured(test_split)
    example = {
        "uri": "train/1.jpg",
        "label": HOSTILE,
        "suggested": "using_laptop",
        "quality": 0.004,
        "confidence": 0.97,
        "picture": "data:image/jpeg;base64,AAAA",
    }
    review = {"reviewed": 1234, "listed": 31, "agreement": 0.8, "left_out": [], "examples": [example]}
    html = render_report(report, label_review=review)
    page = Page(html)
    assert "labels" in [attributes["id"] for attributes in page.of("h2")]
    assert "#labels" in [link["href"] for link in page.of("a")]
    assert "31 of 1234 photographs, of all splits" in page.said
    assert "here are the first 1." in page.said
    assert "rather using laptop 97.0 % train/1.jpg" in page.said
    assert [image["src"] for image in page.of("img")][-1] == example["picture"]
    assert "<script" not in html
    gone = Page(render_report(report, label_review=review | {"examples": [example | {"picture": None}]}))
    assert len(gone.of("img")) == len(page.of("img")) - 1
    for nothing in (None, review | {"listed": 0, "examples": []}):
        shown = Page(render_report(report, label_review=nothing))
        assert "labels" not in [attributes["id"] for attributes in shown.of("h2")]
