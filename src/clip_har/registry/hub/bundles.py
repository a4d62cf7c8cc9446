"""Bundles on the Hub: the core at the repository's root, where plain transformers loads it, the chosen attachments, and a card."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from clip_har.errors import BundleError
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.registry.hub.client import HubRepository, Sent, files_to_send
from clip_har.registry.hub.config import HubConfig, HubReference
from clip_har.registry.hub.failures import HubError
from clip_har.storage import exclusive, new_folder, write_atomic

_CHECKSUMS = "clip_har/checksums.json"
_CARD = "README.md"
_CACHE = "hub"


def own_tag(bundle: ModelBundle) -> str:
    """The tag that a bundle has on the Hub in any case."""
    return f"model-{bundle.model_id[:12]}"


def stage_bundle(bundle: ModelBundle, card: str, config: HubConfig, target: str | Path) -> Path:
    """Write exactly what is sent into a new folder: core, chosen attachments, card.

    Raises:
        BundleError: if a file of the core is damaged, or an attachment was made for another model.
    """
    ModelBundle.load(bundle.path)
    names = [_CHECKSUMS, *json.loads((bundle.path / _CHECKSUMS).read_text())]
    for kind in config.sent_attachments:
        if (bundle.path / ATTACHMENTS / kind).is_dir():
            folder = bundle.attachment(kind)
            found = (path for path in folder.rglob("*") if path.is_file())
            names += [path.relative_to(bundle.path).as_posix() for path in found]
    with new_folder(target) as folder:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _link(bundle.path / name, folder / name)
        write_atomic(folder / _CARD, card)
    return Path(target)


def push_bundle(bundle: ModelBundle, card: str, config: HubConfig, *, dry_run_folder: str | Path | None = None) -> Sent:
    """Send a bundle, so that the branch has it and nothing else, and name it by tags.

    Pushing again what broke half-way, or what is there already, sends only what is missing.

    Args:
        card: README.md, as `render_model_card` makes it.
        dry_run_folder: where what would be sent is written if `config.dry_run`; nothing is asked of the Hub then.

    Raises:
        HubError: see `HubRepository.send`.
        BundleError: if the bundle is damaged.
    """
    tags = (config.tag,) if config.tag else ()
    if config.dry_run:
        if dry_run_folder is None:
            raise HubError("A dry run needs a folder to write what would be sent.")
        folder = stage_bundle(bundle, card, config, dry_run_folder)
        return Sent(
            repository=config.repository,
            kind="model",
            revision=config.revision,
            private=config.private,
            tags=tuple(dict.fromkeys([*tags, own_tag(bundle)])),
            files=files_to_send(folder),
            dry_run=True,
        )
    with tempfile.TemporaryDirectory(prefix="clip-har-hub-") as temporary:
        return HubRepository(config.repository, timeout=config.timeout).send(
            stage_bundle(bundle, card, config, Path(temporary) / "bundle"),
            private=config.private,
            revision=config.revision,
            tags=tags,
            own_tag=own_tag(bundle),
            message=config.message or f"{bundle.info.method} {bundle.model_id[:12]}",
        )


def pull_bundle(repository: str, revision: str | None = None, target: str | Path = "bundle") -> ModelBundle:
    """Fetch a bundle into a folder, its checksums verified; nothing else of the repository comes along.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag or commit; the branch `main` if not given.
        target: a new folder. If the same bundle is there already, nothing is fetched.

    Raises:
        HubError: if the Hub cannot be read. After a broken connection the same call goes on from there.
        BundleError: if what is there is no bundle, or a damaged one, or `target` has something else.
    """
    reference = HubReference.of(repository, revision)
    hub = HubRepository(repository)
    return _pull(hub, reference, hub.commit(reference.revision), Path(target))


def pulled_bundle(reference: HubReference, workspace: str | Path) -> Path:
    """The folder of a bundle of the Hub, below `<workspace>/hub`, fetched if it is not there.

    Where the Hub cannot be reached, the commit that the revision last stood for is used, if it was fetched.

    Raises:
        HubError, BundleError: see `pull_bundle`.
    """
    hub = HubRepository(reference.repository)
    place = Path(workspace) / _CACHE
    name = reference.repository.replace("/", "--")
    remembered = place / f"{name}.revisions" / f"{reference.revision.replace('/', '--')}.txt"
    try:
        commit = hub.commit(reference.revision)
    except HubError:
        if not remembered.is_file():
            raise
        commit = remembered.read_text().strip()
        if not (place / f"{name}@{commit}").is_dir():
            raise
        return place / f"{name}@{commit}"
    target = place / f"{name}@{commit}"
    with exclusive(place / ".lock"):
        if not _is_whole(target):
            shutil.rmtree(target, ignore_errors=True)
            _pull(hub, reference, commit, target)
        write_atomic(remembered, f"{commit}\n")
    return target


def _pull(hub: HubRepository, reference: HubReference, commit: str, target: Path) -> ModelBundle:
    names = hub.files(commit)
    if _CHECKSUMS not in names:
        raise BundleError(f"{reference} is no model bundle of clip_har: there is no {_CHECKSUMS} in it.")
    listed = hub.read(commit, _CHECKSUMS)
    if target.is_dir() and any(target.iterdir()):
        return _the_same(target, listed, reference)
    try:
        core = set(json.loads(listed))
    except ValueError as error:
        raise BundleError(f"{reference} is a damaged bundle: its {_CHECKSUMS} is no JSON ({error}).") from None
    wanted = [name for name in names if name in {*core, _CHECKSUMS, _CARD} or name.startswith(f"{ATTACHMENTS}/")]
    hub.fetch(commit, wanted, target, lambda folder: _check(folder, reference))
    return ModelBundle.load(target, verify=False)


def _is_whole(folder: Path) -> bool:
    try:
        ModelBundle.load(folder)
    except BundleError:  # not there, or spoilt since
        return False
    return True


def _check(folder: Path, reference: HubReference) -> None:
    try:
        ModelBundle.load(folder)
    except BundleError as error:
        raise BundleError(f"{str(error).replace(str(folder), str(reference))} Nothing was kept.") from None


def _the_same(target: Path, listed: bytes, reference: HubReference) -> ModelBundle:
    """The bundle that is there already, if it is the one that is wanted."""
    if (target / _CHECKSUMS).is_file() and json.loads((target / _CHECKSUMS).read_text()) == json.loads(listed):
        return ModelBundle.load(target)
    raise BundleError(f"{target} has something else in it than {reference}. Name a new folder.")


def _link(source: Path, target: Path) -> None:
    """A second name for the file where the disk allows, else a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)
