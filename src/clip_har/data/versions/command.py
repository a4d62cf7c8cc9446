"""`clip-har data`: list, show, tag, push, pull, clone, gc."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clip_har.commands import Command, run_command

if TYPE_CHECKING:
    from clip_har.data.versions.store import VersionStore

_HERE = "clip_har.data.versions.command"
COMMANDS = {
    "list": Command("list all versions, the newest first", f"{_HERE}:list_versions"),
    "show": Command("lay a version out as a folder, and say what is in it", f"{_HERE}:show"),
    "tag": Command("give a version a name for good", f"{_HERE}:tag"),
    "push": Command("send the data to the DVC remote, and commits and tags to Git's origin", f"{_HERE}:push"),
    "pull": Command("fetch commits and tags from Git's origin, and a version's data", f"{_HERE}:pull"),
    "clone": Command("start a workspace from another one's versions", f"{_HERE}:clone"),
    "gc": Command("remove data that no tag and no branch names", f"{_HERE}:collect_garbage"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = "Published versions of the data. A VERSION is a Git tag, branch or commit of the workspace's data."
    return run_command("clip-har data", about, COMMANDS, arguments)


def list_versions(arguments: Sequence[str]) -> int:
    """`list`."""
    options = _parser("list").parse_args(arguments)
    versions = _store(options).versions()
    for version in versions:
        tags = ", ".join(version.tags)
        print(f"{version.git_revision[:12]}  {version.created[:16]}  {version.samples:>9,} pictures  {tags}".rstrip())
    if not versions:
        print(
            f"No version has been published in {options.workspace} yet: python run.py --pipeline data", file=sys.stderr
        )
    return 0


def show(arguments: Sequence[str]) -> int:
    """`show`."""
    from clip_har.progress import progress

    parser = _parser("show")
    _add_version(parser)
    options = parser.parse_args(arguments)
    store = _store(options)
    version = store.resolve(options.version)
    with progress("opening the data") as report:
        data = store.open(version, report)
    facts = {
        "commit": version.git_revision,
        "tags": ", ".join(version.tags) or "none",
        "published": version.created,
        "pictures": f"{version.samples:,}",
        "Manifest": version.manifest_hash,
        "DVC hash": version.dvc_hash,
        "remote": store.remote,
        "folder": data.folder,
    }
    for name, value in facts.items():
        print(f"{name + ':':10} {value}")
    print(data.manifest.counts().to_string())
    return 0


def tag(arguments: Sequence[str]) -> int:
    """`tag`."""
    parser = _parser("tag")
    parser.add_argument("name", metavar="NAME")
    _add_version(parser)
    options = parser.parse_args(arguments)
    store = _store(options)
    version = store.tag(options.name, store.resolve(options.version))
    print(f"{version.git_revision[:12]} is tagged {', '.join(version.tags)}.")
    return 0


def push(arguments: Sequence[str]) -> int:
    """`push`."""
    from clip_har.progress import progress

    store = _store(_parser("push").parse_args(arguments))
    with progress("sending") as report:
        store.push(report)
    print(f"Everything that a tag or a branch names is in {store.remote}.")
    return 0


def pull(arguments: Sequence[str]) -> int:
    """`pull`."""
    from clip_har.progress import progress

    parser = _parser("pull")
    _add_version(parser)
    options = parser.parse_args(arguments)
    with progress("fetching") as report:
        version = _store(options).pull(options.version, report)
    print(f"{version.git_revision[:12]} is here: {version.samples:,} pictures.")
    return 0


def clone(arguments: Sequence[str]) -> int:
    """`clone`."""
    from clip_har.data.versions.store import VersionStore
    from clip_har.progress import progress

    parser = _parser("clone")
    parser.add_argument("url", metavar="URL", help="any URL that Git takes, or a workspace's folder on this machine")
    options = parser.parse_args(arguments)
    with progress("fetching") as report:
        store = VersionStore.clone(options.url, options.workspace, options.remote, report)
    number = len(store.versions())
    print(f"{number} version{'s are' if number > 1 else ' is'} in {options.workspace} now, with the newest one's data.")
    return 0


def collect_garbage(arguments: Sequence[str]) -> int:
    """`gc`."""
    parser = _parser("gc")
    parser.add_argument("--all-commits", action="store_true", help="keep the data of older commits too")
    parser.add_argument(
        "--include-remote",
        action="store_true",
        help="clean the remote as well: also of what other workspaces have pushed there, if this one does not know it",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without this, only say what would go")
    options = parser.parse_args(arguments)
    found = _store(options).collect_garbage(
        all_commits=options.all_commits, include_remote=options.include_remote, dry_run=not options.yes
    )
    what = f"{found.objects} objects in the cache, {found.folders} versions laid out"
    if options.include_remote:
        what += f", {found.remote_objects} objects in the remote"
    print(f"Removed: {what}." if options.yes else f"To be removed: {what}. Do it with --yes.")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har data {name}", description=COMMANDS[name].purpose)
    parser.add_argument("--workspace", default="workspace", metavar="W", help="workspace folder (default: %(default)s)")
    parser.add_argument(
        "--remote", metavar="URL", help="DVC remote, a folder or a URL (default: the one that the workspace uses)"
    )
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", nargs="?", default="main", help="default: the newest")


def _store(options: argparse.Namespace) -> VersionStore:
    from clip_har.data.versions.store import VersionStore

    return VersionStore(options.workspace, options.remote)
