"""The main job on real photographs: its figures, and how much of its wall time is the work itself.

The pipeline runs as a user runs it (`python run.py --pipeline train --no-cache`, process start included). The same step
functions are then called one after the other as plain Python, without ZenML's orchestration and artifact store; start-up
and imports are not counted there. Three pairs: each takes minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import HAR, HAR_DUAL_ENCODER, PROJECT, finish, parser, ratio, show

sys.path.insert(0, str(PROJECT))


def plain(config_file: str, overrides: list[str]) -> dict[str, float]:
    """Do the pipeline's work as plain Python; seconds, and the accuracy of scikit-learn's own tuned probe beside ours."""
    from clip_har.config import load_config
    from pipelines.launch import prepare_environment

    config = load_config(config_file, overrides)
    workspace = str(Path(config.workspace.path).absolute())
    prepare_environment(Path(workspace), config.compute.threads)
    from stacks.register import activate

    activate("local")  # publish_run asks the stack for its tracker
    started = time.perf_counter()
    revision = _published(config, workspace)
    manifest, embeddings = _trained(config, workspace, revision)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "scikit_learn": _tuned_probe(manifest, embeddings)}


def _published(config, workspace: str) -> str:
    """The steps of the data pipeline; the Git revision of the version."""
    from pipelines.labelled_data import settings_hash
    from steps.data.deduplicate_data import deduplicate_data
    from steps.data.ingest_data import ingest_data
    from steps.data.publish_data import publish_data
    from steps.data.quarantine_data import quarantine_data
    from steps.data.split_data import split_data
    from steps.data.validate_data import validate_data

    fingerprint, earlier = ingest_data.entrypoint(config.data, config.splits, workspace)
    manifest, report, inspection = validate_data.entrypoint(fingerprint, config.data, config.validation, workspace)
    manifest, report = deduplicate_data.entrypoint(manifest, report, inspection, config.validation)
    manifest, report = split_data.entrypoint(manifest, report, earlier, config.splits)
    queue = quarantine_data.entrypoint(report, fingerprint, config.data, config.quarantine, workspace)
    folder = publish_data.entrypoint(
        manifest,
        report,
        inspection,
        fingerprint,
        queue,
        config.splits,
        config.workspace,
        config.card,
        workspace,
        config.paths.outputs,
        None,
        config.to_yaml(),
        settings_hash(config),
    )
    return json.loads((Path(folder) / "version.json").read_text())["git_revision"]


def _trained(config, workspace: str, revision: str):
    """The steps of train; the Manifest and the embeddings."""
    from pipelines.train import (
        adapt,
        assemble,
        compare_methods,
        embed_images,
        evaluate_model,
        publish_run,
        review_labels,
    )
    from steps.data.open_data import open_data
    from steps.training.context import FitSettings

    model, prompts, compute, limits = config.model, config.prompts, config.compute, config.validation.limits
    manifest, report, fingerprint = open_data.entrypoint(revision, workspace, config.workspace.remote)
    kept = (limits, config.embedding_cache, workspace)
    caches = (limits, config.pixel_cache, config.embedding_cache, workspace)
    embeddings = embed_images.entrypoint(manifest, model, compute, *caches)
    review = review_labels.entrypoint(manifest, embeddings, config.label_review, config.seed)
    fit = FitSettings(
        model=model,
        prompts=prompts,
        compute=compute,
        seed=config.seed,
        limits=limits,
        cache=config.pixel_cache,
        embedding_cache=config.embedding_cache,
        workspace=workspace,
    )
    candidates = [
        adapt.entrypoint(
            manifest,
            embeddings,
            name,
            config.adaptation.candidates[name],
            fit,
        )
        for name in config.adaptation.methods
    ]
    leaderboard = compare_methods.entrypoint(candidates, manifest, config.adaptation.comparison)
    bundle = assemble.entrypoint(
        candidates, leaderboard, manifest, embeddings, model, prompts, compute, *kept, config.calibration
    )
    evaluation = evaluate_model.entrypoint(bundle, manifest, config.evaluation, compute, *kept, embeddings, candidates)
    publish_run.entrypoint(
        bundle,
        evaluation,
        manifest,
        report,
        fingerprint,
        config.paths.outputs,
        None,
        config.to_yaml(),
        config.seed,
        limits,
        leaderboard,
        review,
        candidates,
    )
    return manifest, embeddings


def _tuned_probe(manifest, embeddings) -> float:
    """Test accuracy of scikit-learn's LogisticRegression, its C chosen on the validation split among 17."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    train, validation, test = (manifest.split(name) for name in ("train", "validation", "test"))
    best = (-1.0, 0.0)
    for strength in np.logspace(-3, 5, 17):
        probe = LogisticRegression(C=strength, max_iter=3000).fit(embeddings.of(train.ids), train.label_indices)
        chosen_by = probe.score(embeddings.of(validation.ids), validation.label_indices)
        best = max(
            best, (chosen_by, probe.score(embeddings.of(test.ids), test.label_indices)), key=lambda pair: pair[0]
        )
    return best[1]


