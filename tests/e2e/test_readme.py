"""Every command of the README is typed as it stands there, in a copy of the project whose configurations are small."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.command import PROJECT, Workplace
from tests.e2e.test_docs import blocks
from tests.hub_stand_in import hub_stand_in
from tests.tiny_models import colour_photos, tiny_clip
from tests.warm_start import warm_start

pytestmark = pytest.mark.slow

README = PROJECT / "README.md"
_VENV = PROJECT / ".venv"


def commands() -> list[str]:
    """What the bash blocks and the table's second column say to type, whole lines, in order."""
    text = "\n".join(blocks(README, "bash")).replace("\\\n", " ")
    typed = [line.split("  #")[0].strip() for line in text.splitlines() if line.strip()]
    for row in re.findall(r"^\|(.*)\|$", README.read_text(encoding="utf-8"), re.MULTILINE):
        cells = row.split("|")
        if len(cells) == 3 and not cells[0].strip().startswith(("-", "what")):
            typed += re.findall(r"`([^`]+)`", cells[1])
    return [line for line in dict.fromkeys(typed) if line not in ("python", "clip-har", "dvc", ".venv/bin")]


class Newcomer:
    """Somebody at a shell in a clone, with a Hub that answers from this machine."""

    def __init__(self, folder: Path, hub: str) -> None:
        self.folder = folder
        self.environment = Workplace(folder).environment() | {
            "PATH": f"{_VENV / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "HF_ENDPOINT": hub,
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(folder / "hf"),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / "workspace" / "dvc"),
            "COLUMNS": "200",
            **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def types(self, line: str, **more: str) -> str:
        words = shlex.split(line)
        if words[:2] == ["python", "run.py"] and not more:  # spared the imports; nothing from the Hub is in these lines
            command = [sys.executable, str(self.folder / "run.py"), *words[2:]]
            code, out, err = warm_start().run(command, self.folder, self.environment, timeout=900)
            assert code == 0, f"{line}\n{out[-2000:]}{err[-4000:]}"
            return out + err
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}"
        return done.stdout

    def serves(self, line: str, address: str) -> None:
        """Start a server, ask it for a page, and stop it."""
        server = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(240):
                assert server.poll() is None, f"{line} ended"
                try:
                    with urllib.request.urlopen(address, timeout=5) as answer:
                        assert b"<html" in answer.read().lower()
                    return
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    time.sleep(0.5)
            raise AssertionError(f"{line} never answered")
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _shrink(configs: Path) -> None:
    """The same keys as in the files, fewer pictures and steps."""
    changes = {
        "sample": {"data": {"per_class": 10}, "adaptation": {"lora": {"training": {"max_steps": 4}}}},
        "har": {"adaptation": {"lora": {"training": {"max_steps": 2}}}},
        "har_local": {"adaptation": {"lora": {"training": {"max_steps": 2}}}},
        "pretrain": {
            "data": {"per_class": 4},
            "pretraining": {"pairs": {"count": 64}, "training": {"epochs": 1}, "validation": 16},
        },
    }
    for name, change in changes.items():
        whole = yaml.safe_load((configs / f"{name}.yaml").read_text())
        _merge(whole, change)
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))


def _merge(whole: dict, change: dict) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(whole[key], value)
        else:
            whole[key] = value


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    if not (_VENV / "ready").is_file():
        pytest.skip("needs .venv as `make setup` makes it")
    import datasets

    place = tmp_path_factory.mktemp("newcomer")
    folder = place / "clip-har"
    skipped = shutil.ignore_patterns(".git", ".venv", "outputs", "workspace", "__pycache__", "*.egg-info", ".*_cache")
    shutil.copytree(PROJECT, folder, ignore=skipped)
    (folder / ".venv").symlink_to(_VENV)
    for name in (
        "pyproject.toml",
        "constraints.txt",
    ):  # older than the environment, which the copy must not install itself in
        os.utime(folder / name, (0, 0))
    _shrink(folder / "configs")
    subprocess.run(
        "git init -q && git add -A && git -c user.name=a -c user.email=a@b.c commit -qm all",
        cwd=folder,
        shell=True,
        check=True,
    )
    photos = colour_photos(folder / "photos", ("reading", "running", "waving"), 24)
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": None}, "labels": number}
        for number, label in enumerate(("reading", "running", "waving"))
        for path in sorted((photos / label).iterdir())
    ]
    names = datasets.ClassLabel(names=["calling", "clapping", "cycling"])
    (place / "dataset" / "data").mkdir(parents=True)
    datasets.Dataset.from_list(
        rows, features=datasets.Features({"image": datasets.Image(), "labels": names})
    ).to_parquet(place / "dataset" / "data" / "train-00000-of-00001.parquet")
    models = {"openai/clip-vit-base-patch16": tiny_clip(place / "model")}
    with hub_stand_in(models, {"Bingsu/Human_Action_Recognition": place / "dataset"}) as (address, _):
        yield Newcomer(folder, address)


def _train(newcomer: Newcomer, line: str) -> None:
    said = newcomer.types(line)
    assert "bundle  " in said
    assert (newcomer.folder / "outputs" / "latest" / "bundle" / "config.json").is_file()


def _tests(newcomer: Newcomer, line: str) -> None:
    """The whole suite is running already: here it is only begun, with a part of it."""
    said = newcomer.types(line, PYTEST_ADDOPTS="--collect-only -q tests/e2e tests/pipelines")
    assert re.search(r"\d+(/\d+)? tests collected", said)


