"""The workflows of `.github/workflows/` as data, and their scripts as something that can be run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.command import PROJECT, Workplace

FOLDER = PROJECT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
_BIN = Path(sys.executable).parent


@cache
def workflow(name: str) -> dict[Any, Any]:
    """A workflow's content; its `on` is the key True, as YAML 1.1 has it."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def steps() -> list[tuple[str, dict[str, Any]]]:
    """(file name, step) of every job of every workflow."""
    return [
        (file.name, step) for file in FILES for job in workflow(file.name)["jobs"].values() for step in job["steps"]
    ]


@dataclass(frozen=True)
class Script:
    """The `run` of a step."""

    workflow: str
    step: str
    text: str
    env: tuple[str, ...]

    def run(self, folder: Path, **environment: str) -> str:
        """Run it as GitHub's runner does, with what it says; `.venv/bin` is this environment's.

        Args:
            environment: among it a value for each variable that the step sets.
        """
        assert set(self.env) <= set(environment), self
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.text.replace(".venv/bin/", f"{_BIN}/")],
            cwd=folder,
            env=Workplace(folder).environment(PATH=f"{_BIN}:{os.environ['PATH']}") | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{self.text}\n{done.stdout[-4000:]}"
        return done.stdout


def scripts() -> list[Script]:
    """All of them."""
    return [
        Script(name, step["name"], step["run"], tuple(step.get("env", {}))) for name, step in steps() if "run" in step
    ]


def script(name: str, step: str) -> Script:
    """The script of one step (of the first of that name)."""
    return next(each for each in scripts() if (each.workflow, each.step) == (name, step))


def artifact(name: str, step: str, folder: Path, target: Path) -> Path:
    """What a step's artifact holds, laid out in `target`: paths from the last folder that all patterns share."""
    upload = next(each for file, each in steps() if (file, each["name"]) == (name, step))
    patterns = upload["with"]["path"].split()
    start = os.path.commonpath([pattern.partition("*")[0] for pattern in patterns])
    for pattern in patterns:
        found = list(folder.glob(pattern))
        assert found, pattern
        for path in found:
            place = target / path.relative_to(folder / start)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copy(path, place)
    return target


def commands(text: str) -> list[str]:
    """The simple commands of a script, with their redirections."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(command.split()) for line in lines for command in re.split(r"&&|\|\||;", line) if command.strip()]
