"""dvc.yaml with the real pipelines: what runs when, and what the commands of DVC show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clip_har.data.versions import VersionStore
from tests.command import Workplace

pytestmark = pytest.mark.slow

_RATE = "configs/sample.yaml:adaptation.lora.training.learning_rate"
_SMALL = {
    "data": {
        "source": "samples",
        "per_class": 24,
        "actions": ["running", "sitting", "texting"],
        "width": 96,
        "height": 64,
    },
    "validation": {},
    "splits": {"train": 0.55, "validation": 0.15, "calibration": 0.15, "test": 0.15, "seed": 0},
    "model": {"backbone": "tiny-clip"},
    "compute": {"threads": 1},
    "adaptation": {
        "methods": ["linear_probe", "lora"],
        "lora": {"rank": 2, "alpha": 2, "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.002}},
    },
    "evaluation": {"resamples": 100, "examples": 2},
}


class DvcProject:
    """A Git repository with the project in it and a small configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "configs" / "sample.yaml").write_text(yaml.safe_dump(_SMALL, sort_keys=False))
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
            subprocess.run(["git", *author, *command], cwd=folder, check=True, capture_output=True)

    def dvc(self, *arguments: str) -> str:
        identity = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = Workplace(self.folder, self.folder).environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # the copy has no .venv of its own
            PYTHONPATH=str(self.folder / "src"),
            DVC_NO_ANALYTICS="1",
            DVC_SITE_CACHE_DIR=str(self.folder / "workspace" / "dvc"),
            **identity,
        )
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def started(self) -> dict[str, str]:
        """Stage → id of the run that its folder comes from."""
        folders = sorted((self.folder / "outputs" / "dvc").iterdir())
        return {folder.name: json.loads((folder / "run.json").read_text())["run_id"] for folder in folders}


def test_the_stages_run_what_has_changed(project_copy: Path, tmp_path: Path) -> None:
    project = DvcProject(shutil.copytree(project_copy, tmp_path / "project", symlinks=True))
    project.dvc("repro")
    first = project.started()
    assert set(first) == {"data", "train", "evaluate"}
    version = json.loads((project.folder / "outputs/dvc/data/version.json").read_text())
    assert VersionStore(project.folder / "workspace").current().git_revision == version["git_revision"]
    info = json.loads((project.folder / "outputs/dvc/train/bundle/clip_har/bundle.json").read_text())
    assert (info["data_revision"], info["data_dvc_hash"]) == (version["git_revision"], version["dvc_hash"])
    project.dvc("repro")
    assert project.started() == first

    project.dvc("exp", "run", "-S", f"{_RATE}=0.0005")
    second = project.started()
    assert {name for name in first if first[name] != second[name]} == {"train", "evaluate"}
    metrics = json.loads(project.dvc("metrics", "show", "--json"))[""]["data"]
    figures = {Path(name).parent.name: item["data"] for name, item in metrics.items()}
    assert figures["train"]["test"]["accuracy"] == figures["evaluate"]["test"]["accuracy"]
    plots = json.loads(project.dvc("plots", "show", "--json"))["data"]
    rows = {name: len(plot[0]["content"]["data"]["values"]) for name, plot in plots.items()}
    assert rows["leaderboard"] == 2
    assert rows["confusion"] == figures["evaluate"]["test"]["samples"]
    assert rows["precision_recall"] > rows["confusion"]
    assert rows["learning_curves"] >= 2
