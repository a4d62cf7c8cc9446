"""What tracking costs: training with MLflow and W&B both live, beside the same training without them.

* overhead: time inside recording calls over the training's time, of both jobs together, as a pipeline's run trains several
  candidates; and of each alone as …_overhead.
* …_wall_ratio: wall time of training with both trackers over the one without, in interleaved pairs: the threads that deliver
  share the cores with the training. The wait at the end of a run is not in it:
* …_finish_s: how long the trackers take at the end until they have everything.
* first_run_extra_s: what the first run of a process takes longer, while the trackers' clients are imported beside it.

The jobs are CLIP-Adapter's head on cached embeddings, with a validation each epoch, and full fine-tuning of the image encoder,
with a validation (and so a point of each curve) every fourth step. Both record what the pipeline does: config as params,
curves, the machine's load, a figure, a table, the files of a run and a model's folder.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import HAR_DUAL_ENCODER, PROJECT, finish, pairs, parser, ratio, real_data, show

sys.path.insert(0, str(PROJECT))

from training_study import Study, photographs

from clip_har.adaptation import clip_adapter, full_fine_tuning
from clip_har.adaptation.clip_adapter import ClipAdapterConfig
from clip_har.adaptation.full_fine_tuning import FullFineTuningConfig
from clip_har.models.backbone import ModelConfig
from clip_har.tracking import Outbox, RunIdentity, trackers_of
from clip_har.training.embedding_cache import EmbeddingCache
from clip_har.training.trainer import Trainer

_PAIRS = 7


@dataclass
class Costs:
    """What the runs with trackers of one job have cost.

    Attributes:
        spent: seconds inside recording calls.
        trained: seconds of training.
        finishes: seconds until the trackers had everything.
        events: in a run's journal.
    """

    spent: list[float] = field(default_factory=list)
    trained: list[float] = field(default_factory=list)
    finishes: list[float] = field(default_factory=list)
    events: int = 0

    @property
    def overhead(self) -> float:
        """Median over the runs of the share of training that is spent inside recording calls."""
        return statistics.median(spent / trained for spent, trained in zip(self.spent, self.trained, strict=True))


class Job:
    """A training, with trackers or without.

    Args:
        name: of the part in the run.
        fit: trains, and gives the seconds of it; called with what is to be told of each validation.
        folder: of the trackers, the journals and the files that are recorded.
    """

    def __init__(self, name: str, fit: Callable[[Callable[[dict], None] | None], float], folder: Path) -> None:
        self.name, self._fit, self._folder = name, fit, folder
        self._runs = 0
        self.costs = Costs()
        settings = {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "folder": str(folder / "wandb")}
        self._make = trackers_of("dual", settings)
        (folder / "report.html").write_text("<p>report</p>" * 20_000)
        (folder / "bundle").mkdir(exist_ok=True)
        (folder / "bundle" / "model.safetensors").write_bytes(bytes(20_000_000))

    def plain(self) -> float:
        """Train; seconds."""
        return self._fit(None)

    def tracked(self) -> float:
        """Train and record; seconds, without the wait for the trackers at the end."""
        self._runs += 1
        started = time.perf_counter()
        box = Outbox(self._folder / "tracking", RunIdentity.of(f"{self.name} {self._runs}"), self._make)
        opened = time.perf_counter() - started
        box.params({f"section_{number}": {"key": number, "text": "x" * 40} for number in range(100)})

        def record(row: dict[str, float]) -> None:
            box.metrics({f"{self.name}/{key}": value for key, value in row.items() if key != "step"}, int(row["step"]))

        seconds = self._fit(record)
        trained = time.perf_counter()
        box.figure(f"{self.name}/curves", _picture())
        box.table("leaderboard", ["name", "accuracy"], [[self.name, 0.5]] * 20)
        box.artifact(self._folder / "report.html")
        box.model(self._folder / "bundle", "bundle")
        seconds += time.perf_counter() - trained
        self.costs.spent.append(box.seconds_spent + opened)
        self.costs.trained.append(seconds)
        self.costs.events = len(box.deliveries[0]._journal)
        ending = time.perf_counter()
        box.finish()
        self.costs.finishes.append(time.perf_counter() - ending)
        missed = [delivery.failure or "not complete" for delivery in box.deliveries if not delivery.complete]
        if missed:
            raise SystemExit(f"A tracker did not get everything: {missed}")
        return seconds


def _picture() -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.effect_noise((640, 480), 64).save(made, "PNG")
    return made.getvalue()


def head_job(study: Study, quick: bool) -> Job:
    """CLIP-Adapter's head on cached embeddings: the shortest training there is, with the most validations a second."""
    encoder = study.load()
    context = study.context(encoder, EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder))
    config = ClipAdapterConfig()
    epochs = 100 if quick else 400
    training = config.training.model_copy(update={"epochs": epochs, "max_steps": None, "patience": None})

    def fit(on_validation: Callable[[dict], None] | None) -> float:
        task = clip_adapter.build_task(context, config, ratio=0.2)
        return Trainer(training, encoder.device, 0).fit(task, on_validation=on_validation).seconds

    return Job("clip_adapter", fit, study.folder)


