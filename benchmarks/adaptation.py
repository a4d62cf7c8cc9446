"""Every adaptation method on real photographs, from one shot to all of them: docs/leaderboard.md, table and plot.

Each cell is a method fitted with so many photographs of each class and one seed, measured on that seed's test split.
Seeds change everything random: the splits, the photographs drawn, the start and the order. Settings are chosen on the
validation split; the best method on all data is the one that is best there. It is compared with scikit-learn's best
probe (of several kinds, each tuned on the same validation split) on the pooled features of the same image encoder,
photograph by photograph. Cells are kept in a folder: a run that was cut off goes on, and one method more costs one
method more.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard_page import ALL, FIXED, NOVEL, NOVEL_SHOTS, Cell, accuracy, document, draw
from measuring import HAR, HAR_DUAL_ENCODER, PROJECT, finish, parser, real_data, show

sys.path.insert(0, str(PROJECT))

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.base import AdaptationContext, AdaptedModel
from clip_har.adaptation.open_vocabulary import OpenVocabularyConfig, measure_open_vocabulary
from clip_har.adaptation.projection import PooledFeatures, embed_pooled
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.splits import SplitConfig, split_manifest
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet, embed_manifest, preprocessing_hash
from clip_har.models.prompts import PromptConfig
from clip_har.progress import progress
from clip_har.storage import write_atomic, write_json
from steps.code import hash_of_modules

# Recipes for two CPU cores. What is not named here is as the method's own default.
CANDIDATES: dict[str, dict[str, Any]] = {
    "zero_shot": {},
    "prompt_search": {},
    "linear_probe": {},
    "tip_adapter": {},
    "tip_adapter_f": {},
    "coop": {},
    "clip_adapter": {},
    "projection_tuning": {},
    "lora": {
        "rank": 8,
        "alpha": 8,
        "training": {"epochs": 30, "max_steps": 150, "batch_size": 32, "learning_rate": 1e-3, "evaluate_every": 25},
    },
    "full_fine_tuning": {
        "towers": "visual",
        "prompts": "ensemble",
        "layers": 5,
        "layer_decay": 1.0,
        "label_smoothing": 0.1,
        "training": {
            "epochs": 12,
            "max_steps": 280,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "weight_decay": 0.05,
            "evaluate_every": 70,
            "patience": None,
        },
    },
}


@dataclass
class Study:
    """Photographs, a backbone, and what was computed from them once.

    Attributes:
        data: folder in Kaggle's layout.
        backbone: folder or id.
        folder: where cells and embeddings are kept.
    """

    data: str
    backbone: str
    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Accepted photographs, near-duplicates grouped, not yet split."""
        file = self.folder / "manifest.parquet"
        if not file.is_file():
            source = build_source(parse_source_config({"source": "csv", "path": self.data}), str(self.folder))
            with progress("validating photographs") as report:
                found, first_report, inspection = validate(source, ValidationConfig(), progress=report)
            manifest, _ = deduplicate(found, first_report, inspection, ValidationConfig())
            manifest.write(file)
        return Manifest.read(file)

    def load(self):
        """The backbone, unchanged."""
        from clip_har.models.dual_encoder import DualEncoder

        return DualEncoder.load(ModelConfig(backbone=self.backbone), "auto")

    @cached_property
    def pixels(self) -> PixelCache:
        return PixelCache(self.folder / "pixels", PixelCacheConfig(enabled="always"))

    @cached_property
    def key(self) -> str:
        """What cells depend on besides their own settings."""
        encoder = self.load()
        return sha256_json(
            [self.manifest.content_hash, encoder.image_encoder_hash(), encoder.text_encoder_hash(), list(NOVEL)]
        )

    @cached_property
    def embeddings(self) -> EmbeddingSet:
        folder = self.folder / "embeddings"
        if not (folder / "key.json").is_file():
            self._embed_with(self.load()).write(folder)
        return EmbeddingSet.read(folder)

    @cached_property
    def pooled(self) -> PooledFeatures:
        inputs = self.folder / "pooled"
        if not (inputs / "key.json").is_file():
            with progress("pooled features") as report:
                made = embed_pooled(self.manifest, self.load(), cache=self.pixels, progress=report)
            assert made.rest is None, "this backbone adds something after its projection"
            made.inputs.write(inputs)
        return PooledFeatures(EmbeddingSet.read(inputs))

    def _embed_with(self, encoder, manifest: Manifest | None = None) -> EmbeddingSet:
        with progress("embedding photographs") as report:
            return embed_manifest(
                manifest or self.manifest,
                encoder.encode_images,
                encoder.image_encoder_hash(),
                encoder.preprocessing,
                cache=self.pixels,
                progress=report,
            )

    def context(self, seed: int) -> AdaptationContext:
        """What a method is given for a seed; the backbone is loaded anew, since methods may change it."""
        return AdaptationContext(
            self.load(),
            split_manifest(self.manifest, SplitConfig(seed=seed)),
            self.embeddings,
            PromptConfig(),
            ComputeConfig(),
            seed,
            pooled=self.pooled,
            cache=self.pixels,
        )

    def test_logits(self, adapted: AdaptedModel, test: Manifest) -> np.ndarray:
        """float32 [n, c] of the test split, by the encoder that the method left."""
        embeddings = self.embeddings
        if adapted.encoder is not None:
            key = (adapted.encoder.image_encoder_hash(), preprocessing_hash(adapted.encoder.preprocessing))
            if key != embeddings.key:
                embeddings = self._embed_with(adapted.encoder, test)
        return adapted.head.score(embeddings.of(test.ids), adapted.class_matrix)


