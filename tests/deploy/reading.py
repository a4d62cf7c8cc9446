"""The files of deploy/ as data."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.command import PROJECT

DEPLOY = PROJECT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Dockerfile, with its variables filled in."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words; those of a JSON array, if it is one."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@cache
def stages(file: Path) -> tuple[tuple[Instruction, ...], ...]:
    """Instructions of each stage; ARGs (with their defaults) are filled in and left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    given: dict[str, str] = {}
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.strip().partition(" ")
        if name == "ARG":
            key, _, value = text.partition("=")
            given.setdefault(key, value)
            continue
        if name == "FROM":
            found.append([])
        filled = re.sub(r"\$\{(\w+)\}", lambda match: given.get(match[1], match[0]), text.strip())
        found[-1].append(Instruction(name, filled))
    return tuple(tuple(stage) for stage in found)


def environment_of(stage: tuple[Instruction, ...]) -> dict[str, str]:
    """What ENV sets."""
    words = [word for instruction in stage if instruction.name == "ENV" for word in instruction.words]
    return dict(word.split("=", 1) for word in words)


def compose() -> dict[str, Any]:
    """deploy/compose.yaml, with `${NAME:-default}` filled in."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """A linter of this environment."""
    line = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)
