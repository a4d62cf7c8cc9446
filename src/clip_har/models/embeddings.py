"""Image embeddings of a whole data set: computed once, used by everything that leaves the image encoder alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clip_har.component import Artifact
from clip_har.data.image import ImageLimits
from clip_har.data.loading import batched, map_ahead
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache
from clip_har.errors import DataError, ImageError
from clip_har.hashing import sha256_arrays, sha256_json
from clip_har.models.input_pixels import input_pixels
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.storage import write_atomic, write_json

Encode = Callable[[np.ndarray], np.ndarray]
"""`encode(pixel_values: float32 [n, 3, h, w]) -> float32 [n, d]`, L2-normalised."""


def preprocessing_hash(config: PreprocessingConfig) -> str:
    """sha256 of a preprocessing config."""
    return sha256_json(config.model_dump(mode="json"))


@dataclass(frozen=True)
class EmbeddingSet(Artifact):
    """Embeddings by sample id.

    Attributes:
        ids: n sample ids.
        matrix: float32 [n, d], L2-normalised rows. (float16 alone would move probabilities by 5e-4.)
        encoder_hash, preprocessing_hash: what made them; embeddings of another encoder must not be mixed in.
    """

    ids: tuple[str, ...]
    matrix: np.ndarray
    encoder_hash: str
    preprocessing_hash: str

    def __post_init__(self) -> None:
        if self.matrix.dtype != np.float32 or self.matrix.ndim != 2 or len(self.ids) != len(self.matrix):
            raise DataError(
                f"An EmbeddingSet needs float32 [n, d] and n ids; got {self.matrix.dtype} {list(self.matrix.shape)} and "
                f"{len(self.ids)} ids."
            )

    @property
    def key(self) -> tuple[str, str]:
        """(encoder hash, preprocessing hash)."""
        return self.encoder_hash, self.preprocessing_hash

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {identity: row for row, identity in enumerate(self.ids)}

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """float32 [len(ids), d]: the rows of these samples, in their order.

        Raises:
            DataError: if one is missing.
        """
        try:
            return self.matrix[[self._rows[identity] for identity in ids]]
        except KeyError as error:
            raise DataError(f"There is no embedding of the sample {error}; the embeddings are of other data.") from None

    @property
    def content_hash(self) -> str:
        """sha256 of ids, numbers and key."""
        return sha256_json([list(self.ids), sha256_arrays({"matrix": self.matrix}), *self.key])

    def write(self, folder: str | Path) -> None:
        """Write `embeddings.safetensors`, `ids.parquet` and `key.json` into a folder."""
        import io

        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors.numpy import save

        folder = Path(folder)
        buffer = io.BytesIO()
        pq.write_table(pa.table({"id": list(self.ids)}), buffer)
        write_atomic(folder / "ids.parquet", buffer.getvalue())
        write_atomic(folder / "embeddings.safetensors", save({"matrix": np.ascontiguousarray(self.matrix)}))
        write_json(folder / "key.json", {"encoder": self.encoder_hash, "preprocessing": self.preprocessing_hash})

    @classmethod
    def read(cls, folder: str | Path) -> EmbeddingSet:
        """Read what `write` wrote."""
        import pyarrow.parquet as pq
        from safetensors.numpy import load_file

        folder = Path(folder)
        key = json.loads((folder / "key.json").read_text())
        ids = tuple(pq.read_table(folder / "ids.parquet")["id"].to_pylist())
        return cls(ids, load_file(folder / "embeddings.safetensors")["matrix"], key["encoder"], key["preprocessing"])


def embed_manifest(
    manifest: Manifest,
    encode: Encode,
    encoder_hash: str,
    preprocessing: PreprocessingConfig,
    *,
    batch_size: int = 32,
    limits: ImageLimits | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: PixelCache | None = None,
) -> EmbeddingSet:
    """Embed every photograph of a Manifest; decoding overlaps with encoding.

    Args:
        cache: where decoded pictures are kept; embeddings are the same to the last bit.

    Raises:
        DataError: if a file can no longer be read; it was when the Manifest was made.
    """
    parts: list[np.ndarray] = []
    samples = list(zip(manifest.ids, manifest.paths, strict=True))
    for (part,) in encoded_batches(
        samples,
        lambda pixel_values: (encode(pixel_values),),
        preprocessing,
        batch_size=batch_size,
        limits=limits,
        cache=cache,
    ):
        parts.append(part)
        if progress:
            progress(sum(map(len, parts)), len(manifest))
    return EmbeddingSet(tuple(manifest.ids), np.concatenate(parts), encoder_hash, preprocessing_hash(preprocessing))


def encoded_batches(
    samples: Sequence[tuple[str, Path]],
    encode: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    preprocessing: PreprocessingConfig,
    *,
    batch_size: int = 32,
    limits: ImageLimits | None = None,
    cache: PixelCache | None = None,
    of: int | None = None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """What an encoder makes of photographs, a batch at a time and in order; decoding overlaps with encoding.

    All batches are equally large (the last one is filled up, and cut again): matrix products of another size are rounded
    otherwise. So the numbers of a photograph are the same to the last bit, whichever others it is encoded with.

    Args:
        samples: (id, file) of each.
        encode: pixel_values float32 [n, 3, h, w] → arrays with n rows.
        of: size of the data set that they belong to, by which the cache decides whether it serves; theirs if not given.

    Raises:
        DataError: if a file can no longer be read; it was when the Manifest was made.
    """
    preprocessor = Preprocessor(preprocessing)
    with input_pixels(preprocessing, len(samples) if of is None else of, cache, limits) as pixels_of:

        def load(sample: tuple[str, Path]) -> np.ndarray:
            try:
                return preprocessor.normalise(pixels_of(*sample))
            except ImageError as error:
                raise DataError(
                    f"{sample[1]} was accepted by validation, but cannot be read any more: {error}"
                ) from error

        for batch in batched(map_ahead(load, samples, ahead=2 * batch_size), batch_size):
            filled = [*batch, *[batch[-1]] * (batch_size - len(batch))]
            yield tuple(array[: len(batch)] for array in encode(np.stack(filled)))
