"""Pictures in files → what a model sees and says of them, as the service would capture it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture.statistics import STATISTICS, image_statistics
from clip_har.data.image import ImageLimits, read_image_bytes
from clip_har.errors import DataError
from clip_har.inference.pictures import PendingPicture
from clip_har.monitoring.observations import IMAGE_FIGURES, Observations

if TYPE_CHECKING:
    from PIL import Image

    from clip_har.inference.predictor import Predictor
    from clip_har.models.bundle import ModelBundle
    from clip_har.progress import Report


def observe(
    predictor: Predictor,
    images: Sequence[str | Path],
    *,
    ids: Sequence[str] | None = None,
    truth: np.ndarray | None = None,
    limits: ImageLimits | None = None,
    progress: Report | None = None,
) -> Observations:
    """Embeddings, probabilities, figures and errors of pictures, in the order of their ids. Each is read and decoded once.

    Args:
        images: files.
        ids: of the pictures; sha256 of their bytes if not given.
        truth: int [n], index of each true label, -1 where it is not known.
        limits: what is accepted as a file (as a picture, the predictor's own).
        progress: told how many are done.

    Raises:
        DataError: if `ids` or `truth` are not as many as the images.
    """
    for name, given in (("ids", ids), ("truth", truth)):
        if given is not None and len(given) != len(images):
            raise DataError(f"{len(images)} pictures are to be observed, and {name} has {len(given)} entries.")
    pictures = [_Picture(Path(image), limits or ImageLimits()) for image in images]
    parts: list[np.ndarray] = []
    good: list[int] = []
    errors: Counter[str] = Counter()
    done = 0
    with closing(predictor.embed_stream(pictures)) as stream:
        for embeddings, found in stream:
            parts.append(embeddings)
            errors.update(error.reason for error in found if error is not None)
            good += [done + place for place, error in enumerate(found) if error is None]
            done += len(found)
            if progress:
                progress(done, len(pictures))
    bundle = predictor.bundle
    embeddings = np.concatenate([*parts, np.zeros((0, bundle.class_matrix.shape[1]), np.float32)])
    probabilities = predictor.score_embeddings(embeddings) if good else np.zeros((0, len(bundle.labels)), np.float32)
    names = tuple(pictures[row].sha256 if ids is None else ids[row] for row in good)
    whole = Observations(
        model_id=bundle.model_id,
        encoder_hash=bundle.info.encoder_hash,
        labels=bundle.labels,
        ids=names,
        **answers_of(bundle, probabilities),
        embeddings=embeddings,
        probabilities=probabilities,
        figures=_figures([pictures[row] for row in good]),
        truth=None if truth is None else np.asarray(truth, np.int64)[good],
        pictures=tuple(str(pictures[row].path) for row in good),
        errors=dict(sorted(errors.items())),
    )
    return whole.take(np.array(sorted(range(len(names)), key=names.__getitem__), np.int64))


def answers_of(bundle: ModelBundle, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """`predicted`, `confidence` and `abstained` for calibrated probabilities float32 [n, c], by the bundle's own threshold."""
    confidence = probabilities.max(axis=1, initial=0.0)
    predicted = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, np.int64)
    return {"predicted": predicted, "confidence": confidence, "abstained": abstained_at(bundle, confidence)}


def abstained_at(bundle: ModelBundle, confidence: np.ndarray) -> np.ndarray:
    """Whether the bundle abstains, bool [n], where its best label has these probabilities."""
    abstention = bundle.calibration.abstention
    threshold = None if abstention is None else abstention.threshold
    return confidence < (0.0 if threshold is None else threshold)


def figures_of_files(
    statistics: Mapping[str, np.ndarray], width: np.ndarray, height: np.ndarray, size: np.ndarray
) -> dict[str, np.ndarray]:
    """All of `IMAGE_FIGURES`; what is unknown (0 or NaN) is NaN.

    Args:
        statistics: name in `STATISTICS` → float32 [n].
        width, height: upright, in pixels.
        size: of the files, in bytes.
    """
    pixels = width.astype(np.float64) * height
    with np.errstate(divide="ignore", invalid="ignore"):
        made = {"megapixels": pixels / 1e6, "bits_per_pixel": 8 * size.astype(np.float64) / pixels}
    figures = dict(statistics) | {name: np.where((pixels > 0) & (size > 0), made[name], np.nan) for name in made}
    figures["megapixels"] = np.where(pixels > 0, made["megapixels"], np.nan)
    return {name: figures[name].astype(np.float32) for name in IMAGE_FIGURES if name in figures}


class _Picture(PendingPicture):
    """A file that is measured by the thread that decodes it."""

    __slots__ = ("_limits", "height", "path", "sha256", "size", "statistics", "width")

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self.path, self._limits = path, limits
        self.sha256, self.size, self.width, self.height = "", 0, 0, 0
        self.statistics: dict[str, float] = {}

    def read(self) -> bytes:
        data = read_image_bytes(self.path, self._limits)
        self.sha256, self.size = hashlib.sha256(data).hexdigest(), len(data)
        return data

    def decoded(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def seen(self, picture: Image.Image) -> None:
        self.statistics = image_statistics(picture)


def _figures(pictures: Sequence[_Picture]) -> dict[str, np.ndarray]:
    statistics = {name: np.array([one.statistics[name] for one in pictures], np.float32) for name in STATISTICS}
    width, height, size = (
        np.array([getattr(one, name) for one in pictures], np.int64) for name in ("width", "height", "size")
    )
    return figures_of_files(statistics, width, height, size)
