"""Bundles as the registry keeps them: copied whole or not at all, by links where the disk has them.

A bundle's core never changes once it is written, so that one file may stand in several folders. Attachments (exported
forms, reports) may be added to a version later; each is replaced as a whole, and the core is not touched.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from clip_har.hashing import sha256_folder
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.registry.records import RegistryError
from clip_har.storage import new_folder

_NEW, _OLD = ".new", ".old"


def store_bundle(bundle: ModelBundle, place: Path) -> None:
    """Copy a bundle to a place that does not exist, verified before it gets its name.

    Raises:
        BundleError: if it is damaged.
    """
    with new_folder(place) as folder:
        shutil.copytree(bundle.path, folder, copy_function=link_or_copy, dirs_exist_ok=True)
        found = ModelBundle.load(folder).model_id
        if found != bundle.model_id:
            raise RegistryError(f"{bundle.path} changed while it was copied: it was {bundle.model_id}, and is {found}.")


def refresh_attachments(bundle: ModelBundle, place: Path) -> list[str]:
    """Bring the attachments of a stored version up to those of `bundle`; what `bundle` lacks stays.

    Returns:
        Those that were added or replaced.
    """
    source, target = bundle.path / ATTACHMENTS, place / ATTACHMENTS
    changed = []
    for attachment in sorted(path for path in source.glob("*") if path.is_dir() and not path.name.startswith(".")):
        stored = target / attachment.name
        if stored.is_dir() and sha256_folder(stored) == sha256_folder(attachment):
            continue
        made, old = (target / f".{attachment.name}{suffix}" for suffix in (_NEW, _OLD))
        for leftover in (made, old):
            shutil.rmtree(leftover, ignore_errors=True)
        with new_folder(made) as folder:
            shutil.copytree(attachment, folder, copy_function=link_or_copy, dirs_exist_ok=True)
        if stored.exists():
            os.rename(stored, old)
        os.rename(made, stored)
        shutil.rmtree(old, ignore_errors=True)
        changed.append(attachment.name)
    return changed


def clear_leftovers(bundles: Path) -> None:
    """Remove what a killed writer left among stored bundles; an attachment that it had moved away comes back."""
    for path in bundles.glob(".*.partial"):
        shutil.rmtree(path, ignore_errors=True)
    for old in bundles.glob(f"*/{ATTACHMENTS}/.*{_OLD}"):
        name = old.with_name(old.name.removeprefix(".").removesuffix(_OLD))
        if not name.exists():
            os.rename(old, name)
    for pattern in (f".*{_OLD}", f".*{_NEW}", ".*.partial"):
        for path in bundles.glob(f"*/{ATTACHMENTS}/{pattern}"):
            shutil.rmtree(path, ignore_errors=True)


def link_or_copy(source: str, target: str) -> None:
    """The same file under another name; a copy on another disk, or one without links."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
