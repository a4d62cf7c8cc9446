"""Versions: published once, found by name, opened anywhere with the same hashes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pygit2
import pytest

from clip_har.data.manifest import Manifest
from clip_har.data.versions import DataVersion, PublishedData, VersionStore
from clip_har.errors import DataError
from tests.data.versions.world import described, write_pictures


def publish(store: VersionStore, photographs: Path, **options) -> DataVersion:
    return store.publish(*described(photographs), **({"source_key": "as it lies", "push": False} | options))


def bytes_of(data: PublishedData) -> dict[str, bytes]:
    return {uri: path.read_bytes() for uri, path in zip(data.manifest.frame["uri"], data.manifest.paths, strict=True)}


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def objects_of(store: VersionStore) -> list[Path]:
    return sorted((store.repository / ".dvc" / "cache").glob("files/md5/*/*"))


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "workspace")


def test_nothing_is_made_by_looking(store: VersionStore) -> None:
    assert store.current() is None
    assert store.versions() == []
    with pytest.raises(DataError, match=r"'v1'.*nothing has been published.*--pipeline data"):
        store.resolve("v1")
    assert not store.workspace.exists()


def test_what_is_published_is_what_is_opened(store: VersionStore, photographs: Path) -> None:
    manifest, report, inspection = described(photographs)
    version = store.publish(
        manifest, report, inspection, source_key="as it lies", tag="v1", files={"README.md": "# ü", "card.html": b"<p>"}
    )
    data = store.open(store.resolve("v1"))
    assert data.version == version == store.current()
    assert pygit2.Repository(str(store.repository))[version.git_revision].author.name == "clip-har"
    assert (version.samples, version.tags, version.source_key) == (6, ("v1",), "as it lies")
    assert data.manifest.content_hash == manifest.content_hash == version.manifest_hash
    assert set(data.manifest.frame["data_revision"]) == {version.git_revision}
    assert data.manifest.dvc_hash == version.dvc_hash != ""
    assert data.manifest.split("train").dvc_hash == version.dvc_hash
    assert bytes_of(data) == {uri: (photographs / uri).read_bytes() for uri in manifest.frame["uri"]}
    assert data.report.content_hash == report.content_hash
    assert data.inspection.content_hash == inspection.content_hash
    assert (data.folder / "manifest" / "README.md").read_text() == "# ü"
    read = Manifest.read(data.manifest.write(store.workspace / "copy.parquet"))
    assert (read.dvc_hash, read.root) == (version.dvc_hash, str(data.folder / "images"))


def test_publishing_the_same_again_changes_nothing(store: VersionStore, photographs: Path) -> None:
    first = publish(store, photographs)
    before = files_below(store.workspace)
    assert publish(store, photographs) == first
    assert files_below(store.workspace) == before
    assert publish(store, photographs, tag="later").tags == ("later",)
    assert [version.git_revision for version in store.versions()] == [first.git_revision]


def test_there_and_back_again(store: VersionStore, photographs: Path) -> None:
    first = publish(store, photographs, tag="v1")
    hashes = (first.manifest_hash, first.dvc_hash)
    write_pictures(photographs, range(6, 9))
    (photographs / "running" / "0000 ü.jpg").unlink()
    second = publish(store, photographs, tag="v2", source_key="as it lies now")
    assert (second.samples, second.tags) == (8, ("v2",))
    assert set(bytes_of(store.open(second))) == set(described(photographs)[0].frame["uri"])
    again = store.resolve("v1")
    assert (again.manifest_hash, again.dvc_hash, again.git_revision) == (*hashes, first.git_revision)
    data = store.open(again)
    assert data.manifest.content_hash == first.manifest_hash
    assert "running/0000 ü.jpg" in bytes_of(data)
    assert [version.tags for version in store.versions()] == [("v2",), ("v1",)]
    assert store.current() == second


def test_only_what_is_new_is_read(store: VersionStore, photographs: Path, monkeypatch) -> None:
    from clip_har.data.versions.objects import ObjectCache

    publish(store, photographs)
    write_pictures(photographs, range(6, 8))
    (photographs / "sitting" / "0001 ü.jpg").rename(photographs / "sitting" / "renamed.jpg")
    manifest, report, inspection = described(photographs)
    taken = []
    take = ObjectCache.take
    monkeypatch.setattr(
        ObjectCache, "take", lambda self, source, *rest: taken.append(source) or take(self, source, *rest)
    )
    steps: list[tuple[int, int]] = []
    store.publish(
        manifest,
        report,
        inspection,
        source_key="",
        push=False,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert {path.name for path in taken if path.suffix == ".jpg"} == {"0006 ü.jpg", "0007 ü.jpg"}
    assert steps == [(1, 2), (2, 2)]


def test_an_edit_of_the_users_own_file_changes_no_version(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs)
    kept = bytes_of(store.open(version))
    for uri in kept:
        assert os.stat(photographs / uri).st_nlink == 1
        with open(photographs / uri, "r+b") as file:
            file.write(b"edited in place")
    shutil.rmtree(store.workspace / "versions")
    assert bytes_of(store.open(version)) == kept


def test_a_source_that_changed_after_validation_is_not_published(store: VersionStore, photographs: Path) -> None:
    validated = described(photographs)
    changed = photographs / "sitting" / "0003 ü.jpg"
    changed.write_bytes(b"other")
    with pytest.raises(DataError, match=r"0003 ü\.jpg has changed since it was validated"):
        store.publish(*validated, source_key="")
    changed.unlink()
    with pytest.raises(DataError, match=r"0003 ü\.jpg was there when .* is gone"):
        store.publish(*validated, source_key="")
    assert store.versions() == []


@pytest.mark.parametrize("uri", ["../outside.jpg", "/etc/hostname", "a//b.jpg", "./a.jpg", ""])
def test_a_path_that_leaves_the_folder_is_refused(store: VersionStore, photographs: Path, uri: str) -> None:
    manifest, report, inspection = described(photographs)
    manifest.frame.loc[0, "uri"] = uri
    with pytest.raises(DataError, match="not a plain path below"):
        store.publish(manifest, report, inspection, source_key="")
    assert store.versions() == []


def test_versions_laid_out_are_read_only_and_a_change_is_noticed(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs, push=True)
    data = store.open(version)
    kept = bytes_of(data)
    for path in data.manifest.paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    edited, removed = data.manifest.paths[:2]
    edited.chmod(0o644)
    with open(edited, "r+b") as file:  # through the link, this damages DVC's cache too
        file.write(b"edited")
    assert bytes_of(store.open(version)) == kept
    removed.unlink()
    assert bytes_of(store.open(version)) == kept


def test_a_damaged_cache_is_mended_from_the_remote_or_from_the_source(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs, push=True)
    damaged, emptied, lost = [path for path in objects_of(store) if path.stat().st_size == 8100][:3]
    for path, data in ((damaged, b"x" * 8100), (emptied, b"")):
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(0o444)  # as DVC leaves what it trusts
    lost.unlink()
    assert len(bytes_of(store.open(version))) == 6
    shutil.rmtree(store.workspace / "versions")
    shutil.rmtree(store.workspace / "remote")
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * 8100)
    with pytest.raises(DataError, match=rf"1 objects are neither in the cache nor in the remote .*{damaged.name}"):
        store.open(version)
    assert publish(store, photographs) == version
    assert len(bytes_of(store.open(version))) == 6


def test_lists_of_files_are_mended_too(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs, push=True)
    for path in objects_of(store):
        if path.suffix == ".dir":
            path.chmod(0o644)
            path.write_bytes(b"[]")
    assert len(bytes_of(store.open(version))) == 6
    shutil.rmtree(store.repository / ".dvc" / "cache")
    shutil.rmtree(store.workspace / "versions")
    assert len(bytes_of(store.open(version))) == 6


def test_the_same_tag_on_another_machine(store: VersionStore, photographs: Path, tmp_path: Path) -> None:
    shared = tmp_path / "server" / "storage"
    store = VersionStore(store.workspace, str(shared))
    first = publish(store, photographs, tag="v1", push=True)
    write_pictures(photographs, range(6, 9))
    publish(store, photographs, tag="v2", push=True)
    kept = bytes_of(store.open(first))
    other = VersionStore.clone(f"file://{store.repository}", tmp_path / "elsewhere", str(shared))
    store.workspace.rename(tmp_path / "out of reach")
    shutil.rmtree(photographs)
    data = other.open(other.resolve("v1"))
    assert data.manifest.content_hash == first.manifest_hash
    assert data.version == first
    assert bytes_of(data) == kept
    assert VersionStore(tmp_path / "elsewhere").remote == str(shared)  # it is remembered
    with pytest.raises(DataError, match="exists already"):
        VersionStore.clone(str(tmp_path / "out of reach"), tmp_path / "elsewhere")


def test_versions_go_to_and_fro(store: VersionStore, photographs: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    pygit2.init_repository(str(hub), bare=True, initial_head="main")
    first = publish(store, photographs, tag="v1")
    pygit2.Repository(str(store.repository)).remotes.create("origin", str(hub))
    store.push()
    other = VersionStore.clone(str(hub), tmp_path / "other", store.remote)
    assert other.versions() == [first]
    write_pictures(photographs, range(6, 8))
    second = publish(other, photographs, tag="v2", push=True)
    assert store.pull() == second
    assert [version.tags for version in store.versions()] == [("v2",), ("v1",)]
    shutil.rmtree(other.workspace / "remote", ignore_errors=True)
    assert store.open(second).manifest.content_hash == second.manifest_hash
    write_pictures(photographs, range(8, 9))
    publish(store, photographs)
    write_pictures(photographs, range(9, 10))
    publish(other, photographs, push=True)
    with pytest.raises(DataError, match="both have versions on main"):
        store.pull()
    assert store.resolve("origin/main") == other.current()


def test_a_push_that_fails_is_said_and_can_be_repeated(
    store: VersionStore, photographs: Path, tmp_path: Path, caplog
) -> None:
    wall = tmp_path / "a file"
    wall.write_text("")
    store = VersionStore(store.workspace, str(wall / "storage"))
    with pytest.warns(UserWarning, match=r"is published in .*, but not everything was pushed: .*a file.*data push"):
        version = publish(store, photographs, push=True)
    assert store.current() == version
    with pytest.raises(DataError, match="a file"):
        store.push()
    assert not [record for record in caplog.records if record.name.startswith("dvc")]  # it is said once, in our words
    wall.unlink()
    store.push()
    shutil.rmtree(store.repository / ".dvc" / "cache")
    assert len(bytes_of(store.open(version))) == 6


def test_a_half_sent_object_is_sent_again(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs, push=True)
    for path in sorted((store.workspace / "remote").rglob("*")):
        if path.suffix == ".dir":
            path.unlink()  # a killed push had not come to the lists yet,
        elif path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:10])  # and had every file half done
    store.push()
    shutil.rmtree(store.repository / ".dvc" / "cache")
    assert len(bytes_of(store.open(version))) == 6


def test_one_object_that_cannot_be_sent_is_said_once(
    store: VersionStore, photographs: Path, monkeypatch, caplog, capfd
) -> None:
    from dvc_objects.fs.local import LocalFileSystem

    def refuse(self: LocalFileSystem, source: str, target: str, **options: object) -> None:
        if os.stat(source).st_size == 8100:
            raise PermissionError(13, "no entry", target)
        put_file(self, source, target, **options)

    version = publish(store, photographs)
    put_file = LocalFileSystem.put_file
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", refuse)
        with pytest.raises(DataError, match=r"7 objects could not be sent to the remote .*no entry"):
            store.push()
    assert [record for record in caplog.records if record.name.startswith("dvc")] == []
    assert capfd.readouterr() == ("", "")
    store.push()
    shutil.rmtree(store.repository / ".dvc" / "cache")
    assert len(bytes_of(store.open(version))) == 6


def test_storage_of_an_unknown_kind_is_refused_in_words(store: VersionStore, photographs: Path) -> None:
    store = VersionStore(store.workspace, "nosuch://bucket/path")
    with pytest.warns(UserWarning, match=r"nosuch://bucket/path"):
        version = publish(store, photographs, push=True)
    assert store.current() == version


def test_a_full_disk_is_said_and_nothing_is_published(store: VersionStore, photographs: Path, monkeypatch) -> None:
    from clip_har.data.versions import objects

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "_digest", full)
        with pytest.raises(DataError, match=r"no space left for the data's versions.*the same again"):
            publish(store, photographs)
    assert store.versions() == []
    assert objects_of(store) == []
    assert publish(store, photographs).samples == 6


def test_names_are_found_or_the_nearest_is_named(store: VersionStore, photographs: Path) -> None:
    version = publish(store, photographs, tag="spring/v1")
    for name in ("spring/v1", "main", version.git_revision, version.git_revision[:7]):
        assert store.resolve(name) == version
    with pytest.raises(DataError, match=r"'spring/v2'.*Did you mean 'spring/v1'\?"):
        store.resolve("spring/v2")
    for name in ("", "0" * 40, "..", "a b", "refs/tags/spring/v1~^", version.git_revision[:3]):
        with pytest.raises(DataError):
            store.resolve(name)


def test_a_tag_is_never_moved(store: VersionStore, photographs: Path) -> None:
    first = publish(store, photographs, tag="v1")
    write_pictures(photographs, range(6, 8))
    with pytest.raises(DataError, match=r"'v1' names another version"):
        publish(store, photographs, tag="v1")
    assert store.versions() == [first]
    second = publish(store, photographs)
    assert store.tag("v2", second).tags == ("v2",)
    with pytest.raises(DataError, match=r"'v1' names another version"):
        store.tag("v1", second)
    for name in ("workspace", "a b", "x..y"):
        with pytest.raises(DataError, match="cannot be tagged"):
            store.tag(name, second)


def test_garbage_is_what_no_tag_and_no_branch_names(store: VersionStore, photographs: Path) -> None:
    first = publish(store, photographs, tag="v1", push=True)
    write_pictures(photographs, range(6, 7))
    passing = publish(store, photographs, push=True)
    (photographs / "running" / "0006 ü.jpg").unlink()
    write_pictures(photographs, range(7, 8))
    last = publish(store, photographs, push=True)
    for version in (first, passing, last):
        store.open(version)
    found = store.collect_garbage(dry_run=True, include_remote=True)
    assert store.collect_garbage(dry_run=True, all_commits=True).objects == 0
    assert store.collect_garbage() == dataclasses.replace(found, remote_objects=0)
    assert (found.folders, found.objects) == (1, found.remote_objects)
    assert found.objects >= 3  # a picture, a Manifest and two lists at least
    shutil.rmtree(store.workspace / "versions")
    assert len(bytes_of(store.open(passing))) == 7  # from the remote
    store.collect_garbage(include_remote=True)
    for version in (first, last):
        store.open(version)
    with pytest.raises(DataError, match="neither in the cache nor in the remote"):
        store.open(passing)


@pytest.mark.parametrize("lock", [".git/index.lock", ".git/refs/heads/main.lock", ".git/HEAD.lock", ".dvc/tmp/lock"])
def test_a_stale_lock_stops_nothing(store: VersionStore, photographs: Path, lock: str) -> None:
    publish(store, photographs)
    place = store.repository / lock
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("4711")
    (store.repository / ".dvc" / "tmp" / "rwlock").write_text('{"write": {')
    (store.workspace / "data.lock").write_text("4711")  # whoever held it died
    write_pictures(photographs, range(6, 8))
    assert publish(store, photographs, push=True).samples == 8


def test_dvc_itself_finds_a_plain_repository(store: VersionStore, photographs: Path) -> None:
    from dvc.repo import Repo

    publish(store, photographs, push=True, files={"deep/er/file.txt": "x", "a.txt": "y", "a/b.txt": "z"})
    repo = Repo(str(store.repository))
    try:
        repo.checkout()
        assert repo.status() == {}
        assert repo.status(cloud=True) == {}
        assert {str(path.name) for path in (store.repository / "images" / "running").iterdir()} == {
            "0000 ü.jpg",
            "0002 ü.jpg",
            "0004 ü.jpg",
        }
        added = repo.add([str(store.repository / name) for name in ("images", "manifest")])  # gives the same hashes
        assert not repo.scm.is_dirty(untracked_files=True), added
    finally:
        repo.close()


def test_what_a_user_committed_beside_stays(store: VersionStore, photographs: Path) -> None:
    publish(store, photographs)
    git = pygit2.Repository(str(store.repository))
    (store.repository / "NOTES.md").write_text("mine")
    git.index.add("NOTES.md")
    author = pygit2.Signature("A", "a@example.org")
    git.create_commit("HEAD", author, author, "notes", git.index.write_tree(), [git.head.target])
    write_pictures(photographs, range(6, 8))
    version = publish(store, photographs)
    assert "NOTES.md" in git[version.git_revision].tree
    assert len(store.versions()) == 3  # the commit with the notes has the data of the one before
    assert (store.repository / "NOTES.md").read_text() == "mine"


def test_nothing_is_printed_and_importing_is_quick(store: VersionStore, photographs: Path, capfd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.open(publish(store, photographs, push=True))
        store.pull()
    assert capfd.readouterr() == ("", "")
    code = "import sys, clip_har.data.versions, clip_har.data.versions.command as c\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"dvc", "dvc_data", "dvc_objects", "scmrepo", "pygit2", "pandas", "pyarrow"} & set(loaded)
