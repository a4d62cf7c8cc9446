"""dvc.yaml: which stage runs when, and what `dvc metrics` and `dvc plots` find; run.py is stood in for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT

_STAND_IN = """
import json, pathlib, shutil, sys, yaml
options = dict(text.split("=", 1) for text in sys.argv if "=" in text)
pipeline, config = (sys.argv[sys.argv.index(name) + 1] for name in ("--pipeline", "--config"))
settings = yaml.safe_load(open(config))
folder = pathlib.Path(options["paths.run"])
shutil.rmtree(folder, ignore_errors=True)
(folder / "plots").mkdir(parents=True)
rate = settings["adaptation"]["lora"]["training"]["learning_rate"]
accuracy = 0.5 if pipeline == "data" else rate
(folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": {"value": accuracy}}}))
if pipeline == "data":
    (folder / "version.json").write_text(json.dumps(settings["data"]))
if pipeline == "train":
    (folder / "bundle").mkdir()
    (folder / "bundle" / "weights").write_text(str(rate))
    (folder / "plots" / "leaderboard.csv").write_text("name,method,accuracy\\nlora,lora,0.5\\n")
    (folder / "plots" / "learning_curves.csv").write_text("name,step,accuracy,log_loss,loss\\nlora,0,0.5,1,\\n")
if pipeline == "evaluate":
    assert pathlib.Path(options["bundle"], "weights").read_text() == str(rate)
    (folder / "plots" / "confusion.csv").write_text("actual,predicted\\na,b\\n")
    (folder / "plots" / "precision_recall.csv").write_text("name,recall,precision\\na,0,1\\na,1,0.5\\n")
with open("ran", "a") as file:
    print(pipeline, file=file)
"""
RATE = "configs/sample.yaml:adaptation.lora.training.learning_rate"


class Project:
    """A copy of the project without what it is made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", "configs/sample.yaml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
        shutil.copytree(PROJECT / ".dvc" / "plots", folder / ".dvc" / "plots")
        stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
        for place in {
            place for stage in stages.values() for place in stage["deps"] if not place.startswith("outputs/")
        }:
            assert (PROJECT / place).exists(), f"dvc.yaml depends on {place}, which is not in the project"
            file = folder / place if place.endswith(".py") else folder / place / "code.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("")
        (folder / "run.py").write_text(_STAND_IN)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
            subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], cwd=folder, check=True)

    def dvc(self, *arguments: str) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # there is no .venv in the copy
        environment = os.environ | {
            "PATH": path,
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder / "site"),
        }
        identity = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=environment | identity,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ran(self) -> list[str]:
        """The pipelines that have run since the last call."""
        file = self.folder / "ran"
        names = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return names


@pytest.mark.slow
def test_stages_run_when_what_they_depend_on_has_changed(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    with open(project.folder / ".gitignore", "a") as file:
        file.write("/ran\n/site/\n")
    config = project.folder / "configs" / "sample.yaml"
    comments = [line for line in config.read_text().splitlines() if "#" in line]
    project.dvc("repro")
    assert project.ran() == ["data", "train", "evaluate"]
    project.dvc("repro")
    assert project.ran() == []

    project.dvc("exp", "run", "-S", f"{RATE}=0.125")
    assert project.ran() == ["train", "evaluate"]
    assert [line for line in config.read_text().splitlines() if "#" in line] == comments
    metrics = json.loads(project.dvc("metrics", "show", "--json"))[""]["data"]
    found = {Path(name).parent.name: figures["data"]["test"]["accuracy"]["value"] for name, figures in metrics.items()}
    assert found == {"data": 0.5, "train": 0.125, "evaluate": 0.125}
    plots = json.loads(project.dvc("plots", "show", "--json"))["data"]
    assert set(plots) == {"confusion", "precision_recall", "leaderboard", "learning_curves"}
    for name, (plot,) in plots.items():
        assert plot["content"]["data"]["values"], f"{name} has no rows"
    assert plots["precision_recall"][0]["content"]["encoding"]["color"]["field"] == "name"

    (project.folder / "src" / "clip_har" / "models" / "code.py").write_text("# changed")
    project.dvc("repro")
    assert project.ran() == ["train"]  # to the same bundle
    project.dvc("exp", "run", "-S", "configs/sample.yaml:data.per_class=7")
    assert project.ran() == ["data", "train", "evaluate"]


def test_what_is_committed_names_no_machine_and_sends_nothing() -> None:
    config = (PROJECT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "autostage = false" in config
    assert "remote" not in config
    assert "/" not in config
