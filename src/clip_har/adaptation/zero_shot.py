"""Zero-shot: the class matrix of the prompts, nothing fitted.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead


class ZeroShotConfig(MethodConfig):
    """One prompt a class, or the mean of many."""

    method: Literal["zero_shot"] = "zero_shot"
    prompts: Literal["single", "ensemble"] = Field("ensemble", description="One template, or all of them.")


class ZeroShot(AdaptationMethod):
    """The backbone as it is."""

    Config = ZeroShotConfig
    config: ZeroShotConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        texts = context.texts(self.config.prompts)
        class_matrix = context.encoder.class_matrix(texts)
        head = TextHead(context.encoder.logit_scale, context.encoder.logit_bias)
        ids = context.validation.ids
        context.progress(1, 1, "")
        return AdaptedModel(
            name=name,
            method=self.config.method,
            recipe=self.config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=OpenVocabulary(word="kept", basis="nothing was adapted"),
            validation_ids=tuple(ids),
            validation_logits=head.score(context.embeddings.of(ids), class_matrix),
            trained_parameters=0,
        )
