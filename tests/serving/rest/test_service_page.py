"""What docs/service.md says is so: its commands and its code are run against the service."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from clip_har.serving.schemas import PredictResponse, Problem
from tests.serving.engines import PROJECT
from tests.serving.rest.service import RestService

PAGE = (PROJECT / "docs" / "service.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, photos: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the pictures that the page names."""
    for name, photo in zip(("photo.jpg", "another.jpg"), photos, strict=False):
        (tmp_path / name).write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands(service: RestService, folder: Path) -> None:
    address = service.url.removeprefix("http://")
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("curl")]
    assert len(lines) >= 8
    for line in lines:
        words = shlex.split(line.replace("localhost:3000", address))
        done = subprocess.run([*words, "--fail-with-body"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        if "/v1/predict" in line:
            assert len(PredictResponse.model_validate_json(done.stdout).results) == line.count("images=@")


def test_its_code(service: RestService, folder: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("tritonclient.http")
    space: dict = {}
    for number, block in enumerate(blocks("python")):
        code = block.replace("localhost:3000", service.url.removeprefix("http://"))
        exec(compile(code, f"service.md block {number}", "exec", dont_inherit=True), space)
    assert space["told"].status_code == 200
    assert space["found"].as_numpy("labels").shape == (1, 3)
    space["client"].close = lambda: None


def test_its_answers_have_the_shapes() -> None:
    answer, problem = (json.loads(block) for block in blocks("json"))
    PredictResponse.model_validate(answer)
    Problem.model_validate(problem)
