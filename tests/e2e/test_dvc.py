"""dvc.yaml with the real pipelines, run as the workflow `model.yml` does: data from a remote, what runs when, what is shown."""

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
from tests.automation.workflows import artifact, script
from tests.command import Workplace
from tests.tiny_models import colour_photos

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

_RATE = "configs/sample.yaml:adaptation.lora.training.learning_rate"
_SMALL = {
    "data": {"source": "folder", "path": "photos"},
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
    """A Git repository with the project in it, a small configuration, and photographs that only a DVC remote holds."""

    def __init__(self, folder: Path, remote: Path) -> None:
        self.folder = folder
        self.environment = Workplace(folder, folder).environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # the copy has no .venv of its own
            PYTHONPATH=str(folder / "src"),
            DVC_NO_ANALYTICS="1",
            DVC_SITE_CACHE_DIR=str(folder / "workspace" / "dvc"),
            **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        )
        (folder / "configs" / "sample.yaml").write_text(yaml.safe_dump(_SMALL, sort_keys=False))
        colour_photos(folder / "photos", ("running", "sitting", "texting"), 24)
        self._git("init", "-q")
        self.dvc("add", "photos")
        self._git("add", "-A")
        self._git("commit", "-qm", "all")
        self.dvc("remote", "add", "--local", "--default", "mine", str(remote))
        self.dvc("push")
        shutil.rmtree(folder / "photos")
        shutil.rmtree(folder / ".dvc" / "cache")
        (folder / ".dvc" / "config.local").unlink()

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, env=self.environment, check=True, capture_output=True)

    def dvc(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=self.environment,
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
    remote = tmp_path / "remote"
    project = DvcProject(shutil.copytree(project_copy, tmp_path / "project", symlinks=True), remote)
    secrets = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    fetch, measure = script("model.yml", "Fetch the data"), script("model.yml", "Train and evaluate")
    fetch.run(project.folder, **project.environment, **secrets, DVC_REMOTE=str(remote))
    measure.run(project.folder, **project.environment)
    first = project.started()
    assert set(first) == {"data", "train", "evaluate"}
    version = json.loads((project.folder / "outputs/dvc/data/version.json").read_text())
    assert VersionStore(project.folder / "workspace").current().git_revision == version["git_revision"]
    info = json.loads((project.folder / "outputs/dvc/train/bundle/clip_har/bundle.json").read_text())
    assert (info["data_revision"], info["data_dvc_hash"]) == (version["git_revision"], version["dvc_hash"])
    measured = tmp_path / "compared" / "measured"
    figures_and_reports = ("model.yml", "Keep the figures and reports", project.folder)
    artifact(*figures_and_reports, measured / "measured-base")
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

    artifact(*figures_and_reports, measured / "measured-head")
    places = {"REPORTS": "https://github.com/a/b/actions/runs/1", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    script("model.yml", "Compare").run(measured.parent, **project.environment, **places)
    comment = (measured.parent / "comparison.md").read_text()
    assert comment == (tmp_path / "summary.md").read_text()
    assert comment.startswith(("## Better: accuracy ", "## Worse: accuracy ", "## No difference"))
    assert f"Both on {figures['evaluate']['test']['samples']} photographs of the test split." in comment
    assert "| `lora` |" in comment
    assert version["git_revision"][:12] in comment
    assert places["REPORTS"] in comment
