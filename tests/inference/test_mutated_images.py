"""2,000 mutated files: each a prediction or a typed error, in bounded time and memory, never a crash."""

from __future__ import annotations

import io
import resource
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.errors import ImageError
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from tests.adaptation.tiny_study import Study

HAR = Path(__file__).parents[3] / "shared" / "data" / "har" / "train"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
CASES = 2000
_MEGABYTE = 2**20


def originals(study: Study) -> list[bytes]:
    """Pictures in all formats: real photographs where they are, and drawn ones."""
    paths = [*study.manifest.split("test").paths[:3], *sorted(HAR.glob("*.jpg"))[:3]]
    found = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        for name in FORMATS:
            buffer = io.BytesIO()
            image.save(buffer, name)
            found.append(buffer.getvalue())
    return found


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """Truncated, bits flipped, the header edited, a part repeated or cut out, another type's start, or noise."""
    kind = int(generator.integers(7))
    body = bytearray(data)
    place = int(generator.integers(len(body)))
    if kind == 0:
        return bytes(body[:place])
    if kind == 1:
        for at in generator.integers(0, len(body), size=int(generator.integers(1, 40))):
            body[int(at)] ^= 1 << int(generator.integers(8))
    elif kind == 2:
        for at in generator.integers(0, min(64, len(body)), size=int(generator.integers(1, 8))):
            body[int(at)] = int(generator.integers(256))
    elif kind == 3:
        body[place:place] = body[: int(generator.integers(1, 500))]
    elif kind == 4:
        del body[place : place + int(generator.integers(1, 500))]
    elif kind == 5:
        starts = (
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\xff\xff\xff\xffWEBP",
            b"GIF89a",
            b"II*\0",
            b"BM",
            b"%PDF-1.7",
        )
        start = starts[int(generator.integers(len(starts)))]
        body[: len(start)] = start
    else:
        return generator.bytes(int(generator.integers(0, 2000)))
    return bytes(body)


@pytest.mark.slow
def test_a_mutated_file_is_answered_or_refused(study: Study, exported: ModelBundle) -> None:
    predictor = Predictor.load(exported, "onnx", device="cpu")
    generator = np.random.default_rng(0)
    sources = originals(study)
    predictor.predict(sources[:2])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(CASES):
        data = mutated(sources[number % len(sources)], generator)
        started = time.thread_time()
        (answer,) = predictor.predict([data])
        slowest = max(slowest, time.thread_time() - started)
        if answer.error is None:
            assert np.isfinite(answer.scores).all()
            assert sum(predictor.predict([data], top_k=99)[0].scores) == pytest.approx(1, abs=1e-4)
            outcomes["answered"] += 1
        else:
            assert isinstance(answer.error, ImageError)
            assert answer.error.reason
            assert str(answer.error)
            outcomes[answer.error.reason] += 1
    assert outcomes.total() == CASES
    assert outcomes["answered"] > 200
    assert len(outcomes) > 3, outcomes
    assert slowest < 1  # seconds of this thread's own work
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    assert grown < 400 * _MEGABYTE


@pytest.mark.slow
def test_all_in_one_request_give_the_same(study: Study, exported: ModelBundle) -> None:
    predictor = Predictor.load(exported, "onnx", device="cpu", batch_size=16)
    generator = np.random.default_rng(1)
    sources = originals(study)
    files = [mutated(sources[number % len(sources)], generator) for number in range(100)]
    together = predictor.predict(files)
    for data, answer in zip(files, together, strict=True):
        (alone,) = predictor.predict([data])
        assert alone.labels == answer.labels
        assert (alone.error is None) == (answer.error is None)
        np.testing.assert_allclose(alone.scores, answer.scores, atol=1e-5)
