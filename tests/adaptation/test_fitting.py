"""One fit in one process or in several: the same steps; what travels to the others, and what one of them says that dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext, AdaptedModel
from clip_har.adaptation.clip_adapter import ClipAdapter, ClipAdapterConfig, build_task
from clip_har.adaptation.embedding_task import EmbeddingTask
from clip_har.adaptation.fitting import build, fit_task
from clip_har.adaptation.projection import embed_pooled
from clip_har.adaptation.projection_tuning import ProjectionTuningConfig
from clip_har.adaptation.stored_context import (
    read_context,
    trains_in_several_processes,
    with_stored_encoder,
    write_context,
)
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import TrainingError
from clip_har.training.config import TrainerConfig
from clip_har.training.embedding_cache import EmbeddingCache
from tests.adaptation.tiny_study import Study
from tests.adaptation.two_processes import CASES, CONTEXT, MODES, TRAINING, fit

CPU = torch.device("cpu")
PROJECT = Path(__file__).parents[2]
DDP = {"mode": "ddp", "processes": 2}


@pytest.fixture
def project_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the processes find what the tests build, from wherever pytest was started."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def context(study: Study) -> AdaptationContext:
    """With features before the projection; methods that change the encoder are given another."""
    return replace(study.context(), pooled=embed_pooled(study.manifest, study.load()))


@pytest.fixture(scope="module")
def together(context: AdaptationContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what came of all their cases."""
    folder = tmp_path_factory.mktemp("together")
    write_context(context, folder / CONTEXT)
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launcher, "-m", "tests.adaptation.two_processes", str(folder)]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", CASES)
def test_two_processes_take_the_steps_of_one(
    together: Path, context: AdaptationContext, study: Study, method: str, mode: str
) -> None:
    found, other = (json.loads((together / f"{method}-{mode}-{rank}.json").read_text()) for rank in (0, 1))
    expected = fit(replace(context, encoder=study.load()), method, "single")
    assert len(expected["losses"]) >= 20
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-4)
    assert len(set(expected["losses"])) > 10, "it was trained"
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.005)
    assert found["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-3)
    assert found == other, "what was built, and every figure, to the last bit"
    assert found["built"] == expected["built"]


def test_a_context_is_the_same_after_its_journey(study: Study, tmp_path: Path) -> None:
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always", max_gb=1))
    pooled = embed_pooled(study.manifest, study.load())
    kept = {"cache": cache, "embedding_cache": EmbeddingCache(tmp_path / "embeddings", 10)}
    given = replace(study.context(seed=7), key="k", workspace=tmp_path / "workspace", pooled=pooled, **kept)
    given.encoder.backbone = "a/name"
    write_context(given, tmp_path / "stored")
    read = read_context(tmp_path / "stored", CPU)
    for name, tensor in given.encoder.model.state_dict().items():
        assert torch.equal(read.encoder.model.state_dict()[name], tensor), name
    assert read.encoder.preprocessing == given.encoder.preprocessing
    assert read.encoder.backbone == "a/name"
    assert read.manifest.content_hash == given.manifest.content_hash
    assert read.manifest.paths == given.manifest.paths
    assert read.embeddings.content_hash == given.embeddings.content_hash
    assert read.pooled is not None
    assert read.pooled.inputs.content_hash == pooled.inputs.content_hash
    for name in ("prompts", "compute", "seed", "limits", "key", "workspace"):
        assert getattr(read, name) == getattr(given, name), name
    assert read.cache is not None
    assert (read.cache.folder, read.cache.config) == (cache.folder, cache.config)
    assert read.embedding_cache is not None
    assert (read.embedding_cache.folder, read.embedding_cache.max_bytes) == (tmp_path / "embeddings", 10)
    with pytest.raises(TrainingError, match="holds no adaptation context"):
        read_context(tmp_path / "elsewhere", CPU)


def test_an_encoder_travels_as_it_came_whatever_the_method_does_to_it(study: Study, tmp_path: Path) -> None:
    given = study.context()
    with with_stored_encoder(given, ClipAdapterConfig(training={"distributed": DDP})) as prepared:
        with torch.no_grad():
            prepared.encoder.model.visual_projection.weight.zero_()
        write_context(prepared, tmp_path / "stored")
    weight = read_context(tmp_path / "stored", CPU).encoder.model.visual_projection.weight
    assert torch.equal(weight, study.load().model.visual_projection.weight)
    with with_stored_encoder(given, ClipAdapterConfig()) as alone:
        assert alone is given


def test_training_in_several_processes_is_found_wherever_it_is_asked_for() -> None:
    assert not trains_in_several_processes(ProjectionTuningConfig())
    assert trains_in_several_processes(ProjectionTuningConfig(training={"distributed": DDP}))


def test_each_fit_of_a_method_has_a_key_of_its_own(study: Study, tmp_path: Path) -> None:
    training = TRAINING | {"max_steps": 3, "checkpoint": {"every_steps": 1}}
    given = replace(study.context(), key="these data and this code", workspace=tmp_path)
    config = ClipAdapterConfig(ratios=(0.2, 0.6), training=training)
    first = ClipAdapter(config).adapt(given, "adapter")
    runs = list((tmp_path / "checkpoints").glob("*/step-00000003"))
    assert len(runs) == 2
    again = ClipAdapter(config).adapt(given, "adapter")
    assert again.history == first.history
    np.testing.assert_array_equal(again.validation_logits, first.validation_logits)
    assert len(list((tmp_path / "checkpoints").glob("*/step-00000003"))) == 2
    with pytest.raises(TrainingError, match="gives its training no key"):
        ClipAdapter(config).adapt(study.context(), "adapter")


@pytest.mark.parametrize("option", ["gradient_checkpointing", "compile"])
def test_what_needs_blocks_is_refused_where_there_are_none(study: Study, option: str) -> None:
    config = ClipAdapterConfig(training=TRAINING | {option: True})
    with pytest.raises(TrainingError, match=rf"training\.{option} works on transformer blocks.*Leave it out"):
        ClipAdapter(config).adapt(study.context(), "adapter")


class Fragile(EmbeddingTask):
    """Its third step fails in one of the processes."""

    steps = 0

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        if self.steps == 3 and os.environ.get("RANK") == "1":
            raise RuntimeError("the disk of this process burnt")
        return super().loss(batch)


def build_fragile(context: AdaptationContext, config: ClipAdapterConfig) -> EmbeddingTask:
    task = build_task(context, config, ratio=0.5)
    task.__class__ = Fragile
    return task


@pytest.mark.slow
def test_a_process_that_dies_ends_the_fit_with_its_own_words(project_on_the_path, study: Study) -> None:
    config = ClipAdapterConfig(training=TRAINING | {"distributed": DDP})
    task = build_task(study.context(), config, ratio=0.5)
    builder = "tests.adaptation.test_fitting:build_fragile"
    with pytest.raises(TrainingError, match=r"Process 1 of 2 ended the run: RuntimeError: the disk of this process"):
        fit_task(study.context(), config, config.training, task, builder=builder)


@pytest.mark.parametrize("wrong", ["builder", "config_class"])
def test_what_cannot_be_found_by_the_other_processes_is_named(study: Study, tmp_path: Path, wrong: str) -> None:
    write_context(study.context(), tmp_path)
    names = {
        "builder": "clip_har.adaptation.clip_adapter:build_task",
        "config_class": "clip_har.adaptation.clip_adapter:ClipAdapterConfig",
    }
    rest = {"folder": str(tmp_path), "config": {}, "arguments": {"ratio": 0.5}, "device": CPU}
    assert build(**names, **rest).sample_count == len(study.context().train)
    with pytest.raises(TrainingError, match=r"'nowhere:build' cannot be found by the processes that train"):
        build(**names | {wrong: "nowhere:build"}, **rest)


def test_a_watcher_hears_what_the_history_says_of_each_fit(study: Study) -> None:
    """So that curves are the same, whether they are recorded while a candidate trains or from its history."""
    heard: list[dict[str, float]] = []
    context = replace(study.context(), on_validation=heard.append)
    fitted = ClipAdapter(ClipAdapterConfig(ratios=(0.2, 0.8), training=TRAINING)).adapt(context, "adapter")
    assert heard == fitted.history
    assert {row["ratio"] for row in heard} == {0.2, 0.8}


@pytest.mark.slow
def test_what_a_watcher_raises_ends_the_processes(project_on_the_path, study: Study) -> None:
    """As pruning a trial does."""

    class Enough(Exception):
        pass

    def watch(row: dict[str, float]) -> None:
        seen.append(row)
        if row["step"] >= 5:
            raise Enough

    seen: list[dict[str, float]] = []
    training = TrainerConfig(**TRAINING | {"epochs": 10**6, "distributed": DDP})
    config = ClipAdapterConfig(training=training)
    task = build_task(study.context(), config, ratio=0.5)
    options = {"builder": "clip_har.adaptation.clip_adapter:build_task", "arguments": {"ratio": 0.5}}
    with pytest.raises(Enough):
        fit_task(study.context(), config, training, task, on_validation=watch, **options)
    assert [row["step"] for row in seen] == list(range(6))


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.fixture
def other_machine(project_on_the_path, port: int, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """An agent started by hand, as docs/training.md has it, before the fit that it takes part in."""
    launcher = ["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-id", "clip-har"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    # Which agent keeps the store is told by host names, and both have the same here.
    launcher += ["--rdzv-conf", "is_host=false", "--local-addr", "localhost"]
    command = [sys.executable, "-m", *launcher, "-m", "clip_har.training.worker", str(tmp_path / "shared")]
    with (tmp_path / "other.log").open("w") as log:
        agent = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        yield agent
        agent.kill()
        agent.wait()


@pytest.mark.slow
@pytest.mark.thorough
def test_another_machine_joins_by_hand(study: Study, port: int, other_machine, tmp_path: Path) -> None:
    def fitted(distributed: dict) -> AdaptedModel:
        config = ClipAdapterConfig(ratios=(0.5,), training=TRAINING | {"distributed": distributed})
        return ClipAdapter(config).adapt(study.context(), "adapter")

    together = {"mode": "ddp", "processes": 1, "machines": 2, "endpoint": f"localhost:{port}"}
    found = fitted(together | {"folder": str(tmp_path / "shared")})
    assert other_machine.wait() == 0, (tmp_path / "other.log").read_text()[-2000:]
    expected = fitted({"mode": "single"})
    for name in ("loss", "log_loss"):
        rows = [[row[name] for row in one.history if name in row] for one in (found, expected)]
        assert rows[0] == pytest.approx(rows[1], abs=1e-4)


@pytest.mark.slow
def test_machines_that_do_not_come_are_waited_for_and_told_how(study: Study, port: int, tmp_path: Path) -> None:
    distributed = {"mode": "ddp", "processes": 1, "machines": 2, "endpoint": f"localhost:{port}", "timeout": 3}
    config = ClipAdapterConfig(training=TRAINING | {"distributed": distributed | {"folder": str(tmp_path / "shared")}})
    started = time.monotonic()
    with pytest.raises(TrainingError, match=r"did not come together.*torchrun --nnodes 2 .*training\.worker"):
        ClipAdapter(config).adapt(study.context(), "adapter")
    assert time.monotonic() - started > 2


def test_a_folder_with_other_files_is_left_alone(study: Study, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    training = TRAINING | {"distributed": DDP | {"folder": str(tmp_path)}}
    with pytest.raises(TrainingError, match=r"has other files \(thesis\.tex\)"):
        ClipAdapter(ClipAdapterConfig(training=training)).adapt(study.context(), "adapter")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_distributed_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 machines need endpoint and folder too"):
        TrainerConfig(distributed={"mode": "ddp", "machines": 2})
    with pytest.raises(ValueError, match="2 machines need mode ddp or fsdp"):
        TrainerConfig(distributed={"machines": 2})
    with pytest.raises(ValueError, match="HOST:PORT is wanted, got 'here'"):
        TrainerConfig(distributed={"endpoint": "here"})


def test_every_method_that_trains_can_be_built_elsewhere() -> None:
    import importlib

    trained = [name for name in METHODS if "training" in METHODS.get(name).Config.model_fields]
    assert set(CASES) <= set(trained) | {"full_fine_tuning"}
    for name in trained:
        module = importlib.import_module(METHODS.get(name).__module__)
        assert hasattr(module, "build_task"), name
