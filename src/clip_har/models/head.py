"""The class head: a tagged union behind one call, `score(image_embeddings, class_matrix) -> logits`.

Heads are plain numpy: they are small, they must give the same numbers in every runtime, and they load without torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clip_har.errors import BundleError, did_you_mean


class ClassHead(ABC):
    """Image embeddings → class logits."""

    type: ClassVar[str]

    @abstractmethod
    def score(self, image_embeddings: np.ndarray, class_matrix: np.ndarray | None = None) -> np.ndarray:
        """Logits of each class.

        Args:
            image_embeddings: float32 [n, d], L2-normalised.
            class_matrix: float32 [c, d], L2-normalised text embeddings of the classes; heads with weights of their
                own ignore it.

        Returns:
            float32 [n, c]; softmax over them (after the calibrated temperature) gives probabilities.
        """

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The head's arrays by name, float32."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ClassHead:
        """The head that `arrays` describes."""


@dataclass(frozen=True)
class TextHead(ClassHead):
    """`scale · ⟨image, text⟩ + bias`: CLIP's and SigLIP's own scoring."""

    scale: float
    bias: float = 0.0
    type: ClassVar[str] = "text"

    def score(self, image_embeddings: np.ndarray, class_matrix: np.ndarray | None = None) -> np.ndarray:
        if class_matrix is None:
            raise BundleError("A text head scores against a class matrix; none was given.")
        return np.float32(self.scale) * (image_embeddings @ class_matrix.T) + np.float32(self.bias)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scale": np.float32([self.scale]), "bias": np.float32([self.bias])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> TextHead:
        return cls(float(arrays["scale"][0]), float(arrays["bias"][0]))


@dataclass(frozen=True)
class LinearHead(ClassHead):
    """`W · image + b`, with weight float32 [c, d] and bias float32 [c]."""

    weight: np.ndarray
    bias: np.ndarray
    type: ClassVar[str] = "linear"

    def score(self, image_embeddings: np.ndarray, class_matrix: np.ndarray | None = None) -> np.ndarray:
        return image_embeddings @ self.weight.T + self.bias

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weight": self.weight.astype(np.float32), "bias": self.bias.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> LinearHead:
        return cls(arrays["weight"], arrays["bias"])


@dataclass(frozen=True)
class CacheHead(ClassHead):
    """Tip-Adapter: `scale · f Wᵀ + bias + alpha · exp(-beta · (1 - f Kᵀ)) V` over a text matrix W.

    Zhang et al. 2022, "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", equations 3 to 5.

    Attributes:
        keys: K, float32 [m, d]: image embeddings of labelled photographs (training data), or fitted from them.
        values: V, float32 [m, c]: their labels, one-hot.
        alpha: weight of the cache; beta: sharpness of the affinities.
        scale, bias: of the text scores.
    """

    keys: np.ndarray
    values: np.ndarray
    alpha: float
    beta: float
    scale: float
    bias: float = 0.0
    type: ClassVar[str] = "cache"

    def score(self, image_embeddings: np.ndarray, class_matrix: np.ndarray | None = None) -> np.ndarray:
        logits = TextHead(self.scale, self.bias).score(image_embeddings, class_matrix)
        return logits + np.float32(self.alpha) * self.cache_scores(image_embeddings)

    def cache_scores(self, image_embeddings: np.ndarray) -> np.ndarray:
        """float32 [n, c]: the affinities with the keys, summed by class."""
        affinities = image_embeddings @ self.keys.T
        return np.exp(np.float32(self.beta) * (affinities - np.float32(1))) @ self.values

    def arrays(self) -> dict[str, np.ndarray]:
        numbers = {name: np.float32([getattr(self, name)]) for name in ("alpha", "beta", "scale", "bias")}
        return {"keys": self.keys.astype(np.float32), "values": self.values.astype(np.float32), **numbers}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> CacheHead:
        numbers = {name: float(arrays[name][0]) for name in ("alpha", "beta", "scale", "bias")}
        return cls(arrays["keys"], arrays["values"], **numbers)


@dataclass(frozen=True)
class AdapterHead(ClassHead):
    """CLIP-Adapter: text scores of `ratio · ReLU(f W₁) W₂ + (1 - ratio) · f`, normalised again.

    Gao et al. 2021, "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", equations 3 and 5.

    Attributes:
        down, up: W₁ᵀ float32 [h, d] and W₂ᵀ float32 [d, h], the bottleneck.
        ratio: share of the adapted embedding.
        scale, bias: of the text scores.
    """

    down: np.ndarray
    up: np.ndarray
    ratio: float
    scale: float
    bias: float = 0.0
    type: ClassVar[str] = "adapter"

    def score(self, image_embeddings: np.ndarray, class_matrix: np.ndarray | None = None) -> np.ndarray:
        adapted = np.maximum(image_embeddings @ self.down.T, np.float32(0)) @ self.up.T
        ratio = np.float32(self.ratio)
        mixed = ratio * adapted + (np.float32(1) - ratio) * image_embeddings
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        return TextHead(self.scale, self.bias).score(mixed, class_matrix)

    def arrays(self) -> dict[str, np.ndarray]:
        numbers = {name: np.float32([getattr(self, name)]) for name in ("ratio", "scale", "bias")}
        return {"down": self.down.astype(np.float32), "up": self.up.astype(np.float32), **numbers}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> AdapterHead:
        numbers = {name: float(arrays[name][0]) for name in ("ratio", "scale", "bias")}
        return cls(arrays["down"], arrays["up"], **numbers)


HEADS: dict[str, type[ClassHead]] = {head.type: head for head in (TextHead, LinearHead, CacheHead, AdapterHead)}


def head_from_arrays(head_type: str, arrays: dict[str, np.ndarray]) -> ClassHead:
    """The head of a type from its arrays.

    Raises:
        BundleError: if the type is unknown or an array is missing.
    """
    if head_type not in HEADS:
        raise BundleError(f"The bundle has a class head of type {head_type!r}. {did_you_mean(head_type, HEADS)}")
    try:
        return HEADS[head_type].from_arrays(arrays)
    except KeyError as error:
        raise BundleError(f"The bundle's {head_type} head lacks the array {error}.") from error


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of logits [..., c] after division by a temperature; same type and shape."""
    scaled = logits / logits.dtype.type(temperature)
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
