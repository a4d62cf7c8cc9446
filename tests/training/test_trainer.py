"""The training loop against one written out by hand, and each of its promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from clip_har.errors import TrainingError
from clip_har.training.precision import LossScale
from clip_har.training.trainer import Trainer, TrainerConfig, TrainingResult, autocast_type, learning_rate_factor
from tests.training.small_task import SmallTask

CPU = torch.device("cpu")


class Blobs:
    """A small network on two clouds of points; figures can be scripted."""

    def __init__(
        self, *, device: torch.device = CPU, scripted: list[float] | None = None, dropout: float = 0.0
    ) -> None:
        torch.manual_seed(7)
        generator = np.random.default_rng(0)
        labels = np.arange(20) % 2
        points = generator.normal(size=(20, 4)) + 2.0 * labels[:, None]
        self.points = torch.tensor(points, dtype=torch.float32, device=device)
        self.labels = torch.from_numpy(labels).to(device)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 2)
        ).to(device)
        self.sample_count = 20
        self.scripted = scripted
        self.orders: list[list[int]] = []
        self.states: list[list[torch.Tensor]] = []
        self.types: list[torch.dtype] = []
        self.modes: list[bool] = []

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self.network.parameters())

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[torch.Tensor]:
        self.orders.append(order.tolist())
        for start in range(0, len(order), batch_size):
            yield torch.from_numpy(order[start : start + batch_size]).to(self.points.device)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.network.training)
        logits = self.network(self.points[batch])
        self.types.append(logits.dtype)
        return torch.nn.functional.cross_entropy(logits.float(), self.labels[batch])

    def validate(self) -> dict[str, float]:
        self.states.append([weights.detach().clone() for weights in self.parameters()])
        assert not self.network.training
        if self.scripted is not None:
            accuracy = self.scripted[len(self.states) - 1]
            return {"accuracy": accuracy, "log_loss": 1 - accuracy}
        logits = self.network(self.points).float()
        return {
            "accuracy": float((logits.argmax(dim=1) == self.labels).float().mean()),
            "log_loss": float(torch.nn.functional.cross_entropy(logits, self.labels)),
        }

    def train_mode(self, training: bool) -> None:
        self.network.train(training)


def train(task: Blobs, *, seed: int = 0, **settings) -> TrainingResult:
    return Trainer(TrainerConfig(**{"patience": None, **settings}), CPU, seed).fit(task)


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.25),  # warm-up: a quarter of the peak more at each of four steps
        (3, 1.0),
        (4, 1.0),  # the cosine starts at the peak
        (12, 0.5 * (1 + math.cos(math.pi * 8 / 16))),
        (19, 0.5 * (1 + math.cos(math.pi * 15 / 16))),
    ],
)
def test_warm_up_and_cosine(step: int, expected: float) -> None:
    assert learning_rate_factor(step, 20, 0.2) == pytest.approx(expected)


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_every_step_has_a_rate_between_nothing_and_the_peak(total: int, share: float) -> None:
    factors = [learning_rate_factor(step, total, share) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1)
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_the_loop_is_adamw_with_schedule_and_clipping(clip_norm: float | None) -> None:
    task = Blobs()
    train(
        task,
        epochs=3,
        batch_size=8,
        learning_rate=0.05,
        weight_decay=0.1,
        betas=(0.8, 0.95),
        warmup_share=0.25,
        clip_norm=clip_norm,
    )
    ours = task.states[-1]

    by_hand = Blobs()
    optimiser = torch.optim.AdamW(by_hand.parameters(), lr=0.0, weight_decay=0.1, betas=(0.8, 0.95))
    rates = [0.05 * factor for factor in (1 / 2, 1, *(0.5 * (1 + math.cos(math.pi * done / 7)) for done in range(7)))]
    batches = [order[start : start + 8] for order in task.orders for start in range(0, 20, 8)]
    assert len(batches) == len(rates)
    for rate, batch in zip(rates, batches, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        by_hand.loss(torch.tensor(batch)).backward()
        if clip_norm is not None:
            norm = math.sqrt(sum(float((weights.grad**2).sum()) for weights in by_hand.parameters()))
            assert norm > clip_norm, "nothing to clip"
            for weights in by_hand.parameters():
                weights.grad *= clip_norm / norm
        optimiser.step()
    for found, expected in zip(ours, by_hand.parameters(), strict=True):
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-4)


def test_history_has_a_row_a_validation() -> None:
    task = Blobs()
    result = train(task, epochs=2, batch_size=5, evaluate_every=3, learning_rate=0.01, warmup_share=0.0)
    assert [(row["step"], row["epoch"]) for row in result.history] == [(0, 0), (3, 1), (6, 2), (8, 2)]
    assert "loss" not in result.history[0]
    assert result.history[-1]["learning_rate"] == pytest.approx(0.01 * learning_rate_factor(7, 8, 0.0))
    assert all({"accuracy", "log_loss"} <= row.keys() for row in result.history)
    assert result.steps == 8
    assert 0 <= result.seconds_waiting <= result.seconds


def test_a_rows_loss_is_the_mean_since_the_last_row() -> None:
    seen: list[float] = []

    class Noted(Blobs):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            value = super().loss(batch)
            seen.append(float(value.detach()))
            return value

    history = train(Noted(), epochs=1, batch_size=4, evaluate_every=2).history
    assert [row["loss"] for row in history[1:]] == pytest.approx([np.mean(seen[:2]), np.mean(seen[2:4]), seen[4]])


def test_max_steps_ends_it_and_shapes_the_schedule() -> None:
    task = Blobs()
    result = train(task, epochs=50, batch_size=5, max_steps=6, learning_rate=0.01, warmup_share=0.0)
    assert result.steps == 6
    assert [len(order) for order in task.orders] == [20, 20], "tasks that draw samples are told of whole epochs"
    assert result.history[-1]["step"] == 6
    assert result.history[-1]["learning_rate"] == pytest.approx(0.01 * learning_rate_factor(5, 6, 0.0))


@pytest.mark.parametrize(
    ("figures", "patience", "steps", "best"),
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9], 2, 3, 1),  # two without improvement: the fourth is never seen
        ([0.1, 0.5, 0.4, 0.6, 0.5], 2, 4, 3),  # an improvement begins the count anew
        ([0.9, 0.5, 0.4, 0.3, 0.2], 4, 4, 0),  # no step is better than the start
        ([0.1, 0.5, 0.5, 0.5, 0.5], 2, 3, 1),  # to equal the best is no improvement
        ([0.1, 0.5, 0.4, 0.3, 0.9], None, 4, 4),
    ],
)
def test_early_stopping_keeps_the_best_state(figures: list[float], patience: int | None, steps: int, best: int) -> None:
    task = Blobs(scripted=figures)
    result = train(task, epochs=4, batch_size=20, patience=patience, learning_rate=0.1)
    assert (result.steps, result.best_step, result.stopped_early) == (steps, best, steps < 4)
    kept = [weights.detach() for weights in task.parameters()]
    assert equal(kept, task.states[best])
    assert not any(equal(kept, state) for number, state in enumerate(task.states) if number != best)
    assert not task.network.training


@pytest.mark.parametrize(("select_by", "best"), [("accuracy", 1), ("log_loss", 2)])
def test_the_best_state_is_by_the_chosen_figure(select_by: str, best: int) -> None:
    rows = iter([(0.5, 0.9), (0.8, 0.7), (0.7, 0.3)])
    task = Blobs()

    def validate() -> dict[str, float]:
        return dict(zip(("accuracy", "log_loss"), next(rows), strict=True))

    task.validate = validate
    assert train(task, epochs=2, batch_size=20, select_by=select_by).best_step == best


def spoilt(task: Blobs, steps: set[int], value: float, *, gradient_only: bool = False) -> Blobs:
    """The task with a loss, or only its gradient, that is not finite at these steps (from 0)."""
    whole = task.loss

    def loss(batch: torch.Tensor) -> torch.Tensor:
        found = whole(batch)
        if len(task.types) - 1 not in steps:
            return found
        if gradient_only:
            found.register_hook(lambda gradient: gradient * value)
            return found
        return found * value

    task.loss = loss
    return task


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_step_that_is_not_finite_is_left_out_and_counted(
    value: float, gradient_only: bool, clip_norm: float | None
) -> None:
    task = spoilt(Blobs(), {2, 3}, value, gradient_only=gradient_only)
    result = train(task, epochs=1, batch_size=4, evaluate_every=1, clip_norm=clip_norm, learning_rate=0.1)
    assert (result.steps, result.skipped) == (5, 2)
    assert equal(task.states[2], task.states[3])
    assert equal(task.states[3], task.states[4])
    assert not equal(task.states[4], task.states[5])
    assert [row.get("skipped") for row in result.history] == [None, None, None, 1, 1, None]
    assert ["loss" in row for row in result.history] == [False, True, True, False, False, True]
    assert all(torch.isfinite(weights).all() for weights in task.states[-1])


@pytest.mark.parametrize(
    ("gradient_only", "words"), [(False, "The loss became nan"), (True, "The gradient's norm became nan")]
)
def test_too_many_such_steps_in_a_row_end_the_run_with_advice(gradient_only: bool, words: str) -> None:
    task = spoilt(Blobs(), {1, 3, 4}, math.nan, gradient_only=gradient_only)
    with pytest.raises(TrainingError, match=rf"{words} at step 5, the last of 2 steps.*learning rate \(now 0\.002\)"):
        train(task, epochs=1, batch_size=4, learning_rate=0.002, max_skipped=1)


def by_hand(task: Blobs, optimisers: list[torch.optim.Optimizer], rates: list[float]) -> list[list[torch.Tensor]]:
    """The states after each step of the plainest loop: the order and the schedule are the trainer's."""
    states = []
    for step, rate in enumerate(rates):
        epoch, number = divmod(step, 3)
        if number == 0:
            order = np.random.default_rng([3, epoch]).permutation(20)
            task.train_mode(True)
        loss = task.loss(torch.from_numpy(order[8 * number : 8 * number + 8]))
        for optimiser in optimisers:
            optimiser.zero_grad()
            optimiser.param_groups[0]["lr"] = rate
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        states.append([weights.detach().clone() for weights in task.parameters()])
    return states


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "muon"])
def test_the_loop_is_the_plain_one_to_the_last_bit(optimiser: str) -> None:
    task, plain = Blobs(dropout=0.3), Blobs(dropout=0.3)
    for each in (task, plain):
        each.hidden_matrices = lambda each=each: [each.network[0].weight]
    train(task, seed=3, epochs=4, batch_size=8, evaluate_every=1, learning_rate=0.03, optimiser=optimiser)

    settings = {"lr": 0.03, "weight_decay": 0.01}
    weights = plain.parameters()
    if optimiser == "sgd":
        optimisers = [torch.optim.SGD(weights, momentum=0.9, **settings)]
    elif optimiser == "adamw":
        optimisers = [torch.optim.AdamW(weights, **settings)]
    else:
        optimisers = [
            torch.optim.AdamW(weights[1:], **settings),
            torch.optim.Muon(weights[:1], adjust_lr_fn="match_rms_adamw", **settings),
        ]
    torch.manual_seed(3)
    states = by_hand(plain, optimisers, [0.03 * learning_rate_factor(step, 12, 0.1) for step in range(12)])
    assert all(equal(found, expected) for found, expected in zip(task.states[1:], states, strict=True))


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 2), (8, 4), (8, 3), (7, 7), (20, 6)])
def test_a_batch_in_parts_gives_the_same_steps(batch_size: int, accumulate: int) -> None:
    settings = {"epochs": 3, "batch_size": batch_size, "learning_rate": 0.01, "evaluate_every": 1, "optimiser": "sgd"}
    whole, parts = Blobs(), Blobs()
    expected = train(whole, **settings)
    found = train(parts, accumulate=accumulate, **settings)
    largest = max(len(batch) for batch in parts.batches(np.arange(batch_size), 0, -(-batch_size // accumulate)))
    assert len(parts.types) > len(whole.types)
    assert largest < batch_size
    for first, second in zip(whole.states, parts.states, strict=True):
        for left, right in zip(first, second, strict=True):
            torch.testing.assert_close(left, right, atol=1e-6, rtol=0)
    assert [row.get("loss") for row in found.history[1:]] == pytest.approx(
        [row.get("loss") for row in expected.history[1:]], abs=1e-6
    )
    assert (found.steps, found.accumulate) == (expected.steps, accumulate)


def test_more_parts_than_samples_are_refused() -> None:
    with pytest.raises(
        TrainingError, match=r"training\.accumulate: a batch of 4 samples cannot be computed in 5 parts"
    ):
        train(Blobs(), batch_size=4, accumulate=5)


class Greedy(Blobs):
    """Has memory for a few samples only."""

    def __init__(self, room: int, **options) -> None:
        super().__init__(**options)
        self.room = room
        self.sizes: list[int] = []

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        value = super().loss(batch)
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return value


def test_when_memory_runs_out_the_parts_are_halved_and_the_result_is_the_same() -> None:
    settings = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "optimiser": "sgd"}
    plain, greedy = Blobs(), Greedy(room=2)
    expected = train(plain, **settings)
    found = train(greedy, auto_batch=True, **settings)
    assert greedy.sizes[:4] == [8, 4, 2, 2]
    assert found.accumulate == 4
    assert found.steps == expected.steps
    for left, right in zip(plain.states[-1], greedy.states[-1], strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=0)


def test_a_step_that_is_tried_again_draws_the_same_dropout() -> None:
    settings = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
    greedy, plain = Greedy(room=4, dropout=0.5), Blobs(dropout=0.5)
    train(greedy, auto_batch=True, **settings)
    train(plain, accumulate=2, **settings)
    assert greedy.sizes[0] == 8
    assert equal(greedy.states[-1], plain.states[-1])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_is_answered_with_advice(error: Exception) -> None:
    task = Blobs()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        raise error

    task.loss = loss
    with pytest.raises(TrainingError, match=r"batch of 8 in 1 part.*accumulate: 2.*auto_batch: true.*fsdp"):
        train(task, batch_size=8)
    with pytest.raises(TrainingError, match=r"batch of 8 in 8 parts: .*What helps, in this order: training\.grad"):
        train(task, batch_size=8, auto_batch=True)


def test_another_error_is_not_taken_for_a_want_of_memory() -> None:
    task = Blobs()
    task.loss = lambda batch: task.network(torch.zeros(1, 99))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(task, auto_batch=True)


def test_the_scale_of_a_float16_loss_is_undone_and_shrinks_when_it_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clip_har.training.trainer.autocast_type", lambda precision, device: torch.float16)
    settings = {"epochs": 2, "batch_size": 5, "learning_rate": 0.01, "optimiser": "sgd", "evaluate_every": 1}
    scales: list[float] = []

    class Watched(Blobs):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            value = super().loss(batch)
            value.register_hook(lambda gradient: scales.append(float(gradient)))
            # more than float16 can hold, times the first scales
            return value + (self.network[0].weight.half() * 40).sum() - (self.network[0].weight * 40).sum().detach()

    task = Watched()
    result = train(task, clip_norm=None, **settings)
    assert set(task.types) == {torch.float16}
    assert scales[0] == 65536
    assert result.skipped > 0
    assert scales[result.skipped :] == [65536 / 2**result.skipped] * (8 - result.skipped)
    assert equal(task.states[0], task.states[result.skipped])
    moved = task.states[result.skipped + 1][0] - task.states[result.skipped][0]
    rate = result.history[result.skipped + 1]["learning_rate"]
    assert float(-moved.mean()) / rate == pytest.approx(40, rel=0.05), "the gradient was not divided by the scale"


def test_the_scale_grows_after_many_good_steps() -> None:
    scale = LossScale(True)
    for _ in range(LossScale.INTERVAL - 1):
        scale.update(True)
    assert scale.scale == 65536
    scale.update(True)
    assert scale.scale == 2 * 65536
    scale.update(False)
    assert scale.scale == 65536
    off = LossScale(False)
    off.update(False)
    assert off.scale == 1


def test_float16_weights_are_not_trained() -> None:
    task = Blobs()
    task.network.half()
    with pytest.raises(TrainingError, match=r"parameters to train are float16.*model\.dtype: float32"):
        train(task)


def test_each_parameter_has_its_share_of_the_learning_rate() -> None:
    plain, scaled = Blobs(), Blobs()
    scaled.learning_rate_shares = lambda: [0.0, 1.0, 1.0, 0.5]
    for task in (plain, scaled):
        train(task, epochs=1, batch_size=20, optimiser="sgd", weight_decay=0.0, clip_norm=None)
    moved = [
        [after - before for before, after in zip(task.states[0], task.states[-1], strict=True)]
        for task in (plain, scaled)
    ]
    assert torch.equal(moved[1][0], torch.zeros_like(moved[1][0]))
    assert torch.equal(moved[0][1], moved[1][1])
    torch.testing.assert_close(moved[0][3] / 2, moved[1][3])


def test_a_task_may_draw_its_own_order() -> None:
    task = Blobs()
    task.order = lambda epoch, shuffled: np.sort(shuffled)[: 10 + epoch]
    train(task, epochs=2, batch_size=20)
    assert task.orders == [list(range(10)), list(range(11))]


def test_every_row_of_the_history_is_passed_on_and_may_end_the_run() -> None:
    rows: list[dict[str, float]] = []
    config = TrainerConfig(epochs=3, batch_size=20, patience=None)
    result = Trainer(config, CPU, 0).fit(Blobs(), on_validation=rows.append)
    assert rows == result.history

    class Pruned(Exception):
        pass

    def prune(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise Pruned

    task = Blobs()
    with pytest.raises(Pruned):
        Trainer(config, CPU, 0).fit(task, on_validation=prune)
    assert len(task.states) == 3


def test_buffers_are_part_of_the_best_state() -> None:
    task = SmallTask(device=CPU, normed=True)
    seen: list[torch.Tensor] = []
    scores = iter([0.1, 0.9, 0.2, 0.3])

    def validate() -> dict[str, float]:
        seen.append(task.network.norm.running_mean.clone())
        accuracy = next(scores)
        return {"accuracy": accuracy, "log_loss": 1 - accuracy}

    task.validate = validate
    Trainer(TrainerConfig(epochs=3, batch_size=21, patience=None), CPU, 0).fit(task)
    assert torch.equal(task.network.norm.running_mean, seen[1])
    assert not torch.equal(seen[1], seen[3])


@pytest.mark.parametrize(
    ("precision", "expected"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_on_a_cpu(precision: str, expected: torch.dtype) -> None:
    task = Blobs()
    result = train(task, epochs=20, batch_size=20, precision=precision, learning_rate=0.05)
    assert set(task.types) == {expected}
    assert {weights.dtype for weights in task.parameters()} == {torch.float32}
    assert result.history[-1]["log_loss"] < 0.5 * result.history[0]["log_loss"]


def test_fp16_on_a_cpu_is_refused_before_anything_runs() -> None:
    task = Blobs()
    with pytest.raises(TrainingError, match=r"training\.precision: fp16 needs a CUDA device.*fp32 or bf16"):
        train(task, precision="fp16")
    assert not task.orders
    assert autocast_type("fp16", torch.device("cuda")) is torch.float16


def test_every_epoch_has_an_order_of_its_own_that_the_seed_decides() -> None:
    orders = {}
    for seed in (0, 1):
        for attempt in range(2):
            task = Blobs()
            train(task, seed=seed, epochs=3)
            orders[seed, attempt] = task.orders
    assert orders[0, 0] == orders[0, 1] != orders[1, 0]
    assert all(sorted(order) == list(range(20)) for order in orders[0, 0])
    assert len({tuple(order) for order in orders[0, 0]}) == 3


def test_the_seed_decides_dropout_whatever_was_drawn_before() -> None:
    runs = []
    for seed in (0, 0, 1):
        task = Blobs(dropout=0.5)
        torch.rand(len(runs) + 1)
        train(task, seed=seed, epochs=2)
        runs.append(task.states[-1])
        assert all(task.modes)
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    settings = {"epochs": 1, "batch_size": 20, "learning_rate": 0.02, "weight_decay": 0.0, "clip_norm": None}
    states = {}
    for optimiser in ("adamw", "muon"):
        task = Blobs()
        task.hidden_matrices = lambda task=task: [task.network[0].weight]
        train(task, optimiser=optimiser, **settings)
        states[optimiser] = (task.states[0], task.states[-1])
    (start, plain), (_, muon) = states["adamw"], states["muon"]
    assert equal(plain[1:], muon[1:])
    step = muon[0] - start[0]
    assert not torch.equal(plain[0], muon[0])
    singular = torch.linalg.svdvals(step)
    assert singular.min() > 0.5 * singular.max(), "Muon's updates are near orthogonal"


def test_muon_is_refused_where_there_are_no_hidden_matrices() -> None:
    with pytest.raises(TrainingError, match=r"training\.optimiser: muon is for pretraining only; wanted here: adamw"):
        train(Blobs(), optimiser="muon")


def test_progress_reaches_the_total() -> None:
    seen = []
    Trainer(TrainerConfig(epochs=2, batch_size=10), CPU, 0).fit(Blobs(), lambda *report: seen.append(report))
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(note.startswith("loss=") and "best accuracy=" in note for *_, note in seen)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_on_cuda(precision: str) -> None:
    device = torch.device("cuda")
    task = Blobs(device=device)
    settings = TrainerConfig(epochs=20, batch_size=20, precision=precision, learning_rate=0.05, patience=None)
    result = Trainer(settings, device, 0).fit(task)
    assert result.history[-1]["log_loss"] < 0.5 * result.history[0]["log_loss"]
    wanted = {"fp32": torch.float32, "fp16": torch.float16}.get(precision, torch.bfloat16)
    assert set(task.types) <= {wanted, torch.float16} if precision == "auto" else set(task.types) == {wanted}
