"""What is in a Bento, what its tag says, and how the store follows the registry. BentoML itself is run in one test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import clip_har
from clip_har.component import validated
from clip_har.errors import ClipHarError, ConfigError
from clip_har.inference.exported import Exports
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.mirrors import reconcile
from clip_har.serving.config import ServingConfig
from clip_har.serving.packaging import building
from clip_har.serving.packaging.contents import entry_module, write_contents
from clip_har.serving.packaging.mirror import BentoMirror
from clip_har.serving.packaging.requirements import pinned, requirements_for
from clip_har.serving.packaging.store import BentoStore
from clip_har.serving.settings import load_settings
from tests.command import PROJECT

DEFAULT = ServingConfig()


@pytest.fixture
def quick_bentoml(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for BentoML: what it would have built, and which versions it was asked for."""
    asked: list[str] = []

    def build(contents: Path, home: Path, version: str) -> None:
        told = yaml.safe_load((contents / "bentofile.yaml").read_text())
        place = home / "bentos" / told["name"] / version
        shutil.copytree(contents, place / "src")
        (place / "bento.yaml").write_text(yaml.safe_dump({"labels": told["labels"]}))
        asked.append(version)

    monkeypatch.setattr(building, "_build", build)
    return asked


@pytest.fixture
def bundle(served_bundle: Path, tmp_path: Path) -> ModelBundle:
    """A copy, to be changed."""
    shutil.copytree(served_bundle, tmp_path / "bundle")
    return ModelBundle.load(tmp_path / "bundle")


