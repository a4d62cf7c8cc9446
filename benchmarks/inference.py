"""How fast a photograph is answered: the Predictor beside transformers' pipeline, a loop in torch, and the bare encoder.

Same weights, same photographs (files; decoding included), turns taken within one process. ViT-B/32 and ViT-B/16 have random
weights, which is as good for speed; whether a form may be used is for the export's gate to say, with real ones.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundles import LABELS, MODELS, TEMPLATE, large_photograph, make_bundle, photographs
from measuring import PROJECT, finish, pairs, parser, ratio, show

sys.path.insert(0, str(PROJECT))

_REST = 0.1  # seconds between turns: threads of the one before may still spin
_RUNTIMES = ("torch", "onnx", "onnx-int8")
_CHILD = """
import sys, time
started = time.perf_counter()
if sys.argv[1] == "transformers pipeline":
    from transformers import pipeline
    answer = pipeline("zero-shot-image-classification", model=sys.argv[2], device="cpu")
    answer(sys.argv[3], candidate_labels=["running", "sleeping"])
else:
    from clip_har.inference.predictor import Predictor
    Predictor.load(sys.argv[2], sys.argv[1], device="cpu").predict([sys.argv[3]])
seconds = time.perf_counter() - started
lines = open("/proc/self/status").read().splitlines()
print(seconds, next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024)
"""


def torch_loop(bundle) -> Callable[[Path], Any]:
    """What one writes by hand: transformers' processor and model, text features made once, a softmax."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(bundle.path, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(bundle.path)
    tokens = AutoTokenizer.from_pretrained(bundle.path)(
        [TEMPLATE.format(label.replace("_", " ")) for label in LABELS], padding=True, return_tensors="pt"
    )

    def features(output: Any) -> torch.Tensor:
        tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
        return tensor / tensor.norm(dim=-1, keepdim=True)

    with torch.inference_mode():
        texts = features(model.get_text_features(**tokens))
        scale = model.logit_scale.exp()

    def answer(path: Path) -> Any:
        with torch.inference_mode():
            inputs = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")
            scores = (scale * features(model.get_image_features(**inputs)) @ texts.T).softmax(dim=-1)
            return scores[0].topk(5)

    return answer


def contenders(bundle) -> dict[str, Callable[[Path], Any]]:
    """Ways to answer for one file."""
    from transformers import pipeline

    from clip_har.inference.predictor import Predictor

    zero_shot = pipeline("zero-shot-image-classification", model=str(bundle.path), device="cpu")
    words = [label.replace("_", " ") for label in LABELS]
    found: dict[str, Callable[[Path], Any]] = {
        "transformers pipeline": lambda path: zero_shot(
            str(path), candidate_labels=words, hypothesis_template=TEMPLATE
        ),
        "torch by hand": torch_loop(bundle),
    }
    for name in _RUNTIMES:
        predictor = Predictor.load(bundle, name, device="cpu")
        found[f"Predictor, {name}"] = lambda path, predictor=predictor: predictor.predict([path])
    return found


def in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, `rounds` times; all take turns, in an order that turns too."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    names = list(ways)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(_REST)
            started = time.perf_counter()
            ways[name]()
            spent[name].append(time.perf_counter() - started)
    return spent


def answers(bundle, files: list[Path], rounds: int) -> dict[str, list[float]]:
    """Seconds a picture by way, one file after the other."""
    each = contenders(bundle)
    ways = {name: lambda way=way: [way(path) for path in files] for name, way in each.items()}
    return {name: [s / len(files) for s in spent] for name, spent in in_turn(ways, rounds).items()}


