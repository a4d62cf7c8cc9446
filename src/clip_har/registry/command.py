"""`clip-har registry`: list, show, reconcile, prune."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from clip_har.commands import Command, run_command
from clip_har.registry.champion import Registry

_HERE = "clip_har.registry.command"
COMMANDS = {
    "list": Command(
        "list all versions, the newest first, with the champion and its predecessor", f"{_HERE}:list_versions"
    ),
    "show": Command("what is known of a version, and the decisions about it", f"{_HERE}:show"),
    "reconcile": Command("bring MLflow's model registry up to the champion's pointer", f"{_HERE}:reconcile"),
    "prune": Command("remove versions that are neither champion, previous nor challenger", f"{_HERE}:prune"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = "Versions of the model and the one champion. A VERSION is champion, previous, challenger, or a model id's start."
    return run_command("clip-har registry", about, COMMANDS, arguments)


def list_versions(arguments: Sequence[str]) -> int:
    """`list`."""
    options = _parser("list").parse_args(arguments)
    registry = Registry.of(options.workspace)
    versions = registry.versions()
    for version in versions:
        figures = "  ".join(f"{name} {value:.3f}" for name, value in sorted(version.record.metrics.items()))
        print(f"{version.model_id[:12]}  {version.record.added[:16]:16}  {version.role:10}  {figures}".rstrip())
    if not versions:
        print(f"There is no version in {registry.folder} yet: python run.py --pipeline deploy", file=sys.stderr)
    return 0


def show(arguments: Sequence[str]) -> int:
    """`show`."""
    from clip_har.registry.mirrors import facts_of

    parser = _parser("show")
    parser.add_argument("version", metavar="VERSION", nargs="?", default="champion", help="default: the champion")
    options = parser.parse_args(arguments)
    registry = Registry.of(options.workspace)
    version = registry.version(options.version)
    registry.load(version.model_id)
    facts = {"role": version.role or "none", **facts_of(version), "added": version.record.added, "folder": version.path}
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        print(f"{name + ':':{width}} {value}")
    for decision in registry.decisions():
        if decision.model_id == version.model_id:
            print(f"\n{decision.time[:16]} {decision.action.replace('_', ' ')}")
            for reason in decision.reasons:
                print(f"  {reason}")
    return 0


def reconcile(arguments: Sequence[str]) -> int:
    """`reconcile`."""
    from clip_har.registry import mirrors
    from clip_har.registry.mlflow_mirror import MlflowMirror, workspace_uri

    parser = _parser("reconcile")
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow to bring up to date (default: MLFLOW_TRACKING_URI, else the one in the workspace)",
    )
    options = parser.parse_args(arguments)
    uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or workspace_uri(options.workspace)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    (outcome,) = mirrors.reconcile(Registry.of(options.workspace), [lambda: MlflowMirror(uri)])
    if outcome.problem:
        print(f"error: {outcome}", file=sys.stderr)
        return 1
    print(outcome)
    print("ZenML's Model Control Plane is brought up to date by the next deploy or rollback, or at once by")
    print("  python -m stacks.model_control_plane")
    return 0


def prune(arguments: Sequence[str]) -> int:
    """`prune`."""
    parser = _parser("prune")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="keep the N newest as well (default: 0)")
    parser.add_argument("--yes", action="store_true", help="do it; without this, only say what would go")
    options = parser.parse_args(arguments)
    gone = Registry.of(options.workspace).prune(options.keep, dry_run=not options.yes)
    named = ", ".join(model_id[:12] for model_id in gone) or "nothing"
    print(f"Removed: {named}." if options.yes else f"To be removed: {named}. Do it with --yes.")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har registry {name}", description=COMMANDS[name].purpose)
    parser.add_argument("--workspace", default="workspace", metavar="W", help="workspace folder (default: %(default)s)")
    return parser
