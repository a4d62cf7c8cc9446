"""The code of docs/grpc.md works as written, and says of the settings what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clip_har.serving.config import GrpcConfig
from tests.serving.rpc.service import Service, picture

DOCUMENT = (Path(__file__).parents[3] / "docs" / "grpc.md").read_text(encoding="utf-8")


def test_the_code_of_grpc_md_works(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("tritonclient.grpc")
    (tmp_path / "photo.jpg").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    space: dict = {}
    for number, block in enumerate(code):
        block = block.replace("localhost:3001", service.target)
        exec(compile(block, f"grpc.md block {number}", "exec", dont_inherit=True), space)
    space["channel"].close()
    space["client"].close()
    said = capsys.readouterr().out
    assert len(code) == 7
    assert service.engine.model().labels[0] in said
    assert "StatusCode.INVALID_ARGUMENT not_an_image images[0]" in said
    assert re.search(r"^1 \w+$", said, re.MULTILINE)  # the stream's second frame


def test_every_setting_is_named() -> None:
    table = DOCUMENT.partition("## Settings")[2]
    assert set(re.findall(r"`(\w+)`", table.partition("\nAfter")[0])) - {"true"} >= set(GrpcConfig.model_fields)
