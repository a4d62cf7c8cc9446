"""Models that are watched: fitted, with a reference profile, and pictures that neither fit nor profile has seen."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from bundles import MODELS, make_bundle
from measuring import HAR, PROJECT, SHARED

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.base import AdaptationContext
from clip_har.data.manifest import Manifest
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.splits import SplitConfig, split_manifest
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.hashing import sha256_file, sha256_json
from clip_har.inference.predictor import Predictor
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet, preprocessing_hash
from clip_har.models.prompts import PromptConfig
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.observing import answers_of, observe
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.progress import progress
from clip_har.storage import new_folder

OUT_OF_DOMAIN = SHARED / "data" / "out_of_domain"
OBSERVED_BY = ("capture/statistics.py", "models/preprocessing.py", "monitoring/observing.py")
PHOTOGRAPH_SPLITS = {"train": 0.16, "validation": 0.1, "calibration": 0.26, "test": 0.48}


@dataclass(frozen=True)
class Watched:
    """A model with its profile, and the pictures that windows are drawn from.

    Attributes:
        profile: made from other splits.
        pool: of the test split, with the truth.
        files: id → file.
        train: pictures that it was fitted on.
    """

    predictor: Predictor
    profile: ReferenceProfile
    pool: Observations
    files: dict[str, Path]
    train: int


@dataclass(frozen=True)
class World:
    """Pictures, and an image encoder that models are made from.

    Every picture is encoded once: a linear probe leaves the encoder as it is, so that the probes of all partitions of the data
    answer from the same embeddings.

    Attributes:
        source: of the data, as in a run's config.
        backbone: one of `bundles.MODELS`.
        splits: their shares.
        folder: where observations are kept.
        every: of so many pictures one is used.
    """

    name: str
    source: dict[str, Any]
    backbone: str
    splits: dict[str, float]
    folder: Path
    every: int = 1
    _watched: dict[str, Watched] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Manifest:
        """Accepted pictures, near-duplicates grouped, not yet split."""
        file, config = self.folder / "manifest.parquet", ValidationConfig()
        if not file.is_file():
            source = build_source(parse_source_config(self.source), str(self.folder))
            with progress(f"{self.name}: preparing") as report:
                source.prepare(report)
            with progress(f"{self.name}: validating") as report:
                found, first, inspection = validate(source, config, progress=report)
            deduplicate(found, first, inspection, config)[0].write(file)
        found = Manifest.read(file)
        return replace(found, frame=found.frame[:: self.every].reset_index(drop=True))

    @cached_property
    def files(self) -> dict[str, Path]:
        """Id → file."""
        return dict(zip(self.manifest.ids, self.manifest.paths, strict=True))

    @cached_property
    def observer(self) -> Predictor:
        """The backbone itself, with an ONNX form of its image encoder."""
        bundle, _ = make_bundle(self.backbone, self._scratch / "backbone", ("onnx",))
        return Predictor.load(bundle, "onnx", device="cpu")

    @cached_property
    def observed(self) -> Observations:
        """All pictures of the Manifest, with their truth."""
        ids, paths = self.manifest.ids, self.manifest.paths
        return self.kept(ids, lambda: self.observe("observing", paths, ids, self.manifest.label_indices))

    def split(self, seed: int) -> Manifest:
        """The data in a partition: nearly alike pictures lie on one side."""
        return split_manifest(self.manifest, SplitConfig(**self.splits, seed=seed))

    def watched(self, seed: int, config: ProfileConfig) -> Watched:
        """The model of a partition, with the profile that `deploy` would make of it."""
        key = sha256_json([seed, config.model_dump(mode="json")])
        if key not in self._watched:
            self._watched[key] = self._watch(seed, config)
        return self._watched[key]

    def _watch(self, seed: int, config: ProfileConfig) -> Watched:
        manifest = self.split(seed)
        predictor = Predictor(self._fit(manifest, seed), self.observer.runtime, device="cpu")
        observed = answered_by(self.observed, predictor)
        with progress(f"{self.name}: reference profile") as report:
            profile = ReferenceProfile.made_of(
                observed.take(_places(observed, manifest, config.splits)), config, splits=config.splits, progress=report
            )
        pool = observed.take(_places(observed, manifest, ("test",)))
        return Watched(predictor, profile, pool, self.files, len(manifest.split("train")))

    def observe(self, what: str, paths: Sequence[Path], ids: Sequence[str], truth: np.ndarray) -> Observations:
        """Pictures as the image encoder sees them."""
        with progress(f"{self.name}: {what}") as report:
            return observe(self.observer, paths, ids=ids, truth=truth, progress=report)

    def kept(self, about: Any, make: Callable[[], Observations]) -> Observations:
        """What was observed by this encoder, and measured by this code, before, or is now."""
        code = [sha256_file(PROJECT / "src" / "clip_har" / file) for file in OBSERVED_BY]
        place = self.folder / "observations" / sha256_json([about, *self._encoder_key, *code])[:24]
        if not place.is_dir():
            made = make()
            with new_folder(place) as folder:
                made.write(folder)
        return Observations.read(place)

    @cached_property
    def _scratch(self) -> Path:
        place = tempfile.mkdtemp(prefix="clip-har-figures-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        return Path(place)

    @cached_property
    def _encoder(self) -> DualEncoder:
        return DualEncoder.load(ModelConfig(backbone=str(MODELS[self.backbone])), "cpu")

    @cached_property
    def _encoder_key(self) -> tuple[str, str]:
        return self._encoder.image_encoder_hash(), preprocessing_hash(self._encoder.preprocessing)

    def _fit(self, manifest: Manifest, seed: int) -> ModelBundle:
        """A linear probe of a partition, calibrated, as a bundle."""
        compute, prompts = ComputeConfig(device="cpu"), PromptConfig()
        config = parse_method_config({"method": "linear_probe"})
        embeddings = EmbeddingSet(self.observed.ids, self.observed.embeddings, *self._encoder_key)
        context = AdaptationContext(self._encoder, manifest, embeddings, prompts, compute, seed)
        adapted = METHODS.get("linear_probe")(config).adapt(context, "linear_probe")
        target = self._scratch / "bundles" / str(seed)
        shutil.rmtree(target, ignore_errors=True)
        model = ModelConfig(backbone=str(MODELS[self.backbone]))
        return assemble_bundle(target, adapted, manifest, embeddings, model, prompts, compute, {})


@cache
def photographs(folder: Path, quick: bool = False) -> World:
    """Real ones: a sixth is fitted on, and half is left for windows."""
    source = {"source": "csv", "path": str(HAR)}
    every = 3 if quick else 1
    return World("photographs", source, "har_dual_encoder", PHOTOGRAPH_SPLITS, folder / "photographs", every)


@cache
def drawn_world(folder: Path, quick: bool = False) -> World:
    """The default configuration's sample and backbone, split as it is there."""
    shares = SplitConfig().model_dump(exclude={"seed"})
    source = {"source": "samples"} | ({"per_class": 24} if quick else {})
    place = folder / ("drawn_world_quick" if quick else "drawn_world")
    return World("drawn world", source, "tiny-clip", shares, place)


