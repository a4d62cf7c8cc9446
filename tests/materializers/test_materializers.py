"""One matrix over the materializers: what is stored comes back, here and in a store that is no local folder."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from zenml.enums import VisualizationType
from zenml.io.filesystem_registry import default_filesystem_registry
from zenml.io.local_filesystem import LocalFilesystem
from zenml.metadata.metadata_types import get_metadata_type
from zenml.utils import source_utils

import materializers
from clip_har.adaptation import METHODS
from clip_har.adaptation.lora import LoraConfig
from clip_har.adaptation.open_vocabulary import OpenVocabularyFigures, OpenVocabularyReport
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search import SearchConfig
from clip_har.adaptation.search.result import SearchResult, Trial
from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.label_review import COLUMNS as REVIEW_COLUMNS
from clip_har.data.label_review import LabelReview
from clip_har.data.splits import EarlierSplits
from clip_har.data.validation import PAIR_COLUMNS, REJECTION_COLUMNS, WARNING_COLUMNS, Inspection, ValidationReport
from clip_har.errors import BundleError
from clip_har.evaluation.evaluate import EvaluationConfig, evaluate
from clip_har.evaluation.leaderboard import Entry, compare
from clip_har.evaluation.zero_shot import report_of
from clip_har.export.exporting import MadeForms
from clip_har.export.latency import LatencyReport, RuntimeLatency
from clip_har.export.report import Check, ExportReport, FormReport, NotMade
from clip_har.hashing import sha256_arrays, sha256_bytes
from clip_har.inference.exported import ExportedForm, Exports
from clip_har.models.bundle import ModelBundle, OpenVocabulary
from clip_har.models.estimates import Estimate
from clip_har.models.head import softmax
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.evidently_report import EvidentlyFiles
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.monitoring.stored import arrays_of
from clip_har.registry.promotion import Answers, Gate, PromotionConfig, Speed, decide
from clip_har.registry.report import PromotionReport, Side
from clip_har.training.pretrain import PretrainedBackbone
from clip_har.training.trainer import TrainerConfig
from materializers.folder import FolderMaterializer
from tests.adaptation.tiny_study import LABELS, Study, tiny_study
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report

STAND_IN = "standin://"


def _find() -> dict[str, type[FolderMaterializer]]:
    """Every materializer, by its module's name."""
    found = {}
    for module in pkgutil.iter_modules(materializers.__path__):
        for value in vars(importlib.import_module(f"materializers.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, FolderMaterializer) and value is not FolderMaterializer:
                found[module.name] = value
    return found


MATERIALIZERS = _find()


@dataclass(frozen=True)
class Case:
    """An artifact, an equal one made anew, others that differ in one thing, and what is looked for.

    Attributes:
        about: the artifact's content, to compare.
        metadata: some of what the metadata must say.
        shown: text of its visualisation; None if it has none.
    """

    make: Callable[[], Any]
    others: dict[str, Callable[[], Any]]
    about: Callable[[Any], Any]
    metadata: dict[str, Any]
    shown: str | None


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return tiny_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def cases(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("artifacts")
    lora = LoraConfig(training=TrainerConfig(max_steps=2, learning_rate=1e-2, select_by="log_loss"))
    probe = study.fit(METHODS.get("linear_probe").Config())
    bundle = study.assemble(folder / "bundle", probe)
    other_bundle = study.assemble(folder / "other", replace(probe, class_matrix=-probe.class_matrix))
    manifest, labels = study.manifest, study.manifest.split("test").label_indices
    logits = np.random.default_rng(0).normal(size=(len(labels), len(LABELS)))

    def relabelled():
        frame = manifest.frame.copy()
        frame.loc[0, "label"] = "sleeping"
        return replace(manifest, frame=frame)

    def validation(
        reason: str = "too_small", pairs: int = 1, uri: str = "a<b>.jpg", warned: str = "blurred"
    ) -> ValidationReport:
        rejected = pd.DataFrame([(uri, "running", reason, "8 × 8", "")], columns=list(REJECTION_COLUMNS))
        near = pd.DataFrame([("c.jpg", "d.jpg", 3, 0.95)] * pairs, columns=list(PAIR_COLUMNS))
        warnings = pd.DataFrame([("c.jpg", "running", warned, "0.1", "c")], columns=list(WARNING_COLUMNS))
        return ValidationReport(5, 4, rejected, near, warnings)

    def inspection(brightness: float = 0.5) -> Inspection:
        rows = [("a", 2**64 - 1, brightness, 0.2, 0.7, 1000, ""), ("b", 3, 0.25, 0.3, 0.6, 500, "too_small")]
        return Inspection.of_rows(rows)

    def label_review(quality: float = 0.01, agreement: float | None = 0.9, rows: int = 1) -> LabelReview:
        row = ("a", "a<b>.jpg", "dancing", "running", quality, 0.9, "train")
        return LabelReview(pd.DataFrame([row] * rows, columns=list(REVIEW_COLUMNS)), 50, agreement, ("texting",))

    def evaluation(scale: float = 1.0):
        return evaluate(
            model_id="abc",
            method="linear_probe",
            manifest=manifest.split("test"),
            probabilities=softmax(scale * logits),
            uncalibrated=softmax(logits),
            temperature=1.5,
            config=EvaluationConfig(resamples=100, examples=1),
        )

    def leaderboard(parameters: int = 4):
        entry = Entry(
            name="a",
            method="a",
            logits=logits,
            trained_parameters=parameters,
            open_vocabulary=OpenVocabulary(word="kept", basis=""),
        )
        return compare([entry, entry.model_copy(update={"name": "b"})], labels, select_by="accuracy", resamples=100)

    def open_vocabulary(novel: float = 0.25, name: str = "probe"):
        return OpenVocabularyReport(
            name=name,
            method="linear_probe",
            base_classes=LABELS[:2],
            novel_classes=LABELS[2:],
            split="test",
            base_samples=12,
            novel_samples=12,
            adapted=OpenVocabularyFigures(base=0.75, novel=novel),
            zero_shot=OpenVocabularyFigures(base=0.5, novel=0.75),
            word="lost",
        )

    def search(accuracy: float = 0.5, own: int | None = 0, reason: str = "not finite"):
        figures = {"accuracy": accuracy, "log_loss": 1.0}
        config = SearchConfig(candidate="a<b>", fields={"rank": [2, 4]})
        trials = (
            Trial(number=0, state="complete", settings={"rank": 2}, figures=figures),
            Trial(number=1, state="failed", settings={"rank": 4}, reason=reason),
        )
        return SearchResult(method="lora", config=config, trials=trials, best=0, own=own, samples=24)

    def exported_form(data: bytes = b"onnx") -> ExportedForm:
        return ExportedForm(
            encoder="image", format="onnx", precision="fp32", file="onnx/image-fp32.onnx", sha256=sha256_bytes(data)
        )

    def forms(name: str = "forms", data: bytes = b"onnx", reason: str = "no GPU") -> MadeForms:
        place = folder / name
        (place / "onnx").mkdir(parents=True, exist_ok=True)
        (place / "onnx" / "image-fp32.onnx").write_bytes(data)
        (place / "onnx" / "image-fp32.onnx.json").write_text("{}")
        missing = NotMade(encoder="text", exporter="a<b>", reason=reason)
        return MadeForms(place, "abc", (("onnx", exported_form(data)),), (missing,))

    def with_a_form() -> ModelBundle:
        place = folder / "with_a_form"
        if not place.exists():
            shutil.copytree(bundle.path, place)
        loaded = ModelBundle.load(place)
        file = Exports.folder(loaded) / "onnx" / "image-fp32.onnx"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"onnx")
        Exports(model_id=loaded.model_id, forms=(exported_form(),)).write(loaded)
        return loaded

    def form_files(data: MadeForms) -> list:
        files = sorted(path for path in data.path.rglob("*") if path.is_file() and path.name != "forms.json")
        return [(path.relative_to(data.path).as_posix(), path.read_bytes()) for path in files]

    def export_report(cosine: float = 0.9, accepted: bool = False) -> ExportReport:
        check = Check(name="Lowest cosine", figure=cosine, bound=0.9999, unit="cosine", verdict="failed")
        row = FormReport(form=exported_form(), size=4, checks=(check,), accepted=accepted, reasons=("a<b>",))
        accuracy = Estimate(value=0.5, low=0.4, high=0.6)
        about = {"model_id": "abc", "method": "lora", "backbone": "b", "split": "validation", "samples": 24, "texts": 8}
        return ExportReport(**about, accuracy=accuracy, ece=0.1, forms=(row,))

    def latency(median: float = 1.5, reason: str = "no form") -> LatencyReport:
        row = RuntimeLatency(runtime="torch", median=median, p99=2.0, load=0.1)
        return LatencyReport(host={"cores": 2}, rows=(row,), left_out={"onnx": reason})

    def promotion(challenger: str = "a", wrong: int = 3) -> PromotionReport:
        sides = [
            Side(model_id=one * 64, method="probe", backbone="b", labels=LABELS, data_revision="r")
            for one in (challenger, "b")
        ]
        truth = np.arange(24) % len(LABELS)
        answers = Answers(
            "the newest data", "r", LABELS, truth, softmax(logits), np.eye(len(LABELS))[(truth + wrong) % 4]
        )
        return decide(*sides, [answers], Gate(1, 1), Speed("torch", 1.0, "torch", 1.0), PromotionConfig(resamples=100))

    def zero_shot(unseen: tuple[str, ...] = ("running",)):
        names = {label: (label,) for label in LABELS}
        return report_of(logits, labels, LABELS, unseen, EvaluationConfig(resamples=100), names)

    def backbone(name: str, weights: bytes, **facts: Any) -> PretrainedBackbone:
        place = folder / name
        place.mkdir(exist_ok=True)
        (place / "model.safetensors").write_bytes(weights)
        wanted = ("pictures", "captions", "parameters", "vocabulary", "steps", "best_step")
        made = PretrainedBackbone(place, [{"step": 0, "accuracy": 0.5}], dict.fromkeys(wanted, 1) | facts)
        made.write_facts()
        return made

    def model_facts(adapted) -> list:
        arrays = {"class_matrix": adapted.class_matrix, "logits": adapted.validation_logits} | adapted.head.arrays()
        encoder = adapted.encoder
        if encoder is not None and hasattr(encoder, "folder"):
            from safetensors.numpy import load_file

            weights = load_file(encoder.folder / "model.safetensors")
        else:
            weights = {name: t.numpy() for name, t in encoder.model.state_dict().items()} if encoder else {}
        weights = {name: array for name, array in weights.items() if "position_ids" not in name}
        return [sha256_arrays(arrays), sha256_arrays(weights), adapted.recipe, adapted.history, adapted.name]

    def profile(seed: int = 0, **changes: Any) -> ReferenceProfile:
        made = ReferenceProfile.made_of(observations(40, seed), ProfileConfig(partitions=100), splits=("test",))
        return replace(made, **changes)

    embeddings = study.embeddings
    moved = replace(embeddings, matrix=embeddings.matrix + 1)
    return {
        "manifest": Case(
            lambda: replace(manifest, frame=manifest.frame.copy()),
            {"label": relabelled, "classes": lambda: replace(manifest, labels=(*LABELS, "texting"))},
            lambda data: (data.frame.to_dict("records"), data.labels, data.root),
            {"samples": len(manifest), "classes": 4, "groups": len(manifest), "split_train": 48, "split_test": 24},
            "dancing",
        ),
        "validation_report": Case(
            validation,
            {
                "reason": lambda: validation("unknown_label"),
                "pairs": lambda: validation(pairs=2),
                "uri": lambda: validation(uri="b.jpg"),
                "warning": lambda: validation(warned="too_dark"),
            },
            lambda data: (
                data.summary(),
                *(table.to_dict("records") for table in (data.rejections, data.near_duplicates, data.warnings)),
            ),
            {
                **{"found": 5, "accepted": 4, "rejected": 1, "rejected_too_small": 1, "near_duplicate_pairs": 1},
                **{"warnings": 1, "warned_blurred": 1},
            },
            "a&lt;b&gt;.jpg",
        ),
        "earlier_splits": Case(
            lambda: EarlierSplits({"a": ("train", "a"), "b": ("test", "a")}),
            {
                "split": lambda: EarlierSplits({"a": ("train", "a"), "b": ("train", "a")}),
                "group": lambda: EarlierSplits({"a": ("train", "a"), "b": ("test", "b")}),
            },
            lambda data: data.places,
            {"pictures": 2},
            None,
        ),
        "inspection": Case(
            inspection,
            {"brightness": lambda: inspection(0.51)},
            lambda data: data.frame.to_dict("records"),
            {"samples": 2, "file_bytes": 1500, "brightness": 0.375, "contrast": 0.25, "sharpness": 0.65},
            None,
        ),
        "label_review": Case(
            label_review,
            {
                "quality": lambda: label_review(0.02),
                "agreement": lambda: label_review(agreement=None),
                "empty": lambda: label_review(rows=0),
            },
            lambda data: (data.summary(), data.frame.to_dict("records")),
            {"reviewed": 50, "listed": 1, "agreement": 0.9},
            "a&lt;b&gt;.jpg",
        ),
        "fingerprint": Case(
            lambda: DataFingerprint(data_hash="d", records=3, code_hash="c"),
            {"data": lambda: DataFingerprint(data_hash="e", records=3, code_hash="c")},
            lambda data: data.model_dump(),
            {"data_hash": "d", "records": 3, "code_hash": "c"},
            None,
        ),
        "embedding_set": Case(
            lambda: replace(embeddings, matrix=embeddings.matrix.copy()),
            {
                "numbers": lambda: replace(embeddings, matrix=np.nextafter(embeddings.matrix, np.float32(2))),
                "order": lambda: replace(embeddings, ids=embeddings.ids[::-1]),
                "encoder": lambda: replace(embeddings, encoder_hash="another"),
                "preprocessing": lambda: replace(embeddings, preprocessing_hash="another"),
            },
            lambda data: (data.ids, data.matrix.tolist(), data.key),
            {"samples": len(manifest), "dimensions": 16, "encoder_hash": embeddings.encoder_hash},
            None,
        ),
        "pooled_features": Case(
            lambda: PooledFeatures(embeddings, moved),
            {
                "inputs": lambda: PooledFeatures(moved, moved),
                "rest": lambda: PooledFeatures(embeddings, embeddings),
                "no rest": lambda: PooledFeatures(embeddings),
            },
            lambda data: [part and (part.ids, part.matrix.tolist(), part.key) for part in (data.inputs, data.rest)],
            {"samples": len(manifest), "dimensions": 16, "has_rest": True, "encoder_hash": embeddings.encoder_hash},
            None,
        ),
        "adapted_model": Case(
            lambda: study.fit(lora),
            {
                "seed": lambda: study.fit(lora, seed=1),
                "head": lambda: replace(probe, head=replace(probe.head, bias=probe.head.bias + 1)),
                "name": lambda: replace(probe, name="another"),
                "unchanged encoders": lambda: probe,
            },
            model_facts,
            {"name": "lora", "method": "lora", "head": "text", "changed_encoders": True, "open_vocabulary": "degraded"},
            None,
        ),
        "model_bundle": Case(
            lambda: ModelBundle.load(bundle.path),
            {"class matrix": lambda: other_bundle, "exported forms": with_a_form},
            lambda data: (data.model_id, data.info, data.prompts, data.calibration, sha256_arrays(data.head.arrays())),
            {"model_id": bundle.model_id, "method": "linear_probe", "backbone": "backbone", "validation_accuracy": 0.5},
            "linear_probe",
        ),
        "evaluation_report": Case(
            evaluation,
            {"scores": lambda: evaluation(2.0)},
            lambda data: data.model_dump(),
            {"model_id": "abc", "split": "test", "samples": 24, "accuracy": evaluation().metrics["accuracy"].value},
            "Does confidence mean what it says?",
        ),
        "leaderboard": Case(
            leaderboard,
            {"parameters": lambda: leaderboard(5)},
            lambda data: data.model_dump(),
            {"winner": "a", "select_by": "accuracy", "b_accuracy": leaderboard().rows[1].metrics["accuracy"].value},
            "a has the best accuracy",
        ),
        "search_result": Case(
            search,
            {"figure": lambda: search(0.75), "own": lambda: search(own=1), "reason": lambda: search(reason="another")},
            lambda data: data.model_dump(),
            {"candidate": "a<b>", "complete": 1, "failed": 1, "pruned": 0, "accuracy": 0.5},
            "a&lt;b&gt;",
        ),
        "open_vocabulary_report": Case(
            open_vocabulary,
            {"novel": lambda: open_vocabulary(0.5), "name": lambda: open_vocabulary(name="another")},
            lambda data: data.model_dump(),
            {"name": "probe", "base": 0.75, "novel": 0.25, "harmonic_mean": 0.375, "word": "lost"},
            None,
        ),
        "made_forms": Case(
            forms,
            {
                "bytes": lambda: forms("others", b"other"),
                "reason": lambda: forms("third", reason="another"),
            },
            lambda data: (data.model_id, data.forms, data.not_made, form_files(data)),
            {"model_id": "abc", "forms": 1, "not_made": 1},
            "a&lt;b&gt;",
        ),
        "export_report": Case(
            export_report,
            {"figure": lambda: export_report(0.8), "verdict": lambda: export_report(accepted=True)},
            lambda data: data.model_dump(),
            {"model_id": "abc", "samples": 24, "accepted": []},
            "0 of 1 forms",
        ),
        "latency_report": Case(
            latency,
            {"median": lambda: latency(1.6), "reason": lambda: latency(reason="another")},
            lambda data: data.model_dump(),
            {"fastest": "torch", "torch_milliseconds": 1.5},
            "1.50 ms",
        ),
        "promotion_report": Case(
            promotion,
            {"challenger": lambda: promotion("c"), "figures": lambda: promotion(wrong=0)},
            lambda data: data.model_dump(),
            {"challenger": "a" * 64, "champion": "b" * 64, "metric": "accuracy"},
            "probe</b> is",
        ),
        "observations": Case(
            lambda: observations(30, errors={"truncated": 2}, labelled=0.5),
            {
                "numbers": lambda: observations(30, 1, errors={"truncated": 2}, labelled=0.5),
                "errors": lambda: observations(30, labelled=0.5),
                "details": lambda: observations(30, errors={"truncated": 2}, labelled=0.5, detailed=False),
            },
            lambda data: (data.ids, data.errors, {name: one.tolist() for name, one in arrays_of(data).items()}),
            {"pictures": 30, "refused": 2, "source": "synthetic"},
            "brightness",
        ),
        "reference_profile": Case(
            profile,
            {"pictures": lambda: profile(1), "runtime": lambda: profile(runtime="onnx")},
            lambda data: (
                data.observations.ids,
                data.observations.confidence.tolist(),
                {name: array.tolist() for name, array in data.thresholds.arrays().items()},
                data.config,
            ),
            {"pictures": 40, "splits": ["test"], "window_sizes": [10, 14, 20]},
            "bits_per_pixel",
        ),
        "drift_report": Case(
            lambda: drift_report(observations(60)),
            {
                "checks": lambda: drift_report(observations(60), drifted=False),
                "pictures": lambda: drift_report(observations(60), images=60),
            },
            lambda data: data.model_dump(),
            {"alarmed": "brightness, confidence", "cause": "brightness", "state": "watch", "accuracy/estimated": 0.71},
            "The pictures are darker",
        ),
        "evidently_files": Case(
            lambda: EvidentlyFiles(b"<p>drifted</p>", {"metrics": []}, b"{}"),
            {
                "page": lambda: EvidentlyFiles(b"<p>other</p>", {"metrics": []}, b"{}"),
                "figures": lambda: EvidentlyFiles(b"<p>drifted</p>", {"metrics": [1]}, b"{}"),
                "snapshot": lambda: EvidentlyFiles(b"<p>drifted</p>", {"metrics": []}, b"{1}"),
            },
            lambda data: (data.html, data.json, data.snapshot),
            {"made": True, "bytes": 14},
            "<p>drifted</p>",
        ),
        "zero_shot_report": Case(
            zero_shot,
            {"unseen": lambda: zero_shot(("sitting",))},
            lambda data: data.model_dump(),
            {"samples": 24, "unseen": zero_shot().group("unseen").among_themselves.value},
            "dancing",
        ),
        "pretrained_backbone": Case(
            lambda: backbone("first", b"weights"),
            {
                "weights": lambda: backbone("second", b"others"),
                "facts": lambda: backbone("third", b"weights", steps=2),
            },
            lambda data: ((data.path / "model.safetensors").read_bytes(), data.history, data.facts),
            {"pictures": 1, "steps": 1, "best_step": 1},
            None,
        ),
    }


class StandInFilesystem(LocalFilesystem):
    """A store that only ZenML's own file operations reach, as a bucket is."""

    SUPPORTED_SCHEMES: ClassVar[set[str]] = {STAND_IN}
    root: ClassVar[Path]

    @classmethod
    def real(cls, path: str | bytes) -> str:
        return str(cls.root / os.fsdecode(path).removeprefix(STAND_IN))


def _reach(operation: Callable) -> classmethod:
    """A file operation with the store's paths made real ones."""

    def call(cls: type[StandInFilesystem], *arguments: Any, **options: Any) -> Any:
        paths = [cls.real(value) if STAND_IN in str(value) else value for value in arguments]
        return operation(*paths, **options)

    return classmethod(call)


for _name in ("open", "copyfile", "exists", "isdir", "listdir", "makedirs"):
    setattr(StandInFilesystem, _name, _reach(getattr(LocalFilesystem, _name)))


@pytest.fixture(params=["local", "remote"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an artifact goes; ZenML makes a local folder beforehand, and a bucket has none."""
    if request.param == "local":
        (tmp_path / "artifact").mkdir()
        yield str(tmp_path / "artifact")
        return
    StandInFilesystem.root = tmp_path / "store"
    default_filesystem_registry.register(StandInFilesystem)
    yield f"{STAND_IN}artifact"
    default_filesystem_registry._filesystems.pop(STAND_IN)


def test_every_materializer_has_a_case(cases: dict[str, Case]) -> None:
    assert cases.keys() == MATERIALIZERS.keys()
    types = [kind for materializer in MATERIALIZERS.values() for kind in materializer.ASSOCIATED_TYPES]
    assert len(types) == len(set(types))


@pytest.mark.parametrize("name", list(MATERIALIZERS))
def test_what_is_stored_comes_back(name: str, uri: str, cases: dict[str, Case], tmp_path: Path) -> None:
    case, materializer = cases[name], MATERIALIZERS[name]
    data = case.make()
    stored = materializer(uri)
    stored.validate_save_type_compatibility(type(data))
    stored.save(data)
    digest = stored.compute_content_hash(data)
    read = materializer(uri).load(materializer.ASSOCIATED_TYPES[0])
    assert type(read) is type(data)
    assert case.about(read) == case.about(data)
    (tmp_path / "second").mkdir()
    again = materializer(str(tmp_path / "second"))
    again.save(read)
    assert again.compute_content_hash(read) == digest, "what was read has the same content"


@pytest.mark.parametrize("name", list(MATERIALIZERS))
def test_equal_content_has_an_equal_hash_and_nothing_else_has(
    name: str, cases: dict[str, Case], tmp_path: Path
) -> None:
    case, digests = cases[name], {}

    def digest(key: str, data: Any) -> str:
        stored = MATERIALIZERS[name](str(tmp_path / key))
        (tmp_path / key).mkdir()
        stored.save(data)
        digests[key] = stored.compute_content_hash(data)
        return digests[key]

    assert digest("first", case.make()) == digest("second", case.make())
    for key, make in case.others.items():
        digest(key, make())
    different = [value for key, value in digests.items() if key != "second"]
    assert len(set(different)) == len(different), digests


@pytest.mark.parametrize("name", list(MATERIALIZERS))
def test_metadata_is_what_zenml_keeps(name: str, cases: dict[str, Case], tmp_path: Path) -> None:
    data = cases[name].make()
    found = MATERIALIZERS[name](str(tmp_path)).extract_metadata(data)
    wanted = cases[name].metadata
    assert {key: found.get(key) for key in wanted} == wanted
    for key, value in found.items():
        assert get_metadata_type(value), key  # raises for a type that ZenML does not keep
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("name", list(MATERIALIZERS))
def test_a_person_has_something_to_look_at(name: str, uri: str, cases: dict[str, Case]) -> None:
    case, data = cases[name], cases[name].make()
    stored = MATERIALIZERS[name](uri)
    stored.save(data)
    shown = stored.save_visualizations(data)
    assert bool(shown) == (case.shown is not None)
    for place, kind in shown.items():
        assert place.startswith(uri)
        assert kind == VisualizationType.HTML
        path = StandInFilesystem.real(place) if uri.startswith(STAND_IN) else place
        page = Path(path).read_text()
        assert case.shown in page
        assert "<script" not in page
    read = MATERIALIZERS[name](uri).load(type(data))
    assert case.about(read) == case.about(data), "the page is no part of the artifact"


@pytest.fixture
def checkout() -> Iterator[None]:
    """ZenML takes the project's folder for the place that classes are imported from, as it does in a run."""
    source_utils.set_custom_source_root(str(Path(materializers.__path__[0]).parent))
    yield
    source_utils.set_custom_source_root(None)


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("name", list(MATERIALIZERS))
def test_zenml_names_the_class_as_it_is_imported(name: str) -> None:
    for kind in MATERIALIZERS[name].ASSOCIATED_TYPES:
        assert source_utils.resolve(kind).import_path == f"{kind.__module__}.{kind.__qualname__}"
        assert kind.__module__.startswith("clip_har.")


def test_where_the_data_lie_is_not_what_they_are(cases: dict[str, Case], tmp_path: Path) -> None:
    """Moved or renamed data rerun nothing; neither does code that the first step wrote down."""
    manifest = cases["manifest"].make()
    moved = replace(manifest, root="/elsewhere", frame=manifest.frame.assign(data_revision="v2"))
    stored = MATERIALIZERS["manifest"](str(tmp_path))
    assert stored.compute_content_hash(moved) == stored.compute_content_hash(manifest)
    first = DataFingerprint(data_hash="d", records=3, code_hash="c")
    stored = MATERIALIZERS["fingerprint"](str(tmp_path))
    assert stored.compute_content_hash(first.model_copy(update={"code_hash": "x"})) == stored.compute_content_hash(
        first
    )


def test_a_bundle_damaged_in_the_store_is_refused(cases: dict[str, Case], tmp_path: Path) -> None:
    stored = MATERIALIZERS["model_bundle"](str(tmp_path))
    stored.save(cases["model_bundle"].make())
    shutil.copy(tmp_path / "bundle" / "config.json", tmp_path / "bundle" / "tokenizer_config.json")
    with pytest.raises(BundleError, match=r"damaged: tokenizer_config\.json"):
        stored.load(ModelBundle)
