"""The Predictor: pictures in, labelled scores out. REST, gRPC, batch jobs, the app and evaluation all call it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.data.image import ImageLimits
from clip_har.errors import BundleError, ConfigError, ImageError, did_you_mean
from clip_har.inference.answers import Answering, Prediction, Scorer
from clip_har.inference.machine import available_cores, check_device
from clip_har.inference.pictures import ImageSource, PictureEncoder
from clip_har.inference.runtimes import RUNTIMES, EncoderRuntime
from clip_har.inference.texts import ClassMatrices, OnnxTextEncoder
from clip_har.models.bundle import ModelBundle
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.models.prompts import PromptConfig, check_template, class_matrix
from clip_har.models.text_scale import stored_text_head

if TYPE_CHECKING:
    from clip_har.inference.explanation import Explanation
    from clip_har.models.dual_encoder import DualEncoder

_MATRICES_KEPT = 64


class Predictor:
    """A bundle ready to answer. Safe to call from several threads.

    With a runtime other than `torch` the encoders themselves are loaded, and torch imported, only when something needs
    them: texts of a caller's own where the bundle has no accepted ONNX text encoder.

    Args:
        bundle: an opened bundle.
        runtime: what runs its image encoder.
        device: where the encoders are loaded to, if something needs them.
        batch_size: pictures answered, and on a GPU encoded, at one time.
        limits: what is accepted as an image.
        threads: CPU threads; as many as there are cores if not given.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        runtime: EncoderRuntime,
        *,
        device: str = "auto",
        batch_size: int = 32,
        limits: ImageLimits | None = None,
        threads: int | None = None,
    ) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.preprocessing = PreprocessingConfig.read(bundle.path, decoder_reduction=bundle.info.decoder_reduction)
        self._device = device
        self._threads = threads or available_cores()
        self._pictures = PictureEncoder(
            runtime, Preprocessor(self.preprocessing), bundle.class_matrix.shape[1], batch_size, limits
        )
        self._matrices = ClassMatrices(_MATRICES_KEPT)
        self._lock, self._gradients, self._texts = threading.RLock(), threading.Lock(), threading.Lock()

    @classmethod
    def load(
        cls,
        bundle: str | Path | ModelBundle,
        runtime: str = "auto",
        *,
        device: str = "auto",
        batch_size: int = 32,
        limits: ImageLimits | None = None,
        threads: int | None = None,
    ) -> Predictor:
        """Open a bundle (its checksums are verified) and load what runs its image encoder.

        Args:
            runtime: torch, onnx, onnx-int8, tensorrt …; `auto` is the fastest of the forms that passed the gate, as
                measured when the bundle is first used on this machine.
            device: auto, cpu, cuda or cuda:N.

        Raises:
            BundleError: if the bundle, or the form that was asked for, cannot be used.
            ConfigError: if there is no such runtime, or the bundle has no form for it.
        """
        opened = bundle if isinstance(bundle, ModelBundle) else ModelBundle.load(bundle)
        loaded = RUNTIMES.get(runtime).load(opened, device=check_device(device), threads=threads)
        return cls(opened, loaded, device=device, batch_size=batch_size, limits=limits, threads=threads)

    @property
    def encoder(self) -> DualEncoder:
        """The encoders themselves, in torch; loaded at first use if the runtime is another."""
        own = getattr(self.runtime, "encoder", None)
        if own is not None:
            return own
        with self._lock:
            return self._loaded_encoder

    @cached_property
    def _loaded_encoder(self) -> DualEncoder:
        return self.bundle.load_encoder(self._device)

    def predict(
        self,
        images: Iterable[ImageSource],
        labels: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        top_k: int = 5,
        *,
        threshold: float | None = None,
        coverage: float | None = None,
    ) -> list[Prediction]:
        """Score pictures against the bundle's labels, or against labels of the caller's own.

        Args:
            images: pictures; one that cannot be decoded gives a Prediction with an error.
            labels: other labels, scored through the text encoder (open vocabulary, not calibrated).
            templates: other templates for `labels`; {} is the place for the action.
            top_k: how many labels to answer with.
            threshold: abstain below this probability; if not given, below the bundle's own, which was chosen for a wanted
                precision (its own labels only).
            coverage: how often the label set is to hold the true label; the bundle's own choice if not given (its own
                labels only).

        Raises:
            ConfigError: if labels, templates or one of the numbers cannot be used.
            BundleError: if the bundle no longer answers for labels other than its own.
        """
        score = self.scorer(labels, templates, top_k, threshold=threshold, coverage=coverage)
        return [answer for answers in self.predict_stream(images, score) for answer in answers]

    def predict_stream(self, images: Iterable[ImageSource], score: Scorer) -> Iterator[list[Prediction]]:
        """As `predict`, a micro-batch of answers at a time, in order: for more pictures than are to be held at once.

        Pictures are taken from `images` a bounded number ahead of the answers.
        """
        for embeddings, errors in self.embed_stream(images):
            good = iter(score(embeddings) if len(embeddings) else ())
            yield [next(good) if error is None else Prediction(error=error) for error in errors]

    def embed_stream(self, images: Iterable[ImageSource]) -> Iterator[tuple[np.ndarray, list[ImageError | None]]]:
        """For each micro-batch of pictures, in order: embeddings float32 [good, d], and an error or None for each picture.

        Pictures are taken as by `predict_stream`.
        """
        return self._pictures.stream(images)

    def scorer(
        self,
        labels: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        top_k: int = 5,
        *,
        threshold: float | None = None,
        coverage: float | None = None,
    ) -> Scorer:
        """What `predict` does with embeddings, for callers that have them; the arguments are its own.

        Raises:
            ConfigError, BundleError: as `predict`.
        """
        names, probabilities_of, calibrated = self._scoring(labels, templates)
        answering = Answering(names, self.bundle.calibration if calibrated else None, top_k, threshold, coverage)
        return Scorer(probabilities_of, answering, calibrated=calibrated)

    def explain(self, image: ImageSource, label: str | None = None) -> Explanation:
        """Where in a picture the score of one of the bundle's labels comes from. Loads the encoders in torch.

        Args:
            label: what is explained; the best label if not given.

        Raises:
            ImageError: if the picture cannot be decoded.
            ConfigError: if the bundle has no such label.
            ModelError: if the image encoder has nothing to look at.
        """
        from clip_har.inference.explanation import Explanation, heat_map, overlay, score_gradient, seen_box

        if label is not None and label not in self.bundle.labels:
            raise ConfigError(f"label: {label!r} is none of the model's. {did_you_mean(label, self.bundle.labels)}")
        picture, pixels = self._pictures.open(image)
        with self._gradients:  # taken through one model at a time; texts and other pictures do not wait for it
            embedding = self.encoder.encode_images(pixels[None])[0]
            place = self.bundle.labels.index(label) if label is not None else int(self.logits(embedding[None]).argmax())
            gradient = score_gradient(lambda embeddings: self.logits(embeddings)[:, place], embedding)
            heat, method = heat_map(self.encoder, pixels, gradient)
        box = seen_box(self.preprocessing, *picture.size)
        return Explanation(self.bundle.labels[place], method, heat, box, overlay(picture, heat, box))

    def embed_images(self, images: Iterable[ImageSource]) -> np.ndarray:
        """Pictures → float32 [n, d], L2-normalised.

        Raises:
            ImageError: for the first picture that cannot be decoded.
        """
        parts = []
        for embeddings, errors in self._pictures.stream(images):
            for error in errors:
                if error is not None:
                    raise error
            parts.append(embeddings)
        return np.concatenate(parts) if parts else np.empty((0, self.bundle.class_matrix.shape[1]), dtype=np.float32)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → float32 [n, d], L2-normalised."""
        if not len(texts):
            return np.empty((0, self.bundle.class_matrix.shape[1]), dtype=np.float32)
        with self._texts:
            encode = self._encode_texts
        return encode(texts)

    def similarity(self, images: Iterable[ImageSource], texts: Sequence[str]) -> np.ndarray:
        """Cosine of every picture with every text, float32 [n, t], from -1 to 1.

        Raises:
            ImageError: for the first picture that cannot be decoded.
            BundleError: if the bundle no longer answers for texts.
        """
        self._require_text_side()
        return self.embed_images(images) @ self.embed_texts(texts).T

    def score_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [n, d] → calibrated probabilities of the bundle's labels, float32 [n, c]."""
        return softmax(self.logits(embeddings), self.bundle.calibration.temperature)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [n, d] → logits of the bundle's labels before the temperature, float32 [n, c]."""
        return self.bundle.head.score(embeddings, self.bundle.class_matrix)

    @cached_property
    def encoder_key(self) -> tuple[str, str]:
        """(encoder hash, preprocessing hash): the key of this model's embeddings."""
        from clip_har.models.embeddings import preprocessing_hash

        return self.bundle.info.encoder_hash, preprocessing_hash(self.preprocessing)

    @cached_property
    def encoders_unchanged(self) -> bool:
        """Whether adaptation left both encoders as the backbone's."""
        image, _, text = self.bundle.info.backbone_hash.partition("+")
        return image == self.bundle.info.encoder_hash and text == self.encoder.text_encoder_hash()

    @cached_property
    def text_head(self) -> TextHead:
        """The encoders' own scoring of pictures against texts."""
        stored = stored_text_head(self.bundle.path)
        return stored if stored is not None else TextHead(self.encoder.logit_scale, self.encoder.logit_bias)

    @cached_property
    def _encode_texts(self) -> Callable[[Sequence[str]], np.ndarray]:
        if getattr(self.runtime, "encoder", None) is None:
            exported = OnnxTextEncoder.load(self.bundle, self._threads)
            if exported is not None:
                return exported
        return self.encoder.encode_texts

    def _require_text_side(self) -> None:
        promise = self.bundle.info.open_vocabulary
        if promise.word == "lost":
            raise BundleError(
                f"This model answers only for its own labels: its text side was lost in adaptation ({promise.basis})."
            )

    @cached_property
    def _prompts(self) -> PromptConfig:
        stored = self.bundle.prompts
        return PromptConfig(single=stored["single"], templates=stored["templates"], class_names=stored["class_names"])

    def _scoring(self, labels: Sequence[str] | None, templates: Sequence[str] | None):
        """(names, embeddings → probabilities, calibrated) for a request."""
        if labels is None and templates is None:
            return self.bundle.labels, self.score_embeddings, True
        self._require_text_side()
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
        known = {label: names for label, names in self._prompts.class_names.items() if label in labels}
        prompts = PromptConfig(single=used[0], templates=used, class_names=known)
        return self._matrices.get(
            (labels, used), lambda: class_matrix(prompts.texts(labels, "ensemble"), self.embed_texts)
        )
