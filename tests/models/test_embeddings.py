"""Embedding sets: made in the Manifest's order, kept with their key, read as they were written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import DataError
from clip_har.hashing import sha256_file
from clip_har.models.embeddings import EmbeddingSet, embed_manifest, preprocessing_hash
from clip_har.models.preprocessing import Preprocessor

MATRIX = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
IDS = ("c", "a", "d", "b")


def embedding_set(**changes) -> EmbeddingSet:
    return EmbeddingSet(**({"ids": IDS, "matrix": MATRIX, "encoder_hash": "e", "preprocessing_hash": "p"} | changes))


def test_it_is_read_as_it_was_written(tmp_path):
    written = embedding_set()
    written.write(tmp_path / "set")
    read = EmbeddingSet.read(tmp_path / "set")
    assert read.ids == IDS
    assert read.matrix.dtype == np.float32
    assert np.array_equal(read.matrix, MATRIX)
    assert read.key == ("e", "p")
    assert read.content_hash == written.content_hash
    assert {path.suffix for path in (tmp_path / "set").iterdir()} == {".safetensors", ".parquet", ".json"}


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ("a", "c", "d", "b")},
        {"matrix": np.nextafter(MATRIX, np.float32(9))},
        {"encoder_hash": "other"},
        {"preprocessing_hash": "other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_hash_changes_with_each_part(changes):
    assert embedding_set(**changes).content_hash != embedding_set().content_hash


def test_rows_are_found_by_id():
    assert np.array_equal(embedding_set().of(["b", "c", "b"]), MATRIX[[3, 0, 3]])
    assert embedding_set().of([]).shape == (0, 8)
    with pytest.raises(DataError, match="no embedding of the sample 'x'"):
        embedding_set().of(["a", "x"])


@pytest.mark.parametrize(
    "changes",
    [
        {"matrix": MATRIX.astype(np.float64)},
        {"matrix": MATRIX.astype(np.float16)},
        {"matrix": MATRIX[0]},
        {"ids": IDS[:3]},
    ],
    ids=["float64", "float16", "one row", "too few ids"],
)
def test_another_shape_or_type_is_refused(changes):
    with pytest.raises(DataError, match=r"needs float32 \[n, d\] and n ids; got"):
        embedding_set(**changes)


def test_the_key_follows_the_preprocessing(encoders):
    config = encoders["clip"].preprocessing
    hashes = {preprocessing_hash(config)} | {
        preprocessing_hash(config.model_copy(update=change))
        for change in ({"resample": 2}, {"crop": (30, 30)}, {"decoder_reduction": True}, {"mean": (0.5, 0.5, 0.4)})
    }
    assert len(hashes) == 5
    assert preprocessing_hash(type(config).model_validate(config.model_dump(mode="json"))) in hashes


@pytest.fixture
def manifest(photos):
    ids = [path.stem for path in photos]
    rows = {"id": ids, "uri": [str(path) for path in photos], "label": [path.parent.name for path in photos]}
    frame = pd.DataFrame(rows | dict.fromkeys(("split", "group", "format", "source", "data_revision"), ""))
    return Manifest(frame.assign(width=60, height=60), tuple(sorted(set(rows["label"]))), "")


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_every_photograph_is_embedded_in_order(manifest, encoders, batch_size):
    encoder, seen, sizes = encoders["clip"], [], []

    def encode(pixel_values: np.ndarray) -> np.ndarray:
        sizes.append(len(pixel_values))
        return encoder.encode_images(pixel_values)

    embeddings = embed_manifest(
        manifest, encode, "e", encoder.preprocessing, batch_size=batch_size, progress=lambda *done: seen.append(done)
    )
    assert embeddings.ids == tuple(manifest.ids)
    assert embeddings.key == ("e", preprocessing_hash(encoder.preprocessing))
    assert seen[-1] == (12, 12)
    assert max(sizes) <= batch_size
    preprocessor = Preprocessor(encoder.preprocessing)
    for row in (0, 7, 11):
        with Image.open(manifest.paths[row]) as image:
            alone = encoder.encode_images(preprocessor.batch([image]))
        assert embeddings.matrix[row] == pytest.approx(alone[0], abs=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip", "vision_text"])
def test_a_photographs_numbers_are_the_same_whichever_others_there_are(manifest, encoders, kind):
    """To the last bit: products of matrices of another size are rounded otherwise."""
    encoder = encoders[kind]

    def embedded(rows: list[int]) -> np.ndarray:
        part = Manifest(manifest.frame.iloc[rows].reset_index(drop=True), manifest.labels, manifest.root)
        return embed_manifest(part, encoder.encode_images, "e", encoder.preprocessing, batch_size=32).matrix

    every = embedded(list(range(12)))
    for rows in ([0], [11], [3, 1, 7], [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]):
        assert np.array_equal(embedded(rows), every[rows]), rows


def test_a_photograph_that_has_gone_is_named(manifest, encoders):
    gone = manifest.frame.assign(uri=[*manifest.frame["uri"][:-1], "gone.jpg"])
    encoder = encoders["clip"]
    with pytest.raises(DataError, match=r"gone\.jpg was accepted by validation, but cannot be read any more"):
        embed_manifest(Manifest(gone, manifest.labels, ""), encoder.encode_images, "e", encoder.preprocessing)


@pytest.mark.parametrize("kind", ["clip", "vision_text"])
def test_embeddings_from_the_pixel_cache_are_the_same_to_the_last_bit(manifest, encoders, tmp_path, kind):
    encoder = encoders[kind]
    ids = [sha256_file(path) for path in manifest.paths]
    manifest = Manifest(manifest.frame.assign(id=ids), manifest.labels, manifest.root)
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))

    def embedded(data: Manifest, cache: PixelCache | None, preprocessing=encoder.preprocessing) -> np.ndarray:
        return embed_manifest(data, encoder.encode_images, "e", preprocessing, batch_size=5, cache=cache).matrix

    plain = embedded(manifest, None)
    assert np.array_equal(embedded(manifest, cache), plain)
    gone = Manifest(manifest.frame.assign(uri="gone.jpg"), manifest.labels, str(tmp_path))
    assert np.array_equal(embedded(gone, cache), plain), "nothing is decoded again"
    brighter = encoder.preprocessing.model_copy(update={"mean": (0.1, 0.1, 0.1)})  # comes after what is kept
    assert np.array_equal(embedded(gone, cache, brighter), embedded(manifest, None, brighter))
    other = encoder.preprocessing.model_copy(update={"resample": 0})  # comes before
    with pytest.raises(DataError, match="cannot be read any more"):
        embedded(gone, cache, other)
