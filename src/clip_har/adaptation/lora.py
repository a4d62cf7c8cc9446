"""LoRA in both encoders, cross-entropy over the classes' prompts, merged at the end.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; for CLIP: Zanella and Ben Ayed 2024, "Low-Rank
Few-Shot Adaptation of Vision-Language Models" (CLIP-LoRA), whose recipe is the preset `published`: rank 2, alpha 1,
dropout 0.25, query, key and value of every layer of both encoders, batches of 32 at 2e-4 and 500 steps for each shot (of
16, where nothing else is said).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance
from clip_har.adaptation.fitting import fit_task
from clip_har.adaptation.wise_ft import WiseFtConfig, copied_state
from clip_har.data.augmentation import AugmentationConfig
from clip_har.errors import ModelError
from clip_har.training.config import TrainerConfig

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

    from clip_har.adaptation.encoder_task import EncoderTask

# Names that transformers gives to attention's query, key and value layers (CLIP and SigLIP; BERT and ViT; fused).
_PROJECTIONS = {
    "query": ("q_proj", "query"),
    "key": ("k_proj", "key"),
    "value": ("v_proj", "value"),
    "fused": ("qkv", "in_proj"),
}


class LoraConfig(MethodConfig):
    """Low-rank updates of attention's query, key and value layers."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {
            "rank": 8,
            "alpha": 8.0,
            "training": {"epochs": 10, "max_steps": 300, "batch_size": 32, "learning_rate": 1e-3},
        },
        "published": {
            "rank": 2,
            "alpha": 1.0,
            "training": {
                "epochs": 100_000,
                "max_steps": 8000,
                "batch_size": 32,
                "learning_rate": 2e-4,
                "warmup_share": 0.0,
                "clip_norm": None,
                "patience": None,
            },
        },
    }

    method: Literal["lora"] = "lora"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the paper's recipe; cpu is bounded in its steps."
    )
    rank: int = Field(2, ge=1, description="Rank of the updates.")
    alpha: float = Field(1.0, gt=0, description="Updates are scaled by alpha / rank.")
    dropout: float = Field(0.25, ge=0, lt=1, description="Dropout before the updates, while training.")
    towers: tuple[Literal["image", "text"], ...] = Field(
        ("image", "text"), min_length=1, description="Encoders to adapt, as far as they have attention layers."
    )
    prompts: Literal["single", "ensemble"] = Field("single", description="One template, or the mean over all.")
    augmentation: AugmentationConfig | None = Field(
        AugmentationConfig(),
        description="Random views of the training pictures, where the image encoder is adapted: a policy's name, or its "
        "parts.",
    )
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    wise_ft: WiseFtConfig | None = Field(
        None, description="Mix the merged weights with the original ones (WiSE-FT); not if not given."
    )
    training: TrainerConfig = Field(TrainerConfig(), description="The training run.")


def find_targets(model: torch.nn.Module, towers: tuple[str, ...]) -> dict[str, list[str]]:
    """Full names of the attention layers that LoRA can update, by tower; an empty list for a tower without any.

    Convolutional towers have none (LoRA on depthwise convolutions is not defined).
    """
    import torch

    from clip_har.adaptation.encoder_task import TOWERS

    suffixes = {name for names in _PROJECTIONS.values() for name in names}
    targets: dict[str, list[str]] = {tower: [] for tower in towers}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name.rsplit(".", 1)[-1] in suffixes:
            for tower in towers:
                if name.startswith(TOWERS[tower]):
                    targets[tower].append(name)
    return targets


class Lora(AdaptationMethod):
    """Adapts both encoders where they have attention layers; an encoder without any stays as it is, and cached."""

    Config = LoraConfig
    config: LoraConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        from clip_har.adaptation.encoder_task import adapted_encoder

        config, encoder = self.config, context.encoder
        targets = find_targets(encoder.model, config.towers)
        if not any(targets.values()):
            raise ModelError(
                f"adaptation.{name}: neither encoder of {encoder.backbone!r} has attention layers that LoRA can update."
            )
        remarks = [
            f"The {tower} encoder has no attention layers: it is left as it is, its embeddings are read from the cache."
            for tower, names in targets.items()
            if not names
        ]
        original = copied_state(encoder.model)
        task, wrapped = _build(context, config)
        result = fit_task(context, config, config.training, task, builder=f"{__name__}:build_task")
        parameters = sum(parameter.numel() for parameter in task.parameters())
        encoder.model = wrapped.merge_and_unload().eval()
        return adapted_encoder(
            context,
            config,
            name,
            task,
            result,
            original=original,
            wise_ft=config.wise_ft,
            trained_parameters=parameters,
            remarks=remarks,
        )


def build_task(context: AdaptationContext, config: LoraConfig) -> EncoderTask:
    """The encoder with updates that change nothing yet, and the loss that they are trained with."""
    return _build(context, config)[0]


def _build(context: AdaptationContext, config: LoraConfig) -> tuple[EncoderTask, PeftModel]:
    import torch
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    from clip_har.adaptation.encoder_task import EncoderTask, Training

    targets = find_targets(context.encoder.model, config.towers)
    training = Training(
        towers=tuple(tower for tower, names in targets.items() if names),
        prompts=config.prompts,
        augmentation=config.augmentation,
        balance=config.balance,
        active=lambda name, module: "lora_dropout" in name,
    )
    task = EncoderTask(context, training)
    torch.manual_seed(context.seed)
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=[target for names in targets.values() for target in names],
    )
    with warnings.catch_warnings():  # PEFT asks transformers by a name that is going away
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return task, get_peft_model(context.encoder.model, settings)
