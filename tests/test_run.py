"""`run.py`: help at once, mistakes in words with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import run
from tests.command import PROJECT
from tests.tiny_models import colour_photos, tiny_clip

LABELS = ("cycling", "running", "sleeping")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a backbone and a config in order: every case spoils one thing."""
    folder = tmp_path_factory.mktemp("ground")
    colour_photos(folder / "photos", LABELS, 4)
    tiny_clip(folder / "backbone")
    (folder / "empty").mkdir()
    (folder / "one_class" / "running").mkdir(parents=True)
    (folder / "one_class" / "running" / "a.jpg").write_bytes(
        next((folder / "photos" / "running").iterdir()).read_bytes()
    )
    (folder / "table" / "train").mkdir(parents=True)
    (folder / "table" / "Training_set.csv").write_text("file,label\na.jpg,running\n")
    (folder / "headed" / "train").mkdir(parents=True)
    (folder / "headed" / "Training_set.csv").write_text("filename,label\n")
    (folder / "no_model").mkdir()
    (folder / "no_model" / "notes.txt").write_text("nothing")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.json").write_text("{")
    (folder / "damaged" / "preprocessor_config.json").write_text("{}")
    good = {
        "workspace": {"path": str(folder / "workspace")},
        "paths": {"outputs": str(folder / "outputs")},
        "data": {"source": "folder", "path": str(folder / "photos")},
        "model": {"backbone": str(folder / "backbone")},
        "adaptation": {"methods": ["zero_shot", "linear_probe"]},
    }
    (folder / "good.yaml").write_text(yaml.safe_dump(good))
    (folder / "bad.yaml").write_text("data: [unclosed\n")
    (folder / "twice.yaml").write_text("seed: 1\nseed: 2\n")
    (folder / "list.yaml").write_text("- a\n- b\n")
    return folder


MISTAKES = {
    "unknown section": (["--set", "modle.backbone=x"], ["modle", "unknown key", "'model'"]),
    "unknown key": (["--set", "model.backbon=x"], ["model.backbon", "unknown key", "'backbone'"]),
    "unknown key of a method": (["--set", "adaptation.lora.rnk=4"], ["adaptation.lora.rnk", "'rank'"]),
    "unknown key of training": (
        ["--set", "adaptation.lora.training.lr=1"],
        ["adaptation.lora.training.lr", "unknown key"],
    ),
    "wrong type": (["--set", "seed=tomorrow"], ["seed", "integer", "tomorrow"]),
    "out of range": (["--set", "adaptation.lora.rank=0"], ["adaptation.lora.rank", "greater than or equal to 1"]),
    "unknown method": (["--set", "adaptation.methods=[liner_probe]"], ["liner_probe", "'linear_probe'"]),
    "a method twice": (["--set", "adaptation.methods=[lora, lora]"], ["adaptation.methods", "twice"]),
    "no method": (["--set", "adaptation.methods=[]"], ["adaptation.methods"]),
    "unknown source": (["--set", "data.source=foldr"], ["data.source", "'folder'"]),
    "shares over one": (["--set", "splits.test=0.9"], ["splits"]),
    "template without a place": (["--set", "prompts.single=a photo"], ["prompts.single", "{}"]),
    "override without a value": (["--set", "seed"], ["--set seed", "section.key=value"]),
    "override below a value": (["--set", "data.path.deeper=1"], ["--set data.path.deeper=1", "data.path is a value"]),
    "unknown device": (["--set", "compute.device=gpu"], ["compute.device", "cuda"]),
    "missing data folder": (["--set", "data.path={ground}/photo"], ["data.path", "no folder", "photo"]),
    "data path is a file": (["--set", "data.path={ground}/good.yaml"], ["data.path", "is a file"]),
    "empty data folder": (["--set", "data.path={ground}/empty"], ["data.path", "empty"]),
    "one class": (["--set", "data.path={ground}/one_class"], ["data.path", "running", "at least two"]),
    "unknown label": (["--set", "data.labels=[running, cicling]"], ["data.labels", "cicling", "'cycling'"]),
    "unknown label in prompts": (
        ["--set", "prompts.class_names={{runing: jogging}}"],
        ["prompts.class_names", "runing", "'running'"],
    ),
    "no table": (
        ["--set", "data={{source: csv, path: {ground}/photos}}"],
        ["data.labels_file", "Training_set.csv", "data.source=folder"],
    ),
    "table without the column": (
        ["--set", "data={{source: csv, path: {ground}/table}}"],
        ["data.filename_column", "'filename'", "file"],
    ),
    "table without rows": (["--set", "data={{source: csv, path: {ground}/headed}}"], ["Training_set.csv", "no rows"]),
    "missing backbone": (["--set", "model.backbone={ground}/backbon"], ["model.backbone", "no folder"]),
    "backbone without a model": (["--set", "model.backbone={ground}/no_model"], ["model.backbone", "config.json"]),
    "damaged backbone": (["--set", "model.backbone={ground}/damaged"], ["model.backbone", "damaged"]),
    "unknown pipeline": (["--pipeline", "trian"], ["trian", "'train'"]),
    "unknown stack": (["--stack", "locl"], ["--stack", "locl", "'local'"]),
    "missing config": (["--config", "{ground}/godo.yaml"], ["godo.yaml", "good.yaml"]),
    "config that is not YAML": (["--config", "{ground}/bad.yaml"], ["bad.yaml", "line", "not valid YAML"]),
    "a key twice": (["--config", "{ground}/twice.yaml"], ["twice.yaml", "'seed'", "twice"]),
    "config that is a list": (["--config", "{ground}/list.yaml"], ["list.yaml", "list"]),
    "workspace that is a file": (
        ["--set", "workspace.path={ground}/good.yaml/deeper"],
        ["workspace.path", "good.yaml' is a file"],
    ),
    "workspace that cannot be": (
        ["--set", "workspace.path=/proc/workspace"],
        ["workspace.path", "cannot be written to"],
    ),
    "outputs that are a file": (["--set", "paths.outputs={ground}/good.yaml"], ["paths.outputs", "is a file"]),
    "unknown label among the forbidden": (
        [
            "--set",
            "adaptation.methods=[lora]",
            "--set",
            "adaptation.lora.augmentation={{forbidden: {{runing: [flip]}}}}",
        ],
        ["adaptation.lora.augmentation.forbidden", "runing", "'running'"],
    ),
    "unknown policy": (["--set", "adaptation.lora.augmentation=mediun"], ["mediun", "'medium'?\n"]),
    "unknown data version": (["--set", "data.version=v7"], ["v7"]),
    "old name of the workspace": (["--set", "paths.workspace=x"], ["paths.workspace", "unknown key"]),
    "nothing to evaluate": (["--pipeline", "evaluate"], ["no bundle yet", "--pipeline train"]),
    "no such bundle": (["--pipeline", "evaluate", "--set", "bundle={ground}/photos"], ["bundle", "photos"]),
    "no folder of a bundle": (["--pipeline", "evaluate", "--set", "bundle={ground}/nothing"], ["bundle", "no folder"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_its_message_and_code_2(mistake: str, ground: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, wanted = MISTAKES[mistake]
    arguments = [argument.format(ground=ground) for argument in arguments]
    line = ["--pipeline", "train", "--config", str(ground / "good.yaml"), *arguments]
    code = run.main(line)
    shown = capsys.readouterr()
    assert code == 2, shown
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    for word in wanted:
        assert word in shown.err, shown.err
    assert not (ground / "outputs").exists() or not any((ground / "outputs").iterdir())
    assert not (ground / "workspace" / "artifacts").exists(), "nothing is started before the mistake is found"


def test_the_ground_itself_is_in_order(ground: Path, capsys: pytest.CaptureFixture) -> None:
    from clip_har.config import load_config
    from pipelines.checks import check

    check("train", load_config(ground / "good.yaml"))
    assert run.main(["--pipeline", "train", "--config", str(ground / "good.yaml"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["data"]["path"] == str(ground / "photos")
    assert "# steps of train: open_data, embed_images, review_labels, adapt_zero_shot," in shown
    assert "published version: ingest_data, validate_data, deduplicate_data, split_data, quarantine_data," in shown


def test_dry_run_composes_what_a_file_and_overrides_say(
    ground: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    line = ["--pipeline", "train", "--config", str(ground / "good.yaml"), "--dry-run"]
    overrides = ["--set", "seed=7", "--set", "adaptation.methods=[lora]", "--set", "adaptation.lora.training.epochs=3"]
    assert run.main([*line, *overrides]) == 0
    composed = capsys.readouterr().out
    values = yaml.safe_load(composed)
    assert values["seed"] == 7
    assert values["adaptation"]["methods"] == ["lora"]
    assert values["adaptation"]["lora"]["training"]["epochs"] == 3
    (tmp_path / "again.yaml").write_text(composed)
    assert run.main(["--pipeline", "train", "--config", str(tmp_path / "again.yaml"), "--dry-run"]) == 0
    assert capsys.readouterr().out == composed


def test_help_needs_nothing_heavy() -> None:
    script = (
        "import sys, json, runpy\nsys.argv = ['run.py', '--help']\ntry:\n    runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit as end:\n    print(json.dumps([end.code, sorted(sys.modules)]))"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    bare_started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    seconds, bare = bare_started - started, time.perf_counter() - bare_started
    help_text, _, last = done.stdout.rstrip().rpartition("\n")
    code, modules = json.loads(last)
    assert code == 0
    for heavy in ("torch", "zenml", "transformers", "pydantic", "numpy"):
        assert heavy not in modules
    assert seconds < 30 * bare, "help takes many times what starting Python takes"
    for word in ("--pipeline", "--config", "--set", "--no-cache", "--dry-run", "train", "evaluate"):
        assert word in help_text


def test_ctrl_c_anywhere_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, ground: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.launch.launch", interrupted)
    assert run.main(["--pipeline", "train", "--config", str(ground / "good.yaml")]) == 130
    assert "Stopped" in capsys.readouterr().err


@pytest.mark.parametrize("file", sorted((PROJECT / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_config_composes(file: Path) -> None:
    from clip_har.config import load_config

    config = load_config(file)
    assert config.pretraining or config.model.backbone


def test_the_stacks_are_listed_for_a_workspace(capsys: pytest.CaptureFixture, ground: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    line = ["--list-stacks", "--config", str(ground / "good.yaml"), "--set", f"workspace.path={place}"]
    assert run.main(line) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("local", "dual", "kubernetes", "reachable"))
    assert not place.exists()


@pytest.mark.parametrize("line", [[], ["--list-stacks", "--pipeline", "train"]], ids=["neither", "both"])
def test_a_pipeline_or_the_stacks_are_wanted(line: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        run.main(line)
    assert "--list-stacks" in capsys.readouterr().err
