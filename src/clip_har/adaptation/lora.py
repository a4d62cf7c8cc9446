"""LoRA in both encoders, cross-entropy over the classes' prompts, merged at the end.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; for CLIP: Zanella and Ben Ayed 2024, "Low-Rank
Few-Shot Adaptation of Vision-Language Models" (CLIP-LoRA), whose rank, alpha,
dropout and learning rate are the defaults.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.loading import batched, map_ahead
from clip_har.errors import ModelError
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.models.input_pixels import input_pixels
from clip_har.models.preprocessing import Preprocessor
from clip_har.training.pixels import TrainingPixels
from clip_har.training.scores import validation_scores
from clip_har.training.trainer import Trainer, TrainerConfig

if TYPE_CHECKING:
    import torch

    from clip_har.models.dual_encoder import DualEncoder

_TOWERS = {"image": ("vision_model.", "visual_projection"), "text": ("text_model.", "text_projection")}
# Names that transformers gives to attention's query, key and value layers (CLIP and SigLIP; BERT and ViT; fused).
_PROJECTIONS = {
    "query": ("q_proj", "query"),
    "key": ("k_proj", "key"),
    "value": ("v_proj", "value"),
    "fused": ("qkv", "in_proj"),
}


class LoraConfig(MethodConfig):
    """Low-rank updates of attention's query, key and value layers."""

    method: Literal["lora"] = "lora"
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
    training: TrainerConfig = Field(TrainerConfig(epochs=10, learning_rate=2e-4), description="The training run.")


def find_targets(model: torch.nn.Module, towers: tuple[str, ...]) -> dict[str, list[str]]:
    """Full names of the attention layers that LoRA can update, by tower; an empty list for a tower without any.

    Convolutional towers have none (LoRA on depthwise convolutions is not defined).
    """
    import torch

    suffixes = {name for names in _PROJECTIONS.values() for name in names}
    targets: dict[str, list[str]] = {tower: [] for tower in towers}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name.rsplit(".", 1)[-1] in suffixes:
            for tower in towers:
                if name.startswith(_TOWERS[tower]):
                    targets[tower].append(name)
    return targets


class Lora(AdaptationMethod):
    """Adapts both encoders where they have attention layers; an encoder without any stays as it is, and cached."""

    Config = LoraConfig
    config: LoraConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        import torch
        from peft import LoraConfig as PeftConfig
        from peft import get_peft_model

        config, encoder = self.config, context.encoder
        targets = find_targets(encoder.model, config.towers)
        found = [target for names in targets.values() for target in names]
        if not found:
            raise ModelError(
                f"adaptation.{name}: neither encoder of {encoder.backbone!r} has attention layers that LoRA can update."
            )
        remarks = [
            f"The {tower} encoder has no attention layers: it is left as it is, its embeddings are read from the cache."
            for tower, names in targets.items()
            if not names
        ]
        torch.manual_seed(context.seed)
        settings = PeftConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=found)
        with warnings.catch_warnings():  # PEFT asks transformers by a name that is going away
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            wrapped = get_peft_model(encoder.model, settings)
        task = _LoraTask(
            context, config, adapts_image=bool(targets.get("image")), adapts_text=bool(targets.get("text"))
        )
        result = Trainer(config.training, encoder.device, context.seed).fit(
            task, lambda done, total, note: context.progress(done, total, note)
        )
        parameters = sum(parameter.numel() for parameter in task.parameters())
        encoder.model = wrapped.merge_and_unload().eval()
        texts = context.texts(config.prompts)
        class_matrix = encoder.class_matrix(texts)
        head = TextHead(encoder.logit_scale, encoder.logit_bias)
        image_embeddings = task.validation_embeddings()
        if result.best_step == 0:
            remarks.append("No step improved on the start: the encoders are as they were.")
        return AdaptedModel(
            name=name,
            method=config.method,
            recipe=config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=OpenVocabulary(
                word="degraded", basis="the encoders were adapted to the classes; no held-out classes were measured"
            ),
            validation_ids=tuple(context.validation.ids),
            validation_logits=head.score(image_embeddings, class_matrix),
            trained_parameters=parameters,
            encoder=encoder,
            history=result.history,
            remarks=remarks,
            augmentation=task.augmentation,
        )


