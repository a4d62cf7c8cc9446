"""The labelled photographs that a pipeline works on: a published version, or the source as it lies now."""

from __future__ import annotations

from typing import Any

from clip_har.config import RunConfig
from clip_har.data.fingerprint import source_key
from clip_har.data.sources import source_modules
from clip_har.data.sources.base import CURRENT
from clip_har.data.versions import VersionStore
from clip_har.hashing import sha256_file, sha256_json
from pipelines.caching import on_its_code
from steps.code import code_of
from steps.data.deduplicate_data import deduplicate_data
from steps.data.ingest_data import current_fingerprint, ingest_data
from steps.data.open_data import open_data
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data

_STEPS = ("ingest_data", "validate_data", "deduplicate_data", "split_data")


def labelled_data(
    config: RunConfig, workspace: str, version: str | None, *, split: bool = True
) -> tuple[Any, Any, Any]:
    """The steps that give (manifest, validation report, fingerprint); called inside a pipeline.

    Args:
        version: a published one, or None to take the source as it lies now and publish nothing.
        split: whether splits are needed; where not, data too few for them will do.
    """
    if version is not None:
        return open_data(version=version, workspace=workspace, remote=config.workspace.remote)
    manifest, report, _, fingerprint = source_data(config, workspace, split=split)
    return manifest, report, fingerprint


def source_data(config: RunConfig, workspace: str, *, split: bool = True) -> tuple[Any, Any, Any, Any]:
    """The steps from the source to (manifest, validation report, inspection, fingerprint); called inside a pipeline."""
    data = config.data.model_dump(mode="json")  # whole: ZenML leaves out what a config does not set itself
    fingerprint, earlier = ingest_data(data=data, splits=config.splits, workspace=workspace)
    validated, first_report, inspection = on_its_code(validate_data, *source_modules(config.data))(
        fingerprint=fingerprint, data=data, validation=config.validation, workspace=workspace
    )
    manifest, report = on_its_code(deduplicate_data)(
        validated=validated, first_report=first_report, inspection=inspection, validation=config.validation
    )
    if split:
        manifest, report = on_its_code(split_data)(
            deduplicated=manifest, second_report=report, earlier=earlier, splits=config.splits
        )
    return manifest, report, inspection, fingerprint


def plan_of_labelled_data(version: str | None, *, split: bool = True) -> list[str]:
    """Names of the steps that `labelled_data` has."""
    if version is not None:
        return ["open_data"]
    return list(_STEPS if split else _STEPS[:-1])


def settings_hash(config: RunConfig) -> str:
    """sha256 of what a version is made with: the settings, and the code of the steps that make it."""
    modules = (f"steps.data.{name}" for name in _STEPS)
    files = code_of(*modules, *source_modules(config.data))
    code = sorted(sha256_file(file) for file in files)
    settings = [config.validation.model_dump(mode="json"), config.splits.model_dump(mode="json")]
    return sha256_json([config.data.content(), settings, code])


def published_version(config: RunConfig, workspace: str) -> str | None:
    """The Git revision of the version that `data.version` names; None if the source as it lies now has none.

    Raises:
        DataError: if a tag, branch or commit is named that does not exist.
    """
    store = VersionStore(workspace, config.workspace.remote)
    if config.data.version != CURRENT:
        return store.resolve(config.data.version).git_revision
    versions = store.versions()
    if not versions:
        return None
    key = source_key(current_fingerprint(config.data, workspace), settings_hash(config))
    return next((version.git_revision for version in versions if version.source_key == key), None)
