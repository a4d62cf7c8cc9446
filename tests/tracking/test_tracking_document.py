"""The code and the commands of docs/tracking.md work as written."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from clip_har import cli
from tests.command import PROJECT

pytestmark = pytest.mark.slow
DOCUMENT = PROJECT / "docs" / "tracking.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_and_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(compile(code, "tracking.md", "exec", dont_inherit=True), {})
    said = capsys.readouterr().out
    assert "sqlite:///workspace/mlflow.db" in said
    assert "wandb sync" in said
    ours, sent, others = [], [], []
    for line in "\n".join(blocks("bash")).splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].endswith("clip-har"):
            ours.append(words)
            assert cli.main(words[1:]) == 0
            assert "Trackers have everything." in capsys.readouterr().err
        elif words and "--dry-run" in words:
            sent.append(words)
            command = [str(PROJECT / words[0]), *words[1:]]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert "Would sync 1 run(s)" in done.stderr
        elif words:
            others.append([Path(words[0]).name, words[1]])
    assert len(ours) == 2
    assert len(sent) == 1
    assert others == [["python", "run.py"], ["mlflow", "ui"], ["wandb", "leet"], ["wandb", "sync"]]
