"""The service that one writes first: FastAPI, PIL and transformers, a model in a global, one picture at a time.

`pipeline`: transformers' zero-shot pipeline inside, as its documentation has it. `cached`: the model itself, with the
labels' text features made once. Both as `async def`, which answers one request after the other: the better of the two for
it, since as `def` (`--threads`) a pool's forty threads each want all cores, and on two both variants answer fewer a second.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image


def with_pipeline(bundle: str, labels: list[str], template: str) -> Callable[[Any], Any]:
    """Picture → labels and scores, through transformers' pipeline."""
    from transformers import pipeline

    zero_shot = pipeline("zero-shot-image-classification", model=bundle, device="cpu")
    return lambda image: zero_shot(image, candidate_labels=labels, hypothesis_template=template)


def with_cached_texts(bundle: str, labels: list[str], template: str) -> Callable[[Any], Any]:
    """Picture → labels and scores, with the text features made once."""
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(bundle, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(bundle)
    texts = [template.format(label) for label in labels]
    tokens = AutoTokenizer.from_pretrained(bundle)(texts, padding=True, return_tensors="pt")

    def features(output: Any) -> torch.Tensor:
        tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
        return tensor / tensor.norm(dim=-1, keepdim=True)

    with torch.inference_mode():
        text_features, scale = features(model.get_text_features(**tokens)), model.logit_scale.exp()

    def answer(image: Any) -> Any:
        with torch.inference_mode():
            pixels = processor(images=image, return_tensors="pt")
            scores = (scale * features(model.get_image_features(**pixels)) @ text_features.T).softmax(dim=-1)[0]
            best = scores.topk(min(5, len(labels)))
        return [
            {"label": labels[place], "score": score}
            for place, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    return answer


VARIANTS = {"pipeline": with_pipeline, "cached": with_cached_texts}


def make_app(answer: Callable[[Any], Any], threads: bool = False) -> FastAPI:
    """The service around it.

    Args:
        threads: answer in the pool's threads (`def`) rather than in the event loop (`async def`).
    """
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    if threads:

        def predict(file: UploadFile):
            return {"predictions": answer(Image.open(io.BytesIO(file.file.read())).convert("RGB"))}

    else:

        async def predict(file: UploadFile):
            return {"predictions": answer(Image.open(io.BytesIO(await file.read())).convert("RGB"))}

    app.post("/predict")(predict)
    return app


def main() -> None:
    """Serve on a port until stopped."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bundle", required=True)
    arguments.add_argument("--variant", choices=list(VARIANTS), required=True)
    arguments.add_argument("--labels", required=True, help="JSON")
    arguments.add_argument("--template", required=True)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--threads", action="store_true")
    options = arguments.parse_args()
    answer = VARIANTS[options.variant](options.bundle, json.loads(options.labels), options.template)
    uvicorn.run(make_app(answer, options.threads), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
