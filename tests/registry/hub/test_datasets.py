"""A version of the data goes to the Hub as `datasets` reads it, and comes back the same version, checked picture by picture."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from clip_har.data.card import CardConfig, dataset_card
from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.versions.store import PublishedData, VersionStore
from clip_har.errors import DataError
from clip_har.registry.hub import HubConfig, HubError, pull_dataset, push_dataset
from clip_har.registry.hub import parquet as parquet_module
from clip_har.registry.hub.datasets import stage_dataset
from tests.data.versions.world import described
from tests.hub_server import Fault, Hub
from tests.tiny_models import colour_photos

NAME = "owner/photographs"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> PublishedData:
    """Sixteen small photographs of two classes in four splits, published as `first`; only to be read."""
    folder = tmp_path_factory.mktemp("published")
    photos = colour_photos(folder / "photos", ("running", "sitting"), 8)
    manifest, report, inspection = described(photos)
    card = dataset_card(manifest, report, inspection, CardConfig(name="Ours", license="cc-by-4.0")).markdown
    store = VersionStore(folder / "workspace")
    version = store.publish(manifest, report, inspection, source_key="s", files={"README.md": card}, tag="first")
    return store.open(version)


def push(published: PublishedData, **changes: object):
    return push_dataset(published, HubConfig(**({"repository": NAME} | changes)))


def test_it_comes_back_the_same_version(hub: Hub, published: PublishedData, tmp_path: Path) -> None:
    sent = push(published)
    assert hub.dataset(NAME).private
    assert sent.kind == "dataset"
    assert sent.url == f"{hub.address}/datasets/{NAME}"
    assert set(hub.dataset(NAME).tags) == {"first", f"data-{published.version.manifest_hash[:12]}"} == set(sent.tags)

    pulled = pull_dataset(NAME, "first", tmp_path / "pulled")
    assert pulled.manifest.content_hash == published.manifest.content_hash
    assert [path.read_bytes() for path in pulled.manifest.paths] == [p.read_bytes() for p in published.manifest.paths]
    assert {path.name for path in pulled.folder.iterdir()} == {"images", "manifest", "version.json", "README.md"}

    store = VersionStore(tmp_path / "workspace")
    version = pulled.publish(store, "theirs")
    assert version.manifest_hash == published.version.manifest_hash
    assert version.dvc_hash == published.version.dvc_hash
    assert version.source_key == published.version.source_key
    opened = store.open(store.resolve("theirs"))
    assert opened.manifest.counts().equals(published.manifest.counts()), "the same splits"
    assert store.read(version, "README.md") == (published.folder / "manifest" / "README.md").read_bytes()
    assert pulled.publish(store, "theirs") == version, "again is nothing new"


def test_datasets_loads_what_is_sent(published: PublishedData, tmp_path: Path) -> None:
    """From the files alone: the card says which are whose split."""
    import datasets
    from PIL import Image

    staged = stage_dataset(published, NAME, tmp_path / "staged")
    loaded = datasets.load_dataset(str(staged), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == set(SPLITS)
    by_id = published.manifest.frame.set_index("id")
    for split, table in loaded.items():
        assert table.features["labels"].names == list(published.manifest.labels)
        assert len(table) == (by_id["split"] == split).sum()
        for row in table:
            own = by_id.loc[row["id"]]
            assert own["split"] == row["split"] == split
            assert table.features["labels"].int2str(row["labels"]) == own["label"]
            with Image.open(Path(published.manifest.root) / own["uri"]) as picture:
                assert row["image"].tobytes() == picture.convert(row["image"].mode).tobytes()


def test_the_card_is_the_versions_own(published: PublishedData, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(stage_dataset(published, NAME, tmp_path / "staged") / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.pretty_name == "Ours"
    assert [part["split"] for part in card.data.configs[0]["data_files"]] == list(SPLITS)
    assert published.manifest.content_hash in card.text
    assert 'datasets.load_dataset("owner/photographs", split="train")' in card.text


def test_the_same_version_gives_the_same_bytes(hub: Hub, published: PublishedData) -> None:
    push(published)
    uploads = len(hub.uploaded)
    assert push(published).sent == ()
    assert len(hub.uploaded) == uploads


def test_many_pictures_are_spread_over_files(published: PublishedData, tmp_path: Path, monkeypatch, hub: Hub) -> None:
    monkeypatch.setattr(parquet_module, "_SHARD_BYTES", 3000)
    monkeypatch.setattr(parquet_module, "_ROWS_AT_ONCE", 2)
    push(published)
    names = [name for name in hub.dataset(NAME).files() if name.startswith("data/train-")]
    assert len(names) > 1
    assert names[0].endswith(f"-of-{len(names):05d}.parquet")
    assert pull_dataset(NAME, target=tmp_path / "pulled").manifest.content_hash == published.manifest.content_hash


def test_a_dry_run(hub: Hub, published: PublishedData, tmp_path: Path) -> None:
    config = HubConfig(repository=NAME, dry_run=True)
    planned = push_dataset(published, config, dry_run_folder=tmp_path / "would_send")
    assert hub.asked == []
    assert planned.files == push(published).files


def test_a_broken_connection_goes_on(hub: Hub, published: PublishedData, tmp_path: Path) -> None:
    hub.faults = [Fault("POST", "/commit/", after=10)]
    with pytest.raises(HubError, match="connection to the Hub broke while sending to the data set owner/photographs"):
        push(published)
    uploads = len(hub.uploaded)
    hub.faults = [Fault("GET", "resolve/.*/data/test", after=100)]
    push(published)
    assert len(hub.uploaded) == uploads, "what had arrived was kept"
    with pytest.raises(HubError, match="connection to the Hub broke while fetching"):
        pull_dataset(NAME, target=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    hub.faults = []
    assert len(pull_dataset(NAME, target=tmp_path / "pulled").manifest) == 16


def spoilt(hub: Hub, change) -> None:
    """Commit a change of what was pushed, by someone who knows the form."""
    there = hub.dataset(NAME)
    files = dict(there.commits[there.branches["main"]].files)
    change(files)
    there.commit("main", files, "by hand")


def another_picture(files: dict) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = next(name for name in files if name.startswith("data/test"))
    table = pq.read_table(io.BytesIO(files[name][0]))
    rows = table.to_pylist()
    rows[0]["image"]["bytes"] = b"another picture"
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
    files[name] = (buffer.getvalue(), True)


def another_place(files: dict) -> None:
    name = "clip_har/manifest.parquet"
    manifest = Manifest.read(io.BytesIO(files[name][0]))
    frame = manifest.frame.copy()
    frame.loc[0, "uri"] = "../../outside.jpg"
    buffer_manifest = Manifest(frame, manifest.labels, manifest.root)
    import json
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        files[name] = (buffer_manifest.write(Path(folder) / "m.parquet").read_bytes(), True)
    version = json.loads(files["clip_har/version.json"][0])
    version["manifest_hash"] = buffer_manifest.content_hash
    files["clip_har/version.json"] = (json.dumps(version).encode(), False)
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in [part for part in files if part.startswith("data/")]:
        table = pq.read_table(io.BytesIO(files[part][0]))
        rows = table.to_pylist()
        for row in rows:
            if row["id"] == frame.loc[0, "id"]:
                row["uri"] = "../../outside.jpg"
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
        files[part] = (buffer.getvalue(), True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_picture, "the picture '.*' is not the one that the Manifest names. Nothing was kept"),
        (
            lambda files: files.pop(next(n for n in files if n.startswith("data/test"))),
            "4 pictures of the Manifest are missing",
        ),
        (another_place, "'../../outside.jpg' is not a plain path below the folder"),
        (lambda files: files.update({"clip_har/version.json": (b"{", False)}), "version.json cannot be read"),
        (lambda files: files.pop("clip_har/version.json"), "was not pushed by clip_har.*data.source=hub"),
    ],
    ids=["another picture", "missing", "outside", "version", "not ours"],
)
def test_what_was_changed_there_is_not_kept(hub: Hub, published, tmp_path: Path, change, said: str) -> None:
    push(published)
    spoilt(hub, change)
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError, match=said):
        pull_dataset(NAME, target=tmp_path / "here" / "pulled")
    assert list((tmp_path / "here").iterdir()) == []
    assert not (tmp_path / "outside.jpg").exists()


def test_a_picture_that_was_changed_here_is_not_sent(hub: Hub, tmp_path: Path) -> None:
    import dataclasses

    photos = colour_photos(tmp_path / "photos", ("running", "sitting"), 2)
    manifest, report, inspection = described(photos)
    store = VersionStore(tmp_path / "workspace")
    opened = store.open(store.publish(manifest, report, inspection, source_key="s"))
    moved = dataclasses.replace(opened, manifest=dataclasses.replace(opened.manifest, root=str(photos)))
    next(iter(sorted((photos / "running").iterdir()))).write_bytes(b"changed")
    with pytest.raises(DataError, match="is not the picture that the Manifest names; nothing was sent"):
        push(moved)
    assert hub.asked == []


def test_a_folder_that_is_not_empty(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="exists already and is not an empty folder"):
        pull_dataset(NAME, target=tmp_path)