def fine_tuning_job(study: Study, quick: bool) -> Job:
    """Full fine-tuning of the image encoder."""
    encoder = study.load()
    embeddings = EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder)
    steps, batch, every = (4, 8, 2) if quick else (12, 16, 4)
    options = {"epochs": 1000, "max_steps": steps, "batch_size": batch, "evaluate_every": every, "patience": None}
    config = FullFineTuningConfig(towers="visual", training=options)

    def fit(on_validation: Callable[[dict], None] | None) -> float:
        context = study.context(study.load(), embeddings)
        task = full_fine_tuning.build_task(context, config)
        return Trainer(config.training, context.encoder.device, 0).fit(task, on_validation=on_validation).seconds

    return Job("full_fine_tuning", fit, study.folder)


JOBS: dict[str, Callable[[Study, bool], Job]] = {"clip_adapter": head_job, "full_fine_tuning": fine_tuning_job}


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--jobs", nargs="*", choices=JOBS, default=list(JOBS), help="what is trained")
    options = arguments.parse_args()
    figures: dict[str, Any] = {"benchmark": "tracking"}
    rows, spent, trained = [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = photographs(4 if options.quick else 24, folder)
        backbone = str(HAR_DUAL_ENCODER) if real_data() else "tiny-clip"
        study = Study(manifest, ModelConfig(backbone=backbone), folder, options.quick)
        figures["photographs"] = len(manifest)
        for name in options.jobs:
            job = JOBS[name](study, options.quick)
            job.plain()
            first = job.tracked()
            job.costs = Costs()
            with_trackers, without = pairs(job.tracked, job.plain, 2 if options.quick else _PAIRS)
            if "first_run_extra_s" not in figures:
                figures["first_run_extra_s"] = first - statistics.median(without)
            costs = job.costs
            spent, trained = spent + statistics.median(costs.spent), trained + statistics.median(costs.trained)
            figures |= {
                f"{job.name}_s": statistics.median(without),
                f"{job.name}_events": costs.events,
                f"{job.name}_overhead": costs.overhead,
                f"{job.name}_wall_ratio": ratio(with_trackers, without),
                f"{job.name}_finish_s": statistics.median(costs.finishes),
            }
            rows.append(
                (
                    job.name,
                    f"{statistics.median(without):.2f} s",
                    f"{statistics.median(with_trackers):.2f} s",
                    f"{ratio(with_trackers, without):.3f}",
                    f"{costs.overhead:.3%}",
                    f"{statistics.median(costs.finishes):.2f} s",
                )
            )
    show(
        f"Training on {figures['photographs']} photographs, without trackers and with MLflow and W&B",
        rows,
        ("", "without", "with both", "ratio", "in recording calls", "wait at the end"),
    )
    figures["overhead"] = spent / trained
    finish(figures)


if __name__ == "__main__":
    main()