def _few(folder: Path, per_class: int) -> Path:
    """The first photographs of each class, copied: a link would lead out of the data folder."""
    counts: dict[str, int] = {}
    (folder / "train").mkdir(parents=True)
    with (
        open(HAR / "Training_set.csv", newline="") as source,
        open(folder / "Training_set.csv", "w", newline="") as target,
    ):
        writer = csv.writer(target)
        writer.writerow(["filename", "label"])
        for row in csv.DictReader(source):
            counts[row["label"]] = counts.get(row["label"], 0) + 1
            if counts[row["label"]] <= per_class:
                writer.writerow([row["filename"], row["label"]])
                shutil.copy(HAR / "train" / row["filename"], folder / "train")
    return folder


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default=str(HAR), help="folder in Kaggle's layout")
    arguments.add_argument("--backbone", default=str(HAR_DUAL_ENCODER), help="folder or id")
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--plain", nargs="*", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.plain is not None:
        print(json.dumps(plain(options.plain[0], options.plain[1:])))
        return
    config = str(PROJECT / "configs" / "har_local.yaml")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        data, count, more = options.data, options.pairs, []
        if options.quick:
            data, count, more = str(_few(place / "few", 16)), 1, ["adaptation.lora.training.max_steps=30"]
        overrides = [f"data.path={data}", f"model.backbone={options.backbone}", *more]
        whole, work, records, learned = [], [], [], 0.0
        for number in range(count):
            paths = [f"workspace.path={place}/workspace", f"paths.outputs={place}/outputs"]
            setting = [argument for pair in (*overrides, *paths) for argument in ("--set", pair)]
            command = [sys.executable, "run.py", "--pipeline", "train", "--no-cache", "--config", config, *setting]
            started = time.perf_counter()
            subprocess.run(command, cwd=PROJECT, check=True, stdout=sys.stderr)
            whole.append(time.perf_counter() - started)
            records.append(json.loads((place / "outputs" / "latest" / "run.json").read_text()))
            metrics = json.loads((place / "outputs" / "latest" / "metrics.json").read_text())
            paths = [f"workspace.path={place}/plain-{number}", f"paths.outputs={place}/plain-outputs"]
            command = [sys.executable, __file__, "--plain", config, *overrides, *paths]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT, env=os.environ)
            answer = json.loads(done.stdout.splitlines()[-1])
            work.append(answer["seconds"])
            learned = answer["scikit_learn"]
    steps = {step["name"]: step["seconds"] for step in records[-1]["steps"]}
    show("Steps of the last run", [(name, f"{value:.1f}") for name, value in steps.items()], ("step", "seconds"))
    validation, test = metrics["validation"], metrics["test"]
    rows = [
        (name, *[f"{100 * row['accuracy'][key]:.1f}" for key in ("value", "low", "high")])
        for name, row in validation.items()
        if isinstance(row, dict)
    ]
    show("Validation accuracy, %", rows, ("method", "value", "low", "high"))
    rows = [
        ("pipeline, whole process", f"{statistics.median(whole):.1f}"),
        ("plain Python", f"{statistics.median(work):.1f}"),
    ]
    show("Wall time", rows, ("", "seconds"))
    finish(
        {
            "benchmark": "main_job",
            "pairs": count,
            "photographs": metrics["data"]["accepted"],
            "pipeline_s": statistics.median(whole),
            "plain_s": statistics.median(work),
            "plain_share": ratio(work, whole),
            "winner": validation["winner"],
            "test_accuracy": test["accuracy"]["value"],
            "scikit_learn_test_accuracy": learned,
            **{
                f"validation_{name}": row["accuracy"]["value"]
                for name, row in validation.items()
                if isinstance(row, dict)
            },
        }
    )


if __name__ == "__main__":
    main()
