"""What a model saw and said of a set of pictures: the reference's, or a window's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from clip_har.component import Artifact

IMAGE_FIGURES = (
    *("brightness", "contrast", "sharpness", "saturation", "red", "green", "blue", "aspect"),
    *("megapixels", "bits_per_pixel"),
)
"""Figures of a picture that are compared: `clip_har.capture.statistics.STATISTICS`, its size, and how strongly it is compressed."""


@dataclass(frozen=True)
class Observations(Artifact):
    """Pictures that were answered, in the order of their times (of their ids, where there are no times).

    What a source does not have is None as a whole; a figure that one picture lacks is NaN.

    Attributes:
        model_id, encoder_hash: what answered.
        labels: the model's, in the order of the probabilities.
        ids: of the pictures (prediction id, or sha256).
        predicted: int [n], index of the best label.
        confidence: float32 [n], its calibrated probability.
        abstained: bool [n].
        embeddings: float32 [n, d].
        probabilities: float32 [n, c].
        figures: name in `IMAGE_FIGURES` → float32 [n].
        times: float64 [n], seconds since 1970.
        truth: int [n], index of the true label, -1 where it is not known.
        pictures: where each picture can be read (a path, or a name in the capture's images); "" where it cannot.
        errors: reason → pictures that were refused for it; they are in none of the arrays.
        source: in words ("captured", a path).
        skipped: in words → rows that were left out for it ("of another model").
    """

    model_id: str
    encoder_hash: str
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    predicted: np.ndarray
    confidence: np.ndarray
    abstained: np.ndarray
    embeddings: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    figures: dict[str, np.ndarray] = field(default_factory=dict)
    times: np.ndarray | None = None
    truth: np.ndarray | None = None
    pictures: tuple[str, ...] | None = None
    errors: dict[str, int] = field(default_factory=dict)
    source: str = ""
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def write(self, folder: str | Path) -> None:
        """Write them into a folder: safetensors, Parquet and JSON."""
        from clip_har.monitoring.stored import write_observations

        write_observations(folder, self)

    @classmethod
    def read(cls, folder: str | Path) -> Observations:
        """What `write` wrote.

        Raises:
            MonitoringError: if the files are missing, damaged, or do not belong together.
        """
        from clip_har.monitoring.stored import read_observations

        return read_observations(folder)

    @property
    def content_hash(self) -> str:
        """sha256 of all that is in them."""
        from clip_har.monitoring.stored import hash_of

        return hash_of(self)

    def take(self, rows: np.ndarray) -> Observations:
        """Some of the pictures: int [k], or bool [n]. What was refused stays."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            predicted=self.predicted[rows],
            confidence=self.confidence[rows],
            abstained=self.abstained[rows],
            embeddings=of(self.embeddings),
            probabilities=of(self.probabilities),
            figures={name: values[rows] for name, values in self.figures.items()},
            times=of(self.times),
            truth=of(self.truth),
            pictures=None if self.pictures is None else tuple(self.pictures[row] for row in rows),
        )
