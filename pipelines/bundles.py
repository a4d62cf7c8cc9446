"""Which bundle a run is about: a folder, the champion, a bundle of the Hub, or the newest."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from clip_har.config import RunConfig
from clip_har.errors import BundleError
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.hub.bundles import pulled_bundle
from clip_har.registry.hub.config import HubReference
from clip_har.runs import latest_bundle

CHAMPION = "champion"


def bundle_path(config: RunConfig) -> Path:
    """The folder of the bundle that `config.bundle` names; one of the Hub is fetched into the workspace.

    Raises:
        ClipHarError: if there is none, or it cannot be fetched.
    """
    if config.bundle is None:
        return latest_bundle(config.paths.outputs)
    if config.bundle == CHAMPION:
        champion = _champion(config)
        if champion is None:
            raise BundleError(f"bundle: there is no champion in {config.workspace.path} yet: none was promoted.")
        return champion.path
    reference = HubReference.parse(config.bundle)
    return Path(config.bundle) if reference is None else _pulled(reference, Path(config.workspace.path).absolute())


def bundle_to_share(config: RunConfig) -> Path:
    """The same; if `config.bundle` names none, the champion if there is one, else the newest."""
    if config.bundle is None and (champion := _champion(config)) is not None:
        return champion.path
    return bundle_path(config)


@cache
def _pulled(reference: HubReference, workspace: Path) -> Path:
    """Asked for once: a run keeps to one commit, whatever the branch does meanwhile."""
    return pulled_bundle(reference, workspace)


def _champion(config: RunConfig) -> ModelBundle | None:
    return Registry.of(config.workspace.path).champion()
