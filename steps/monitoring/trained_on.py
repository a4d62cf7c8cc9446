"""Which pictures models have seen: those of the data of every version in the registry."""

import io

from clip_har.data.manifest import Manifest
from clip_har.data.versions import VersionStore
from clip_har.errors import DataError
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry

_MANIFEST = "manifest.parquet"


def pictures_trained_on(bundle: ModelBundle, workspace: str, remote: str | None) -> frozenset[str]:
    """Ids (sha256 of their bytes) of all pictures in the data of this model, and of all that were compared with a champion.

    Labels that a model was made with that lost are not new either: the same labels would give the same model again.
    """
    store = VersionStore(workspace, remote)
    models = [ModelBundle.load(version.path, verify=False) for version in Registry.of(workspace).versions()]
    revisions = {one.info.data_revision for one in (bundle, *models)}
    return frozenset().union(*(pictures_of(store, revision) for revision in revisions))


def pictures_of(store: VersionStore, revision: str) -> frozenset[str]:
    """Ids of the pictures in a version of the data; none if it is not here (or the data were never published)."""
    try:
        stored = store.read(store.resolve(revision), _MANIFEST)
    except DataError:
        return frozenset()
    return frozenset() if stored is None else frozenset(Manifest.read(io.BytesIO(stored)).frame["id"])
