"""The model card: from reports alone, in the Hub's form, the same for the same model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from clip_har.models.abstention import AbstentionThreshold
from clip_har.models.bundle import ModelBundle, OpenVocabulary
from clip_har.models.conformal import ConformalQuantiles
from clip_har.registry.hub import HubConfig
from clip_har.registry.hub.bundles import own_tag
from clip_har.registry.hub.card import render_model_card
from clip_har.registry.hub.reports import BundleReports, MeasuredOn, reports_of
from tests.registry.hub.conftest import LABELS, make_bundle


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


FIGURES = {
    "split": "test",
    "samples": 1234,
    "method": "lora",
    "accuracy": estimate(0.87654321),
    "macro_f1": estimate(0.85),
    "calibration": {"temperature": 1.5, "ece_before": 0.111, "ece_after": 0.022},
    "trust": {
        **dict.fromkeys(["coverage", "covered_low", "covered_high", "precision", "threshold"], 0.9),
        **{"covered": 0.913, "mean_set_size": 1.42, "answered": 0.8, "answered_precision": 0.95},
    },
    "per_class": {label: {"precision": 0.5, "recall": 0.25, "f1": 0.1 * place} for place, label in enumerate(LABELS)},
    "zero_shot": {"accuracy": estimate(0.75), "gain": estimate(0.1265)},
}
REPORTS = BundleReports(
    figures=FIGURES,
    measured_on=MeasuredOn(name="Photographs | of us", revision="f" * 40),
    found={"found": 2000, "accepted": 1990, "rejected": 10},
    exports={"forms": {"image_onnx_fp32": {"accepted": True}, "image_onnx_int8": {"accepted": False}}},
)
CONFIG = HubConfig(repository="owner/actions", tag="v3", card={"license": "apache-2.0", "tags": ["sports"]})


def card_of(bundle: ModelBundle, reports: BundleReports = REPORTS, config: HubConfig = CONFIG) -> tuple[dict, str]:
    _, front, body = re.split(r"^---$", render_model_card(bundle, reports, config), maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


def test_the_hub_reads_the_results(bundle: ModelBundle) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(render_model_card(bundle, REPORTS, CONFIG))
    results = {result.metric_name: result for result in card.data.eval_results}
    assert card.data.model_name == "actions"
    assert results["Accuracy"].metric_value == 0.8765
    assert (results["Macro F1"].metric_type, results["Macro F1"].metric_value) == ("f1", 0.85)
    for result in results.values():
        assert result.dataset_split == "test"
        assert result.dataset_revision == "f" * 40
        assert result.task_type == "image-classification"


def test_front_matter(bundle: ModelBundle) -> None:
    front, _ = card_of(bundle)
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "zero-shot-image-classification"
    assert {"clip-har", "action-recognition", "zero_shot", "sports"} <= set(front["tags"])
    assert "base_model" not in front, "`tiny` is a folder's name, not a model of the Hub"
    assert "datasets" not in front
    named = CONFIG.model_copy(update={"card": CONFIG.card.model_copy(update={"dataset": "owner/photographs"})})
    assert card_of(bundle, config=named)[0]["datasets"] == ["owner/photographs"]


def test_a_backbone_of_the_hub_is_named(tiny_encoder, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle", tiny_encoder, backbone="openai/clip-vit-base-patch16")
    assert card_of(made)[0]["base_model"] == "openai/clip-vit-base-patch16"


def test_what_people_read(bundle: ModelBundle) -> None:
    _, body = card_of(bundle)
    for said in (
        bundle.model_id,
        "| Accuracy | 87.7 % (82.7 to 92.7) | 75.0 % (70.0 to 80.0) |",
        "+12.7 points",
        "Photographs \\| of us",
        "| using laptop | 50.0 % | 25.0 % | 20.0 % |",
        "temperature of 1.500",
        "0.022 (0.111 without)",
        "Of 2,000 photographs 1,990 were accepted and 10 rejected",
        "kept: image onnx fp32",
        "kept out: image onnx int8",
        "It is not meant for watching people",
        'from_pretrained("owner/actions", revision="v3")',
        'pull_bundle("owner/actions", "v3", "actions")',
        "`" + "f" * 40 + "`",
    ):
        assert said in body, said
    rows = re.findall(r"^\| (cycling|running|using laptop) \|", body, re.MULTILINE)
    assert rows == ["using laptop", "running", "cycling"], "the best class first"
    assert "None" not in body
    assert "\n\n\n\n" not in body


def test_calibration_and_limits(bundle: ModelBundle, tmp_path: Path, tiny_encoder) -> None:
    import dataclasses

    conformal = ConformalQuantiles(penalty=0, largest_free=1, coverages=(0.9,), quantiles=(0.8,))
    known = AbstentionThreshold(precision=0.9, threshold=0.61, answered=0.8, measured=0.93)
    for abstention, said in (
        (known, "It abstains** below a confidence of 0.610, so that 90 % of its answers are right; measured"),
        (AbstentionThreshold(precision=0.9, threshold=None), "It never abstains**: no threshold is known"),
    ):
        calibration = bundle.calibration.model_copy(update={"conformal": conformal, "abstention": abstention})
        _, body = card_of(dataclasses.replace(bundle, calibration=calibration))
        assert said in body
        assert "hold the true label for 90 % of photographs" in body
        assert "measured: 91.3 %, with 1.42 labels on average" in body
    lost = make_bundle(
        tmp_path / "lost", tiny_encoder, open_vocabulary=OpenVocabulary(word="lost", basis="the text tower is gone")
    )
    assert "Other labels than its own are refused" in card_of(lost)[1]
    cache = dataclasses.replace(bundle, info=bundle.info.model_copy(update={"head": "cache"}))
    assert "a cache of features of training photographs" in card_of(cache)[1]
    assert "a cache of features" not in card_of(bundle)[1]


def test_without_a_report_it_says_so(bundle: ModelBundle) -> None:
    front, body = card_of(bundle, BundleReports(), HubConfig(repository="owner/actions"))
    assert "model-index" not in front
    assert front["license"] == "unknown"
    assert "No run that measured this model is at hand" in body
    assert "accuracy 0.500" in body
    assert own_tag(bundle) in body


def test_the_same_model_has_the_same_card(bundle: ModelBundle) -> None:
    assert render_model_card(bundle, REPORTS, CONFIG) == render_model_card(bundle, REPORTS, CONFIG)


def write_run(outputs: Path, name: str, model_id: str, metrics: dict, **record: object) -> None:
    (outputs / name).mkdir(parents=True)
    (outputs / name / "metrics.json").write_text(json.dumps(metrics))
    (outputs / name / "run.json").write_text(json.dumps({"model_id": model_id, "settings": ""} | record))


def test_reports_are_found_by_the_model(bundle: ModelBundle, tmp_path: Path) -> None:
    figures = {name: FIGURES | {"samples": number} for number, name in enumerate(("other", "trained", "evaluated"))}
    settings = yaml.safe_dump({"data": {"source": "hub", "dataset": "them/theirs"}, "card": {"name": "Theirs"}})
    assert reports_of(bundle, tmp_path).figures is None
    write_run(tmp_path, "a", "another", {"test": figures["other"]}, leaderboard=["lora"])
    assert reports_of(bundle, tmp_path).figures is None
    write_run(tmp_path, "b", bundle.model_id, {"test": figures["evaluated"]}, started="2026-02", leaderboard=None)
    found = reports_of(bundle, tmp_path)
    assert found.figures["samples"] == 2
    assert found.measured_on.revision is None, "nobody wrote down what it was measured on"
    write_run(
        tmp_path,
        "dvc/train",
        bundle.model_id,
        {"test": figures["trained"], "data": {"found": 9}},
        started="2026-01",
        leaderboard=["lora"],
        settings=settings,
    )
    write_run(tmp_path, "d", bundle.model_id, {"export": {"forms": {}}}, started="2026-03", leaderboard=None)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text("{")
    found = reports_of(bundle, tmp_path)
    assert found.figures["samples"] == 1, "of the run that trained it"
    assert found.measured_on == MeasuredOn(name="Theirs", hub_id="them/theirs", revision="f" * 40)
    assert found.exports == {"forms": {}}
    assert found.found == {"found": 9}


@pytest.mark.parametrize("field", ["tags", "about", "intended_use"])
def test_what_a_person_says_is_in_it(bundle: ModelBundle, field: str) -> None:
    said = ["Ours."] if field == "tags" else "Ours."
    config = HubConfig(repository="owner/actions", card={field: said})
    assert "Ours." in render_model_card(bundle, REPORTS, config)
