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


HEADS: dict[str, type[ClassHead]] = {head.type: head for head in (TextHead, LinearHead)}


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
