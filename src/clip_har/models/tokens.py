"""Texts → what a text encoder takes, without torch: the tokenizer of a Hugging Face folder, as `DualEncoder` uses it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIGLIP_LENGTH = 64  # the length that SigLIP was trained with, and that transformers' own pipeline pads to
_POSITIONS = 512  # where the config does not say


class TextTokens:
    """A tokenizer with the padding and the longest text of its model. Safe to call from several threads.

    Args:
        tokenizer: padding and truncating as the model wants it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, folder: str | Path, length: int | None = None) -> TextTokens:
        """Of a Hugging Face folder or a bundle.

        Args:
            length: tokens that every text is padded to; those of the longest, or as the model wants it, if not given.

        Raises:
            ModelError: if there is no `tokenizer.json`, or it cannot be used.
        """
        from tokenizers import Tokenizer

        folder = Path(folder)
        config = _read_json(folder / "config.json")
        options = _read_json(folder / "tokenizer_config.json")
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the tokenizers package raises Exception itself
            raise ModelError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from error
        siglip = "siglip" in str(config.get("model_type"))
        longest = SIGLIP_LENGTH if siglip else min(options.get("model_max_length") or _POSITIONS, _positions(config))
        pad = options.get("pad_token") or options.get("eos_token")
        pad = pad["content"] if isinstance(pad, dict) else pad
        number = tokenizer.token_to_id(pad) if pad else None
        if number is None:
            raise ModelError(f"{folder / 'tokenizer_config.json'} names no padding token of the vocabulary ({pad!r}).")
        tokenizer.enable_truncation(longest, direction=options.get("truncation_side", "right"))
        tokenizer.enable_padding(
            direction=options.get("padding_side", "right"),
            pad_id=number,
            pad_token=pad,
            length=length or (SIGLIP_LENGTH if siglip else None),
        )
        return cls(tokenizer)

    def __call__(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """n texts → `input_ids`, `attention_mask` and `token_type_ids`, int64 [n, length of the longest]."""
        rows = self._tokenizer.encode_batch(list(texts))
        columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        return {name: np.array([getattr(row, of) for row in rows], np.int64) for name, of in columns.items()}


def _positions(config: dict[str, Any]) -> int:
    """The most tokens that the text encoder has positions for."""
    text = config.get("text_config") or config
    return text.get("max_position_embeddings") or _POSITIONS


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
