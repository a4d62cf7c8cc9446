"""The images: linted, small, without rights, and made by the same commands as the environment of this project."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from clip_har.serving.config import ServingConfig
from clip_har.serving.packaging.requirements import pinned
from clip_har.serving.settings import load_settings
from tests.command import PROJECT
from tests.deploy.reading import DEPLOY, DOCKERFILES, environment_of, run_tool, stages

each_dockerfile = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)


def test_the_three_images_are_here() -> None:
    assert [file.name for file in DOCKERFILES] == ["cpu.Dockerfile", "cuda.Dockerfile", "training.Dockerfile"]


@each_dockerfile
def test_hadolint_is_content(file: Path) -> None:
    done = run_tool("hadolint", "--failure-threshold", "info", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "seen"),
    [
        ("FROM python:${PYTHON}-slim-${DEBIAN}", "FROM python:latest", "DL3007"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ("WORKDIR /app\nCOPY --from", "WORKDIR app\nCOPY --from", "DL3000"),
        ("RUN make setup", "RUN pip install bentoml\nRUN make setup", "DL3013"),
    ],
)
def test_a_wrong_dockerfile_is_seen(tmp_path: Path, right: str, wrong: str, seen: str) -> None:
    text = (DEPLOY / "cpu.Dockerfile").read_text()
    assert right in text
    (tmp_path / "Dockerfile").write_text(text.replace(right, wrong))
    done = run_tool("hadolint", "--failure-threshold", "info", tmp_path / "Dockerfile")
    assert done.returncode != 0
    assert seen in done.stdout


@each_dockerfile
def test_what_is_copied_is_there_and_reaches_the_builder(file: Path) -> None:
    sent = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for stage in stages(file):
        for instruction in stage:
            if instruction.name == "COPY" and "--from=" not in instruction.text:
                *sources, _ = [word for word in instruction.words if not word.startswith("--")]
                for source in sources:
                    assert (PROJECT / source).exists(), source
                    assert Path(source).parts[0] in sent, f"{source} is kept from the builder by .dockerignore"


def test_nothing_private_reaches_a_builder() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert not sent & {".git", ".venv", "workspace", "outputs", "deploy", "wandb"}
    for name in sent:
        assert (PROJECT / name).exists(), name


@each_dockerfile
def test_the_image_has_no_rights_and_a_health_check(file: Path) -> None:
    _, last = stages(file)
    bases = [stage[0].words[0] for stage in stages(file)]
    assert all(re.fullmatch(r"python:3\.11\.\d+(-slim)?-bookworm", base) for base in bases), bases
    named = {instruction.name: instruction for instruction in last}
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", named["USER"].text), (
        "a number: Kubernetes cannot tell that a name is not root"
    )
    assert [instruction.name for instruction in last].index("USER") < [i.name for i in last].index("ENTRYPOINT")
    assert "RUN" not in named, "the last stage copies what the first one made"
    if file.name == "training.Dockerfile":
        assert named["HEALTHCHECK"].text == "NONE"
    else:
        assert f"127.0.0.1:{ServingConfig().port}/v2/health/ready" in named["HEALTHCHECK"].text
        assert named["EXPOSE"].words == [str(ServingConfig().port), str(ServingConfig().grpc.port)]


@each_dockerfile
def test_no_secret_is_in_it(file: Path) -> None:
    for stage in stages(file):
        for instruction in stage:
            assert not re.search(r"(?i)passw|secret|token|_key=", instruction.text), instruction


@each_dockerfile
def test_its_command_and_settings_are_real(file: Path) -> None:
    _, last = stages(file)
    named = {instruction.name: instruction for instruction in last}
    entry = named["ENTRYPOINT"].words
    if file.name == "training.Dockerfile":
        import run

        assert entry == ["python", "run.py"]
        assert run.main([*named["CMD"].words, "--dry-run"]) == 0
    else:
        assert entry == ["python", "-m", "clip_har.serving"]
        assert importlib.util.find_spec("clip_har.serving.__main__")
        assert load_settings(environment_of(last), folder=None).host == "0.0.0.0"


def dry_run(folder: Path, *words: str) -> list[str]:
    """What make would run in a folder that has no environment yet."""
    done = subprocess.run(["make", "--dry-run", *words], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


@each_dockerfile
def test_what_it_runs_is_what_make_runs(file: Path, tmp_path: Path) -> None:
    """Each RUN is a target of the Makefile, and finds there all that was copied before it; nothing else is run."""
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    here: list[str] = []
    made = []
    for instruction in stages(file)[0]:
        if instruction.name == "COPY":
            *sources, _ = instruction.words
            here += sources
            for source in sources:
                place = tmp_path / source
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (PROJECT / source).is_dir() else shutil.copy
                options = {"dirs_exist_ok": True} if (PROJECT / source).is_dir() else {}
                copy(PROJECT / source, place, **options)
        if instruction.name == "RUN":
            program, target, *settings = instruction.words
            assert program == "make", instruction
            made.append(target)
            given = dict(word.split("=") for word in settings)
            assert set(given) <= {"EXTRAS"}
            assert given.get("EXTRAS", "cpu") in extras
            commands = dry_run(tmp_path, target, *settings)
            if target == "setup":
                install = next(line for line in commands if " pip install " in line)
                ours = next(
                    line for line in dry_run(PROJECT, "setup", "READY=nowhere/ready") if " pip install " in line
                )
                assert install.replace(f"[{given['EXTRAS']}]", "[cpu,dev]") == ours
                assert "-c constraints.txt" in install
                (tmp_path / ".venv").mkdir()
                (tmp_path / ".venv" / "ready").touch()
    assert made == ["setup", "compile"]
    assert "src" in here


def test_pip_takes_what_the_cpu_image_has_then(tmp_path: Path) -> None:
    """Without a registry: the command of the image, over the files that it has then; nothing is installed."""
    for instruction in stages(DEPLOY / "cpu.Dockerfile")[0]:
        if instruction.name == "RUN":
            break
        if instruction.name == "COPY":
            for source in instruction.words[:-1]:
                (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / source, tmp_path / source)
    (install,) = [line for line in dry_run(tmp_path, *instruction.words[1:]) if " pip install " in line]
    only_look = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    done = subprocess.run(
        install.replace(".venv/bin/python", str(PROJECT / ".venv/bin/python")).replace("--quiet ", ""),
        shell=True,
        cwd=tmp_path,
        env=os.environ | only_look,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Would install clip-har" in done.stdout


def test_the_cpu_image_is_small() -> None:
    names = {line.partition("==")[0] for line in pinned(["clip-har[serving-cpu]"])}
    assert {"bentoml", "onnxruntime", "tokenizers", "pyarrow"} <= names
    assert not names & {"torch", "transformers", "zenml", "mlflow", "pandas", "scikit-learn", "streamlit", "wandb"}
