"""Test photographs that two models can be compared on, and what a bundle makes of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.versions import DataVersion, VersionStore
from clip_har.errors import DataError
from clip_har.inference.predictor import Predictor
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import EmbeddingSet

TEST = "test"
NEWEST, CHAMPIONS = "the newest data", "the data of the champion"


@dataclass(frozen=True)
class ComparedData:
    """Test photographs of one version of the data.

    Attributes:
        name: which, in words.
        revision: the version.
        samples: those that neither model was fitted on.
        left_out: the number of others.
    """

    name: str
    revision: str
    samples: Manifest
    left_out: int


def data_to_compare_on(
    newest: Manifest, store: VersionStore, challenger: ModelBundle, champion: ModelBundle | None
) -> tuple[list[ComparedData], list[str]]:
    """The test photographs of the newest data, and of those that the champion was trained on where they are others.

    Returns:
        The data, the newest first; and what is to be said about data that are missing.
    """
    bundles = [challenger] if champion is None else [challenger, champion]
    versions = [_version(store, bundle.info.data_revision) for bundle in bundles]
    fitted_on = [stored for version in versions if version and (stored := _stored(store, version)) is not None]
    revision = str(newest.frame["data_revision"].iloc[0])
    found, notes = [ComparedData(NEWEST, revision, *unseen_test(newest, fitted_on))], []
    if versions[0] is None and challenger.info.data_hash != newest.content_hash:
        notes.append(
            f"The data that the challenger was trained on ({challenger.info.data_revision[:12]}) are not here: photographs "
            "that it was fitted on could not be left out."
        )
    if champion is None or champion.info.data_hash == newest.content_hash:
        return found, notes
    if versions[1] is None:
        missing = champion.info.data_revision[:12]
        notes.append(
            f"The data that the champion was trained on ({missing}) are not here: it was not compared on them."
        )
        return found, notes
    own = store.open(versions[1]).manifest
    return [*found, ComparedData(CHAMPIONS, versions[1].git_revision, *unseen_test(own, fitted_on))], notes


def _version(store: VersionStore, revision: str) -> DataVersion | None:
    """A published version, or None if it is not in this workspace."""
    try:
        return store.resolve(revision)
    except DataError:
        return None


def _stored(store: VersionStore, version: DataVersion) -> Manifest | None:
    """A version's Manifest, without laying its pictures out; None if it cannot be had any more."""
    try:
        stored = store.read(version, "manifest.parquet")
    except DataError:
        return None
    return None if stored is None else Manifest.read(io.BytesIO(stored))


def unseen_test(manifest: Manifest, fitted_on: Iterable[Manifest]) -> tuple[Manifest, int]:
    """The test photographs of a Manifest without those that a model was fitted, chosen or calibrated on, and the number of
    those. A picture keeps its split in every later version of the same data; other data may share pictures with these.

    Args:
        fitted_on: the Manifests that the models were made from.
    """
    test = replace(manifest, frame=manifest.frame[manifest.frame["split"] == TEST].reset_index(drop=True))
    seen: set[str] = set()
    for other in fitted_on:
        rows = other.frame[other.frame["split"] != TEST]
        seen |= {*rows["id"], *rows["group"]}
    used = test.frame["id"].isin(seen) | test.frame["group"].isin(seen)
    return replace(test, frame=test.frame[~used].reset_index(drop=True)), int(used.sum())


def bundle_probabilities(
    bundle: ModelBundle,
    samples: Manifest,
    compute: ComputeConfig,
    *,
    embed: Callable[[Manifest, Predictor], EmbeddingSet],
    limits: ImageLimits | None = None,
) -> np.ndarray:
    """Calibrated probabilities of the bundle's own labels, float32 [n, c], through the encoder in PyTorch.

    Args:
        samples: of any labels.
        embed: gives what the Predictor's encoder makes of the samples, from a cache for example.
        limits: of decoding.
    """
    predictor = Predictor.load(
        bundle, "torch", device=compute.device, batch_size=compute.batch_size, limits=limits, threads=compute.threads
    )
    if not len(samples):
        return np.empty((0, len(bundle.labels)), dtype=np.float32)
    return predictor.score_embeddings(embed(samples, predictor).of(samples.ids))
