"""The Predictor: pictures in, labelled scores out. REST, gRPC, batch jobs, the app and evaluation all call it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.data.image import ImageLimits, PixelBudget
from clip_har.data.loading import batched, map_ahead
from clip_har.errors import BundleError, ClipHarError, ConfigError, ImageError
from clip_har.inference.runtimes import RUNTIMES, EncoderRuntime
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import preprocessing_hash
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.models.prompts import PromptConfig, check_template

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

_MATRICES_KEPT = 64

ImageSource = Any
"""A path, a file's bytes, a PIL image, or an array uint8 [h, w, 3]."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        labels, scores: the best labels and their probabilities, falling.
        calibrated: whether the probabilities are calibrated (they are not for labels of the caller's own).
        error: why there is no answer, or None.
    """

    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    calibrated: bool = False
    error: ImageError | None = None

    @property
    def label(self) -> str | None:
        """The best label, or None if there is no answer."""
        return self.labels[0] if self.labels else None


class Predictor:
    """A bundle ready to answer. Safe to call from several threads.

    Args:
        bundle: an opened bundle.
        encoder: its encoders.
        runtime: what runs the image encoder.
        batch_size: pictures encoded at one time.
        limits: what is accepted as an image.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        encoder: DualEncoder,
        runtime: EncoderRuntime,
        batch_size: int = 32,
        limits: ImageLimits | None = None,
    ) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self._encoder = encoder
        self._batch_size = batch_size
        self._limits = limits or ImageLimits()
        self._budget = PixelBudget(self._limits.max_pixels_in_flight)
        self._preprocessor = Preprocessor(encoder.preprocessing)
        self._matrices: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        bundle: str | Path | ModelBundle,
        runtime: str = "auto",
        *,
        device: str = "auto",
        batch_size: int = 32,
        limits: ImageLimits | None = None,
    ) -> Predictor:
        """Open a bundle (its checksums are verified) and load its encoders.

        Raises:
            BundleError: if the bundle cannot be used.
            ConfigError: if there is no such runtime.
        """
        opened = bundle if isinstance(bundle, ModelBundle) else ModelBundle.load(bundle)
        kind = RUNTIMES.get(runtime)
        encoder = opened.load_encoder(device)
        return cls(opened, encoder, kind(encoder), batch_size, limits)

    def predict(
        self,
        images: Iterable[ImageSource],
        labels: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        top_k: int = 5,
    ) -> list[Prediction]:
        """Score pictures against the bundle's labels, or against labels of the caller's own.

        Args:
            images: pictures; one that cannot be decoded gives a Prediction with an error.
            labels: other labels, scored through the text encoder (open vocabulary, not calibrated).
            templates: other templates for `labels`; {} is the place for the action.
            top_k: how many labels to answer with.

        Raises:
            ConfigError: if labels or templates cannot be used.
            BundleError: if the bundle no longer answers for labels other than its own.
        """
        if top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {top_k}.")
        names, probabilities_of, calibrated = self._scoring(labels, templates)
        answers = []
        for embeddings, errors in self._encode_stream(images):
            rows = iter(probabilities_of(embeddings)) if len(embeddings) else iter(())
            for error in errors:
                if error is not None:
                    answers.append(Prediction(error=error))
                    continue
                row = next(rows)
                best = np.argsort(-row, kind="stable")[:top_k]
                answers.append(
                    Prediction(tuple(names[i] for i in best), tuple(float(row[i]) for i in best), calibrated)
                )
        return answers

    def embed_images(self, images: Iterable[ImageSource]) -> np.ndarray:
        """Pictures → float32 [n, d], L2-normalised.

        Raises:
            ImageError: for the first picture that cannot be decoded.
        """
        parts = []
        for embeddings, errors in self._encode_stream(images):
            for error in errors:
                if error is not None:
                    raise error
            parts.append(embeddings)
        return np.concatenate(parts) if parts else np.empty((0, self.bundle.class_matrix.shape[1]), dtype=np.float32)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → float32 [n, d], L2-normalised."""
        return self._encoder.encode_texts(texts)

    def score_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [n, d] → calibrated probabilities of the bundle's labels, float32 [n, c]."""
        return softmax(self.logits(embeddings), self.bundle.calibration.temperature)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [n, d] → logits of the bundle's labels before the temperature, float32 [n, c]."""
        return self.bundle.head.score(embeddings, self.bundle.class_matrix)

    @property
    def preprocessing(self) -> PreprocessingConfig:
        """What pictures go through before the encoder."""
        return self._encoder.preprocessing

    @cached_property
    def encoder_key(self) -> tuple[str, str]:
        """(encoder hash, preprocessing hash): the key of this model's embeddings."""
        return self.bundle.info.encoder_hash, preprocessing_hash(self._encoder.preprocessing)

    @cached_property
    def encoders_unchanged(self) -> bool:
        """Whether adaptation left both encoders as the backbone's."""
        ours = f"{self._encoder.image_encoder_hash()}+{self._encoder.text_encoder_hash()}"
        return ours == self.bundle.info.backbone_hash

    @property
    def text_head(self) -> TextHead:
        """The encoders' own scoring of pictures against texts."""
        return TextHead(self._encoder.logit_scale, self._encoder.logit_bias)

    @cached_property
    def _prompts(self) -> PromptConfig:
        stored = self.bundle.prompts
        return PromptConfig(single=stored["single"], templates=stored["templates"], class_names=stored["class_names"])

    def _scoring(self, labels: Sequence[str] | None, templates: Sequence[str] | None):
        """(names, embeddings → probabilities, calibrated) for a request."""
        if labels is None and templates is None:
            return self.bundle.labels, self.score_embeddings, True
        if self.bundle.info.open_vocabulary.word == "lost":
            raise BundleError(
                "This model answers only for its own labels: its text side was lost in adaptation "
                f"({self.bundle.info.open_vocabulary.basis})."
            )
        names = tuple(labels) if labels is not None else self.bundle.labels
        matrix = self._class_matrix(names, tuple(templates) if templates is not None else None)
        return names, lambda embeddings: softmax(self.text_head.score(embeddings, matrix)), False

    def _class_matrix(self, labels: tuple[str, ...], templates: tuple[str, ...] | None) -> np.ndarray:
        """Class matrix of a request, cached by its content."""
        if not labels or any(not label.strip() for label in labels):
            raise ConfigError("labels: at least one is wanted, and none may be empty.")
        if len(set(labels)) != len(labels):
            raise ConfigError(f"labels: one is given twice ({', '.join(labels)}).")
        try:
            used = tuple(check_template(template) for template in templates or self._prompts.templates)
        except ValueError as error:
            raise ConfigError(f"templates: {error}.") from error
        key = (labels, used)
        with self._lock:
            if key in self._matrices:
                self._matrices.move_to_end(key)
                return self._matrices[key]
        known = {label: names for label, names in self._prompts.class_names.items() if label in labels}
        prompts = PromptConfig(single=used[0], templates=used, class_names=known)
        matrix = self._encoder.class_matrix(prompts.texts(labels, "ensemble"))
        with self._lock:
            self._matrices[key] = matrix
            while len(self._matrices) > _MATRICES_KEPT:
                self._matrices.popitem(last=False)
        return matrix

    def _load(self, source: ImageSource) -> np.ndarray | ImageError:
        try:
            return self._preprocessor(self._preprocessor.decode(source, self._limits, self._budget))
        except ImageError as error:
            return error
        except ClipHarError as error:
            return ImageError("not_an_image", str(error))

    def _encode_stream(self, images: Iterable[ImageSource]) -> Iterator[tuple[np.ndarray, list[ImageError | None]]]:
        """For each micro-batch: embeddings float32 [good, d], and an error or None for each picture."""
        for loaded in batched(map_ahead(self._load, images, ahead=2 * self._batch_size), self._batch_size):
            good = [item for item in loaded if isinstance(item, np.ndarray)]
            width = self.bundle.class_matrix.shape[1]
            embeddings = self.runtime.encode(np.stack(good)) if good else np.empty((0, width), dtype=np.float32)
            yield embeddings, [item if isinstance(item, ImageError) else None for item in loaded]