def settings_of(cell: Cell) -> dict[str, Any]:
    """The method's config for a cell, with everything that defaults fill in."""
    shots = {} if cell.shots == ALL else {"shots": cell.shots}
    given = {"method": cell.name, **CANDIDATES[cell.name], **shots}
    return parse_method_config(given, f"benchmark.{cell.name}").model_dump(mode="json")


def measure(study: Study, cell: Cell) -> dict[str, Any]:
    """Fit and measure one cell, or read what was measured."""
    settings = settings_of(cell)
    code = hash_of_modules(METHODS.module(cell.name), *(["clip_har.adaptation.open_vocabulary"] if cell.novel else []))
    about = [study.key, settings, cell.seed, cell.novel, code]
    kind = "novel" if cell.novel else "cells"
    file = study.folder / kind / f"{cell.name}-{cell.shots or 'all'}-{cell.seed}-{sha256_json(about)[:10]}.json"
    if file.is_file():
        return json.loads(file.read_text())
    method = METHODS.get(cell.name)(parse_method_config(settings))
    context = study.context(cell.seed)
    started = time.perf_counter()
    if cell.novel:
        report = measure_open_vocabulary(method, context, OpenVocabularyConfig(novel_classes=NOVEL), cell.name, "test")
        row = {"adapted": report.adapted.model_dump(), "zero_shot": report.zero_shot.model_dump(), "word": report.word}
    else:
        adapted = method.adapt(context, cell.name)
        test, validation = context.manifest.split("test"), context.manifest.split("validation")
        right = study.test_logits(adapted, test).argmax(axis=1) == test.label_indices
        row = {
            "validation": float((adapted.validation_logits.argmax(axis=1) == validation.label_indices).mean()),
            "right": {identity: bool(value) for identity, value in zip(test.ids, right, strict=True)},
            "parameters": adapted.trained_parameters,
        }
    row |= {"seconds": time.perf_counter() - started, "settings": settings}
    write_json(file, row)
    return row


def scikit_learn_probes(study: Study, seed: int) -> dict[str, Any]:
    """The best of scikit-learn's probes on pooled features, each kind's settings chosen on the validation split."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import SVC, LinearSVC

    file = study.folder / "probes" / f"{seed}-{study.key[:10]}.json"
    if file.is_file():
        return json.loads(file.read_text())
    strengths = np.logspace(-4, 2, 7)
    kinds: dict[str, Callable[[float], Any]] = {
        "logistic regression": lambda c: LogisticRegression(C=c, max_iter=2000),
        "linear SVM": lambda c: LinearSVC(C=c, dual=True, max_iter=500, tol=1e-3),
        "SVM with RBF kernel": lambda c: SVC(C=100 * c),
        "ridge": lambda c: RidgeClassifier(alpha=10 / c),
        "shrunk discriminant analysis": lambda c: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=c / (1 + c)),
        "nearest neighbours": lambda c: KNeighborsClassifier(n_neighbors=1 + round(4 * (4 + np.log10(c)))),
    }
    scalings = {"standardised": StandardScaler, "normalised": Normalizer}
    manifest = split_manifest(study.manifest, SplitConfig(seed=seed))
    parts = {name: manifest.split(name) for name in ("train", "validation", "test")}
    inputs = {name: study.pooled.of(part.ids)[0] for name, part in parts.items()}
    labels = {name: part.label_indices for name, part in parts.items()}
    tried = []
    with progress(f"scikit-learn's probes, seed {seed}") as report:
        total = len(kinds) * len(scalings) * len(strengths)
        for kind, make in kinds.items():
            for scaling, scaler in scalings.items():
                for strength in strengths:
                    probe = make_pipeline(scaler(), make(strength)).fit(inputs["train"], labels["train"])
                    score = float(probe.score(inputs["validation"], labels["validation"]))
                    tried.append((score, f"{kind}, {scaling}, {strength:g}", probe))
                    report(len(tried), total, f"{kind} {score:.3f}")
    score, named, probe = max(tried, key=lambda row: row[0])
    right = probe.predict(inputs["test"]) == labels["test"]
    row = {
        "probe": named,
        "validation": score,
        "right": {identity: bool(value) for identity, value in zip(parts["test"].ids, right, strict=True)},
    }
    write_json(file, row)
    return row


def paired_gain(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Gain in accuracy over all seeds' test splits with its 95 % bootstrap interval; what is drawn are photographs."""
    gains: dict[str, list[int]] = {}
    for row, other in zip(rows, others, strict=True):
        for identity, right in row["right"].items():
            gains.setdefault(identity, []).append(int(right) - int(other["right"][identity]))
    sums = np.array([sum(values) for values in gains.values()], dtype=float)
    counts = np.array([len(values) for values in gains.values()], dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(sums), size=(5000, len(sums)))
    resampled = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def cells_of(names: list[str], shots: list[int], seeds: int) -> Iterator[Cell]:
    """All cells, the quick methods first, so that something is to be seen early."""
    for name in names:
        for number in [ALL] if name in FIXED else shots:
            yield from (Cell(name, number, seed) for seed in range(seeds))
        yield from (Cell(name, NOVEL_SHOTS, seed, novel=True) for seed in range(seeds))


