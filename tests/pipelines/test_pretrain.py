"""The `pretrain` pipeline: refused in words before it starts, and run whole from a table and from drawn pairs."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import yaml

from clip_har.config import RunConfig, load_config
from clip_har.errors import ClipHarError, ConfigError
from pipelines.checks import check, check_sections
from tests.command import PROJECT, Workplace
from tests.tiny_models import colour_photos, tiny_clip

LABELS = ("cycling", "running", "sitting", "using_laptop")
NOT_TOLD = "cycling"
STEPS = [
    *("ingest_data", "validate_data", "deduplicate_data", "fingerprint_pairs"),
    *("pretrain_backbone", "measure_backbone", "publish_backbone"),
]


def settings() -> dict:
    return {
        "data": {"source": "folder", "path": "photos"},
        "compute": {"threads": 1},
        "evaluation": {"resamples": 100},
        "pretraining": {
            "pairs": {"source": "table", "path": "photos/pairs.csv", "held_out": [NOT_TOLD]},
            "architecture": {
                "image_size": 32,
                "patch_size": 8,
                "image": {"width": 32, "layers": 1, "heads": 2},
                "text": {"width": 32, "layers": 1, "heads": 2},
                "dimensions": 16,
            },
            "training": {"epochs": 2, "batch_size": 16, "learning_rate": 3.0e-3, "patience": None},
        },
    }


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, captions of those that are not held out, and a config."""
    folder = tmp_path_factory.mktemp("furnished")
    photos = colour_photos(folder / "photos", LABELS, 20)
    with open(photos / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "caption"))
        for path in sorted(photos.rglob("*.jpg")):
            words = path.parent.name.replace("_", " ")
            if words != NOT_TOLD:
                writer.writerow((path.relative_to(photos).as_posix(), f"a person {words}"))
                writer.writerow((path.relative_to(photos).as_posix(), f"a photo of someone {words}"))
    (folder / "config.yaml").write_text(yaml.safe_dump(settings()))
    return folder


