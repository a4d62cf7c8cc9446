"""A new, untrained CLIP: its own vocabulary, learned from captions, and random weights.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from clip_har.component import ComponentConfig

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTokenizer

    from clip_har.models.dual_encoder import DualEncoder

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_BYTES = 256
# Mean and standard deviation of the channels of the photographs that OpenAI's CLIP saw.
_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_BICUBIC = 3
_LEAST_VARIANCE = 1e-4  # of the largest: finer detail is mostly noise, and is not made as large
_LONGEST_WAVE = 100.0
_AT_ONCE = 128  # pictures


class TowerConfig(ComponentConfig):
    """A transformer."""

    width: int = Field(ge=8, description="Size of the hidden states; a multiple of `heads` and of 4.")
    layers: int = Field(ge=1, description="Number of layers.")
    heads: int = Field(ge=1, description="Attention heads of each layer.")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> TowerConfig:
        if self.width % self.heads:
            raise ValueError(f"the width {self.width} is no multiple of the {self.heads} heads")
        if self.width % 4:
            raise ValueError(f"the width {self.width} is no multiple of 4")
        return self


class ClipConfig(ComponentConfig):
    """Size of a new CLIP."""

    image_size: int = Field(96, ge=16, description="Side of the square picture that it sees, in pixels.")
    patch_size: int = Field(16, ge=2, description="Side of a patch, in pixels; divides `image_size`.")
    image: TowerConfig = Field(TowerConfig(width=192, layers=6, heads=3), description="The image encoder.")
    text: TowerConfig = Field(TowerConfig(width=128, layers=3, heads=2), description="The text encoder.")
    dimensions: int = Field(128, ge=8, description="Size of the shared space.")
    vocabulary: int = Field(
        2_000,
        ge=2 * _BYTES + 2,
        description="Largest number of tokens; learned from the captions, which may give fewer.",
    )
    longest_text: int = Field(32, ge=8, description="Tokens of a text, with its start and end; longer ones are cut.")

    @model_validator(mode="after")
    def _patches_fill_the_picture(self) -> ClipConfig:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is no multiple of patch_size {self.patch_size}")
        return self


def new_clip(config: ClipConfig, captions: Iterable[str], name: str = "a new CLIP") -> DualEncoder:
    """An untrained `CLIPModel` with its tokenizer and image processor; weights come from torch's global seed.

    Args:
        captions: what the vocabulary is learned from.
        name: what it is called in messages.
    """
    from transformers import CLIPConfig, CLIPModel
    from transformers.utils import logging as transformers_logging

    from clip_har.models.dual_encoder import DualEncoder

    transformers_logging.disable_progress_bar()
    tokenizer = learn_tokenizer(captions, config.vocabulary, config.longest_text)
    model = CLIPModel(
        CLIPConfig(
            text_config=_tower(config.text)
            | {
                "vocab_size": len(tokenizer),
                "max_position_embeddings": config.longest_text,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,  # where transformers pools; 2 would mean something else to it
                "pad_token_id": tokenizer.pad_token_id,
            },
            vision_config=_tower(config.image) | {"image_size": config.image_size, "patch_size": config.patch_size},
            projection_dim=config.dimensions,
        )
    )
    return DualEncoder(model, tokenizer, _image_processor(config.image_size), name)


def _tower(config: TowerConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_act": "gelu",  # one kernel; CLIP's own quick_gelu is three
    }


def _image_processor(size: int) -> Any:
    from transformers import CLIPImageProcessorPil  # the one that needs no torchvision; saved as CLIPImageProcessor

    return CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        resample=_BICUBIC,
        image_mean=_MEAN,
        image_std=_STD,
    )


def fit_first_layer(encoder: DualEncoder, pixel_values: torch.Tensor) -> None:
    """Set the patch filters of a new CLIP from pictures, and its positions to waves, so that both can be seen at once.

    Filters whiten patches: otherwise their mean colour drowns edges, and a small model takes most of its training to
    find that out (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.2). Positions are sines and
    cosines of row and column (Vaswani et al. 2017, section 3.5), half as large as the patches' features.

    Args:
        pixel_values: float [n, 3, h, w], preprocessed; some hundreds of pictures are enough.
    """
    import torch

    embeddings = encoder.model.vision_model.embeddings
    filters, positions = embeddings.patch_embedding.weight, embeddings.position_embedding.weight
    width, _, side, _ = filters.shape
    moments = torch.zeros(3 * side * side, 3 * side * side, dtype=torch.float64)
    for part in pixel_values.split(_AT_ONCE):
        patches = torch.nn.functional.unfold(part.double().cpu(), side, stride=side)
        moments += torch.einsum("npk,nqk->pq", patches, patches) / patches.shape[2] / len(pixel_values)
    values, vectors = torch.linalg.eigh(moments)
    values, vectors = values.flip(0), vectors.flip(1)  # the largest first
    kept = min(width, len(values))
    whitening = torch.zeros(width, len(values), dtype=torch.float64)
    whitening[:kept] = (vectors[:, :kept] / (values[:kept] + _LEAST_VARIANCE * values[0]).sqrt()).T
    grid = encoder.model.config.vision_config.image_size // side
    waves = _waves(grid, width // 4)
    with torch.no_grad():
        filters.copy_((_rotation(width) @ whitening).reshape(filters.shape))
        positions[1:] = (waves @ _rotation(waves.shape[1])[:, :width]).to(positions) / 2**0.5


def _waves(grid: int, frequencies: int) -> torch.Tensor:
    """float64 [grid * grid, 4 * frequencies]: sines and cosines of row and column."""
    import torch

    places = torch.arange(grid, dtype=torch.float64)
    angles = places[:, None] * _LONGEST_WAVE ** -(torch.arange(frequencies, dtype=torch.float64) / frequencies)
    along = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.cat([along.repeat_interleave(grid, dim=0), along.repeat(grid, 1)], dim=1)


def _rotation(size: int) -> torch.Tensor:
    """A random rotation, so that no dimension means something from the start."""
    import torch

    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))[0]


def learn_tokenizer(captions: Iterable[str], vocabulary: int, longest_text: int) -> CLIPTokenizer:
    """Byte-pair encoding of CLIP's kind (lower case, bytes, word ends marked), learned from captions.

    Args:
        vocabulary: largest number of tokens, the 512 forms of bytes and the two special tokens among them.
        longest_text: tokens after which a text is cut.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    # CLIP's own normalisation and way of splitting, as transformers has them.
    pattern = CLIPTokenizer(vocab={_START: 0, _END: 1}, merges=[]).backend_tokenizer
    learner = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=_WORD_END))
    learner.normalizer, learner.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    # Every byte stands alone and as a word's end, so that no text is unknown.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    forms = letters + [letter + _WORD_END for letter in letters]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 2,
        initial_alphabet=letters,
        end_of_word_suffix=_WORD_END,
        special_tokens=[],
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    merges = [tuple(merge) for merge in learned][: vocabulary - len(forms) - 2]
    tokens = [*dict.fromkeys([*forms, *("".join(merge) for merge in merges)]), _START, _END]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=longest_text
    )
