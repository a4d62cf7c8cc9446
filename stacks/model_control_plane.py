"""The registry in ZenML's Model Control Plane: a model version for each bundle; stages and tags say its role.

champion → production, challenger → staging, what was one of them → archived. ZenML has no stage for the predecessor: the tag
`previous` says it. `python -m stacks.model_control_plane` brings it up to date by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from clip_har.errors import ClipHarError
from clip_har.registry.champion import Registry, Version
from clip_har.registry.mirrors import MODEL_NAME, facts_of, reconcile

_STAGES = {"champion": "production", "challenger": "staging"}
_ROLES = ("champion", "previous", "challenger")
_NAMED = 12  # digits of the model id that name a version


class ModelControlPlane:
    """The registered model in ZenML's store.

    Args:
        model: its name.
    """

    def __init__(self, model: str = MODEL_NAME) -> None:
        self.name = "ZenML's Model Control Plane"
        self._model = model

    def reconcile(self, versions: Sequence[Version], roles: dict[str, str]) -> list[str]:
        from zenml.client import Client

        if not versions:
            return []
        client = Client()
        known = self._known(client)
        changes = []
        for version in versions:
            facts = facts_of(version)
            there = known.get(version.model_id[:_NAMED])
            if there is None:
                about = f"{facts['method']} of {facts['backbone']}"
                there = client.create_model_version(self._model, version.model_id[:_NAMED], description=about)
                known[there.name] = there
                changes.append(f"{there.name} is version {there.number}")
            changes += self._describe(client, there, facts)
        # the champion first, so that there is one at any moment
        for model_id, role in sorted(roles.items(), key=lambda item: _ROLES.index(item[1])):
            if (there := known.get(model_id[:_NAMED])) is not None:
                changes += self._place(client, there, role)
        inside = {model_id[:_NAMED] for model_id in roles}
        for name, there in known.items():
            if name not in inside:
                changes += self._place(client, there, "")
        return changes

    def _known(self, client: Any) -> dict[str, Any]:
        """Name → version; the model is made if it is not there."""
        from zenml.exceptions import EntityExistsError

        with suppress(EntityExistsError):
            client.create_model(
                self._model, description="Versions of clip-har. The registry in the workspace decides; this shows it."
            )
        found, page = {}, 1
        while True:
            listed = client.list_model_versions(model=self._model, page=page, size=100, hydrate=True)
            found |= {one.name: one for one in listed.items}
            if page >= listed.total_pages:
                return found
            page += 1

    def _describe(self, client: Any, there: Any, facts: dict[str, str]) -> list[str]:
        from zenml.utils.metadata_utils import log_metadata

        present = there.run_metadata or {}
        told = {name: value for name, value in facts.items() if present.get(name) != value}
        if told:
            log_metadata(metadata=told, model_version_id=there.id)
        return [f"figures of {there.name}"] if told and present else []

    def _place(self, client: Any, there: Any, role: str) -> list[str]:
        stage = _STAGES.get(role)
        there = client.get_model_version(self._model, there.id)  # its stage may have gone to another
        if stage is None and there.stage not in (None, "none", "archived"):
            stage = "archived"
        if role == "previous":
            stage = "archived"
        tags = {tag.name for tag in there.tags} & set(_ROLES)
        wanted = {role} - {""}
        if (stage is None or there.stage == stage) and tags == wanted:
            return []
        client.update_model_version(
            self._model,
            there.id,
            stage=stage if there.stage != stage else None,
            force=True,
            add_tags=sorted(wanted - tags),
            remove_tags=sorted(tags - wanted),
        )
        return [f"{there.name} is {role or 'archived'}"]


def main(arguments: list[str] | None = None) -> int:
    """Reconcile, say what was changed; the exit code: 0, 1 if ZenML's store could not be reached, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks.model_control_plane",
        description="Bring ZenML's Model Control Plane up to the registry of a workspace.",
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="W", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        from pipelines.launch import prepare_environment

        prepare_environment(options.workspace.absolute())
        (outcome,) = reconcile(Registry.of(options.workspace), [ModelControlPlane])
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(outcome)
    return 1 if outcome.problem else 0


if __name__ == "__main__":
    sys.exit(main())
