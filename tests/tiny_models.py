"""Tiny random dual encoders in Hugging Face form, and small photographs that they can be fitted on. All seeded."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_IMAGE_SIZE = 32
_WORDS = (
    "a an the photo picture of person people someone man woman in is who candid action this "
    "running sitting sleeping cycling dancing clapping drinking eating fighting hugging laughing listening "
    "to music texting using laptop calling red green blue yellow circle square triangle"
)


def tiny_clip(folder: Path) -> Path:
    """A CLIP with a ViT of two layers for pictures of 32 × 32 pixels; 16-dimensional embeddings.

    Its preprocessing is CLIP's: shorter side resized bicubically, centre crop.
    """
    from transformers import CLIPConfig, CLIPModel

    tokenizer = _clip_tokenizer()
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = size | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 32,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = size | {"image_size": _IMAGE_SIZE, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": _IMAGE_SIZE},
        "do_center_crop": True,
        "crop_size": {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "do_convert_rgb": True,
    }
    return _save(folder, CLIPModel, config, tokenizer, processor)


def tiny_siglip(folder: Path) -> Path:
    """A SigLIP of the same size: sigmoid scores with a bias, texts padded to 64 tokens, pictures squeezed to a square."""
    from transformers import SiglipConfig, SiglipModel

    tokenizer = _word_tokenizer()
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = size | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = size | {"image_size": _IMAGE_SIZE, "patch_size": 8}
    config = SiglipConfig(text_config=text, vision_config=vision)
    processor = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    return _save(folder, SiglipModel, config, tokenizer, processor)


def tiny_vision_text(folder: Path) -> Path:
    """A `VisionTextDualEncoderModel` of a MobileNetV2 (no attention, batch norms) and a BERT, like the real one in ../shared."""
    from transformers import BertConfig, MobileNetV2Config, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    tokenizer = _word_tokenizer()
    text = BertConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.1,
    )
    vision = MobileNetV2Config(image_size=_IMAGE_SIZE, depth_multiplier=0.25, min_depth=4, hidden_size=1280)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=16)
    processor = {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "size": {"shortest_edge": 36},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    return _save(folder, VisionTextDualEncoderModel, config, tokenizer, processor)


def colour_photos(folder: Path, labels: Sequence[str], per_class: int, *, seed: int = 0) -> Path:
    """A folder a class of small JPEGs: each class has its own colour and shape, each picture its own texture.

    Args:
        folder: made if it is not there.
        labels: the classes, which become the sub-folders.
        per_class: pictures of each.
    """
    generator = np.random.default_rng(seed)
    for number, label in enumerate(labels):
        (folder / label).mkdir(parents=True, exist_ok=True)
        hue = number / len(labels)
        for picture in range(per_class):
            image = _colour_photo(hue, number % 3, generator)
            image.save(folder / label / f"{label}_{picture:03d}.jpg", quality=92)
    return folder


def _colour_photo(hue: float, shape: int, generator: np.random.Generator) -> Image.Image:
    width, height = (int(side) for side in generator.integers(60, 100, 2))
    coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)  # low frequencies, which perceptual hashes look at
    ground = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    image = Image.blend(ground, noise.filter(ImageFilter.BoxBlur(1)), 0.25)
    tint = tuple(round(255 * part) for part in colorsys.hsv_to_rgb((hue + generator.normal(0, 0.01)) % 1, 0.9, 0.9))
    image = Image.blend(image, Image.new("RGB", image.size, tint), 0.35)
    side = int(generator.integers(24, 40))
    left, top = int(generator.integers(4, width - side - 4)), int(generator.integers(4, height - side - 4))
    box = (left, top, left + side, top + side)
    draw = ImageDraw.Draw(image)
    if shape == 0:
        draw.ellipse(box, fill=tint)
    elif shape == 1:
        draw.rectangle(box, fill=tint)
    else:
        draw.polygon([(left, top + side), (left + side // 2, top), (left + side, top + side)], fill=tint)
    return image


def _save(folder: Path, model_class, config, tokenizer, processor: dict) -> Path:
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config).eval()
        with torch.no_grad():  # the initial weights are so small that all embeddings would be alike
            for weights in model.parameters():
                if weights.ndim >= 2:
                    weights.mul_(3.0)
            if hasattr(model, "logit_bias"):  # SigLIP's begin at 0: nothing would show them left out
                model.logit_scale.fill_(2.0)
                model.logit_bias.fill_(-3.0)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shared = {"do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(shared | processor, indent=2))
    return folder


def _clip_tokenizer():
    """CLIP's own tokenizer class over letters and the words above: bytes, then their word-final forms, then merges."""
    from transformers import CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'-_!?"]
    vocabulary, merges = letters + [f"{letter}</w>" for letter in letters], []
    for word in dict.fromkeys(_WORDS.split()):
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = (parts[0], parts[1])
            if merge not in merges:
                merges.append(merge)
                vocabulary.append("".join(merge))
            parts[:2] = ["".join(merge)]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    return CLIPTokenizer(vocab=numbers, merges=merges, model_max_length=32)


def _word_tokenizer():
    """Words and letters, ended by `</s>` and padded with `</s>` as SigLIP's texts are."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'-_!?"]
    tokens = ["</s>", "<unk>", *letters, *(f"##{letter}" for letter in letters), *_WORDS.split()]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", numbers["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=64
    )
