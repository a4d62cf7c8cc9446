"""Whether the pictures that `choose` asks about teach a linear probe more than as many random ones, on real photographs.

A model that was fitted on a few photographs has seen a stream; so many of it get labels, and a probe is fitted on them together with
the few. Two streams: one balanced, and one in which eight of fifteen classes, others each time, are ten times as rare.
"""

from __future__ import annotations

import csv
import sys
from functools import partial
from pathlib import Path

import numpy as np
from measuring import HAR, HAR_DUAL_ENCODER, PROJECT, finish, parser, real_data, show

from clip_har.errors import DataError
from clip_har.labelling.choosing import choose

START, TEST, RARE = 120, 1200, 8
SEEDS = 20
WEIGHTS = (0.0, 0.5, 1.0)
DEFAULT = 0.5


def main() -> None:
    """Measure, and print."""
    options = parser(__doc__).parse_args()
    if not real_data():
        print("error: the photographs and the backbone are needed.", file=sys.stderr)
        sys.exit(2)
    embeddings, labels = photographs(PROJECT / "workspace" / "labelling_benchmark", 1800 if options.quick else None)
    counts, seeds = ((100,), 5) if options.quick else ((50, 100, 200), SEEDS)
    rows, figures = [], {"benchmark": "labelling", "photographs": len(labels)}
    for stream in ("balanced", "skewed"):
        for count in counts:
            found = {way: [] for way in ("random", *WEIGHTS)}
            for seed in range(seeds):
                for way, accuracy in accuracies(embeddings, labels, count, seed, stream == "skewed").items():
                    found[way].append(accuracy)
            base = np.array(found["random"])
            row = [stream, count, f"{100 * base.mean():.1f} %"]
            for way in WEIGHTS:
                gain = np.array(found[way]) - base
                row.append(f"{100 * gain.mean():+.1f} ± {100 * gain.std(ddof=1) / len(gain) ** 0.5:.1f}")
                if way == DEFAULT:
                    figures[f"{stream}_{count}_gain"] = float(gain.mean())
                    figures[f"{stream}_{count}_gain_standard_error"] = float(gain.std(ddof=1) / len(gain) ** 0.5)
            rows.append(row)
    show("Accuracy of a probe, in points above random labels", rows, ("stream", "labels", "random", *map(str, WEIGHTS)))
    finish(figures)


def accuracies(embeddings: np.ndarray, labels: np.ndarray, count: int, seed: int, skewed: bool) -> dict:
    """Of each way to choose: accuracy of a probe on photographs that are neither in the stream nor in the start."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    test = order[: min(TEST, len(order) // 3)]
    start, stream = np.split(order[len(test) :], [START])
    if skewed:
        rare = random.permutation(labels.max() + 1)[:RARE]
        thin = partial(_thinned, labels=labels, rare=rare, random=random)
        start, stream = thin(start), thin(stream)
    first = _probe(embeddings[start], labels[start])
    probabilities = np.zeros((len(stream), labels.max() + 1), np.float32)
    probabilities[:, first.classes_] = first.predict_proba(embeddings[stream])
    chosen = {"random": random.permutation(len(stream))[:count]}
    for weight in WEIGHTS:
        chosen[weight] = choose(
            embeddings[stream], probabilities, count, uncertainty=weight, seed=seed, taken=embeddings[start]
        )
    found = {}
    for way, picked in chosen.items():
        rows = np.concatenate([start, stream[picked]])
        found[way] = _probe(embeddings[rows], labels[rows]).score(embeddings[test], labels[test])
    return found


def _thinned(rows: np.ndarray, labels: np.ndarray, rare: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return rows[~np.isin(labels[rows], rare) | (random.random(len(rows)) < 0.1)]


def _probe(embeddings: np.ndarray, labels: np.ndarray):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1000, max_iter=100).fit(embeddings, labels)


def photographs(folder: Path, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings [n, d] and labels [n] of the photographs, each picture once; kept in `folder`, as they take a minute."""
    from clip_har.hashing import sha256_file
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.preprocessing import Preprocessor

    with open(HAR / "Training_set.csv", encoding="utf-8") as file:
        listed = [(HAR / "train" / row["filename"], row["label"]) for row in csv.DictReader(file)]
    listed = list({sha256_file(path): (path, label) for path, label in listed[:most]}.values())
    names = sorted({label for _, label in listed})
    kept = folder / f"embeddings-{len(listed)}.npy"
    if not kept.is_file():
        encoder = DualEncoder.load(ModelConfig(backbone=str(HAR_DUAL_ENCODER)))
        preprocessor, parts = Preprocessor(encoder.preprocessing), []
        for start in range(0, len(listed), 32):
            batch = preprocessor.batch(preprocessor.decode(path) for path, _ in listed[start : start + 32])
            parts.append(encoder.encode_images(batch))
        folder.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.concatenate(parts))
    embeddings = np.load(kept)
    if len(embeddings) != len(listed):
        raise DataError(f"{kept} is of other photographs: remove it.")
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), np.array(
        [names.index(one) for _, one in listed]
    )


if __name__ == "__main__":
    main()
