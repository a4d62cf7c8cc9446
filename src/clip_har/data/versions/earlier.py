"""Where pictures lie in the versions that have been published."""

from __future__ import annotations

import io

from clip_har.data.manifest import Manifest
from clip_har.data.splits import EarlierSplits, SplitConfig
from clip_har.data.versions.store import VersionStore
from clip_har.hashing import canonical_json

SPLITS_FILE = "splits.json"
"""File beside a version's Manifest with the config that it was split by."""


def splits_file(config: SplitConfig) -> str:
    """The content of `SPLITS_FILE`."""
    return canonical_json(config.model_dump(mode="json")) + "\n"


def earlier_splits(store: VersionStore, config: SplitConfig) -> EarlierSplits:
    """The places of all pictures in versions that were split by this config."""
    manifests = []
    for version in store.versions():
        if store.read(version, SPLITS_FILE) == splits_file(config).encode():
            stored = store.read(version, "manifest.parquet")
            assert stored is not None
            manifests.append(Manifest.read(io.BytesIO(stored)))
    return EarlierSplits.of(manifests)