class _LoraTask:
    """Cross-entropy of scaled cosines between pictures and class prompts.

    Attributes:
        augmentation: config of what the pictures go through, as JSON; None if nothing, or if the image encoder stays.
    """

    def __init__(
        self, context: AdaptationContext, config: LoraConfig, *, adapts_image: bool, adapts_text: bool
    ) -> None:
        import torch

        self._encoder: DualEncoder = context.encoder
        self._batch_size = context.compute.batch_size
        self._adapts_image, self._adapts_text = adapts_image, adapts_text
        self._validation = context.validation
        self._limits, self._cache = context.limits, context.cache
        self._labels = torch.from_numpy(context.train.label_indices).to(self._encoder.device)
        self._scale, self._bias = self._encoder.logit_scale, self._encoder.logit_bias
        self._texts = context.texts(config.prompts)
        self._tokens = self._encoder.tokenize([text for texts in self._texts.values() for text in texts])
        self._fixed_text = torch.from_numpy(self._encoder.class_matrix(self._texts)).to(self._encoder.device)
        self.sample_count = len(context.train)
        self.augmentation = None
        if adapts_image:
            if config.augmentation is not None and config.augmentation.acting():
                self.augmentation = config.augmentation.model_dump(mode="json")
            self._pixels = TrainingPixels(
                context.train,
                self._encoder.preprocessing,
                config.augmentation,
                context.seed,
                context.limits,
                context.cache,
            )
        else:
            self._fixed_images = torch.from_numpy(context.embeddings.of(context.train.ids)).to(self._encoder.device)
            self._fixed_validation = context.embeddings.of(self._validation.ids)

    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self._encoder.model.parameters() if parameter.requires_grad]

    def train_mode(self, training: bool) -> None:
        """Dropout of the updates on or off. Everything else stays as in use: batch-norm statistics are frozen."""
        self._encoder.model.eval()
        for name, module in self._encoder.model.named_modules():
            if "lora_dropout" in name:
                module.train(training)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(targets, inputs): labels int64 [n], or their shares float32 [n, c] where pictures are mixed."""
        import torch

        device = self._encoder.device
        if self._adapts_image:
            for targets, pixels in self._pixels.labelled_batches(order, epoch, batch_size):
                yield torch.from_numpy(targets).to(device), torch.from_numpy(pixels).to(device)
            return
        for positions in batched(order.tolist(), batch_size):
            chosen = torch.as_tensor(positions, device=device)
            yield self._labels[chosen], self._fixed_images[chosen]

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        targets, inputs = batch
        images = self._encoder.image_features(inputs) if self._adapts_image else inputs
        logits = self._scale * images @ self._class_features().T + self._bias
        return cross_entropy(logits.float(), targets)

    def _class_features(self) -> torch.Tensor:
        """[c, d] with gradients: as `DualEncoder.class_matrix`."""
        if not self._adapts_text:
            return self._fixed_text
        import torch

        features = self._encoder.text_features(self._tokens)
        counts = [len(texts) for texts in self._texts.values()]
        means = torch.stack([part.mean(dim=0) for part in features.split(counts)])
        return means / means.norm(p=2, dim=-1, keepdim=True)

    def validation_embeddings(self) -> np.ndarray:
        """float32 [n, d] of the validation split, by the encoder as it is now."""
        if not self._adapts_image:
            return self._fixed_validation
        preprocessor = Preprocessor(self._encoder.preprocessing)
        samples = zip(self._validation.ids, self._validation.paths, strict=True)
        with input_pixels(preprocessor.config, len(self._validation), self._cache, self._limits) as pixels_of:
            pixels = map_ahead(lambda sample: preprocessor.normalise(pixels_of(*sample)), samples)
            parts = [self._encoder.encode_images(np.stack(part)) for part in batched(pixels, self._batch_size)]
        return np.concatenate(parts)

    def validate(self) -> dict[str, float]:
        class_matrix = self._class_features().float().cpu().numpy()
        logits = TextHead(self._scale, self._bias).score(self.validation_embeddings(), class_matrix)
        return validation_scores(logits, self._validation.label_indices)
