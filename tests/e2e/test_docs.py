"""What the README and the documents say is so: their commands are run, their code too."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from clip_har.component import Registry
from tests.command import PROJECT
from tests.tiny_models import colour_photos, tiny_clip

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """Fenced code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def commands(document: Path) -> list[list[str]]:
    """The lines of all bash blocks, as words."""
    lines = "\n".join(blocks(document, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_run_command_composes(document: Path, capsys: pytest.CaptureFixture) -> None:
    """Each `run.py` command is valid as written: pipeline, config file and keys."""
    import run

    for words in commands(document):
        if words[0].endswith("python") and words[1] == "run.py":
            line = [str(PROJECT / word) if word.startswith("configs/") else word for word in words[2:]]
            if "--help" not in line:
                assert run.main([*line, "--dry-run"]) == 0, (words, capsys.readouterr().err)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_yaml_block_is_a_part_of_a_config(document: Path, tmp_path: Path) -> None:
    from clip_har.config import load_config

    for block in blocks(document, "yaml"):
        whole = yaml.safe_load((PROJECT / "configs" / "har_local.yaml").read_text()) | yaml.safe_load(block)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
        load_config(tmp_path / "config.yaml")


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for document in DOCUMENTS for words in commands(document) if words[0] == "make"}
    assert named
    assert named <= targets


def _register_parts(monkeypatch: pytest.MonkeyPatch, **registries: Registry) -> None:
    """Run the blocks of extending.md that add to these registries, one to each; the entries go with the test."""
    before = {}
    for name, registry in registries.items():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        before[name] = len(registry._entries)
    for number, code in enumerate(blocks(PROJECT / "docs" / "extending.md", "python")):
        adds = re.search(r"^(\w+)\.register\(", code, re.MULTILINE)
        assert adds, f"block {number} of extending.md adds nothing"
        if adds[1] in registries:
            space = {"__name__": f"extending_{number}"}
            exec(compile(code, f"extending.md block {number}", "exec", dont_inherit=True), space)
    assert {name: len(registry._entries) for name, registry in registries.items()} == {
        name: number + 1 for name, number in before.items()
    }


def test_the_parts_of_extending_md_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clip_har.adaptation import METHODS
    from clip_har.data.sources import SOURCES, build_source, parse_source_config
    from clip_har.tracking import TRACKERS, DeliveryConfig, Outbox, RunIdentity, trackers_of

    _register_parts(monkeypatch, METHODS=METHODS, SOURCES=SOURCES, TRACKERS=TRACKERS)

    photos = colour_photos(tmp_path / "photos", ("running", "sitting"), 30)
    (tmp_path / "camera").mkdir()
    for label in ("running", "sitting"):
        for number, path in enumerate(sorted((photos / label).iterdir())):
            (tmp_path / "camera" / f"2026-11-23_{label}_{number:04d}.jpg").write_bytes(path.read_bytes())
    (tmp_path / "camera" / "nameless.jpg").write_bytes(b"")
    source = build_source(parse_source_config({"source": "camera", "path": str(tmp_path / "camera")}), str(tmp_path))
    records = source.records()
    assert {record.label for record in records if not record.problem} == {"running", "sitting"}
    assert sum(record.problem is not None for record in records) == 1

    from clip_har.adaptation import parse_method_config
    from clip_har.adaptation.base import AdaptationContext
    from clip_har.data.splits import SplitConfig, split_manifest
    from clip_har.data.validation import ValidationConfig, validate
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.embeddings import embed_manifest
    from clip_har.models.prompts import PromptConfig

    manifest = split_manifest(validate(source, ValidationConfig())[0], SplitConfig())
    encoder = DualEncoder.load(ModelConfig(backbone=str(tiny_clip(tmp_path / "backbone"))))
    embeddings = embed_manifest(
        manifest, encoder.encode_images, encoder.image_encoder_hash(), encoder.preprocessing, batch_size=16
    )
    method = METHODS.get("nearest_mean")(parse_method_config({"method": "nearest_mean"}))
    adapted = method.fit(AdaptationContext(encoder, manifest, embeddings, PromptConfig()), "nearest_mean")
    right = adapted.validation_logits.argmax(axis=1) == manifest.split("validation").label_indices
    assert right.mean() > 0.5

    (tmp_path / "report.html").write_text("report")
    patience = DeliveryConfig(interval=0.0, system_seconds=0.0)
    make = trackers_of("folder", {"path": str(tmp_path / "tracked")})
    box = Outbox(tmp_path / "tracking", RunIdentity(id="a-run", name="a run"), make, patience)
    box.params({"seed": 3})
    box.metrics({"lora/accuracy": 0.5}, 3)
    box.figure("curves", b"png")
    box.table("t", ["a"], [[1]])
    box.tags({"data": "v1"})
    box.artifact(tmp_path / "report.html")
    box.model(tmp_path / "backbone", "backbone")
    box.finish()
    assert not list((tmp_path / "tracking").iterdir())
    run = tmp_path / "tracked" / "a-run"
    noted = json.loads((run / "run.json").read_text())
    assert (noted["params"], noted["tags"], noted["status"]) == ({"seed": 3}, {"data": "v1"}, "finished")
    assert noted["points"] == {"lora/accuracy 3": 0.5}
    assert (run / "report.html").read_text() == "report"
    assert {"figures/curves.png", "tables/t.json", "models/backbone/backbone/config.json"} <= {
        file.relative_to(run).as_posix() for file in run.rglob("*")
    }


def test_the_exporter_and_the_runtime_of_extending_md_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clip_har.export import EXPORTERS
    from clip_har.inference.exported import Exports
    from clip_har.inference.predictor import Predictor
    from clip_har.inference.runtimes import RUNTIMES
    from tests.adaptation.tiny_study import tiny_study
    from tests.inference.exported_bundle import exported_bundle

    _register_parts(monkeypatch, EXPORTERS=EXPORTERS, RUNTIMES=RUNTIMES)
    study = tiny_study(tmp_path / "study")
    bundle = exported_bundle(study, tmp_path, ("onnx-optimised", "torch-export"))
    assert {form.file for form in Exports.read(bundle).forms} >= {"onnx/image-fp32-optimised.onnx"}
    photos = study.manifest.split("test").paths[:3]
    expected = Predictor.load(bundle, "torch", device="cpu").embed_images(photos)
    for runtime in ("torch-export", "onnx"):
        found = Predictor.load(bundle, runtime, device="cpu")
        assert found.runtime.name == runtime
        np.testing.assert_allclose(found.embed_images(photos), expected, atol=1e-5)


def test_the_code_of_predicting_md_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from clip_har.adaptation import METHODS
    from tests.adaptation.tiny_study import tiny_study

    study = tiny_study(tmp_path / "study")
    bundle = study.assemble(tmp_path / "outputs/latest/bundle", study.fit(METHODS.get("linear_probe").Config()))
    photo = study.manifest.split("test").paths[0]
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = blocks(PROJECT / "docs" / "predicting.md", "python")
    space: dict = {}
    for number, block in enumerate(code):
        exec(compile(block, f"predicting.md block {number}", "exec", dont_inherit=True), space)
    assert len(code) == 3
    assert str(bundle.labels[0]) in capsys.readouterr().out
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
