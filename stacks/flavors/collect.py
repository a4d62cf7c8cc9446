"""`python -m stacks.flavors.collect`: remove from a DVC-backed artifact store what no run refers to."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.errors import ClipHarError, ConfigError

if TYPE_CHECKING:
    from stacks.flavors.dvc_artifact_store import DvcArtifactStore


def main(arguments: list[str] | None = None) -> int:
    """Parse, find the stack's store, collect, say what was done; the exit code: 0, or 2 for a user's mistake."""
    options = _parse(arguments)
    try:
        _collect(options)
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _collect(options: argparse.Namespace) -> None:
    from pipelines.launch import prepare_environment

    prepare_environment(options.workspace.absolute())
    from zenml.utils import source_utils

    from clip_har.progress import progress
    from stacks.flavors.garbage import collect_garbage

    source_utils.set_custom_source_root(str(Path(__file__).parents[2]))
    store = store_of(options.stack)
    grace = None if options.grace_hours is None else options.grace_hours * 3600
    with progress("objects") as report:
        done = collect_garbage(store, options.dry_run, grace=grace, foreign=options.foreign, progress=report)
    verb = "would remove" if options.dry_run else "removed"
    print(
        f"{verb} {done.files} files of artifacts that ZenML does not know, {done.objects} objects ({done.bytes:,} bytes) and "
        f"{done.entries} outdated index entries from the remote, {done.cached} objects from this machine's cache"
    )


def store_of(name: str) -> DvcArtifactStore:
    """The artifact store of a registered stack.

    Raises:
        ConfigError: if no such stack is registered, or its artifact store is another one.
    """
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.stack import StackComponent

    from stacks.flavors.dvc_artifact_store import DvcArtifactStore

    try:
        stack = Client().get_stack(name, allow_name_prefix_match=False)
    except KeyError:
        raise ConfigError(
            f"--stack: no stack {name!r} is registered in this workspace. `run.py --stack {name}` registers it."
        ) from None
    store = StackComponent.from_model(stack.components[StackComponentType.ARTIFACT_STORE][0])
    if not isinstance(store, DvcArtifactStore):
        raise ConfigError(f"--stack: the artifact store of {name!r} is no DVC-backed one, but {store.flavor!r}.")
    return store


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stacks.flavors.collect",
        description="Remove what no artifact version and no log of ZenML refers to from a DVC-backed artifact store.",
    )
    parser.add_argument("--stack", default="dvc", metavar="NAME", help="the stack whose store it is (default: dvc)")
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="FOLDER", help="default: workspace"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    parser.add_argument(
        "--grace-hours",
        type=float,
        metavar="HOURS",
        help="leave alone what is younger (default: as the store says, 24)",
    )
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="also what was written with other ZenML databases: only if none of them is used any more",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