def throughput(bundle, files: list[Path], pixels: Any, rounds: int) -> dict[str, tuple[float, float, float]]:
    """By form: milliseconds a picture of the Predictor given all files, of the bare encoder on tensors, and their ratio."""
    import onnxruntime

    from clip_har.inference.exported import Exports
    from clip_har.inference.predictor import Predictor

    found = {}
    exports = Exports.read(bundle)
    for name, precision in (("onnx", "fp32"), ("onnx-int8", "int8")):
        form = exports.find("image", "onnx", precision)
        session = onnxruntime.InferenceSession(str(Exports.path(bundle, form)), providers=["CPUExecutionProvider"])
        predictor = Predictor.load(bundle, name, device="cpu")
        tensors = [pixels[number % len(pixels)][None] for number in range(len(files))]
        ways = {
            "bare": lambda session=session, tensors=tensors: [
                session.run(None, {"pixel_values": tensor}) for tensor in tensors
            ],
            "whole": lambda predictor=predictor: predictor.predict(files),
        }
        spent = in_turn(ways, rounds)
        whole, bare = (1000 * statistics.median(spent[way]) / len(files) for way in ("whole", "bare"))
        found[name] = (whole, bare, ratio(spent["bare"], spent["whole"]))
    return found


def latency(bundle, files: list[Path], pictures: int) -> dict[str, list[float]]:
    """Milliseconds of single requests by runtime, in turn."""
    each = {name: way for name, way in contenders(bundle).items() if name.startswith("Predictor")}
    spent: dict[str, list[float]] = {name: [] for name in each}
    for way in each.values():
        way(files[0])
    for number in range(pictures):
        for name, way in each.items():
            started = time.perf_counter()
            way(files[number % len(files)])
            spent[name].append(1000 * (time.perf_counter() - started))
    return spent


def preprocessing(count: int, rounds: int) -> dict[str, tuple[float, float, float]]:
    """By size of photograph: milliseconds of transformers' PIL processor, of ours, and their ratio; one thread each."""
    from PIL import Image
    from transformers import CLIPImageProcessorPil

    from clip_har.memory import keep_freed_memory
    from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor

    keep_freed_memory()  # both gain
    processor = CLIPImageProcessorPil()
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(processor.to_dict(), decoder_reduction=True))
    found = {}
    for name, files in (("small", photographs(count)), ("12 megapixels", [large_photograph()])):

        def theirs(files: list[bytes] = files) -> None:
            for data in files:
                processor(images=Image.open(io.BytesIO(data)).convert("RGB"), return_tensors="pt")

        def ours(files: list[bytes] = files) -> None:
            for data in files:
                preprocessor(preprocessor.decode(data))

        left, right = pairs(_timed(theirs), _timed(ours), rounds)
        each = [1000 * statistics.median(spent) / len(files) for spent in (left, right)]
        found[name] = (each[0], each[1], ratio(left, right))
    return found


def _timed(action: Callable[[], Any]) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    action()
    return measure


def start(bundle, file: Path, times: int) -> dict[str, tuple[float, float]]:
    """By runtime: seconds from nothing to the first answer (imports included) and megabytes held then."""
    found = {}
    for name in ("transformers pipeline", *_RUNTIMES):
        runs = []
        for _ in range(times):
            command = [sys.executable, "-c", _CHILD, name, str(bundle.path), str(file)]
            done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
            runs.append([float(word) for word in done.stdout.split()[-2:]])
        found[name] = tuple(statistics.median(values) for values in zip(*runs, strict=True))
    return found