def main() -> None:
    """Measure what is missing, write the page, print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default=str(HAR), help="folder in Kaggle's layout")
    arguments.add_argument("--backbone", default=str(HAR_DUAL_ENCODER), help="folder or id")
    arguments.add_argument("--methods", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--folder", default=str(PROJECT / "workspace" / "leaderboard"), help="where cells are kept")
    options = arguments.parse_args()
    if options.data == str(HAR) and not real_data():
        print("error: the photographs and the backbone are not here; give --data and --backbone.", file=sys.stderr)
        sys.exit(2)
    shots, seeds, names = [1, 4, 16, ALL], options.seeds, options.methods
    if options.quick:
        shots, seeds = [4, ALL], 1
        names = [name for name in names if name in ("zero_shot", "linear_probe", "projection_tuning")]
    study = Study(options.data, options.backbone, Path(options.folder))
    rows: dict[Cell, dict] = {}
    wanted = list(cells_of(names, shots, seeds))
    for number, cell in enumerate(wanted):
        rows[cell] = measure(study, cell)
        print(f"{number + 1}/{len(wanted)} {cell} {rows[cell]['seconds']:.0f} s", file=sys.stderr, flush=True)
    probes = [] if options.quick else [scikit_learn_probes(study, seed) for seed in range(seeds)]
    whole = {name: [rows[Cell(name, ALL, seed)] for seed in range(seeds)] for name in names}
    best = max(whole, key=lambda name: float(np.mean([row["validation"] for row in whole[name]])))
    figures: dict[str, Any] = {
        "benchmark": "adaptation",
        "best": best,
        "best_accuracy": float(np.mean([accuracy(row) for row in whole[best]])),
    }
    sentence = ""
    if probes:
        gain, low, high = paired_gain(whole[best], probes)
        figures |= {
            "scikit_learn_accuracy": float(np.mean([accuracy(row) for row in probes])),
            "gain": gain,
            "gain_low": low,
            "gain_high": high,
        }
        sentence = (
            f"On all data {best} is best on the validation splits; on the test splits it is {100 * gain:.1f} points "
            f"({100 * low:.1f} to {100 * high:.1f}, 95 %) ahead of scikit-learn's best probe on the same encoder's pooled features."
        )
    show(
        "Test accuracy, %",
        [
            (
                name,
                *[
                    f"{100 * np.mean([accuracy(rows[Cell(name, ALL if name in FIXED else number, seed)]) for seed in range(seeds)]):.1f}"
                    for number in shots
                ],
            )
            for name in names
        ],
        ("method", *[str(number or "all") for number in shots]),
    )
    if not options.quick and set(names) == set(CANDIDATES):
        points = {
            name: {
                number: [accuracy(rows[Cell(name, number, seed)]) for seed in range(seeds)]
                for number in ([ALL] if name in FIXED else shots)
            }
            for name in names
        }
        picture = draw(points, figures.get("scikit_learn_accuracy", 0.0))
        write_atomic(PROJECT / "docs" / "images" / "leaderboard.svg", picture)
        write_atomic(
            PROJECT / "docs" / "leaderboard.md", document(names, shots, seeds, rows, probes, sentence).encode()
        )
    finish(figures)


if __name__ == "__main__":
    main()
