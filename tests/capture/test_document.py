"""What docs/capture.md says is so."""

from __future__ import annotations

import re
import shlex

import pytest

from clip_har.capture import CaptureConfig, CaptureWriter
from clip_har.cli import main
from tests.capture.captured import START, capture, prediction, still
from tests.conftest import PROJECT
from tests.tiny_models import colour_photos


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PROJECT / "docs" / "capture.md").read_text(), re.DOTALL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a workspace in which something was captured."""
    identifier = "0b5c1d5ae1a94e4b8f0e0f7b6a3c2d11"
    rows = [prediction(number) for number in range(5)] + [prediction(6, id=identifier)]
    capture(tmp_path / "workspace" / "capture", [rows])
    writer = CaptureWriter(tmp_path / "workspace" / "capture", still())
    writer.feedback(identifier, "running", START)
    writer.close()
    (photo, *_) = sorted((colour_photos(tmp_path / "photos", ("running",), 1) / "running").iterdir())
    photo.rename(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_code_works(project, capsys):
    blocks = _blocks("python")
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        exec(compile(block, f"capture.md block {number}", "exec", dont_inherit=True), {})
    said = capsys.readouterr().out
    assert "{'running': 6} 1 (4,)" in said
    assert "'brightness'" in said


def test_its_commands_work(project, capsys):
    (block,) = _blocks("bash")
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(lines) == 7
    for words in lines:
        assert words[0] == ".venv/bin/clip-har"
        assert main(words[1:]) == 0, capsys.readouterr().err


def test_its_settings_are_all_there_are_with_their_defaults():
    text = (PROJECT / "docs" / "capture.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", text, re.MULTILINE)
    named = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]
    assert named == list(CaptureConfig.model_fields)
    defaults = dict(zip(named, [value for names, values in rows for value in values.split(", ")], strict=False))
    config = CaptureConfig()
    for name in ("sampling_rate", "top_scores", "buffer", "flush_seconds", "rows_per_file", "retention_days"):
        assert float(defaults[name]) == getattr(config, name), name