@contextmanager
def written(count: int):
    """Small photographs as files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, data in enumerate(photographs(count)):
            paths.append(Path(folder) / f"{number:04}.jpg")
            paths[-1].write_bytes(data)
        yield paths


def measure_model(model: str, options: argparse.Namespace) -> dict[str, float]:
    """All that is measured of one model; prints its tables."""
    quick = options.quick
    with tempfile.TemporaryDirectory() as folder, written(4 if quick else 24) as files:
        forms = ("onnx", "onnx-int8", *(("onnx-fp16", "tensorrt") if _has_gpu() else ()))
        bundle, pixels = make_bundle(model, Path(folder), forms)
        spent = answers(bundle, files[: 2 if quick else 6], 3 if quick else 9)
        pipeline, by_hand = spent["transformers pipeline"], spent["torch by hand"]
        show(
            f"{model}: one photograph after the other",
            [
                (
                    name,
                    f"{1000 * statistics.median(values):.1f}",
                    f"{ratio(pipeline, values):.2f}",
                    f"{ratio(by_hand, values):.2f}",
                )
                for name, values in spent.items()
            ],
            ("", "ms a picture", "times the pipeline", "times torch by hand"),
        )
        through = throughput(bundle, files, pixels, 3 if quick else 9)
        show(
            f"{model}: many photographs",
            [(name, f"{whole:.1f}", f"{bare:.1f}", f"{share:.2f}") for name, (whole, bare, share) in through.items()],
            ("", "ms, Predictor", "ms, bare encoder", "share of the encoder"),
        )
        single = latency(bundle, files, 10 if quick else 200)
        first = {} if quick else start(bundle, files[0], 3)
        show(
            f"{model}: single requests, and the start",
            [
                (
                    name,
                    f"{statistics.median(values):.1f}" if values else "",
                    f"{statistics.quantiles(values, n=100)[98]:.1f}" if values else "",
                    *(f"{figure:.1f}" for figure in begun),
                )
                for name, values, begun in (
                    (name, single.get(f"Predictor, {name}", []), first.get(name, ()))
                    for name in ("transformers pipeline", *_RUNTIMES)
                )
                if values or begun
            ],
            ("", "ms, median", "ms, p99", *(() if quick else ("s to the first answer", "MB then"))),
        )
        on_gpu: dict[str, float] = {}
        if not quick and _has_gpu():
            from inference_on_gpu import measure_on_gpu

            on_gpu = measure_on_gpu(model, bundle, files)
        return on_gpu | {
            "int8_vs_pipeline": ratio(pipeline, spent["Predictor, onnx-int8"]),
            "fp32_vs_pipeline": ratio(pipeline, spent["Predictor, onnx"]),
            "int8_vs_torch": ratio(by_hand, spent["Predictor, onnx-int8"]),
            "fp32_vs_torch": ratio(by_hand, spent["Predictor, onnx"]),
            "share_of_encoder": min(share for _, _, share in through.values()),
            "int8_ms": 1000 * statistics.median(spent["Predictor, onnx-int8"]),
            "int8_many_ms": through["onnx-int8"][0],
        }


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", nargs="*", choices=list(MODELS), help="all of them, if not given")
    options = arguments.parse_args()
    models = options.models or (["ViT-B/32"] if options.quick else list(MODELS))
    figures: dict[str, dict[str, float]] = {}
    for model in models:
        if model == "har_dual_encoder" and not Path(MODELS[model]).is_dir():
            print(f"{model}: left out, ../shared/models/har_dual_encoder is not on this machine.")
            continue
        figures[model] = measure_model(model, options)
    prepared = preprocessing(20 if options.quick else 100, 3 if options.quick else 9)
    show(
        "Decoding and preprocessing",
        [(name, f"{theirs:.2f}", f"{ours:.2f}", f"{times:.2f}") for name, (theirs, ours, times) in prepared.items()],
        ("photographs", "ms, transformers", "ms, ours", "times as fast"),
    )
    quoted = figures.get("ViT-B/32") or next(iter(figures.values()))
    others = {
        f"{name}: {key}": value
        for name, found in figures.items()
        if found is not quoted
        for key, value in found.items()
        if key in ("int8_vs_pipeline", "int8_vs_torch", "share_of_encoder")
    }
    finish(
        {
            "benchmark": "inference",
            "model": next(name for name, found in figures.items() if found is quoted),
            **quoted,
            "preprocess_small_ratio": prepared["small"][2],
            "preprocess_large_ratio": prepared["12 megapixels"][2],
            **others,
        }
    )


if __name__ == "__main__":
    main()
