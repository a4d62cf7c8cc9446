"""Bundles for measurements of speed: real models, and CLIPs of well-known sizes with random weights; photographs for them."""

from __future__ import annotations

import io
from pathlib import Path

from measuring import HAR, HAR_DUAL_ENCODER

from clip_har.samples import HAR_ACTIONS

LABELS = HAR_ACTIONS
TEMPLATE = "a photo of a person {}."
MODELS = {"ViT-B/32": 32, "ViT-B/16": 16, "tiny-clip": "tiny-clip", "har_dual_encoder": str(HAR_DUAL_ENCODER)}


def make_bundle(model: str, folder: Path, forms: tuple[str, ...] = ("onnx", "onnx-int8")):
    """A zero-shot bundle of one of `MODELS` with exported image encoders.

    All forms are installed, whatever a gate would say: random weights are for speed only, and so is the quick calibration.
    """
    import numpy as np
    from transformers.utils import logging

    from clip_har.errors import ConfigError
    from clip_har.export import EXPORTERS
    from clip_har.export.base import ExportContext
    from clip_har.export.config import ExportConfig
    from clip_har.inference.exported import Exports
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
    from clip_har.models.calibration import Calibration
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.head import TextHead
    from clip_har.models.preprocessing import Preprocessor
    from clip_har.models.prompts import PromptConfig

    logging.disable_progress_bar()
    size = MODELS[model]
    encoder = random_clip(size) if isinstance(size, int) else DualEncoder.load(ModelConfig(backbone=size))
    prompts = PromptConfig(single=TEMPLATE, templates=(TEMPLATE,))
    texts = prompts.texts(LABELS, "single")
    bundle = ModelBundle.create(
        folder / "bundle",
        save_encoder=encoder.save,
        info=BundleInfo(
            labels=LABELS,
            head="text",
            method="zero_shot",
            recipe={},
            backbone=model,
            backbone_hash="",
            encoder_hash="",
            data_hash="",
            data_revision="",
            config_hash="",
            open_vocabulary=OpenVocabulary(word="kept", basis="a benchmark"),
            decoder_reduction=True,
            metrics={},
        ),
        head=TextHead(encoder.logit_scale, encoder.logit_bias),
        class_matrix=encoder.class_matrix(texts),
        prompts=prompts.model_dump(mode="json") | {"texts": texts},
        calibration=Calibration(temperature=1.0, split="none", samples=0, data_hash=""),
    )
    preprocessor = Preprocessor(encoder.preprocessing)
    pixels = preprocessor.batch(preprocessor.decode(data) for data in photographs(72))
    # Random weights need no search for sensitive layers: every layer is int8.
    quick = {"ranges": ("minmax",), "wanted_cosine": 0.001, "attempts": 1, "candidates": 1}
    config = ExportConfig.model_validate(
        {"forms": forms, "encoders": ("image",), "quantisation": quick if isinstance(size, int) else {}}
    )
    calibration, probe = (pixels[:4], pixels[4:8]) if isinstance(size, int) else (pixels[:48], pixels[48:])
    context = ExportContext(encoder, Exports.folder(bundle), config, calibration, probe, LABELS, threads=2)
    made = []
    for form in forms:
        try:
            made.append(EXPORTERS.get(form)().make(context, "image"))
        except ConfigError as error:  # TensorRT without its package
            print(f"{model}: no {form}: {error}")
    Exports(model_id=bundle.model_id, forms=tuple(made)).write(bundle)
    return bundle, np.ascontiguousarray(pixels)


def random_clip(patch_size: int):
    """CLIP as OpenAI's ViT-B, with random weights and the tokenizer of the tiny CLIP."""
    import torch
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from clip_har.models.backbone import location
    from clip_har.models.dual_encoder import DualEncoder

    tokenizer = AutoTokenizer.from_pretrained(location("tiny-clip"))
    text = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": patch_size}))
    return DualEncoder(model, tokenizer, CLIPImageProcessorPil(), f"ViT-B/{patch_size}")


def photographs(count: int) -> list[bytes]:
    """Small JPEGs: real photographs where they are on this machine, drawn pictures of the same size elsewhere."""
    if HAR.is_dir():
        return [path.read_bytes() for path in sorted((HAR / "train").iterdir())[:count]]
    from clip_har.samples import describe_scene, draw_scene

    files = []
    for number in range(count):
        picture = draw_scene(describe_scene(HAR_ACTIONS[number % len(HAR_ACTIONS)], number)).convert("RGB")
        buffer = io.BytesIO()
        picture.resize((275, 183)).save(buffer, "JPEG", quality=85)
        files.append(buffer.getvalue())
    return files


def large_photograph() -> bytes:
    """A JPEG of 12 megapixels: a small one enlarged, with the noise of a sensor."""
    import numpy as np
    from PIL import Image

    small = Image.open(io.BytesIO(photographs(1)[0])).convert("RGB")
    pixels = np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = np.random.default_rng(0).normal(scale=4, size=pixels.shape).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
