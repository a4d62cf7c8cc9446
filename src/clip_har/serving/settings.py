"""Where a process finds its settings and its model: a file, the environment, or what was packed beside it.

CLIP_HAR_SERVING=serving.yaml                     settings from a file: the fields of ServingConfig
CLIP_HAR_SERVING__QUEUE__DEADLINE_SECONDS=2       one of them, above the file; values as in YAML
CLIP_HAR_BUNDLE=folder                            the model
CLIP_HAR_WORKSPACE=folder, CLIP_HAR_OUTPUTS=…     or: the workspace's champion, followed; else the newest bundle
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_har.component import validated
from clip_har.errors import ConfigError, DataError
from clip_har.models.bundle import ModelBundle
from clip_har.serving.config import ServingConfig

FILE, PREFIX = "CLIP_HAR_SERVING", "CLIP_HAR_SERVING__"
BUNDLE, WORKSPACE, OUTPUTS = "CLIP_HAR_BUNDLE", "CLIP_HAR_WORKSPACE", "CLIP_HAR_OUTPUTS"
_PACKED_BUNDLE, _PACKED_SETTINGS = "bundle", "serving.yaml"
_SECTION = "serving"
_MARK = Path("clip_har") / "bundle.json"


def load_settings(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> ServingConfig:
    """The settings of this process.

    Args:
        environment: variables; the process's own if not given.
        folder: where a Bento's `serving.yaml` lies; found if not given.

    Raises:
        ConfigError: if the file cannot be read, or anything in it or in the environment is no setting.
    """
    environment = os.environ if environment is None else environment
    folder = packed_folder() if folder is None else folder
    packed = None if folder is None else folder / _PACKED_SETTINGS
    named = environment.get(FILE)
    file = Path(named) if named else packed if packed is not None and packed.is_file() else None
    values = {} if file is None else _read(file)
    for name in sorted(environment):
        if name.startswith(PREFIX):
            _put(values, name, environment[name])
    return validated(ServingConfig, values, "serving")


def variable(assignment: str) -> tuple[str, str]:
    """`queue.deadline_seconds=2` (or `serving.queue…`) → the environment's name and value.

    Raises:
        ConfigError: if it is no assignment.
    """
    key, equals, value = assignment.partition("=")
    path = key.strip().removeprefix("serving.").split(".")
    if not equals or not all(path):
        raise ConfigError(f"{assignment!r}: wanted: serving.key=value, like serving.queue.deadline_seconds=2.")
    return PREFIX + "__".join(part.upper() for part in path), value


def packed_folder() -> Path | None:
    """The folder of a Bento that holds `bundle/`: the one that this process was started in, or its `src`."""
    here = Path.cwd()
    return next((place for place in (here, here / "src") if (place / _PACKED_BUNDLE / _MARK).is_file()), None)


@dataclass(frozen=True)
class Source:
    """Where the served model comes from.

    Attributes:
        bundle: a folder that stays what it is; None if the workspace's champion is served.
        workspace: whose registry is followed, and whose `capture/` is written to.
        outputs: where the newest bundle is looked for when there is no champion.
    """

    bundle: Path | None = None
    workspace: Path | None = None
    outputs: Path | None = None

    def wanted(self) -> tuple[Path, str]:
        """The folder of the model to serve now, and its role: champion, newest or packaged.

        Raises:
            ClipHarError: if there is none.
        """
        if self.bundle is not None:
            return self.bundle, "packaged"
        from clip_har.registry.champion import Registry
        from clip_har.runs import latest_bundle

        if self.workspace is not None:
            registry = Registry.of(self.workspace)
            pointer = registry.pointer
            if pointer is not None:
                return registry.folder / "bundles" / pointer.model_id, "champion"
        if self.outputs is None:
            raise DataError(
                f"There is no model to serve: {self.workspace or 'no workspace'} has no champion. Train and deploy one, or "
                "name a bundle."
            )
        return latest_bundle(self.outputs), "newest"

    def challenger(self, name: str) -> Path | None:
        """The folder of a challenger: a folder, `challenger`, or a model id's first digits; None if it has no version yet.

        Raises:
            RegistryError: if a model id names no version.
        """
        if (Path(name) / _MARK).is_file():
            return Path(name)
        if self.workspace is None:
            raise ConfigError(f"versions.challenger: {name!r} is no bundle's folder, and there is no workspace.")
        from clip_har.registry.champion import Registry

        registry = Registry.of(self.workspace)
        if name == "challenger" and name not in registry.roles().values():
            return None
        return registry.version(name).path


def find_source(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Source:
    """Where this process's model comes from; arguments as for `load_settings`.

    Raises:
        ConfigError: if nothing says where.
    """
    environment = os.environ if environment is None else environment
    bundle, workspace, outputs = (environment.get(name) for name in (BUNDLE, WORKSPACE, OUTPUTS))
    where = Path(workspace).absolute() if workspace else None
    if bundle:
        return Source(bundle=Path(bundle).absolute(), workspace=where)
    if where is not None:
        return Source(workspace=where, outputs=Path(outputs).absolute() if outputs else where.parent / "outputs")
    folder = packed_folder() if folder is None else folder
    if folder is None:
        raise ConfigError(f"Nothing says which model to serve: set {BUNDLE} or {WORKSPACE}.")
    return Source(bundle=(folder / _PACKED_BUNDLE).absolute())


def core_of(path: Path) -> str:
    """The model id that a bundle's folder claims, without verifying it."""
    return ModelBundle.load(path, verify=False).model_id


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"The service's settings cannot be read: {file}: {error}") from error
    if isinstance(values, dict) and isinstance(values.get(_SECTION), dict):
        values = values[_SECTION]  # the file configures whole runs
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{file}: a mapping is wanted, got {type(values).__name__}.")
    return values or {}


def _put(values: dict[str, Any], name: str, text: str) -> None:
    import yaml

    path = name.removeprefix(PREFIX).lower().split("__")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {text!r} is not YAML: {error}") from error
    place = values
    for part in path[:-1]:
        below = place.get(part)
        place[part] = dict(below) if isinstance(below, dict) else {}
        place = place[part]
    place[path[-1]] = value
