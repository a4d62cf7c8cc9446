"""A trained run on small photographs, made once; cases that change something work in a copy of its folder."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from tests.command import PROJECT, Finished, Workplace
from tests.shared_folder import made_once
from tests.tiny_models import colour_photos, tiny_clip

LABELS = ("cycling", "running", "sleeping", "using_laptop")
TRAIN = ("--config", "config.yaml")


def small_config() -> dict:
    """Everything a run needs, quick: relative paths, so that a copied folder is a place of its own."""
    return {
        "seed": 3,
        "data": {"source": "folder", "path": "photos"},
        "model": {"backbone": "backbone"},
        "compute": {"threads": 1},
        "adaptation": {
            "methods": ["zero_shot", "linear_probe", "lora"],
            "lora": {"rank": 4, "alpha": 4, "dropout": 0.1, "training": {"epochs": 1, "batch_size": 16}},
        },
        "evaluation": {"resamples": 100, "examples": 4},
        "serving": {"bento": {"enabled": False}},  # test_deploy.py packs one
    }


def furnish(folder: Path) -> Path:
    """Photographs, a backbone and a config in an empty folder."""
    colour_photos(folder / "photos", LABELS, 30)
    first = sorted((folder / "photos" / "running").iterdir())[0]
    shutil.copy(first, first.with_name("copy-of-the-first.jpg"))
    (folder / "photos" / "running" / "broken.jpg").write_bytes(b"not a photograph")
    tiny_clip(folder / "backbone")
    (folder / "config.yaml").write_text(yaml.safe_dump(small_config(), sort_keys=False))
    return folder


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A furnished folder in which nothing has run; to be copied, not used."""
    return furnish(tmp_path_factory.mktemp("furnished"))


@pytest.fixture(scope="session")
def first_run(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Finished]:
    """(workplace, what the command printed) of a first `train`; to be read, not run in again."""

    def train(folder: Path) -> None:
        shutil.copytree(furnished, folder / "place")
        done = Workplace(folder / "place").run_anew("train", *TRAIN)
        assert done.code == 0, done.err
        (folder / "finished.json").write_text(json.dumps(asdict(done)))

    folder = made_once(tmp_path_factory, "first", train)
    return Workplace(folder / "place"), Finished(**json.loads((folder / "finished.json").read_text()))


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout without its history and environment, for cases that change code."""
    folder = tmp_path_factory.mktemp("checkout") / "clip-har"
    skipped = shutil.ignore_patterns(
        ".git", ".venv", "outputs", "workspace", "__pycache__", "*.egg-info", ".pytest_cache"
    )
    shutil.copytree(PROJECT, folder, ignore=skipped)
    return folder


@pytest.fixture(scope="session")
def few_har_photographs(har_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photographs of each of the 15 actions, in Kaggle's layout."""
    folder = tmp_path_factory.mktemp("har") / "har"
    (folder / "train").mkdir(parents=True)
    counts: dict[str, int] = {}
    with (
        open(har_folder / "Training_set.csv", newline="") as source,
        open(folder / "Training_set.csv", "w", newline="") as target,
    ):
        writer = csv.writer(target)
        writer.writerow(["filename", "label"])
        for row in csv.DictReader(source):
            counts[row["label"]] = counts.get(row["label"], 0) + 1
            if counts[row["label"]] <= 40:
                writer.writerow([row["filename"], row["label"]])
                shutil.copy(har_folder / "train" / row["filename"], folder / "train")
    return folder