EXPECTATIONS: dict[str, Callable[[Newcomer, str], None]] = {
    "make train": _train,
    "make test": _tests,
    ".venv/bin/python run.py --pipeline train": _train,
    "python run.py --pipeline train --stack": _train,
    "python run.py --pipeline train --dry-run": lambda newcomer, line: _says(newcomer, line, "# steps of train"),
    "--set adaptation": lambda newcomer, line: _says(
        newcomer, f"python run.py --pipeline train {line} --dry-run", "rank: 4"
    ),
    "--set adaptation.lora.training.distributed": lambda newcomer, line: _says(
        newcomer, f"python run.py --pipeline train {line} --dry-run", "mode: ddp"
    ),
    "--set adaptation.novel_classes": lambda newcomer, line: _says(
        newcomer, f"python run.py --pipeline train {line} --dry-run", "hold_out_classes"
    ),
    "--set 'search": lambda newcomer, line: _says(
        newcomer, f"python run.py --pipeline train {line} --dry-run", "search_lora"
    ),
    # tests/e2e/test_deploy.py runs it to its end, at small size
    "python run.py --pipeline deploy": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "# steps of deploy"),
    ".venv/bin/python run.py --pipeline deploy": lambda newcomer, line: _says(
        newcomer, f"{line} --dry-run", "# steps of deploy"
    ),
    # tests/e2e/test_monitoring_loop.py has it find drift, and train again
    **dict.fromkeys(
        ("python run.py --pipeline monitor", ".venv/bin/python run.py --pipeline monitor"),
        lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "# steps of monitor"),
    ),
    # and tests/e2e/test_promotion.py, test_publish.py and test_tracked_run.py these
    "python run.py --pipeline rollback": lambda newcomer, line: _says(
        newcomer, f"{line} --dry-run", "# steps of rollback"
    ),
    "python run.py --pipeline publish": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "dry_run: true"),
    "python run.py --pipeline train --stack dual": lambda newcomer, line: _says(
        newcomer, f"{line} --dry-run", "# steps of train"
    ),
    "--set bundle=champion": lambda newcomer, line: _says(
        newcomer, f"python run.py --pipeline evaluate {line} --dry-run", "bundle: champion"
    ),
    # tests/client/test_service.py has these two at work
    "clip-har predict": lambda newcomer, line: _says(newcomer, f"{line} --help", "--explain"),
    "clip-har watch": lambda newcomer, line: _says(newcomer, f"{line} --help", "--patience"),
    "python run.py --list-stacks": lambda newcomer, line: _says(newcomer, line, "kubernetes"),
    "clip-har registry list": lambda newcomer, line: _says(newcomer, line, "There is no version"),
    "clip-har tracking list": lambda newcomer, line: _says(newcomer, line, "Trackers have everything"),
    # tests/e2e/test_journey.py serves a champion, and tests/e2e/test_deploy.py packs one
    "make serve": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "clip_har.serving"),
    # tests/ui has cases for the app that runs
    "make ui": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "clip_har.ui"),
    "make bento": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "clip_har.serving.packaging"),
    "clip-har keys add": lambda newcomer, line: _makes(newcomer, line, "workspace/api-keys.json"),
    # tests/labelling has it make one
    "clip-har labelling sheet": lambda newcomer, line: _says(newcomer, f"{line} --help", "--count"),
    "clip-har capture list": lambda newcomer, line: _says(newcomer, f"{line} || true", "nothing has been captured"),
    # tests/stacks has cases for what it starts
    "make dashboard": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "stacks.dashboard"),
    "python run.py --pipeline data": lambda newcomer, line: _says(newcomer, line, "(v1)"),
    "python run.py --pipeline evaluate": lambda newcomer, line: _says(newcomer, line, "the test split"),
    "python run.py --pipeline batch": lambda newcomer, line: _says(newcomer, line, "predictions.parquet"),
    "python run.py --pipeline pretrain": lambda newcomer, line: _says(newcomer, line, "backbone  "),
    "python -m clip_har.samples": lambda newcomer, line: _makes(newcomer, line, "sheet.png"),
    "clip-har quarantine show": lambda newcomer, line: _makes(
        newcomer, line, "workspace/quarantine/contact_sheet.html"
    ),
    "mlflow ui": lambda newcomer, line: newcomer.serves(f"{line} --port 5987", "http://127.0.0.1:5987/"),
    # tests/e2e/test_dvc.py runs these two to their ends, at small size
    "dvc repro": lambda newcomer, line: _says(newcomer, f"{line} --dry --single-item data", "run.py"),
    "dvc exp run": lambda newcomer, line: _says(newcomer, f"{line} --dry --single-item data", "run.py"),
    # each benchmark has a case of its own
    "make bench": lambda newcomer, line: _says(newcomer, f"{line} --dry-run", "benchmarks/all.py"),
}


def _says(newcomer: Newcomer, line: str, wanted: str) -> None:
    assert wanted in newcomer.types(line)


def _makes(newcomer: Newcomer, line: str, file: str) -> None:
    newcomer.types(line)
    assert (newcomer.folder / file).stat().st_size > 0


def test_each_command_of_the_readme(newcomer: Newcomer) -> None:
    typed = commands()
    assert {"make train", "make test", "make train CONFIG=configs/har.yaml"} < set(typed)
    for line in typed:
        known = [start for start in EXPECTATIONS if line.startswith(start)]
        assert known, f"the README says to type {line!r}, and nothing here says what should come of it"
        EXPECTATIONS[max(known, key=len)](newcomer, line)
