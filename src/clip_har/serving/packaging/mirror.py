"""The registry's champion as the Bento that `name:latest` means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip_har.registry.champion import Version
from clip_har.serving.packaging.store import BentoStore


class BentoMirror:
    """Points `latest` at the champion's Bento, where it has one. Bentos are built by `deploy`, never here.

    Args:
        workspace: whose store it is.
    """

    name = "BentoML"

    def __init__(self, workspace: str | Path) -> None:
        self._store = BentoStore.of(workspace)

    def reconcile(self, versions: Sequence[Version], roles: dict[str, str]) -> list[str]:
        """As `Mirror.reconcile` says."""
        champion = next((model_id for model_id, role in roles.items() if role == "champion"), None)
        newest = {}
        for bento in self._store.bentos():
            if bento.model_id == champion:
                newest.setdefault(bento.name, bento)
        return [
            f"{bento.name}:latest is {bento.name}:{bento.version}"
            for bento in newest.values()
            if self._store.point_latest(bento.name, bento.version)
        ]
