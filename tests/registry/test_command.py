"""`clip-har registry`: what a person is told of versions and decisions, and pruning only when it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clip_har.cli import main
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry

Bundles = tuple[ModelBundle, ModelBundle, ModelBundle]


@pytest.fixture
def registry(tmp_path: Path, three_bundles: Bundles) -> Registry:
    made = Registry.of(tmp_path)
    before = None
    for number, bundle in enumerate(three_bundles):
        made.add(bundle, run=f"run-{number}")
        before = made.promote(bundle.model_id, instead_of=before, reasons=[f"reason {number}"]).champion
    made.annotate(three_bundles[2].model_id, metrics={"accuracy": 0.75})
    return made


def test_list_and_show(registry: Registry, tmp_path: Path, three_bundles: Bundles, capsys: Any) -> None:
    where = ["--workspace", str(tmp_path)]
    assert main(["registry", "list", *where]) == 0
    newest, middle, oldest = capsys.readouterr().out.splitlines()
    assert newest.split()[0] == three_bundles[2].model_id[:12]
    assert "champion" in newest
    assert "accuracy 0.750" in newest
    assert "previous" in middle
    assert not {"champion", "previous"} & set(oldest.split())
    assert main(["registry", "show", *where]) == 0
    said = capsys.readouterr().out
    assert three_bundles[2].model_id in said
    assert "reason 2" in said
    assert "reason 1" not in said
    assert main(["registry", "show", three_bundles[0].model_id[:6], *where]) == 0
    assert "run-0" in capsys.readouterr().out


def test_mistakes(tmp_path: Path, registry: Registry, capsys: Any) -> None:
    assert main(["registry", "show", "chalenger", "--workspace", str(tmp_path)]) == 2
    assert "There is no version 'chalenger'" in capsys.readouterr().err
    assert main(["registry", "list", "--workspace", str(tmp_path / "empty")]) == 0
    assert "python run.py --pipeline deploy" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()
    assert main(["registry", "show", "--workspace", str(tmp_path / "empty")]) == 2


def test_prune_says_first_what_would_go(
    registry: Registry, tmp_path: Path, three_bundles: Bundles, capsys: Any
) -> None:
    first = three_bundles[0].model_id
    assert main(["registry", "prune", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"To be removed: {first[:12]}. Do it with --yes.\n"
    assert len(registry.versions()) == 3
    assert main(["registry", "prune", "--yes", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Removed: {first[:12]}.\n"
    assert {version.model_id for version in registry.versions()} == {bundle.model_id for bundle in three_bundles[1:]}
