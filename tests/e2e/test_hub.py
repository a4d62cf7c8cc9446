"""`configs/har.yaml` end to end: the Hub's data set and CLIP by their ids; only the network is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import PROJECT, Workplace
from tests.hub_stand_in import hub_stand_in
from tests.tiny_models import colour_photos, tiny_clip

pytestmark = pytest.mark.slow

DATASET, BACKBONE = "Bingsu/Human_Action_Recognition", "openai/clip-vit-base-patch16"
LABELS = ("calling", "clapping", "cycling")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, Path]]:
    """(models, data sets): a tiny CLIP, and Parquet files of the real data set's form, its test labels all 0."""
    import datasets

    folder = tmp_path_factory.mktemp("hub")
    photos = colour_photos(folder / "photos", LABELS, 24)
    rows = []
    for number, label in enumerate(LABELS):
        for path in sorted((photos / label).iterdir()):
            rows.append({"image": {"bytes": path.read_bytes(), "path": None}, "labels": number})
    features = datasets.Features({"image": datasets.Image(), "labels": datasets.ClassLabel(names=list(LABELS))})
    repository = folder / "dataset"
    for split, part in (("train", rows), ("test", [row | {"labels": 0} for row in rows[:5]])):
        table = datasets.Dataset.from_list(part, features=features)
        (repository / "data").mkdir(parents=True, exist_ok=True)
        table.to_parquet(repository / "data" / f"{split}-00000-of-00001.parquet")
    (repository / "README.md").write_text("---\nlicense: odbl\n---\n# a stand-in\n")
    return {BACKBONE: tiny_clip(folder / "model")}, {DATASET: repository}


@pytest.mark.thorough
def test_har_yaml_runs_from_the_hub_and_then_without_it(
    repositories: tuple[dict[str, Path], dict[str, Path]], tmp_path: Path
) -> None:
    place = Workplace(tmp_path)
    config = ("--config", str(PROJECT / "configs" / "har.yaml"))
    quick = ("--set", "adaptation.lora.training.max_steps=3", "--set", "compute.threads=1")
    online = {
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }
    with hub_stand_in(*repositories) as (address, asked):
        done = place.run("train", *config, *quick, HF_ENDPOINT=address, **online)
        assert done.code == 0, done.err + "\n".join(asked)
    assert any(f"/datasets/{DATASET}" in request for request in asked)
    assert any(f"/{BACKBONE}/resolve/" in request for request in asked)
    metrics = place.metrics()
    assert metrics["data"]["found"] == 72, "the labelled split alone"
    assert {"zero_shot", "linear_probe", "lora"} < set(metrics["validation"])
    bundle = json.loads((place.latest / "bundle" / "clip_har" / "bundle.json").read_text())
    assert bundle["backbone"] == BACKBONE
    assert tuple(bundle["labels"]) == LABELS
    # the Hub is gone: what was fetched is used
    done = place.run("train", *config, *quick, HF_ENDPOINT="http://127.0.0.1:9", **online)
    assert done.code == 0, done.err
    assert place.ran() == {"open_data", "publish_run"}


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("data.dataset=Bingsu/Human_Action", ["data.dataset", "Human_Action", "no data set"]),
        ("data.revision=v9", ["data.revision", "v9"]),
        ("model.backbone=openai/clip-vit", ["model.backbone", "openai/clip-vit"]),
        ("model.revision=v9", ["model.revision", "v9"]),
    ],
)
def test_what_the_hub_does_not_have(
    repositories: tuple[dict[str, Path], dict[str, Path]], tmp_path: Path, setting: str, wanted: list[str]
) -> None:
    online = {
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }
    with hub_stand_in(*repositories) as (address, _):
        done = Workplace(tmp_path).run(
            "train", "--config", str(PROJECT / "configs" / "har.yaml"), "--set", setting, HF_ENDPOINT=address, **online
        )
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    for word in wanted:
        assert word in done.said


def test_a_hub_out_of_reach_is_said(tmp_path: Path) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    done = Workplace(tmp_path).run(
        "train", "--config", str(PROJECT / "configs" / "har.yaml"), HF_ENDPOINT="http://127.0.0.1:9", **online
    )
    assert done.code == 2
    assert "cannot be reached" in done.said
    assert "Traceback" not in done.err