def test_the_contents_are_whole_and_no_more(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.attach("reports", lambda folder: (folder / "test.json").write_text("{}") and None)
    bundle.attach("reference", lambda folder: (folder / "profile.parquet").write_bytes(b"of training data") and None)
    (bundle.path / "README.md").write_text("a card")
    folder = tmp_path / "contents"
    folder.mkdir()
    config = validated(ServingConfig, {"queue": {"max_waiting": 7}, "bento": {"explain": True}}, "serving")
    write_contents(folder, bundle, config, ["numpy==1"])
    packed = ModelBundle.load(folder / "bundle")
    assert packed.model_id == bundle.model_id
    assert Exports.read(packed) == Exports.read(bundle)
    assert sorted(path.name for path in (folder / "bundle" / "attachments").iterdir()) == ["exports", "selftest"]
    assert load_settings({}, folder).queue.max_waiting == 7
    assert "bento" not in yaml.safe_load((folder / "serving.yaml").read_text())
    source = Path(clip_har.__file__).parent
    names = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert {path.relative_to(folder / "clip_har").as_posix() for path in (folder / "clip_har").rglob("*.py")} == names
    assert not list(folder.rglob("*.pyc"))
    assert not (folder / "clip_har" / "assets").exists()
    told = yaml.safe_load((folder / "bentofile.yaml").read_text())
    assert told["labels"]["model_id"] == bundle.model_id
    assert told["python"]["packages"] == ["numpy==1"]
    assert told["docker"]["python_version"] == "3.11"


def test_the_entry_point_finds_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clip_har.serving.packaging import contents

    (tmp_path / "made.py").write_text("import os\nThing = dict(os.environ)\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = tmp_path / "service.py"
    entry.write_text(contents._ENTRY.format(module="made", service="Thing"))
    for environment, bundle in (
        ({}, str(tmp_path / "bundle")),
        ({"CLIP_HAR_BUNDLE": "mine"}, "mine"),
        ({"CLIP_HAR_WORKSPACE": "here"}, None),
    ):
        with monkeypatch.context() as now:
            for name in ("CLIP_HAR_BUNDLE", "CLIP_HAR_WORKSPACE", "CLIP_HAR_SERVING"):
                now.setenv(name, "")
                now.delenv(name)
            for name, value in environment.items():
                now.setenv(name, value)
            exec(compile(entry.read_text(), str(entry), "exec"), {"__file__": str(entry), "__name__": "service"})
            import os

            assert os.environ.get("CLIP_HAR_BUNDLE") == bundle
            assert os.environ["CLIP_HAR_SERVING"] == str(tmp_path / "serving.yaml")


@pytest.mark.parametrize(
    ("encoder", "device", "gpu", "module"),
    [
        ("auto", "auto", False, "bento"),
        ("auto", "auto", True, "bento_runner"),
        ("auto", "cpu", True, "bento"),
        ("runner", "cpu", False, "bento_runner"),
        ("in_process", "cuda", True, "bento"),
    ],
)
def test_the_runner_comes_with_a_gpu(monkeypatch, encoder, device, gpu, module) -> None:
    monkeypatch.setattr("clip_har.serving.packaging.contents.has_nvidia_gpu", lambda: gpu)
    config = validated(ServingConfig, {"encoder": encoder, "device": device}, "serving")
    assert entry_module(config) == f"clip_har.serving.{module}"


def test_requirements_are_the_pins_of_the_project() -> None:
    from packaging.utils import canonicalize_name

    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pins = {f"{canonicalize_name(name)}=={version}" for name, _, version in (line.partition("==") for line in lines)}
    assert set(pinned(["clip-har[serving-cpu]", "torch", "transformers"])) <= pins


def test_torch_comes_only_where_it_is_needed(bundle: ModelBundle) -> None:
    def names(explain: bool) -> set[str]:
        return {line.partition("==")[0] for line in requirements_for(bundle, explain=explain)}

    assert {"bentoml", "onnxruntime", "tokenizers", "safetensors", "pyarrow", "grpcio"} <= names(False)
    assert not names(False) & {"torch", "transformers", "clip-har", "zenml", "mlflow", "pandas"}
    assert {"torch", "transformers"} <= names(True)
    exports = Exports.read(bundle)
    of_pictures = tuple(form for form in exports.forms if form.encoder == "image")
    exports.model_copy(update={"forms": of_pictures}).write(bundle)
    assert {"torch", "transformers"} <= names(False), "labels of callers' own need the text encoder"


def test_a_missing_package_is_said() -> None:
    with pytest.raises(ConfigError, match="needs the package no-such-package"):
        pinned(["no-such-package"])


def test_equal_contents_are_built_once(bundle: ModelBundle, tmp_path: Path, quick_bentoml: list[str]) -> None:
    first = building.build(bundle, tmp_path / "home", DEFAULT)
    again = building.build(bundle, tmp_path / "home", DEFAULT)
    assert (first.built, again.built) == (True, False)
    assert first.tag == again.tag
    assert first.tag.startswith(f"clip-har:{bundle.model_id[:12]}-")
    other = building.build(bundle, tmp_path / "home", DEFAULT.model_copy(update={"threads": 3}))
    assert other.built
    assert other.tag != first.tag
    assert len(quick_bentoml) == 2
    assert BentoStore(tmp_path / "home").latest("clip-har") == other.tag.partition(":")[2]
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [".lock", "bentos"]


def test_a_killed_build_leaves_nothing(bundle: ModelBundle, tmp_path: Path, quick_bentoml, monkeypatch) -> None:
    home = tmp_path / "home"
    (home / "building-of-somebody-killed").mkdir(parents=True)

    def fails(contents: Path, home: Path, version: str) -> None:
        raise ClipHarError("no")

    with monkeypatch.context() as broken:
        broken.setattr(building, "_build", fails)
        with pytest.raises(ClipHarError):
            building.build(bundle, home, DEFAULT)
    assert [path.name for path in home.iterdir()] == [".lock"]
    assert building.build(bundle, home, DEFAULT).built


def test_latest_is_the_champion(bundle: ModelBundle, tmp_path: Path, quick_bentoml: list[str]) -> None:
    workspace = tmp_path / "workspace"
    registry, store = Registry.of(workspace), BentoStore.of(workspace)
    (outcome,) = reconcile(registry, [lambda: BentoMirror(workspace)])
    assert (outcome.changes, outcome.problem) == ((), "")
    old, new = bundle, _another(bundle, tmp_path / "another")
    versions = {}
    for one in (old, new):
        registry.add(one)
        registry.promote(one.model_id, instead_of=registry.pointer and registry.pointer.model_id)
        versions[one.model_id] = building.build(registry.champion(), store.home, DEFAULT).tag.partition(":")[2]
    assert store.latest("clip-har") == versions[new.model_id]
    registry.rollback()
    (outcome,) = reconcile(registry, [lambda: BentoMirror(workspace)])
    assert outcome.changes == (f"clip-har:latest is clip-har:{versions[old.model_id]}",)
    assert store.latest("clip-har") == versions[old.model_id]
    assert BentoMirror(workspace).reconcile(registry.versions(), registry.roles()) == []


def _another(bundle: ModelBundle, target: Path) -> ModelBundle:
    return ModelBundle.create(
        target,
        save_encoder=lambda folder: shutil.copytree(
            bundle.path, folder, ignore=shutil.ignore_patterns("clip_har", "attachments"), dirs_exist_ok=True
        ),
        info=bundle.info.model_copy(update={"method": "another"}),
        head=bundle.head,
        class_matrix=bundle.class_matrix,
        prompts=bundle.prompts,
        calibration=bundle.calibration,
    )


def test_bentoml_says_why_it_refuses(bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clip_har.serving.packaging.contents._SERVICE", "NoSuchService")
    with pytest.raises(ClipHarError, match=r"could not build(.|\n)*NoSuchService"):
        building.build(bundle, tmp_path / "home", DEFAULT)
    assert not (tmp_path / "home" / "bentos").exists()


def test_the_command_packs_the_newest_bundle(bundle, tmp_path, quick_bentoml, monkeypatch, capsys) -> None:
    from clip_har.serving.packaging.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "There is no bundle yet" in capsys.readouterr().err
    shutil.copytree(bundle.path, tmp_path / "outputs" / "run" / "bundle")
    (tmp_path / "outputs" / "latest").symlink_to("run")
    monkeypatch.setenv("CLIP_HAR_SERVING__QUEUE__MAX_WAITING", "9")
    assert main([]) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert load_settings({}, path / "src").queue.max_waiting == 9
    assert main(["--bundle", "nowhere"]) == 2
    assert json.loads((path / "src" / "bundle" / "clip_har" / "bundle.json").read_text())
