"""The winner made into a bundle: its encoders, its head, its prompts, and a temperature from the calibration split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip_har.adaptation.base import AdaptedModel, StoredEncoders
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import BundleInfo, ModelBundle
from clip_har.models.calibration import CalibrationConfig, calibrate
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet, preprocessing_hash
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache

_CALIBRATION_SPLIT = "calibration"


def assemble_bundle(
    target: str | Path,
    adapted: AdaptedModel,
    manifest: Manifest,
    embeddings: EmbeddingSet,
    model: ModelConfig,
    prompts: PromptConfig,
    compute: ComputeConfig,
    metrics: dict[str, float],
    limits: ImageLimits | None = None,
    embedding_cache: EmbeddingCache | None = None,
    calibration: CalibrationConfig | None = None,
) -> ModelBundle:
    """Write the bundle of an adapted model.

    Args:
        target: directory to make.
        embeddings: of the backbone's image encoder; used where the adapted one is the same.
        model: what the backbone was loaded from.
        metrics: figures on the validation split, for `bundle.json`.
        embedding_cache: where embeddings of changed encoders are kept.
        calibration: what the model's answers are to keep to.
    """
    backbone = DualEncoder.load(model, compute.device)
    backbone_hash = f"{backbone.image_encoder_hash()}+{backbone.text_encoder_hash()}"
    encoder = _encoder_of(adapted, backbone, model, compute)
    encoder_hash = encoder.image_encoder_hash()
    held_out = manifest.split(_CALIBRATION_SPLIT)
    if (encoder_hash, preprocessing_hash(encoder.preprocessing)) != embeddings.key:
        embeddings = (embedding_cache or EmbeddingCache.none()).embed(
            held_out, encoder, batch_size=compute.batch_size, limits=limits
        )
    logits = adapted.head.score(embeddings.of(held_out.ids), adapted.class_matrix)
    info = BundleInfo(
        labels=manifest.labels,
        head=adapted.head.type,
        method=adapted.method,
        recipe=adapted.recipe,
        backbone=Path(model.backbone).name if Path(model.backbone).exists() else model.backbone,
        backbone_hash=backbone_hash,
        encoder_hash=encoder_hash,
        data_hash=manifest.content_hash,
        data_revision=str(manifest.frame["data_revision"].iloc[0]),
        data_dvc_hash=manifest.dvc_hash,
        config_hash=sha256_json(
            [
                adapted.recipe,
                prompts.model_dump(mode="json"),
                model.dtype,
                model.preprocessing and model.preprocessing.model_dump(mode="json"),
            ]
        ),
        open_vocabulary=adapted.open_vocabulary,
        decoder_reduction=encoder.preprocessing.decoder_reduction,
        metrics=metrics,
    )
    return ModelBundle.create(
        target,
        save_encoder=encoder.save,
        info=info,
        head=adapted.head,
        class_matrix=adapted.class_matrix,
        prompts=prompts.model_dump(mode="json") | {"texts": adapted.texts},
        calibration=calibrate(
            logits,
            held_out.label_indices,
            calibration or CalibrationConfig(),
            split=_CALIBRATION_SPLIT,
            data_hash=manifest.content_hash,
            tuning=(adapted.validation_logits, _labels_of(adapted.validation_ids, manifest)),
        ),
    )


def _labels_of(ids: Sequence[str], manifest: Manifest) -> np.ndarray:
    """int64 [len(ids)]: the labels of samples of the validation split."""
    validation = manifest.split("validation")
    labels = dict(zip(validation.ids, validation.label_indices.tolist(), strict=True))
    return np.array([labels[identity] for identity in ids], dtype=np.int64)


def _encoder_of(
    adapted: AdaptedModel, backbone: DualEncoder, model: ModelConfig, compute: ComputeConfig
) -> DualEncoder:
    """The adapted encoders, or the backbone's if they were not changed."""
    if adapted.encoder is None:
        return backbone
    if isinstance(adapted.encoder, StoredEncoders):
        stored = model.model_copy(update={"backbone": str(adapted.encoder.folder), "revision": None})
        return DualEncoder.load(stored, compute.device)
    return adapted.encoder
