"""Embeddings kept on disk, shared by methods and runs: a photograph goes through an unchanged encoder once.

One folder for each kind of rows, encoder, preprocessing and way of computing them; in it the rows by sample id, which is
the hash of the photograph's bytes. So a data set that grows is encoded only where it is new, and anything that changes a
number finds no rows at all. What is read is equal, to the last bit, to what would be computed.

Any number of processes may use a cache at one time. Where two want the same rows the second waits for the first, takes
what that one has stored, and computes what is missing; if the first dies, or gets nowhere, it goes on by itself. A
damaged shard, a full disk or a folder that cannot be written costs time, never a run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.cache_folders import decoded_by, make_room
from clip_har.data.image import ImageLimits
from clip_har.data.loading import map_ahead
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache
from clip_har.hashing import sha256_file, sha256_json
from clip_har.models.embeddings import EmbeddingSet, encoded_batches, preprocessing_hash
from clip_har.training.embedding_shards import RowFolder, can_be_kept, size_of_shard

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

logger = logging.getLogger(__name__)

EMBEDDINGS = "embeddings"
_FORMAT = 1
_MAX_BYTES = 2_000_000_000
_SHARD_ROWS = 256  # at least, so that a killed process loses little
_SHARD_SHARE = 16  # and this part of a large data set, so that there are not many shards
_SECONDS_BETWEEN_LOOKS = 0.2
_PATIENCE = 120.0  # seconds that a process waits for one that gets nowhere

Progress = Callable[[int, int], None]


class EmbeddingCacheConfig(ComponentConfig):
    """Where embeddings are kept, and how many."""

    path: str | None = Field(None, description="Folder of the cache; `embeddings/` of the workspace if not given.")
    max_bytes: int = Field(
        _MAX_BYTES,
        ge=0,
        description="Most that is kept, in bytes; rows of the encoders used least recently go first. 0 keeps none.",
    )


class EmbeddingCache:
    """Rows that image encoders make of photographs, on disk.

    Attributes:
        read: rows that were read.
        encoded: photographs that went through an encoder.
    """

    def __init__(self, folder: str | Path, max_bytes: int = _MAX_BYTES) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.read = self.encoded = 0
        self._stores = max_bytes > 0  # until it cannot, which is said once

    @classmethod
    def of(cls, config: EmbeddingCacheConfig, workspace: str | Path) -> EmbeddingCache:
        """The cache that a run's config describes."""
        return cls(config.path or Path(workspace) / "embeddings", config.max_bytes)

    @classmethod
    def none(cls) -> EmbeddingCache:
        """One that keeps nothing."""
        return cls("", max_bytes=0)

    def embed(
        self,
        manifest: Manifest,
        encoder: DualEncoder,
        *,
        batch_size: int = 32,
        limits: ImageLimits | None = None,
        pixels: PixelCache | None = None,
        progress: Progress | None = None,
    ) -> EmbeddingSet:
        """What `embed_manifest` gives, from the cache where it is there.

        Args:
            pixels: where decoded pictures are kept, for those that must be encoded.
            progress: called as `progress(done, total)`.

        Raises:
            DataError: if a photograph that must be encoded can no longer be read.
        """
        (matrix,) = self.rows(
            manifest,
            encoder,
            {EMBEDDINGS: ()},
            lambda pixel_values: (encoder.encode_images(pixel_values),),
            batch_size=batch_size,
            limits=limits,
            pixels=pixels,
            progress=progress,
        )
        key = encoder.image_encoder_hash(), preprocessing_hash(encoder.preprocessing)
        return EmbeddingSet(tuple(manifest.ids), matrix, *key)

    def rows(
        self,
        manifest: Manifest,
        encoder: DualEncoder,
        kinds: Mapping[str, Sequence[ModuleType]],
        encode: Callable[[np.ndarray], tuple[np.ndarray, ...]],
        *,
        batch_size: int = 32,
        limits: ImageLimits | None = None,
        pixels: PixelCache | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, ...]:
        """Any rows that an image encoder makes: several kinds from one pass through it.

        Args:
            kinds: a name for each, and the modules that make it, beside the encoder's own. Photographs that lack rows of
                one kind are encoded for all.
            encode: pixel_values float32 [n, 3, h, w] → for each kind float32 [n, d].

        Returns:
            For each kind float32 [samples, d], in the Manifest's order.

        Raises:
            DataError: if a photograph that must be encoded can no longer be read.
        """
        about = _about(encoder, limits or ImageLimits(), batch_size)
        tables = [
            _Table(self._folder_of({"kind": kind, **about, **decoded_by((*_code(), *code))}), manifest)
            for kind, code in kinds.items()
        ]
        with self._opened(tables):
            missing = _missing(tables)
            if len(missing) and self._stores:
                missing = self._wait_for_turn(tables, progress)
            self.read += len(manifest) - len(missing)
            if progress and len(missing) < len(manifest):
                progress(len(manifest) - len(missing), len(manifest))
            samples = list(zip(manifest.ids, manifest.paths, strict=True))
            pending: list[int] = []
            try:
                done = 0
                for arrays in encoded_batches(
                    [samples[position] for position in missing],
                    encode,
                    encoder.preprocessing,
                    batch_size=batch_size,
                    limits=limits,
                    cache=pixels,
                    of=len(manifest),
                ):
                    positions = missing[done : done + len(arrays[0])]
                    done += len(positions)
                    self.encoded += len(positions)
                    for table, array in zip(tables, arrays, strict=True):
                        table.put(positions, array)
                        table.folder.show_headway()
                    pending += positions.tolist()
                    if len(pending) >= max(_SHARD_ROWS, done // _SHARD_SHARE):
                        self._store(tables, pending, samples)
                        pending = []
                    if progress:
                        progress(len(manifest) - len(missing) + done, len(manifest))
            finally:  # what was computed before a photograph that cannot be read, or before Ctrl-C, is kept too
                self._store(tables, pending, samples)
            return tuple(table.matrix for table in tables)

    def _folder_of(self, about: dict[str, Any]) -> RowFolder:
        parts = (about["kind"], about["encoder"][:12], about["preprocessing"][:12], sha256_json(about)[:16])
        return RowFolder(self.folder / "-".join(parts), about)

    @contextmanager
    def _opened(self, tables: Sequence[_Table]) -> Iterator[None]:
        """The tables filled with what is there; their folders are kept from being dropped for the block."""
        for table in tables if self.max_bytes else ():
            try:
                table.folder.open()
            except OSError as error:
                self._stop(error)
            table.refresh()
        try:
            yield
        finally:
            for table in tables:
                table.folder.close()

    def _wait_for_turn(self, tables: Sequence[_Table], progress: Progress | None) -> np.ndarray:
        """Positions that this process must compute, once no other one is at it."""
        said = False
        try:
            for table in sorted(tables, key=lambda table: table.folder.folder):  # the same order for all: no deadlock
                while not table.folder.take_turn():
                    if table.folder.seconds_without_headway() > _PATIENCE:
                        logger.warning("The other run has not got on for %.0f s: encoding without waiting.", _PATIENCE)
                        break
                    if not said:
                        logger.warning("Another run is encoding for %s: waiting for it.", self.folder)
                        said = True
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                    if len(missing := _refreshed(tables, progress)) == 0:
                        return missing
        except OSError as error:
            self._stop(error)
        return _refreshed(tables, progress if said else None)

    def _store(self, tables: Sequence[_Table], positions: list[int], samples: Sequence[tuple[str, Path]]) -> None:
        """Keep rows of photographs whose files are still those that their ids stand for."""
        if not self._stores or not positions:
            return
        unchanged = map_ahead(_is_unchanged, (samples[position] for position in positions))
        kept = np.array([position for position, same in zip(positions, unchanged, strict=True) if same], dtype=np.int64)
        try:
            for table in tables:
                new = kept[~table.there[kept]]
                if len(new) == 0:
                    continue
                size = size_of_shard(len(new), table.matrix.shape[1])
                if make_room(self.folder, size, self.max_bytes) < size:
                    self._stores = False
                    logger.warning(
                        "The embedding cache %s is full (embedding_cache.max_bytes: %d): what is not in it is encoded each "
                        "time.",
                        self.folder,
                        self.max_bytes,
                    )
                    return
                table.folder.add([samples[position][0] for position in new], table.matrix[new])
                table.there[new] = True
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        """Go on without storing: a full or read-only disk stops no run."""
        if self._stores:
            logger.warning(
                "The embedding cache %s cannot be written (%s): what is not in it is encoded each time.",
                self.folder,
                error.strerror or error,
            )
        self._stores = False


class _Table:
    """One kind of rows of a data set: those that are on disk, and those computed since.

    Attributes:
        matrix: float32 [n, d]; allocated when d is known.
        there: bool [n], which rows are on disk.
    """

    def __init__(self, folder: RowFolder, manifest: Manifest) -> None:
        self.folder = folder
        self.there = np.zeros(len(manifest), dtype=bool)
        self._positions = {identity: position for position, identity in enumerate(manifest.ids)}
        self._matrix: np.ndarray | None = None

    @property
    def matrix(self) -> np.ndarray:
        return np.empty((len(self.there), 0), dtype=np.float32) if self._matrix is None else self._matrix

    def put(self, positions: np.ndarray, rows: np.ndarray) -> None:
        """Set rows that were computed; rows from the disk stay."""
        self._set(positions[~self.there[positions]], rows[~self.there[positions]])

    def refresh(self) -> None:
        """Take up what was stored since the last look."""
        for ids, rows in self.folder.fresh():
            found = [
                (row, self._positions[identity]) for row, identity in enumerate(ids) if identity in self._positions
            ]
            if found:
                source, positions = np.array(found, dtype=np.int64).T
                self._set(positions, rows[source])
                self.there[positions] = True

    def _set(self, positions: np.ndarray, rows: np.ndarray) -> None:
        if self._matrix is None:
            self._matrix = np.empty((len(self.there), rows.shape[1]), dtype=np.float32)
        self._matrix[positions] = rows


def _missing(tables: Sequence[_Table]) -> np.ndarray:
    """Positions that lack rows of some kind."""
    return np.flatnonzero(~np.logical_and.reduce([table.there for table in tables]))


def _refreshed(tables: Sequence[_Table], progress: Progress | None) -> np.ndarray:
    for table in tables:
        table.refresh()
    missing = _missing(tables)
    total = len(tables[0].there)
    if progress and len(missing) < total:
        progress(total - len(missing), total)
    return missing


def _is_unchanged(sample: tuple[str, Path]) -> bool:
    identity, path = sample
    try:
        return can_be_kept(identity) and sha256_file(path) == identity
    except OSError:
        return False


def _code() -> tuple[ModuleType, ...]:
    import clip_har.models.dual_encoder
    import clip_har.models.embeddings
    import clip_har.models.preprocessing

    return clip_har.models.dual_encoder, clip_har.models.embeddings, clip_har.models.preprocessing


def _about(encoder: DualEncoder, limits: ImageLimits, batch_size: int) -> dict[str, Any]:
    """All that rows depend on, photographs and code apart: to the last bit, so the machine and the batch's size too."""
    import torch

    is_cpu = encoder.device.type == "cpu"
    where = torch.backends.cpu.get_cpu_capability() if is_cpu else torch.cuda.get_device_name(encoder.device)
    return {
        "format": _FORMAT,
        "encoder": encoder.image_encoder_hash(),
        "preprocessing": preprocessing_hash(encoder.preprocessing),
        "limits": limits.model_dump(mode="json", exclude={"max_pixels_in_flight"}),
        "dtype": str(encoder.dtype),
        "device": f"{where}, {torch.get_num_threads()} threads" if is_cpu else where,
        "batch_size": batch_size,
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }
