"""Champion and challenger on real photographs: worse and equal are refused, better is promoted, rollback restores; and the
pipelines that do it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from clip_har.adaptation import METHODS
from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.base import AdaptationContext
from clip_har.data.manifest import Manifest
from clip_har.data.sources import build_source
from clip_har.data.sources.csv import CsvSourceConfig
from clip_har.data.splits import SplitConfig, split_manifest
from clip_har.data.validation import ValidationConfig, validate
from clip_har.data.versions import VersionStore
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.head import LinearHead
from clip_har.models.prompts import PromptConfig
from clip_har.registry.acting import act_on
from clip_har.registry.champion import Registry
from clip_har.registry.promotion import Gate, PromotionConfig, Speed
from clip_har.registry.report import PromotionReport
from clip_har.training.embedding_cache import EmbeddingCache
from steps.deployment.comparing import compare_with_champion
from tests.command import Workplace
from tests.e2e.conftest import TRAIN

pytestmark = pytest.mark.slow

CPU = ComputeConfig(device="cpu", threads=1)
QUICK = PromotionConfig(resamples=1000)


@dataclass
class Photographs:
    """Real photographs in a workspace, in two versions: the older lacks a fifth of them."""

    workspace: Path
    backbone: Path
    manifest: Manifest
    older: Manifest
    embeddings: EmbeddingSet
    cache: EmbeddingCache

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.workspace)

    def bundle(self, target: Path, manifest: Manifest, **settings: object) -> ModelBundle:
        """A linear probe fitted on a version."""
        model, prompts = ModelConfig(backbone=str(self.backbone)), PromptConfig()
        config = METHODS.get("linear_probe").Config(**settings)
        context = AdaptationContext(DualEncoder.load(model), manifest, self.embeddings, prompts, CPU, 0)
        adapted = METHODS.get("linear_probe")(config).adapt(context, "linear_probe")
        return assemble_bundle(target, adapted, manifest, self.embeddings, model, prompts, CPU, {"accuracy": 0.5})

    def compare(self, challenger: ModelBundle, champion: ModelBundle | None) -> PromotionReport:
        """What the step of `deploy` does, without the export."""
        return compare_with_champion(
            challenger,
            champion,
            self.store.open(self.store.current()).manifest,
            self.store,
            Gate(1, 1),
            lambda: Speed("torch", 1.0, "torch", 1.0) if champion else Speed("torch", 1.0),
            QUICK,
            CPU,
            cache=self.cache,
        )


@pytest.fixture(scope="module")
def photographs(har_folder: Path, har_dual_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """Some 560 photographs of 15 actions."""
    folder = tmp_path_factory.mktemp("photographs")
    header, *rows = (har_folder / "Training_set.csv").read_text().splitlines()
    (folder / "Training_set.csv").write_text("\n".join([header, *rows[::8]]))
    (folder / "train").symlink_to(har_folder / "train")
    source = build_source(CsvSourceConfig(path=str(folder)), "")
    manifest, report, inspection = validate(source, ValidationConfig())
    manifest = split_manifest(manifest, SplitConfig(train=0.4, validation=0.1, calibration=0.1, test=0.4))
    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    cache = EmbeddingCache(folder / "cache")
    embeddings = cache.embed(manifest, encoder)
    fewer = replace(manifest, frame=manifest.frame[np.arange(len(manifest)) % 5 > 0].reset_index(drop=True))
    store = VersionStore(folder / "workspace")
    versions = [
        store.publish(part, report, inspection, source_key=key, push=False)
        for part, key in ((fewer, "older"), (manifest, "newer"))
    ]
    older, newest = (store.open(version).manifest for version in versions)
    return Photographs(folder / "workspace", har_dual_encoder, newest, older, embeddings, cache)


@pytest.mark.thorough
def test_on_real_photographs(photographs: Photographs, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    weak = photographs.bundle(tmp_path / "weak", photographs.older, shots=2)
    strong = photographs.bundle(tmp_path / "strong", photographs.manifest)
    equal = photographs.bundle(tmp_path / "equal", photographs.manifest, refinements=1)

    first = photographs.compare(registry.add(weak), None)
    assert first.outcome == "promoted", first.reasons
    assert "There was no champion" in first.reasons[0]
    act_on(registry, first, "run-1")
    assert registry.champion().model_id == weak.model_id

    better = photographs.compare(registry.add(strong), registry.champion())
    newest, own = better.comparisons
    assert better.outcome == "promoted", better.reasons
    assert newest.samples > 200
    assert newest.beside.gain.low > 0, "shots against all photographs"
    assert newest.beside.p < 0.01
    assert own.revision == photographs.older.frame["data_revision"].iloc[0]
    assert own.samples < newest.samples
    assert "the data of the champion" in " ".join(better.reasons)
    act_on(registry, better, "run-2")
    assert registry.version("champion").record.metrics["accuracy"] == newest.metrics["accuracy"].value

    worse = photographs.compare(registry.add(weak), registry.champion())
    assert worse.outcome == "kept"
    assert len(worse.comparisons) == 1, "the champion's own data are the newest"
    gain = f"{100 * worse.comparisons[0].beside.gain.value:+.1f}".replace("-", "\u2212")
    assert f"{gain} points" in worse.reasons[0]
    act_on(registry, worse, "run-3")

    same = photographs.compare(registry.add(equal), registry.champion())
    assert same.outcome == "kept"
    assert abs(same.comparisons[0].beside.gain.value) < 0.02
    assert {check.name for check in same.checks if check.verdict == "failed"} == {
        "Gain in accuracy",
        "Probability of such a difference by chance",
    }
    act_on(registry, same, "run-4")
    assert registry.champion().model_id == strong.model_id
    assert registry.roles()[equal.model_id] == "challenger"

    registry.rollback()
    assert registry.champion().model_id == weak.model_id
    assert [one.action for one in registry.decisions()] == ["promoted", "promoted", "kept", "kept", "rolled_back"]


def misled(bundle: ModelBundle, target: Path) -> ModelBundle:
    """The same encoders with a head that takes each class for the next."""
    head = bundle.head
    assert isinstance(head, LinearHead)
    turned = LinearHead(np.roll(head.weight, 1, axis=0), np.roll(head.bias, 1))
    return ModelBundle.create(
        target,
        save_encoder=lambda folder: shutil.copytree(
            bundle.path, folder, ignore=shutil.ignore_patterns("clip_har", "attachments"), dirs_exist_ok=True
        ),
        info=bundle.info,
        head=turned,
        class_matrix=bundle.class_matrix,
        prompts=bundle.prompts,
        calibration=bundle.calibration,
    )


def test_the_pipelines(first_run, tmp_path: Path) -> None:
    trained, _ = first_run
    place = trained.copy(tmp_path / "place")
    registry = Registry.of(place.workspace)
    done = place.run("rollback", *TRAIN)
    assert (done.code, done.out) == (2, "")
    assert "nothing to go back from" in done.said

    bad = misled(ModelBundle.load(place.latest / "bundle"), tmp_path / "bad")
    registry.add(bad)
    registry.promote(bad.model_id, instead_of=None)
    done = place.run("rollback", *TRAIN)
    assert (done.code, done.out) == (2, "")
    assert "nothing to go back to" in done.said

    good = place.record()["model_id"]
    few = ("--set", "export.forms=[onnx]", "--set", "export.encoders=[image]")
    done = place.run("deploy", *TRAIN, *few)
    assert done.code == 0, done.err
    assert "promote" in place.ran()
    assert f"({good[:12]}) is the champion now, instead of" in done.said
    assert "Of the 20 photographs that only one of them gets right, 20 are the challenger's" in done.said
    assert (registry.champion().model_id, registry.previous().model_id) == (good, bad.model_id)
    assert (registry.champion().attachment("exports") / "onnx" / "image-fp32.onnx").is_file()
    report = json.loads((place.latest / "promotion_report.json").read_text())
    assert (report["outcome"], report["mirrors"]) == ("promoted", [])
    assert place.metrics()["promotion"]["data"]["the_newest_data"]["gained"] == 20
    assert 'href="promotion.html"' in (place.latest / "report.html").read_text()
    assert "is the champion now" in (place.latest / "promotion.html").read_text()
    assert shown_in_mlflow(place) == {"champion": good, "previous": bad.model_id}

    done = place.run("rollback", *TRAIN, "--set", "promotion.note=it was only a trial")
    assert done.code == 0, done.err
    assert f"({bad.model_id[:12]}) is the champion again, instead of {good[:12]}" in done.said
    assert (registry.champion().model_id, registry.previous().model_id) == (bad.model_id, good)
    decision = registry.decisions()[-1]
    assert (decision.action, decision.reasons) == ("rolled_back", ("it was only a trial",))
    assert decision.run == place.record()["run"]
    page = (place.latest / "report.html").read_text()
    assert "it was only a trial" in page
    assert shown_in_mlflow(place) == {"champion": bad.model_id, "previous": good}


def shown_in_mlflow(place: Workplace) -> dict[str, str]:
    """Alias → model id."""
    import mlflow

    uri = f"sqlite:///{place.workspace}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    aliases = client.get_registered_model("clip-har").aliases
    return {
        name: client.get_model_version("clip-har", str(number)).tags["model_id"] for name, number in aliases.items()
    }