def answered_by(observed: Observations, predictor: Predictor) -> Observations:
    """The same embeddings as another model with the same image encoder answers them."""
    probabilities = predictor.score_embeddings(observed.embeddings)
    return replace(
        observed,
        model_id=predictor.bundle.model_id,
        labels=predictor.bundle.labels,
        probabilities=probabilities,
        **answers_of(predictor.bundle, probabilities),
    )


def joined(first: Observations, second: Observations) -> Observations:
    """Pictures of both, of the same model."""

    def both(one: Any, other: Any) -> Any:
        if isinstance(one, np.ndarray):
            return np.concatenate([one, other])
        if isinstance(one, dict):
            return {name: both(values, other[name]) for name, values in one.items()}
        return one + other

    arrays = ("predicted", "confidence", "abstained", "embeddings", "probabilities", "figures", "truth", "ids")
    whole = {name: both(getattr(first, name), getattr(second, name)) for name in arrays}
    return replace(first, pictures=None, times=None, **whole)


def unlabelled(observed: Observations) -> Observations:
    """A window as it comes: without truth."""
    return replace(observed, truth=None)


def _places(observed: Observations, manifest: Manifest, splits: Iterable[str]) -> np.ndarray:
    """bool [n]: which pictures lie in splits."""
    wanted = set(manifest.frame["id"][manifest.frame["split"].isin(list(splits))])
    return np.array([identity in wanted for identity in observed.ids])
