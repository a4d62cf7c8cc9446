"""Running the project's commands as a user does: in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.warm_start import warm_start

PROJECT = Path(__file__).parents[1]
# What a case that prepares its own process leaves in the environment, and another's command must not see.
_OF_A_WORKSPACE = {"ZENML_CONFIG_PATH", "CLIP_HAR_WORKSPACE"}
# What `make test` leaves there: with it another make says where it is, and does as the first one was told.
_OF_A_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, spaces and line breaks made one space, so that wrapping does not matter."""
        return " ".join((self.out + " " + self.err).split())


class Workplace:
    """A folder to run pipelines in, with a workspace and outputs of its own.

    Args:
        folder: an empty folder.
        project: the checkout to run.
    """

    def __init__(self, folder: Path, project: Path = PROJECT) -> None:
        self.folder = folder
        self.project = project
        self.outputs = folder / "outputs"
        self.workspace = folder / "workspace"

    def copy(self, folder: Path) -> Workplace:
        """The same in another folder. ZenML's configuration, which has whole paths, names the copy of its database."""
        shutil.copytree(self.folder, folder, symlinks=True)
        config = folder / "workspace" / "zenml" / "config.yaml"
        config.write_text(config.read_text().replace(f"{self.folder}/", f"{folder}/"))
        return Workplace(folder, self.project)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment for commands: one thread less noise, and no terminal."""
        own = {name: value for name, value in os.environ.items() if name not in _OF_A_WORKSPACE | _OF_A_MAKE}
        return own | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | more

    def command(self, pipeline: str, *arguments: str) -> list[str]:
        """The command line, as the README has it, run from this folder."""
        return [sys.executable, str(self.project / "run.py"), "--pipeline", pipeline, *arguments]

    def run(self, pipeline: str, *arguments: str, **environment: str) -> Finished:
        """Run a pipeline to its end, in a process of its own that other people's packages are imported in already.

        In a new one where `environment` has what those packages may read when they are imported.
        """
        if not all(name == "PYTHONPATH" or name.startswith("CLIP_HAR_") for name in environment):
            return self.run_anew(pipeline, *arguments, **environment)
        command = self.command(pipeline, *arguments)
        return Finished(*warm_start().run(command, self.folder, self.environment(**environment), timeout=900))

    def run_anew(self, pipeline: str, *arguments: str, **environment: str) -> Finished:
        """Run a pipeline to its end as a user does, imports and all."""
        done = subprocess.run(
            self.command(pipeline, *arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=900,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def interrupt(self, pipeline: str, *arguments: str, at: str) -> Finished:
        """Run a pipeline and press Ctrl-C when it says `at`."""
        process = subprocess.Popen(
            self.command(pipeline, *arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # as in a terminal: background jobs of a shell start with the signal ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        seen: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if at in line:
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=120)
        return Finished(process.returncode, out, "".join(seen) + err)

    @property
    def latest(self) -> Path:
        """The folder of the newest run."""
        return (self.outputs / "latest").resolve()

    def record(self) -> dict[str, Any]:
        """`run.json` of the newest run."""
        return json.loads((self.latest / "run.json").read_text())

    def metrics(self) -> dict[str, Any]:
        """`metrics.json` of the newest run."""
        return json.loads((self.latest / "metrics.json").read_text())

    def statuses(self) -> dict[str, str]:
        """Name of each step of the newest run → "cached" or "completed"; the last step writes the record itself."""
        return {step["name"]: step["status"] for step in self.record()["steps"]}

    def ran(self) -> set[str]:
        """Steps of the newest run that were not taken from earlier ones."""
        return {name for name, status in self.statuses().items() if status != "cached"}
