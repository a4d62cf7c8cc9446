"""The contrastive loss, and the task that trains both encoders of a dual encoder with it.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.3 (InfoNCE in
both directions, a learned scale of at most 100); for encoders of SigLIP's kind: Zhai et al. 2023, "Sigmoid Loss for
Language Image Pre-Training", section 3.2. Captions that say the same are no negatives of each other, as in Yang et al.
2022, "Unified Contrastive Learning in Image-Text-Label Space".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from clip_har.data.augmentation import AugmentationConfig, augment, generator_of
from clip_har.data.loading import batched, map_ahead
from clip_har.errors import ModelError
from clip_har.hashing import sha256_bytes
from clip_har.models.preprocessing import Preprocessor
from clip_har.training.distributed import BatchShare, gather_rows, own_share
from clip_har.training.gathering import gather_features, gather_numbers
from clip_har.training.pictures import StoredPictures

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

MAX_LOGIT_SCALE = 100.0

Batch = tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]
"""Pictures, tokens, and the numbers int64 [n] of what the captions say."""


def said(caption: str) -> str:
    """What a caption says: without case, spaces' number and the final stop."""
    return re.sub(r"\s+", " ", caption).strip().rstrip(".").lower()


def caption_numbers(captions: Sequence[str]) -> torch.Tensor:
    """int64 [n] that are equal where two captions say the same, in whatever batch or process."""
    hashes = (sha256_bytes(said(caption).encode())[:15] for caption in captions)
    return torch.tensor([int(digits, 16) for digits in hashes])


def matches(captions: Sequence[str]) -> torch.Tensor:
    """bool [n, n]: whether two captions of a batch say the same; the diagonal always does."""
    numbers = caption_numbers(captions)
    return numbers[:, None] == numbers[None, :]