@pytest.fixture
def config_in(furnished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(furnished)
    return lambda *overrides: load_config("config.yaml", overrides)


def test_a_config_for_pretraining_needs_neither_backbone_nor_methods(config_in):
    config = config_in()
    assert config.model is None
    check("pretrain", config)
    assert load_config_again(config) == config


def load_config_again(config: RunConfig) -> RunConfig:
    Path("again.yaml").write_text(config.to_yaml())
    return load_config("again.yaml")


def test_the_shipped_config_composes_and_its_default_file_is_known(monkeypatch, capsys):
    import run

    monkeypatch.chdir(PROJECT)
    assert run.main(["--pipeline", "pretrain", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"# steps of pretrain: {', '.join(STEPS)}" in shown
    assert yaml.safe_load(shown)["pretraining"]["pairs"]["held_out"] == ["cycling", "sleeping", "texting"]


@pytest.mark.parametrize(
    ("pipeline", "overrides", "words"),
    [
        ("pretrain", ["pretraining.pairs.path=photos/pair.csv"], ["pretraining.pairs.path", "photos/pair.csv"]),
        ("pretrain", ["pretraining.pairs.caption_column=text"], ["no column 'text'"]),
        ("pretrain", ["pretraining.backbone=nowhere/at/all"], ["pretraining.backbone", "nowhere/at/all"]),
        ("pretrain", ["data.path=nowhere"], ["data.path"]),
        ("train", [], ["model", "train needs this section"]),
        ("train", ["model={backbone: x}"], ["adaptation", "train needs this section"]),
    ],
)
def test_mistakes_are_found_before_anything_starts(config_in, pipeline, overrides, words):
    with pytest.raises(ClipHarError) as refused:
        check(pipeline, config_in(*overrides))
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pretraining.pair={}", ["pretraining.pair", "'pairs'"]),
        ("pretraining.pairs.source=tabel", ["pretraining.pairs.source", "'table'"]),
        ("pretraining.training.optimiser=lion", ["pretraining.training.optimiser", "'muon'"]),
        ("pretraining.architecture.patch_size=7", ["pretraining.architecture", "patch_size 7"]),
    ],
)
def test_mistakes_in_the_section_are_named(config_in, override, words):
    with pytest.raises(ConfigError) as refused:
        config_in(override)
    assert all(word in str(refused.value) for word in words), refused.value


def test_a_config_without_the_section_cannot_pretrain(config_in):
    config = config_in("model={backbone: x}", "adaptation={methods: [zero_shot]}", "pretraining=")
    check_sections("train", config)
    with pytest.raises(ConfigError, match="pretraining: the pipeline pretrain needs this section"):
        check_sections("pretrain", config)


@pytest.fixture(scope="module")
def first(furnished: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("first") / "place"
    shutil.copytree(furnished, folder)
    place = Workplace(folder)
    done = place.run("pretrain", "--config", "config.yaml")
    assert done.code == 0, done.err
    return place, done


@pytest.mark.slow
def test_a_run_publishes_a_backbone_with_its_card_report_and_figures(first):
    place, done = first
    assert set(place.statuses()) == set(STEPS)
    groups = place.metrics()["zero_shot"]["groups"]
    assert {name: group["classes"] for name, group in groups.items()} == {"all": 4, "seen": 3, "unseen": 1}
    assert groups["all"]["samples"] == 80
    assert "python run.py --pipeline train --set model.backbone=outputs/latest/backbone" in done.said
    assert "never saw" in (place.latest / "report.html").read_text()
    card = (place.latest / "backbone" / "README.md").read_text()
    assert f"| All (4) | 80 | 25.0 % | {100 * groups['all']['among_all']['value']:.1f} %" in card
    assert str(place.folder) not in card
    from transformers import AutoModel, AutoProcessor

    assert AutoModel.from_pretrained(place.latest / "backbone").config.model_type == "clip"
    assert AutoProcessor.from_pretrained(place.latest / "backbone")


@pytest.mark.slow
@pytest.mark.thorough
def test_a_second_run_takes_all_but_looking_and_publishing_from_the_first(first, tmp_path):
    place, _ = first
    copy = Workplace(tmp_path / "place")
    shutil.copytree(place.folder, copy.folder, symlinks=True)
    again = copy.run("pretrain", "--config", "config.yaml")
    assert again.code == 0, again.err
    metrics = copy.metrics()
    assert metrics == place.metrics()
    with open(copy.folder / "photos" / "pairs.csv", "a") as file:
        file.write("running/running_000.jpg,a person on the run\n")
    assert copy.run("pretrain", "--config", "config.yaml").code == 0
    assert {"pretrain_backbone", "measure_backbone"} <= copy.ran()
    assert "validate_data" not in copy.ran()


@pytest.mark.slow
@pytest.mark.thorough
def test_what_was_pretrained_is_adapted_and_pretrained_further(first, tmp_path):
    place, _ = first
    copy = Workplace(tmp_path / "place")
    shutil.copytree(place.folder, copy.folder, symlinks=True)
    trained = copy.run(
        *("train", "--config", "config.yaml", "--set", "model.backbone=outputs/latest/backbone"),
        *("--set", "adaptation={methods: [zero_shot, linear_probe]}"),
    )
    assert trained.code == 0, trained.err
    assert (copy.latest / "bundle").is_dir()
    further = copy.run(
        *("pretrain", "--config", "config.yaml", "--set", "pretraining.backbone=start"),
        *("--set", "pretraining.training.max_steps=2"),
        **furnish_start(copy.folder),
    )
    assert further.code == 0, further.err
    assert "continued from `start`" in (copy.latest / "backbone" / "README.md").read_text()
    assert copy.run("evaluate", "--config", "config.yaml").code == 0  # the newest bundle is that of the run before


def furnish_start(folder: Path) -> dict[str, str]:
    tiny_clip(folder / "start")
    return {}


@pytest.mark.slow
def test_drawn_pairs_from_scratch(tmp_path):
    place = Workplace(tmp_path)
    small = settings()
    small["data"] = {"source": "samples", "per_class": 4, "width": 48, "height": 32}
    held_out = ["cycling", "sleeping", "texting"]
    small["pretraining"]["pairs"] = {"source": "samples", "count": 96, "width": 48, "height": 32, "held_out": held_out}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(small))
    done = place.run("pretrain", "--config", "config.yaml")
    assert done.code == 0, done.err
    groups = place.metrics()["zero_shot"]["groups"]
    assert (groups["seen"]["classes"], groups["unseen"]["classes"]) == (12, 3)
    assert "cycling, sleeping, texting" in (place.latest / "backbone" / "README.md").read_text()
