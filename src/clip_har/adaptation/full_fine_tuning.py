"""Full fine-tuning: all weights of one encoder or both, mixed with the original ones at the end (WiSE-FT).

Two losses: cross-entropy of the scaled cosines with the classes' prompts (as in CLIP-LoRA and WiSE-FT, whose classifier
begins as the prompts' embeddings), or the contrastive loss that the model was pretrained with, between photographs and
prompts of their own class: Goyal et al. 2023, "Finetune like you pretrain: Improved finetuning of zero-shot vision models"
(FLYP, CVPR). The preset `published` is FLYP's recipe for few shots: 20 epochs, batches of 256, AdamW at 1e-5 with a weight
decay of 0.2, no warm-up, crops of 0.9 to 1 of a picture, and WiSE-FT.

Only the topmost layers trained: Lee et al. 2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts".
Layer-wise decay of the learning rate: Clark et al. 2020, "ELECTRA", and Bao et al. 2022, "BEiT: BERT Pre-Training of Image
Transformers", appendix; for CLIP: Dong et al. 2022, "CLIP Itself is a Strong Fine-tuner". Batch normalisation keeps its
statistics unless that is asked for: a few small batches of another data set are a poor estimate of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance
from clip_har.adaptation.fitting import fit_task
from clip_har.adaptation.wise_ft import WiseFtConfig, copied_state
from clip_har.data.augmentation import AugmentationConfig
from clip_har.errors import ModelError
from clip_har.training.config import TrainerConfig

if TYPE_CHECKING:
    import torch

    from clip_har.adaptation.encoder_task import EncoderTask

_TOWERS = {"visual": ("image",), "text": ("text",), "both": ("image", "text")}
_SCALARS = ("logit_scale", "logit_bias")


class FullFineTuningConfig(MethodConfig):
    """What is trained, with which loss, and how fast each layer."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {
            "loss": "cross_entropy",
            "prompts": "single",
            "layer_decay": 0.8,
            "wise_ft": {"alphas": [0.25, 0.5, 0.75, 1.0]},
            "training": {
                "epochs": 10,
                "max_steps": 200,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "weight_decay": 0.05,
            },
        },
        "published": {
            "loss": "contrastive",
            "prompts": "ensemble",
            "layer_decay": 1.0,
            "augmentation": {"crop_scale": (0.9, 1.0), "flip": 0.0},
            "wise_ft": {},
            "training": {
                "epochs": 20,
                "batch_size": 256,
                "learning_rate": 1e-5,
                "weight_decay": 0.2,
                "warmup_share": 0.0,
                "clip_norm": None,
                "patience": None,
            },
        },
    }

    method: Literal["full_fine_tuning"] = "full_fine_tuning"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is FLYP's recipe; cpu is bounded in its steps."
    )
    towers: Literal["visual", "text", "both"] = Field(
        "both", description="Encoders to train; the embeddings of one that stays are computed once."
    )
    loss: Literal["cross_entropy", "contrastive"] = Field(
        "cross_entropy",
        description="cross_entropy: over the classes' prompts. contrastive: between photographs and a prompt of their own "
        "class each, drawn from its templates (FLYP).",
    )
    prompts: Literal["single", "ensemble"] = Field(
        "single", description="One template, or all: their mean is the class, and the contrastive loss draws from them."
    )
    layers: int | None = Field(
        None,
        ge=1,
        description="How many of each encoder's topmost layers are trained (as `layer_decay` counts them; the projection "
        "goes with the topmost); all if not given. Few are quick, and keep what few photographs cannot teach.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on the learning rate from each transformer block or convolutional stage to the one before it; "
        "1: all layers alike.",
    )
    batch_norm: Literal["frozen", "trained"] = Field(
        "frozen", description="Statistics of batch normalisation: as they came, or taken from the training batches."
    )
    augmentation: AugmentationConfig | None = Field(
        AugmentationConfig(),
        description="Random views of the training pictures, where the image encoder is trained: a policy's name, or its "
        "parts.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of each target that all classes get alike (cross_entropy only)."
    )
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    wise_ft: WiseFtConfig | None = Field(
        None, description="Mix the tuned weights with the original ones (WiSE-FT); not if `null`."
    )
    training: TrainerConfig = Field(TrainerConfig(), description="The training run.")

    @model_validator(mode="after")
    def _a_mixed_picture_has_no_prompt(self) -> FullFineTuningConfig:
        if self.loss == "contrastive" and self.augmentation is not None and self.augmentation.mixes:
            raise ValueError(
                "mixup and cutmix make pictures of two classes, for which the contrastive loss has no prompt; wanted: "
                "loss: cross_entropy, or neither of them"
            )
        return self


