"""Any transformers dual encoder behind one face: CLIP, SigLIP, AltCLIP, VisionTextDualEncoderModel and their kin."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from clip_har.errors import ModelError
from clip_har.hashing import sha256_arrays, sha256_json
from clip_har.memory import keep_freed_memory
from clip_har.models.backbone import ModelConfig, check_backbone, location
from clip_har.models.preprocessing import PreprocessingConfig
from clip_har.models.prompts import class_matrix
from clip_har.models.tokens import SIGLIP_LENGTH
from clip_har.storage import write_json

if TYPE_CHECKING:
    from transformers import BaseImageProcessor, PreTrainedModel, PreTrainedTokenizerBase

_TEXT_BATCH = 256
_ORIGIN = ("_name_or_path", "name_or_path", "is_local", "local_files_only")


def resolve_device(device: str) -> torch.device:
    """The device that a config's word stands for.

    Raises:
        ModelError: if CUDA is asked for and absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"compute.device: {device!r} was asked for, but torch sees no CUDA device here.")
    return torch.device(device)


class DualEncoder:
    """An image encoder and a text encoder with a shared space.

    Attributes:
        model: the transformers model, in eval mode.
        preprocessing: what its pictures go through first.
        backbone: the folder or id that it came from.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: BaseImageProcessor,
        backbone: str,
        *,
        decoder_reduction: bool = False,
    ) -> None:
        for method in ("get_image_features", "get_text_features"):
            if not hasattr(model, method):
                raise ModelError(
                    f"model.backbone: {backbone!r} is a {type(model).__name__}, which is not a dual encoder (it has no "
                    f"{method})."
                )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.backbone = backbone
        self.preprocessing = PreprocessingConfig.from_huggingface(
            image_processor.to_dict(), decoder_reduction=decoder_reduction
        )
        self._text_arguments = inspect.signature(model.get_text_features).parameters

    @classmethod
    def load(cls, config: ModelConfig, device: str = "cpu") -> DualEncoder:
        """Load weights, tokenizer and preprocessing from a folder or the Hub.

        Raises:
            ModelError: if something is missing or not a dual encoder.
        """
        check_backbone(config)
        where = resolve_device(device)
        from safetensors import SafetensorError
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        try:
            place = location(config.backbone)
            model, weights = AutoModel.from_pretrained(
                place, revision=config.revision, dtype=getattr(torch, config.dtype), output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(place, revision=config.revision)
            image_processor = AutoImageProcessor.from_pretrained(place, revision=config.revision)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"model.backbone: {config.backbone!r} cannot be loaded: {error}") from error
        if config.preprocessing is not None:
            image_processor = type(image_processor).from_dict(config.preprocessing.applied(image_processor.to_dict()))
        encoder = cls(
            model, tokenizer, image_processor, config.backbone, decoder_reduction=config.reduces_while_decoding
        )
        _require_whole(config.backbone, weights["missing_keys"], tokenizer)
        encoder.to(where)
        if config.preprocessing is not None and config.preprocessing.size is not None:
            encoder._require_input_size()
        return encoder

    def to(self, device: torch.device | str) -> DualEncoder:
        """Move the weights; convolutional towers are laid out channels-last, which halves their time on a CPU."""
        if torch.device(device).type == "cpu":
            keep_freed_memory()
        self.model.to(device)
        if self._is_convolutional():
            self.model.to(memory_format=torch.channels_last)
        return self

    def _is_convolutional(self) -> bool:
        return sum(isinstance(module, torch.nn.Conv2d) for module in self.model.modules()) > 4

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.model.parameters()).dtype

    @property
    def model_type(self) -> str:
        """transformers' name of the architecture ("clip", "siglip", …)."""
        return str(self.model.config.model_type)

    @property
    def activation(self) -> Literal["softmax", "sigmoid"]:
        """What the model's own scores are: SigLIP scores every label by itself."""
        return "sigmoid" if "siglip" in self.model_type else "softmax"

    @property
    def logit_scale(self) -> float:
        """Factor on the cosine, as trained (the exponential of the stored parameter)."""
        stored = getattr(self.model, "logit_scale", None)
        return float(stored.detach().float().exp()) if stored is not None else 1.0

    @property
    def logit_bias(self) -> float:
        """Offset of the scores, as trained (SigLIP; 0 elsewhere)."""
        stored = getattr(self.model, "logit_bias", None)
        return float(stored.detach().float()) if stored is not None else 0.0

    def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float [n, 3, h, w] → [n, d], L2-normalised; carries gradients."""
        return _normalised(self.model.get_image_features(pixel_values=pixel_values))

    def text_features(self, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Tokens as from `tokenize` → [n, d], L2-normalised; carries gradients."""
        return _normalised(self.model.get_text_features(**tokens))

    def tokenize(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Texts → what the text encoder takes, on the model's device. The tokenizer decides which inputs there are."""
        options: dict[str, Any] = {"padding": True, "truncation": True, "max_length": self._longest_text()}
        if "siglip" in self.model_type:
            options |= {"padding": "max_length", "max_length": SIGLIP_LENGTH}
        tokens = self.tokenizer(list(texts), return_tensors="pt", **options)
        takes_all = any(argument.kind is argument.VAR_KEYWORD for argument in self._text_arguments.values())
        return {
            name: value.to(self.device) for name, value in tokens.items() if takes_all or name in self._text_arguments
        }

    def _require_input_size(self) -> None:
        height, width = self.preprocessing.output_size
        try:
            self.encode_images(np.zeros((1, 3, height, width), dtype=np.float32))
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"model.preprocessing.size: the image encoder of {self.backbone!r} does not take pictures of {height} × "
                f"{width} pixels: {error}"
            ) from error

    def _longest_text(self) -> int:
        text_config = getattr(self.model.config, "text_config", self.model.config)
        positions = getattr(text_config, "max_position_embeddings", 512)
        return min(self.tokenizer.model_max_length, positions)

    def encode_images(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""
        with torch.inference_mode():
            return self.image_features(self.image_tensor(pixel_values)).float().cpu().numpy()

    def image_tensor(self, pixel_values: np.ndarray) -> torch.Tensor:
        """float32 [n, 3, h, w] → the same in the type, place and memory layout of the weights."""
        tensor = torch.from_numpy(pixel_values).to(self.device, self.dtype)
        return tensor.contiguous(memory_format=torch.channels_last) if self._is_convolutional() else tensor

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """n texts → float32 [n, d], L2-normalised."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), _TEXT_BATCH):
                tokens = self.tokenize(texts[start : start + _TEXT_BATCH])
                parts.append(self.text_features(tokens).float().cpu().numpy())
        return np.concatenate(parts)

    def class_matrix(self, texts: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Texts of each class → float32 [c, d]: mean of a class's text embeddings, L2-normalised again."""
        return class_matrix(texts, self.encode_texts)

    def image_encoder_hash(self) -> str:
        """sha256 of everything that an image's embedding depends on, preprocessing apart."""
        return self._hash(lambda name: not name.startswith(("text_", "logit_")), "vision_config")

    def text_encoder_hash(self) -> str:
        """sha256 of everything that a text's embedding depends on, the tokenizer apart."""
        return self._hash(lambda name: not name.startswith(("vision_", "visual_", "logit_")), "text_config")

    def _hash(self, belongs, config_name: str) -> str:
        arrays = {
            name: tensor.detach().float().cpu().contiguous().numpy()
            for name, tensor in self.model.state_dict().items()
            if belongs(name)
        }
        part = getattr(self.model.config, config_name, self.model.config).to_dict()
        ignored = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
        about = {key: value for key, value in part.items() if key not in ignored}
        return sha256_json([sha256_arrays(arrays), sha256_json(_plain(about)), self.model_type])

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder that plain transformers loads: config, weights, tokenizer, image processor."""
        folder = Path(folder)
        weights = {name: tensor.detach().contiguous() for name, tensor in self.model.state_dict().items()}
        self.model.save_pretrained(folder, state_dict=weights)
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)
        for name in ("config.json", "tokenizer_config.json"):
            write_json(folder / name, _without_origin(json.loads((folder / name).read_text(encoding="utf-8"))))


def _normalised(features: Any) -> torch.Tensor:
    """transformers 5 answers with an object, earlier versions with the tensor itself."""
    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    return tensor / tensor.norm(p=2, dim=-1, keepdim=True)


def _require_whole(backbone: str, missing_weights: set[str], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse what transformers would make up: random weights, or a tokenizer without words."""
    if missing_weights:
        named = ", ".join(sorted(missing_weights)[:3])
        raise ModelError(
            f"model.backbone: {backbone!r} cannot be loaded: its weights lack {len(missing_weights)} of the model's "
            f"arrays ({named}{' …' if len(missing_weights) > 3 else ''})."
        )
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ModelError(
            f"model.backbone: {backbone!r} cannot be loaded: its tokenizer has no vocabulary (wanted: tokenizer.json, or "
            "the tokenizer's own files, like vocab.json and merges.txt)."
        )


def _without_origin(value: Any) -> Any:
    """JSON without what transformers notes of the machine that a model was loaded on, such as its folders there."""
    if isinstance(value, dict):
        return {key: _without_origin(item) for key, item in value.items() if key not in _ORIGIN}
    return [_without_origin(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
