"""What methods that train the encoders themselves share: pictures and prompts through them, losses, the validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from clip_har.adaptation.base import AdaptationContext, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import Balance, balanced_order, balanced_weights
from clip_har.adaptation.wise_ft import WiseFtConfig, mix_with_original
from clip_har.data.augmentation import AugmentationConfig, generator_of
from clip_har.data.loading import batched, map_ahead
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.models.input_pixels import input_pixels
from clip_har.models.preprocessing import Preprocessor
from clip_har.training.contrastive import pairs_loss, scaled_cosines
from clip_har.training.distributed import BatchShare, gather_rows, own_share
from clip_har.training.pixels import TrainingPixels, repeated_apart
from clip_har.training.scores import validation_scores

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.training.task import TrainingResult

# What the names of a tower's parameters begin with, its projection into the shared space last.
TOWERS: dict[str, tuple[str, str]] = {
    "image": ("vision_model.", "visual_projection"),
    "text": ("text_model.", "text_projection"),
}


@dataclass(frozen=True)
class Training:
    """How the encoders are trained.

    Attributes:
        towers: those that change, "image", "text" or both; what the others give is computed once.
        prompts: texts of the classes, "single" or "ensemble".
        augmentation: of the pictures, where the image encoder changes.
        balance: what is done about classes of unequal size.
        active: modules that have a training mode (dropout); all others stay as in use, normalisation with its stored
            statistics among them.
        statistics: buffers that training changes.
        learning_rate_shares: of the parameters that ask for gradients, in their order.
        label_smoothing: of the cross-entropy.
    """

    towers: tuple[str, ...]
    prompts: Literal["single", "ensemble"] = "single"
    augmentation: AugmentationConfig | None = None
    balance: Balance = "none"
    active: Callable[[str, torch.nn.Module], bool] = lambda name, module: False
    statistics: tuple[torch.Tensor, ...] = ()
    learning_rate_shares: tuple[float, ...] | None = None
    label_smoothing: float = 0.0


class EncoderTask:
    """Cross-entropy of scaled cosines between pictures and the classes' prompts; a `TrainingTask`.

    What the encoder's parameters say about gradients is what is trained.

    Attributes:
        texts: behind the classes.
        augmentation: config of what the pictures go through, as JSON; None if nothing, or if the image encoder stays.
    """

    def __init__(self, context: AdaptationContext, training: Training) -> None:
        encoder: DualEncoder = context.encoder
        self._encoder, self._training, self._seed = encoder, training, context.seed
        self._adapts_image, self._adapts_text = "image" in training.towers, "text" in training.towers
        self._batch_size = context.compute.batch_size
        self._limits, self._cache = context.limits, context.cache
        self._validation = context.validation
        self._ids = context.train.ids
        self._class_of = context.train.label_indices
        self._labels = torch.from_numpy(self._class_of).to(encoder.device)
        weights = balanced_weights(self._class_of, len(context.manifest.labels))
        of_class = np.zeros(len(context.manifest.labels), dtype=np.float32)
        of_class[self._class_of] = weights
        self._class_weights = torch.from_numpy(of_class).to(encoder.device)
        self.texts = context.texts(training.prompts)
        self._tokens = encoder.tokenize([text for texts in self.texts.values() for text in texts])
        self._fixed_text = torch.from_numpy(encoder.class_matrix(self.texts)).to(encoder.device)
        self.sample_count = len(context.train)
        self.augmentation: dict[str, Any] | None = None
        if self._adapts_image:
            policy = training.augmentation
            if policy is not None and policy.acting():
                self.augmentation = policy.model_dump(mode="json")
            self._pixels = TrainingPixels(
                context.train, encoder.preprocessing, policy, context.seed, context.limits, context.cache
            )
        else:
            self._fixed_images = torch.from_numpy(context.embeddings.of(context.train.ids)).to(encoder.device)
            self._fixed_validation = context.embeddings.of(self._validation.ids)

    def module(self) -> torch.nn.Module:
        return self._encoder.model

    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self._encoder.model.parameters() if parameter.requires_grad]

    def buffers(self) -> list[torch.Tensor]:
        return list(self._training.statistics)

    def learning_rate_shares(self) -> list[float]:
        shares = self._training.learning_rate_shares
        return [1.0] * len(self.parameters()) if shares is None else list(shares)

    def train_mode(self, training: bool) -> None:
        """Modules that have a training mode go into it or out of it."""
        self._encoder.model.eval()
        for name, module in self._encoder.model.named_modules():
            if self._training.active(name, module):
                module.training = training

    def order(self, epoch: int, shuffled: np.ndarray) -> np.ndarray:
        """int [n]: with balanced sampling the k-th time that a position comes is position + k · sample_count."""
        if self._training.balance != "sampling":
            return shuffled
        return repeated_apart(balanced_order(self._class_of, self._seed, epoch), self.sample_count)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(targets, inputs): labels int64 [n], or their shares float32 [n, c] where pictures are mixed."""
        if self._adapts_image:
            for targets, pixels in self._pixels.labelled_batches(order, epoch, batch_size):
                yield torch.from_numpy(targets).to(self._encoder.device), self._encoder.image_tensor(pixels)
            return
        for positions in self._positions(order, batch_size):
            yield self._labels[positions], self._fixed_images[positions]

    def _positions(self, order: np.ndarray, batch_size: int) -> Iterator[torch.Tensor]:
        for positions in batched((order % self.sample_count).tolist(), batch_size):
            yield torch.as_tensor(positions, device=self._encoder.device)

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        targets, inputs = batch
        logits = self._logits(self._image_features(inputs), self._class_features()).float()
        losses = cross_entropy(logits, targets, reduction="none", label_smoothing=self._training.label_smoothing)
        if self._training.balance == "loss":
            hard = targets.ndim == 1
            losses = losses * (self._class_weights[targets] if hard else targets @ self._class_weights)
        return losses.mean()

    def _image_features(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._encoder.image_features(inputs) if self._adapts_image else inputs

    def _logits(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """As `TextHead` scores: the scale is a number here, and not trained."""
        return self._encoder.logit_scale * images @ texts.T + self._encoder.logit_bias

    def _class_features(self) -> torch.Tensor:
        """[c, d] with gradients: as `DualEncoder.class_matrix`."""
        if not self._adapts_text:
            return self._fixed_text
        features = self._encoder.text_features(self._tokens)
        counts = [len(texts) for texts in self.texts.values()]
        means = torch.stack([part.mean(dim=0) for part in features.split(counts)])
        return means / means.norm(p=2, dim=-1, keepdim=True)

    def validation_embeddings(self) -> np.ndarray:
        """float32 [n, d] of the validation split, by the encoder as it is now; the processes share the work out."""
        if not self._adapts_image:
            return self._fixed_validation
        preprocessor, number = Preprocessor(self._encoder.preprocessing), len(self._validation)
        ids, paths = self._validation.ids, self._validation.paths
        samples = ((ids[position], paths[position]) for position in own_share(number).tolist())
        with input_pixels(preprocessor.config, number, self._cache, self._limits) as pixels_of:
            pixels = map_ahead(lambda sample: preprocessor.normalise(pixels_of(*sample)), samples)
            parts = [self._encoder.encode_images(np.stack(part)) for part in batched(pixels, self._batch_size)]
        return gather_rows(np.concatenate(parts), number)

    def validate(self) -> dict[str, float]:
        class_matrix = self._class_features().detach().float().cpu().numpy()
        head = TextHead(self._encoder.logit_scale, self._encoder.logit_bias)
        logits = head.score(self.validation_embeddings(), class_matrix)
        return validation_scores(logits, self._validation.label_indices)


class ContrastiveEncoderTask(EncoderTask):
    """The contrastive loss between pictures and a prompt of their own class each, drawn anew in every epoch.

    Goyal et al. 2023, "Finetune like you pretrain: Improved finetuning of zero-shot vision models" (FLYP), equation 3.
    There only a picture's own prompt is right; here all pictures and prompts of one class match, the target shared between
    them (Yang et al. 2022, "Unified Contrastive Learning in Image-Text-Label Space", equation 3): few classes fill a batch
    with several pictures of each. The model's own scale is trained, and its loss is the one it was pretrained with.
    """

    def __init__(self, context: AdaptationContext, training: Training) -> None:
        super().__init__(context, training)
        counts = [len(texts) for texts in self.texts.values()]
        self._counts, self._first = counts, np.concatenate([[0], np.cumsum(counts)[:-1]])
        if not self._adapts_text:
            flat = [text for texts in self.texts.values() for text in texts]
            self._fixed_prompts = torch.from_numpy(self._encoder.encode_texts(flat)).to(self._encoder.device)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """(labels int64 [n], inputs, numbers of the prompts int64 [n])."""
        prompts = batched([self._drawn_prompt(number, epoch) for number in order.tolist()], batch_size)
        for (labels, inputs), drawn in zip(super().batches(order, epoch, batch_size), prompts, strict=True):
            yield labels, inputs, torch.as_tensor(drawn, device=labels.device)

    def _drawn_prompt(self, number: int, epoch: int) -> int:
        turn, position = divmod(number, self.sample_count)
        label = self._class_of[position]
        generator = generator_of(self._seed, f"prompt {turn} of {self._ids[position]}", epoch)
        return int(self._first[label] + generator.integers(self._counts[label]))

    def loss(self, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self._pairs_loss(batch, None)

    def loss_across(self, batch: tuple[torch.Tensor, ...], share: BatchShare) -> torch.Tensor:
        return self._pairs_loss(batch, share)

    def _pairs_loss(self, batch: tuple[torch.Tensor, ...], share: BatchShare | None) -> torch.Tensor:
        labels, inputs, drawn = batch
        return pairs_loss(
            self._image_features(inputs).float(),
            self._prompt_features(drawn).float(),
            labels,
            lambda images, texts: scaled_cosines(self._encoder.model, images, texts),
            pairwise=self._encoder.activation == "sigmoid",
            share=share,
            weights=self._class_weights[labels] if self._training.balance == "loss" else None,
        )

    def _prompt_features(self, drawn: torch.Tensor) -> torch.Tensor:
        """[n, d]; each distinct prompt goes through the text encoder once."""
        if not self._adapts_text:
            return self._fixed_prompts[drawn]
        distinct, back = drawn.unique(return_inverse=True)
        tokens = {name: values[distinct] for name, values in self._tokens.items()}
        return self._encoder.text_features(tokens)[back]


def adapted_encoder(
    context: AdaptationContext,
    config: MethodConfig,
    name: str,
    task: EncoderTask,
    result: TrainingResult,
    *,
    original: dict[str, torch.Tensor],
    wise_ft: WiseFtConfig | None,
    trained_parameters: int,
    remarks: list[str],
) -> AdaptedModel:
    """What is left when a task's encoder was trained: mixed with the original if that is asked for, and scored.

    Args:
        original: the model's state before.
        remarks: of the method; more are added.
    """
    encoder, history, remarks = context.encoder, list(result.history), list(remarks)
    changed = result.best_step > 0
    if not changed:
        remarks.append("No step improved on the start: the encoders are as they were.")
    elif wise_ft is not None:
        alpha, rows = mix_with_original(encoder.model, original, task.validate, wise_ft)
        changed = alpha > 0
        history += rows
        remarks.append(f"WiSE-FT: {alpha:g} of the tuned weights, {1 - alpha:.3g} of the original ones.")
    texts = task.texts
    return AdaptedModel.of(
        context,
        config,
        name,
        head=TextHead(encoder.logit_scale, encoder.logit_bias),
        class_matrix=encoder.class_matrix(texts),
        texts=texts,
        embeddings=task.validation_embeddings(),
        open_vocabulary=OpenVocabulary(
            word="degraded" if changed else "kept",
            basis="the encoders were adapted to the classes; no held-out classes were measured"
            if changed
            else "nothing was changed",
        ),
        trained_parameters=trained_parameters,
        encoder=encoder if changed else None,
        history=history,
        remarks=remarks,
        augmentation=task.augmentation,
    )
