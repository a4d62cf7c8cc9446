"""`clip-har hub`: pull a bundle, pull and push versions of the data. Bundles are pushed by `run.py --pipeline publish`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clip_har.commands import Command, run_command

_HERE = "clip_har.registry.hub.command"
COMMANDS = {
    "pull": Command("fetch a bundle into a folder, its checksums verified", f"{_HERE}:pull"),
    "pull-data": Command("fetch a version of the data, and publish it in a workspace", f"{_HERE}:pull_data"),
    "push-data": Command("send a version of the data, with its card", f"{_HERE}:push_data"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = (
        "The Hugging Face Hub. Log in once with `hf auth login`, or set HF_TOKEN. A bundle is sent by "
        "python run.py --pipeline publish --set hub.repository=OWNER/NAME"
    )
    return run_command("clip-har hub", about, COMMANDS, arguments)


def pull(arguments: Sequence[str]) -> int:
    """`pull`."""
    from clip_har.registry.hub.bundles import pull_bundle

    parser = _parser("pull")
    _add_revision(parser)
    parser.add_argument("--to", metavar="FOLDER", help="a new folder (default: the repository's name)")
    options = parser.parse_args(arguments)
    repository, revision = _named(options)
    folder = Path(options.to or repository.split("/")[1])
    bundle = pull_bundle(repository, revision, folder)
    print(f"{bundle.path}: {bundle.info.method}, {len(bundle.labels)} classes, model {bundle.model_id[:12]}; verified.")
    return 0


def pull_data(arguments: Sequence[str]) -> int:
    """`pull-data`."""
    import shutil

    from clip_har.data.versions.store import VersionStore
    from clip_har.progress import progress
    from clip_har.registry.hub.datasets import pull_dataset

    parser = _parser("pull-data")
    _add_revision(parser)
    parser.add_argument("--to", metavar="FOLDER", help="only write it into a new folder; publish nothing")
    parser.add_argument("--tag", metavar="NAME", help="Git tag for the version in the workspace")
    _add_workspace(parser)
    options = parser.parse_args(arguments)
    repository, revision = _named(options)
    if options.to:
        data = pull_dataset(repository, revision, options.to)
        print(f"{data.folder}: {len(data.manifest):,} pictures, Manifest {data.version.manifest_hash[:12]}; verified.")
        return 0
    place = Path(options.workspace)
    folder = place / "hub" / f"{repository.replace('/', '--')}.data"  # a fixed place: a later try goes on from there
    shutil.rmtree(folder, ignore_errors=True)
    try:
        data = pull_dataset(repository, revision, folder)
        with progress("publishing the data") as report:
            version = data.publish(VersionStore(place, options.remote), options.tag, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = options.tag or version.git_revision[:12]
    print(
        f"{version.samples:,} pictures are published in {place} as {name}, Manifest {version.manifest_hash[:12]}; "
        f"verified. Train on them: --set data.version={name}"
    )
    return 0


def push_data(arguments: Sequence[str]) -> int:
    """`push-data`."""
    from clip_har.component import validated
    from clip_har.data.versions.store import VersionStore
    from clip_har.progress import progress
    from clip_har.registry.hub.config import HubConfig
    from clip_har.registry.hub.datasets import push_dataset

    parser = _parser("push-data")
    parser.add_argument("repository", metavar="OWNER/NAME", help="made if it is not there")
    parser.add_argument(
        "--version", default="main", metavar="VERSION", help="tag, branch or commit (default: the newest)"
    )
    parser.add_argument("--revision", default="main", metavar="BRANCH", help="branch there (default: %(default)s)")
    parser.add_argument("--tag", metavar="NAME", help="a name for good on the Hub, beside the version's own tags")
    parser.add_argument("--public", action="store_true", help="everyone may see it; otherwise it is private")
    parser.add_argument("--message", metavar="TEXT", help="message of the commit")
    parser.add_argument("--dry-run", metavar="FOLDER", help="write what would be sent into FOLDER, and send nothing")
    _add_workspace(parser)
    options = parser.parse_args(arguments)
    config = validated(
        HubConfig,
        {
            "repository": options.repository,
            "revision": options.revision,
            "tag": options.tag,
            "private": not options.public,
            "message": options.message,
            "dry_run": options.dry_run is not None,
        },
        "hub",
    )
    store = VersionStore(options.workspace, options.remote)
    data = store.open(store.resolve(options.version))
    with progress("writing the pictures") as report:
        sent = push_dataset(data, config, dry_run_folder=options.dry_run, progress=report)
    size = f"{len(sent.files)} files ({sent.bytes / 1e6:,.1f} MB)"
    if sent.dry_run:
        print(f"{size} would be sent to {sent.repository}; they are in {options.dry_run}. Nothing was sent.")
    else:
        print(f"{size} are at {sent.url}, {len(sent.sent)} of them sent now; tags {', '.join(sent.tags)}.")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"clip-har hub {name}", description=COMMANDS[name].purpose)


def _add_revision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="OWNER/NAME", help="or hf://OWNER/NAME@REVISION")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit (default: main)")


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace", default="workspace", metavar="W", help="workspace folder (default: %(default)s)")
    parser.add_argument("--remote", metavar="URL", help="DVC remote (default: the one that the workspace uses)")


def _named(options: argparse.Namespace) -> tuple[str, str | None]:
    """Repository and revision, however they were written."""
    from clip_har.registry.hub.config import HubReference

    reference = HubReference.parse(options.repository) or HubReference.of(options.repository)
    return reference.repository, options.revision or reference.revision
