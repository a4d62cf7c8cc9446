"""Mirrors: places that show the registry's versions and roles, and are brought up to date from its pointer.

A mirror decides nothing. One that cannot be reached is reported; the next reconciliation mends it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clip_har.registry.champion import Registry, Version

logger = logging.getLogger(__name__)

MODEL_NAME = "clip-har"
"""Name of the registered model in every mirror."""
_SHOWN = ("accuracy", "macro_f1", "log_loss")  # of the validation figures; the bundle has them all


class Mirror(Protocol):
    """Shows versions and roles somewhere else."""

    name: str

    def reconcile(self, versions: Sequence[Version], roles: dict[str, str]) -> list[str]:
        """Make the mirror show these versions, the oldest first, in these roles (model id → role).

        Returns:
            What had to be changed, in words; empty if it was up to date.
        """


@dataclass(frozen=True)
class Outcome:
    """What came of a mirror: what was changed, or why it could not be reached."""

    mirror: str
    changes: tuple[str, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.mirror} could not be brought up to date: {self.problem}"
        return f"{self.mirror}: {'; '.join(self.changes) or 'up to date'}"


def reconcile(
    registry: Registry, mirrors: Sequence[Callable[[], Mirror]], challenger: str | None = None
) -> list[Outcome]:
    """Bring mirrors up to the registry. What one raises is reported and stops nobody.

    Args:
        mirrors: make them; that may fail, too.
        challenger: the version that is being compared.
    """
    versions, roles = registry.versions()[::-1], registry.roles(challenger)
    outcomes = []
    for make in mirrors:
        name = "A mirror of the registry"
        try:
            mirror = make()
            name = mirror.name
            outcomes.append(Outcome(name, tuple(mirror.reconcile(versions, roles))))
        except Exception as error:  # whatever a client raises: the pointer is the truth, and the mirror can wait
            lines = str(error).strip().splitlines()
            problem = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
            outcomes.append(Outcome(name, problem=problem))
            logger.warning("%s The next reconciliation mends it: clip-har registry reconcile", outcomes[-1])
    return outcomes


def facts_of(version: Version) -> dict[str, str]:
    """What a mirror shows of a version: model id, data version, method, Git revision, report, and figures."""
    from clip_har.models.bundle import ModelBundle

    info = ModelBundle.load(version.path, verify=False).info
    facts = {
        "model_id": version.model_id,
        "method": info.method,
        "backbone": info.backbone,
        "data_version": info.data_revision,
        "git_revision": version.record.git_revision,
        "run": version.record.run,
        "report": version.record.report,
    }
    chosen_by = {name: value for name, value in sorted(info.metrics.items()) if name in _SHOWN}
    facts |= {f"validation_{name}": f"{value:.6g}" for name, value in chosen_by.items()}
    facts |= {f"test_{name}": f"{value:.6g}" for name, value in sorted(version.record.metrics.items())}
    return {name: value for name, value in facts.items() if value}
