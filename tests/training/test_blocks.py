"""Transformer blocks computed twice or compiled: the same numbers, and the model left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clip_har.errors import TrainingError
from clip_har.training import blocks
from clip_har.training.blocks import blocks_of, changed_blocks
from clip_har.training.trainer import Trainer, TrainerConfig
from tests.training.small_task import Block, SmallTask

CPU = torch.device("cpu")
SETTINGS = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "patience": None}


def fit(**settings) -> SmallTask:
    task = SmallTask(device=CPU, dropout=0.3)
    Trainer(TrainerConfig(**SETTINGS | settings), CPU, 0).fit(task)
    return task


def calls_in_a_step(task: SmallTask, checkpointing: bool) -> int:
    calls: list[int] = []
    for block in task.network.blocks:
        block.layer.register_forward_hook(lambda *_: calls.append(1))
    with changed_blocks(task, checkpointing=checkpointing, compiled=False, device=CPU):
        task.loss(torch.arange(4)).backward()
    return len(calls)


def test_blocks_are_the_members_of_the_outermost_lists() -> None:
    inner = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
    model = torch.nn.Module()
    model.tower = torch.nn.Module()
    model.tower.layers = torch.nn.ModuleList([torch.nn.Sequential(inner), torch.nn.Linear(2, 2)])
    assert blocks_of(model) == list(model.tower.layers)
    assert len(blocks_of(SmallTask(device=CPU).network)) == 2


def test_checkpointed_blocks_are_computed_twice_and_give_the_same() -> None:
    assert calls_in_a_step(SmallTask(device=CPU), False) == 2
    assert calls_in_a_step(SmallTask(device=CPU), True) == 4
    plain, twice = fit(), fit(gradient_checkpointing=True)
    assert plain.losses == pytest.approx(twice.losses, abs=1e-6)
    for left, right in zip(plain.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=0)
    assert not any("forward" in vars(module) for module in twice.network.modules())


def test_blocks_are_put_back_after_an_error() -> None:
    task = SmallTask(device=CPU, fail_at=1)
    with pytest.raises(RuntimeError, match="burnt"):
        Trainer(TrainerConfig(**SETTINGS, gradient_checkpointing=True), CPU, 0).fit(task)
    assert all(block.forward.__func__ is Block.forward for block in task.network.blocks)


def test_a_method_without_a_model_has_no_blocks() -> None:
    task = SmallTask(device=CPU)
    bare = type("Bare", (), {name: getattr(task, name) for name in ("loss", "parameters", "batches", "sample_count")})()
    for option in ("gradient_checkpointing", "compile"):
        with pytest.raises(TrainingError, match=rf"training\.{option} needs a model to train"):
            Trainer(TrainerConfig(**{option: True}), CPU, 0).fit(bare)


def test_where_nothing_compiles_it_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: object) -> object:
        raise RuntimeError("no compiler\nand more")

    blocks.compile_problem.cache_clear()
    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.warns(UserWarning, match=r"torch\.compile does not work here; going on without it\. .*no compiler$"):
        compiled = fit(compile=True)
    blocks.compile_problem.cache_clear()
    assert np.array_equal(compiled.losses, fit().losses)


@pytest.mark.slow
def test_compiled_blocks_give_the_same() -> None:
    blocks.compile_problem.cache_clear()
    if problem := blocks.compile_problem(CPU):
        pytest.skip(problem)
    settings = {"epochs": 1, "batch_size": 21}
    plain, compiled = SmallTask(device=CPU), SmallTask(device=CPU)
    for task, wanted in ((plain, False), (compiled, True)):
        Trainer(TrainerConfig(**SETTINGS | settings, compile=wanted), CPU, 0).fit(task)
    for left, right in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [{"tf32": True}, {"compile": True}, {"gradient_checkpointing": True}])
def test_options_on_cuda(options: dict) -> None:
    device = torch.device("cuda")
    before = torch.backends.cuda.matmul.fp32_precision
    task = SmallTask(device=device)
    result = Trainer(TrainerConfig(**SETTINGS | {"epochs": 8}, **options), device, 0).fit(task)
    assert result.history[-1]["log_loss"] < result.history[0]["log_loss"]
    assert torch.backends.cuda.matmul.fp32_precision == before
