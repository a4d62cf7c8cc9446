"""Embeddings without photographs: overlapping clouds on the sphere, one a class, with texts that are nearly right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clip_har.adaptation.base import AdaptationContext
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.models.backbone import ComputeConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet
from tests.adaptation.tiny_study import LABELS, PROMPTS

COUNTS = {"train": 160, "validation": 120, "test": 400}


def clouds(
    encoder: DualEncoder,
    spread: float = 0.5,
    shift: float = 0.8,
    shares: tuple[float, ...] | None = None,
    seed: int = 0,
) -> AdaptationContext:
    """A context whose classes lie around their texts' embeddings, each moved by `shift`.

    Args:
        encoder: gives the texts' embeddings.
        spread: of a class around its centre.
        shares: of the classes among the samples; equal if not given.
    """
    generator = np.random.default_rng(seed)
    texts = encoder.class_matrix(PROMPTS.texts(LABELS, "ensemble"))
    centres = texts + shift * _unit(generator.normal(size=texts.shape))
    truth = generator.choice(len(LABELS), sum(COUNTS.values()), p=shares)
    points = _unit(centres[truth] + spread * _unit(generator.normal(size=(len(truth), texts.shape[1]))))
    splits = np.repeat(list(COUNTS), list(COUNTS.values()))
    rows = [
        (f"{row:064x}", f"{row}.jpg", LABELS[index], split, f"{row}", 64, 64, "JPEG", "folder", "")
        for row, (index, split) in enumerate(zip(truth, splits, strict=True))
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    embeddings = EmbeddingSet(tuple(frame["id"]), points.astype(np.float32), "", "")
    return AdaptationContext(
        encoder, Manifest(frame, LABELS, ""), embeddings, PROMPTS, ComputeConfig(device="cpu", batch_size=8)
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def accuracy(context: AdaptationContext, adapted, split: str = "test") -> float:
    """Of an adapted model whose encoder is unchanged."""
    part = context.manifest.split(split)
    logits = adapted.head.score(context.embeddings.of(part.ids), adapted.class_matrix)
    return float((logits.argmax(axis=1) == part.label_indices).mean())
