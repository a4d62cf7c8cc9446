"""Classes held out of adaptation in a run: what is fitted for it, where the figures go, and that they decide nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.open_vocabulary import OpenVocabularyConfig, OpenVocabularyReport, measure_open_vocabulary
from clip_har.data.versions import VersionStore
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import embed_manifest
from clip_har.models.prompts import PromptConfig
from tests.command import Finished, Workplace
from tests.e2e.conftest import TRAIN, small_config
from tests.tiny_models import colour_photos, tiny_clip

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

NOVEL = ("cycling", "sleeping", "texting")
LABELS = (*NOVEL, "running", "sitting", "using_laptop")
CANDIDATES: dict[str, dict[str, Any]] = {
    "zero_shot": {},
    "linear_probe": {},
    "projection_tuning": {"training": {"max_steps": 30, "evaluate_every": 10, "learning_rate": 0.02}},
}
HELD_OUT = ("--set", f"adaptation.novel_classes=[{', '.join(NOVEL)}]")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, dict[str, Any], Finished]:
    """A place where `train` ran without and then with classes held out: the metrics of the first, the second's words."""
    folder = tmp_path_factory.mktemp("novel")
    colour_photos(folder / "photos", LABELS, 24)
    tiny_clip(folder / "backbone")
    config = small_config() | {"adaptation": {"methods": list(CANDIDATES), **CANDIDATES}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    place = Workplace(folder)
    first = place.run("train", *TRAIN)
    assert first.code == 0, first.err
    metrics = place.metrics()
    second = place.run("train", *TRAIN, *HELD_OUT)
    assert second.code == 0, second.err
    return place, metrics, second


@pytest.fixture(scope="module")
def measured(twice: tuple[Workplace, dict[str, Any], Finished]) -> dict[str, OpenVocabularyReport]:
    """The same by direct calls."""
    place = twice[0]
    store = VersionStore(place.workspace)
    manifest = store.open(store.versions()[0]).manifest
    reports = {}
    for name, settings in CANDIDATES.items():
        encoder = DualEncoder.load(ModelConfig(backbone=str(place.folder / "backbone")))
        made = embed_manifest(manifest, encoder.encode_images, encoder.image_encoder_hash(), encoder.preprocessing)
        context = AdaptationContext(encoder, manifest, made, PromptConfig(), ComputeConfig(), small_config()["seed"])
        method = METHODS.get(name)(parse_method_config({"method": name, **settings}))
        reports[name] = measure_open_vocabulary(method, context, OpenVocabularyConfig(novel_classes=NOVEL), name)
    return reports


def test_only_what_measures_other_labels_is_added(twice: tuple[Workplace, dict[str, Any], Finished]) -> None:
    place, before, _ = twice
    added = {"hold_out_classes", *(f"open_vocabulary_{name}" for name in CANDIDATES)}
    assert added < place.ran()
    assert not {f"adapt_{name}" for name in CANDIDATES} & place.ran(), "no model is fitted anew"
    after = place.metrics()
    assert after.keys() - before.keys() == {"open_vocabulary"}
    assert after["validation"] == before["validation"]
    assert after["test"] == before["test"]


def test_the_figures_are_those_of_direct_calls(
    twice: tuple[Workplace, dict[str, Any], Finished], measured: dict[str, OpenVocabularyReport]
) -> None:
    figures = twice[0].metrics()["open_vocabulary"]
    assert figures["novel_classes"] == list(NOVEL)
    assert figures["split"] == "test"
    assert len({tuple(sorted(row.items())) for row in figures["methods"].values()}) > 1, "all methods are the same"
    for name, report in measured.items():
        assert (figures["base_samples"], figures["novel_samples"]) == (report.base_samples, report.novel_samples)
        assert figures["methods"][name] == {
            "base": report.adapted.base,
            "novel": report.adapted.novel,
            "harmonic_mean": report.adapted.harmonic_mean,
            "word": report.word,
        }
        assert figures["zero_shot"] == {
            "base": report.zero_shot.base,
            "novel": report.zero_shot.novel,
            "harmonic_mean": report.zero_shot.harmonic_mean,
        }


def test_the_bundle_and_the_pages_say_them(
    twice: tuple[Workplace, dict[str, Any], Finished], measured: dict[str, OpenVocabularyReport]
) -> None:
    place, _, done = twice
    winner = place.metrics()["validation"]["winner"]
    info = json.loads((place.latest / "bundle" / "clip_har" / "bundle.json").read_text())
    assert info["open_vocabulary"] == measured[winner].verdict().model_dump(mode="json")
    report = (place.latest / "report.html").read_text().replace("\u202f", " ")
    section = report[report.index('<h2 id="other-labels">') : report.index('<h2 id="figures">')]
    assert "fitted once more without cycling, sleeping, texting" in section
    for name, said in measured.items():
        shown = [f"{100 * value:.1f} %" for value in (said.adapted.base, said.adapted.novel)]
        assert all(value in section for value in (name, *shown))
        assert f"│ {shown[0]:>6} │ {shown[1]:>6} │" in done.out.replace("│  ", "│ "), done.out
    assert "Fitted without cycling, sleeping, texting, on the test split" in done.out


def test_evaluate_shows_what_the_bundle_says(twice: tuple[Workplace, dict[str, Any], Finished]) -> None:
    place = twice[0]
    done = place.run("evaluate", *TRAIN, "--set", f"bundle={place.latest / 'bundle'}")
    assert done.code == 0, done.err
    report = (place.latest / "report.html").read_text()
    assert '<h2 id="other-labels">' in report
    assert "As the bundle says it" in report
    assert "open_vocabulary" not in place.metrics(), "nothing of it was measured here"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("[cycling, sleping]", "unknown label 'sleping'. Did you mean 'sleeping'?"),
        ("5", "two must remain; of 6 classes, 5 would be held out"),
    ],
)
def test_a_wrong_choice_is_found_before_anything_starts(
    twice: tuple[Workplace, dict[str, Any], Finished], classes: str, words: str
) -> None:
    done = twice[0].run("train", *TRAIN, "--set", f"adaptation.novel_classes={classes}")
    assert done.code == 2
    assert f"adaptation.novel_classes: {words}" in done.said.replace("at least two classes must be held out and ", "")
    assert "on the stack" not in done.err
