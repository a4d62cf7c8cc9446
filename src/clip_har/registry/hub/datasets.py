"""Versions of the data on the Hub: pictures as Parquet that `datasets` loads, and beside them all that makes a version.

README.md                the dataset card
data/<split>-….parquet   pictures with class and the Manifest's columns
clip_har/                what a version has beside its pictures: Manifest, validation, inspection; version.json
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clip_har.data.manifest import Manifest
from clip_har.data.sources.base import Progress
from clip_har.data.versions.config import DataVersion
from clip_har.errors import DataError
from clip_har.registry.hub.client import HubRepository, Sent, files_to_send
from clip_har.registry.hub.config import HubConfig, HubReference
from clip_har.registry.hub.failures import HubError
from clip_har.registry.hub.parquet import data_files, read_pictures, write_parquet
from clip_har.storage import new_folder, write_atomic

if TYPE_CHECKING:
    from clip_har.data.versions.store import PublishedData, VersionStore

_ABOUT, _VERSION, _CARD = "clip_har", "clip_har/version.json", "README.md"
_MANIFEST, _VALIDATION, _INSPECTION = "manifest.parquet", "validation", "inspection"
_IMAGES = "images"


@dataclass(frozen=True)
class PulledData:
    """A version of the data, fetched.

    Attributes:
        folder: has the pictures in `images/`, and in `manifest/` what is known of them.
        version: what it was where it was published; its commit means nothing elsewhere, its hashes do.
        manifest: its Manifest, with the pictures in `folder`.
    """

    folder: Path
    version: DataVersion
    manifest: Manifest

    def publish(self, store: VersionStore, tag: str | None = None, progress: Progress | None = None) -> DataVersion:
        """Make it a version of a workspace: the same Manifest, splits included.

        Raises:
            DataError: if it cannot be published there.
        """
        from clip_har.data.validation import Inspection, ValidationReport

        about = self.folder / "manifest"
        own = (_MANIFEST, f"{_VALIDATION}/", f"{_INSPECTION}/")
        names = [path.relative_to(about).as_posix() for path in about.rglob("*") if path.is_file()]
        version = store.publish(
            self.manifest,
            ValidationReport.read(about / _VALIDATION),
            Inspection.read(about / _INSPECTION),
            source_key=self.version.source_key,
            files={name: (about / name).read_bytes() for name in names if not name.startswith(own)},
            tag=tag,
            progress=progress,
        )
        if (version.manifest_hash, version.dvc_hash) != (self.version.manifest_hash, self.version.dvc_hash):
            raise DataError(
                f"What was published here is not what was fetched: Manifest {version.manifest_hash[:12]}, pictures "
                f"{version.dvc_hash[:12]}."
            )
        return version


def stage_dataset(data: PublishedData, repository: str, target: str | Path, progress: Progress | None = None) -> Path:
    """Write exactly what is sent into a new folder.

    Args:
        repository: OWNER/NAME, for the card.
        progress: of writing the pictures into Parquet.

    Raises:
        DataError: if a picture was changed.
    """
    with new_folder(target) as folder:
        shutil.copytree(data.folder / "manifest", folder / _ABOUT, copy_function=shutil.copyfile)
        write_atomic(folder / _VERSION, data.version.to_json())
        write_atomic(folder / _CARD, _card(data, repository))
        write_parquet(data.manifest, folder, progress)
    return Path(target)


def push_dataset(
    data: PublishedData,
    config: HubConfig,
    *,
    dry_run_folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Sent:
    """Send a version of the data, so that the branch has it and nothing else, and name it by tags.

    Args:
        data: an opened version.
        dry_run_folder: where what would be sent is written if `config.dry_run`; nothing is asked of the Hub then.
        progress: of writing the pictures into Parquet.

    Raises:
        HubError: see `HubRepository.send`.
        DataError: if a picture was changed.
    """
    named = tuple(dict.fromkeys([*((config.tag,) if config.tag else ()), *data.version.tags]))
    own_tag = f"data-{data.version.manifest_hash[:12]}"
    if config.dry_run:
        if dry_run_folder is None:
            raise HubError("A dry run needs a folder to write what would be sent.")
        return Sent(
            repository=config.repository,
            kind="dataset",
            revision=config.revision,
            private=config.private,
            tags=(*named, own_tag),
            files=files_to_send(stage_dataset(data, config.repository, dry_run_folder, progress)),
            dry_run=True,
        )
    with tempfile.TemporaryDirectory(prefix=".hub-", dir=data.folder.parent.parent) as temporary:  # the workspace
        return HubRepository(config.repository, "dataset", config.timeout).send(
            stage_dataset(data, config.repository, Path(temporary) / "data", progress),
            private=config.private,
            revision=config.revision,
            tags=named,
            own_tag=own_tag,
            message=config.message or f"{data.version.samples} pictures, Manifest {data.version.manifest_hash[:12]}",
        )


def pull_dataset(repository: str, revision: str | None = None, target: str | Path = "data") -> PulledData:
    """Fetch a version of the data into a new folder; every picture's bytes are checked against its id.

    Args:
        repository: OWNER/NAME of the data set.
        revision: branch, tag or commit; the branch `main` if not given.

    Raises:
        HubError: if the Hub cannot be read. After a broken connection the same call goes on from there.
        DataError: if it was not pushed by clip_har, is not what was pushed, or `target` is not empty.
    """
    reference, target = HubReference.of(repository, revision), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} exists already and is not an empty folder. Name a new one.")
    hub = HubRepository(repository, "dataset")
    commit = hub.commit(reference.revision)
    names = hub.files(commit)
    if _VERSION not in names:
        raise DataError(
            f"{reference} has no {_VERSION}: it was not pushed by clip_har. Any other data set is read with "
            f"data.source=hub data.dataset={repository}."
        )
    wanted = [name for name in names if name.startswith((f"{_ABOUT}/", "data/")) or name == _CARD]
    hub.fetch(commit, wanted, target, lambda folder: _lay_out(folder, reference))
    version = DataVersion.model_validate_json((target / "version.json").read_text())
    return PulledData(target, version, _manifest(target))


def _manifest(folder: Path) -> Manifest:
    stored = Manifest.read(folder / "manifest" / _MANIFEST)
    return replace(stored, root=str((folder / _IMAGES).absolute()))


def _lay_out(folder: Path, reference: HubReference) -> None:
    """Turn what was fetched into `images/`, `manifest/` and `version.json`, each picture checked."""
    try:
        version = DataVersion.model_validate_json((folder / _VERSION).read_text())
    except ValueError as error:
        raise DataError(f"{reference}: its {_VERSION} cannot be read: {error}") from None
    (folder / _ABOUT).rename(folder / "manifest")
    (folder / "manifest" / "version.json").rename(folder / "version.json")
    manifest = _manifest(folder)
    if manifest.content_hash != version.manifest_hash:
        raise DataError(f"{reference}: the Manifest is not the one that was published. Nothing was kept.")
    uris = dict(zip(manifest.frame["id"], manifest.frame["uri"], strict=True))
    for identity, uri, data in read_pictures(sorted((folder / "data").glob("*.parquet"))):
        if uris.pop(identity, None) != uri or hashlib.sha256(data).hexdigest() != identity:
            raise DataError(
                f"{reference}: the picture {uri!r} is not the one that the Manifest names. Nothing was kept."
            )
        _require_inside(uri)
        write = folder / _IMAGES / uri
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_bytes(data)
    if uris:
        raise DataError(f"{reference}: {len(uris)} pictures of the Manifest are missing. Nothing was kept.")
    shutil.rmtree(folder / "data")


def _require_inside(uri: str) -> None:
    path = PurePosixPath(uri)
    if path.is_absolute() or ".." in path.parts or "\\" in uri:
        raise DataError(f"{uri!r} is not a plain path below the folder of the data.")


def _card(data: PublishedData, repository: str) -> str:
    """The version's own dataset card, told which files are whose split."""
    from huggingface_hub import DatasetCard

    made = data.folder / "manifest" / _CARD
    card = DatasetCard(made.read_text(encoding="utf-8") if made.is_file() else f"---\n{{}}\n---\n\n# {_ABOUT}\n")
    files = [{"split": split, "path": pattern} for split, pattern in data_files(data.manifest).items()]
    card.data["configs"] = [{"config_name": "default", "data_files": files}]
    loading = (
        "## Use\n\n```python\nimport datasets\n\n"
        f'photographs = datasets.load_dataset("{repository}", split="{files[0]["split"]}")\n```\n\n'
        f"With clip-har, the same version with the same splits: `clip-har hub pull-data {repository}`.\n"
    )
    return f"---\n{card.data.to_yaml()}\n---\n\n{card.text.strip()}\n\n{loading}"