def contrastive_loss(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over rows and over columns, the target shared equally between the positives.

    Args:
        logits: float [n, n], scaled cosines of pictures (rows) and captions (columns).
        positive: bool [n, n], symmetric.
    """
    return (_cross_entropy(logits, positive) + _cross_entropy(logits.T, positive)) / 2


def _cross_entropy(logits: torch.Tensor, positive: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over the rows of float [k, n], the target of each shared equally between its positives."""
    targets = positive.to(logits.device, logits.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    return _mean(-(targets * logits.log_softmax(dim=1)).sum(dim=1), weights)


def sigmoid_loss(logits: torch.Tensor, positive: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Every pair by itself: a match or not, summed over the captions of a picture.

    Args:
        logits: float [k, n], scaled and shifted cosines.
        positive: bool [k, n].
        weights: float [k], of the pictures.
    """
    signs = positive.to(logits.device, logits.dtype) * 2 - 1
    return _mean(-logsigmoid(signs * logits).sum(dim=1), weights)


def _mean(losses: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return losses.mean() if weights is None else (weights * losses).mean()


def scaled_cosines(model: torch.nn.Module, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """float [k, n] of normalised features: scaled by the model's own scale, at most 100, and shifted by its own bias."""
    logits = images @ texts.T
    if hasattr(model, "logit_scale"):
        logits = logits * model.logit_scale.clamp(max=math.log(MAX_LOGIT_SCALE)).exp()
    if hasattr(model, "logit_bias"):
        logits = logits + model.logit_bias
    return logits


def clamp_scale(model: torch.nn.Module) -> None:
    """Make a trained scale what training used: at most 100."""
    if hasattr(model, "logit_scale"):
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))


def pairs_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    numbers: torch.Tensor,
    logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    pairwise: bool,
    share: BatchShare | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of a batch of pairs; or the part that this process's pairs have in that of all processes.

    Weighed by how many there are, the parts add up to the loss of the whole batch, and so do their gradients.

    Args:
        images, texts: float [k, d], normalised features.
        numbers: int64 [k], equal where pairs say the same.
        logits: features of pictures and of texts → float [pictures, texts], as `scaled_cosines`.
        pairwise: SigLIP's loss, else CLIP's.
        share: this process's place in the batch; None if it has all of it.
        weights: float [k], of the pairs.
    """
    counted, all_images, all_texts, all_numbers = len(images), images, texts, numbers.cpu()
    if share is not None:
        counted = share.counted
        together = gather_features(torch.cat([images, texts], dim=1), share)
        all_images, all_texts = together.split(images.shape[1], dim=1)
        all_numbers = gather_numbers(numbers, share)
    positive = numbers[:counted, None].cpu() == all_numbers[None, :]
    weights = None if weights is None else weights[:counted]
    rows = logits(images[:counted], all_texts)
    if counted == 0:  # nothing of its own: only the gradients that the others' losses give to what it gathered
        return 0 * (rows.sum() + all_images.sum() + all_texts.sum())
    if pairwise:
        return sigmoid_loss(rows, positive, weights)
    columns = logits(all_images, texts[:counted]).T
    return (_cross_entropy(rows, positive, weights) + _cross_entropy(columns, positive, weights)) / 2


class PatchDropout:
    """Lets a CLIP's image encoder see a random part of the patches only: half of them takes half the time.

    Li et al. 2023, "Scaling Language-Image Pre-training via Masking" (FLIP); its last epochs see whole pictures, as there.

    Args:
        share: of the patches that are left out while `active` is true.

    Raises:
        ModelError: if the image encoder is not CLIP's.
    """

    def __init__(self, encoder: DualEncoder, share: float) -> None:
        vision = getattr(encoder.model, "vision_model", None)
        if not hasattr(vision, "pre_layrnorm"):
            raise ModelError(
                f"pretraining.patch_dropout: {encoder.backbone!r} is a {type(encoder.model).__name__}; patches can be "
                "left out of CLIP's image encoder only. Set it to 0."
            )
        self._share = share
        self.active = False
        vision.pre_layrnorm.register_forward_hook(self._drop)

    def _drop(self, module: torch.nn.Module, _: object, tokens: torch.Tensor) -> torch.Tensor:
        if not (self.active and module.training):
            return tokens
        number, length, width = tokens.shape
        kept = max(1, round((length - 1) * (1 - self._share)))
        chosen = torch.rand(number, length - 1, device=tokens.device).argsort(dim=1)[:, :kept] + 1
        chosen = torch.cat([chosen.new_zeros(number, 1), chosen], dim=1)  # the class token stays
        return tokens.gather(1, chosen[:, :, None].expand(-1, -1, width))


class ContrastiveTask:
    """Both encoders trained on pictures and one of their captions, both drawn anew in every epoch.

    Args:
        encoder: in float32; all its parameters are trained.
        pictures: decoded; `captions` and `names` (for the random numbers) go with them.
        train: positions of the pictures to train on.
        validation: positions of those that are held back.
        batch_size: of the groups in which validation pictures and captions must find each other.
        patch_dropout: share of the patches that is left out.
        whole_from: first epoch in which none is.
    """

    def __init__(
        self,
        encoder: DualEncoder,
        pictures: StoredPictures,
        captions: Sequence[Sequence[str]],
        names: Sequence[str],
        train: Sequence[int],
        validation: Sequence[int],
        *,
        augmentation: AugmentationConfig | None,
        batch_size: int,
        seed: int,
        patch_dropout: float = 0.0,
        whole_from: int = 0,
    ) -> None:
        self._encoder, self._pictures, self._captions, self._names = encoder, pictures, captions, names
        self._train = np.asarray(train)
        self._augmentation, self._seed = augmentation, seed
        self._preprocessor = Preprocessor(encoder.preprocessing)
        self.sample_count = len(self._train)
        self._validation = list(self._groups(validation, batch_size))
        self._patches = PatchDropout(encoder, patch_dropout) if patch_dropout else None
        self._whole_from = whole_from

    def _groups(self, validation: Sequence[int], size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
        """(uint8 [n, h, w, 3], first captions) of the validation pictures; a rest of one has nothing to be told from."""
        for positions in batched(validation, size):
            if len(positions) > 1:
                pixels = np.stack([self._preprocessor.resize_and_crop(self._pictures[p]) for p in positions])
                yield pixels, [self._captions[p][0] for p in positions]

    def module(self) -> torch.nn.Module:
        return self._encoder.model

    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self._encoder.model.parameters() if parameter.requires_grad]

    def hidden_matrices(self) -> list[torch.nn.Parameter]:
        """Weights of the linear layers inside both encoders: neither embeddings nor the projections into the space."""
        return [
            module.weight
            for name, module in self._encoder.model.named_modules()
            if isinstance(module, torch.nn.Linear) and ".layer" in f".{name}" and module.weight.requires_grad
        ]

    def train_mode(self, training: bool) -> None:
        """Dropout on or off; statistics of batch normalisation stay as they came."""
        self._encoder.model.train(training)
        for module in self._encoder.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[Batch]:
        device = self._encoder.device
        if self._patches is not None:
            self._patches.active = epoch < self._whole_from
        positions = self._train[order].tolist()
        viewed = map_ahead(lambda position: self._view(position, epoch), positions, ahead=2 * batch_size)
        for part in batched(viewed, batch_size):
            pixels, captions = zip(*part, strict=True)
            tensor = torch.from_numpy(np.stack(pixels)).to(device)
            yield tensor, self._encoder.tokenize(captions), caption_numbers(captions)

    def _view(self, position: int, epoch: int) -> tuple[np.ndarray, str]:
        """A random view of a picture and one of its captions: the same for a name and an epoch whatever the order."""
        generator = generator_of(self._seed, self._names[position], epoch)
        captions = self._captions[position]
        caption = captions[int(generator.integers(len(captions)))]
        image, config = self._pictures[position], self._preprocessor.config
        if self._augmentation is None:
            return self._preprocessor(image), caption
        whole = self._preprocessor.resize_and_crop
        view = augment(image, config.output_size, config.resample, self._augmentation, generator, whole)
        return self._preprocessor.normalise(view), caption

    def loss(self, batch: Batch) -> torch.Tensor:
        pixels, tokens, numbers = batch
        images, texts = self._features(pixels, tokens)
        return self._loss(self._logits(images, texts), numbers[:, None] == numbers[None, :])

    def loss_across(self, batch: Batch, share: BatchShare) -> torch.Tensor:
        """The part of the loss that this process's pictures and captions have in the batch of all processes.

        Weighed by how many there are, the parts add up to the loss of the whole batch, and so do their gradients.
        """
        pixels, tokens, numbers = batch
        images, texts = self._features(pixels, tokens)
        pairwise = self._encoder.activation == "sigmoid"
        return pairs_loss(images, texts, numbers, self._logits, pairwise=pairwise, share=share)

    def _loss(self, logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        pairwise = self._encoder.activation == "sigmoid"
        return (sigmoid_loss if pairwise else contrastive_loss)(logits, positive)

    def _features(self, pixels: torch.Tensor, tokens: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self._encoder.image_features(pixels).float(), self._encoder.text_features(tokens).float()

    def _logits(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return scaled_cosines(self._encoder.model, images, texts)

    def validate(self) -> dict[str, float]:
        """How often a picture finds a caption of its own in its group and a caption its picture, and the loss."""
        figures = np.array([self._group_figures(*self._validation[n]) for n in own_share(len(self._validation))])
        found, losses = gather_rows(figures, len(self._validation)).T
        counts = [len(captions) for _, captions in self._validation]
        return {
            "accuracy": float(np.average(found, weights=counts)),
            "log_loss": float(np.average(losses, weights=counts)),
        }

    def _group_figures(self, pixels: np.ndarray, captions: list[str]) -> tuple[float, float]:
        """Share of right answers in both directions, and the loss."""
        tensor = torch.from_numpy(np.stack([self._preprocessor.normalise(picture) for picture in pixels]))
        features = self._features(tensor.to(self._encoder.device), self._encoder.tokenize(captions))
        logits = self._logits(*features).float().cpu()
        positive = matches(captions)
        rows = torch.arange(len(captions))
        right = (positive[rows, logits.argmax(dim=1)], positive[logits.argmax(dim=0), rows])
        return float(torch.cat(right).float().mean()), float(self._loss(logits, positive).detach())