class FullFineTuning(AdaptationMethod):
    """Trains whole encoders."""

    Config = FullFineTuningConfig
    config: FullFineTuningConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        from clip_har.adaptation.encoder_task import adapted_encoder
        from clip_har.training.contrastive import clamp_scale

        config, model = self.config, context.encoder.model
        original = copied_state(model)
        try:
            task = build_task(context, config)
            result = fit_task(context, config, config.training, task, builder=f"{__name__}:build_task")
            parameters = sum(parameter.numel() for parameter in task.parameters())
        finally:
            model.requires_grad_(True)
        remarks = []
        if config.batch_norm == "trained" and not task.buffers():
            remarks.append(
                "The image encoder has no batch normalisation, or is not trained: batch_norm changed nothing."
            )
        if config.loss == "contrastive" and result.best_step > 0:
            clamp_scale(model)
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


def build_task(context: AdaptationContext, config: FullFineTuningConfig) -> EncoderTask:
    """The encoders as they came, those that are trained asking for gradients.

    Raises:
        ModelError: if an encoder that is to be trained is not found.
    """
    from clip_har.adaptation.encoder_task import TOWERS, ContrastiveEncoderTask, EncoderTask, Training

    model, towers = context.encoder.model, _TOWERS[config.towers]
    contrastive = config.loss == "contrastive"
    for tower in towers:
        if not any(name.startswith(TOWERS[tower]) for name, _ in model.named_parameters()):
            raise ModelError(
                f"adaptation.{config.method}: no {tower} encoder was found in {context.encoder.backbone!r} (looked for "
                f"parameters named {' or '.join(TOWERS[tower])}…)."
            )
    prefixes = tuple(prefix for tower in towers for prefix in TOWERS[tower])
    above = layers_above(model)
    for name, parameter in model.named_parameters():
        chosen = name.startswith(prefixes) and (config.layers is None or above[name] < config.layers)
        parameter.requires_grad_(chosen or (contrastive and name in _SCALARS))
    norms = _batch_norms(model, prefixes)
    frozen = set() if config.batch_norm == "trained" else {id(module) for module in norms}
    training = Training(
        towers=towers,
        prompts=config.prompts,
        augmentation=config.augmentation,
        balance=config.balance,
        active=lambda name, module: f"{name}.".startswith(prefixes) and id(module) not in frozen,
        statistics=() if frozen else tuple(buffer for module in norms for buffer in module.buffers()),
        learning_rate_shares=tuple(
            config.layer_decay ** above[name] for name, parameter in model.named_parameters() if parameter.requires_grad
        ),
        label_smoothing=config.label_smoothing,
    )
    return (ContrastiveEncoderTask if contrastive else EncoderTask)(context, training)


def _batch_norms(model: torch.nn.Module, prefixes: Sequence[str]) -> list[torch.nn.Module]:
    import torch

    kinds = torch.nn.modules.batchnorm._BatchNorm
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, kinds) and name.startswith(tuple(prefixes))
    ]


def layers_above(model: torch.nn.Module) -> dict[str, int]:
    """How many layers are above that of each parameter, by its name.

    A layer is a transformer block or a convolutional stage: a member of the outermost `ModuleList`s of an encoder. What an
    encoder lists before its first block (embeddings, stem) is a layer below it, what it lists after the last (norm, pooling,
    head) is one above, and so is the projection into the shared space. Each encoder is counted by itself.
    """
    from clip_har.adaptation.encoder_task import TOWERS

    above = {name: 0 for name, _ in model.named_parameters()}
    for prefix, _ in TOWERS.values():
        tower = getattr(model, prefix.removesuffix("."), None)
        if tower is None:
            continue
        layers, top = _layers(tower)
        above |= {f"{prefix}{name}": top - layer for name, layer in layers.items()}
    return above


def _layers(tower: torch.nn.Module) -> tuple[dict[str, int], int]:
    """The number of each parameter's layer, from 0 for what lies below the first block; and the topmost layer's."""
    from clip_har.training.blocks import blocks_of

    blocks = blocks_of(tower)
    block_of = {id(parameter): number for number, block in enumerate(blocks, 1) for parameter in block.parameters()}
    top = len(blocks) + 1 if blocks else 0
    layers, seen = {}, 0
    for name, parameter in tower.named_parameters():
        inside = block_of.get(id(parameter))
        seen = inside or seen
        layers[name] = top if inside is None and seen == len(blocks) else seen
    return layers, top
