"""WiSE-FT: the mixture against numpy, and which one is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clip_har.adaptation.wise_ft import WiseFtConfig, choose_alpha, copied_state, interpolate, mix_with_original
from clip_har.component import validated
from clip_har.errors import ConfigError, ModelError


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))


def test_each_array_is_the_numpy_mixture() -> None:
    start, end = network(0).state_dict(), network(1).state_dict()
    end["1.running_mean"] = torch.full((4,), 2.0)
    end["1.num_batches_tracked"] = torch.tensor(7)
    mixed = interpolate(start, end, 0.3)
    assert mixed.keys() == start.keys()
    for name in ("0.weight", "1.running_mean", "2.bias"):
        expected = 0.7 * start[name].numpy().astype(np.float64) + 0.3 * end[name].numpy().astype(np.float64)
        np.testing.assert_allclose(mixed[name].numpy(), expected, atol=1e-7)
    assert int(mixed["1.num_batches_tracked"]) == 7


def test_halves_are_mixed_as_floats() -> None:
    start, end = torch.tensor([2048.0, 1.0]).half(), torch.tensor([2050.0, 1.0]).half()
    mixed = interpolate({"w": start}, {"w": end}, 0.5)["w"]
    assert mixed.dtype == torch.float16
    assert mixed.tolist() == torch.tensor([2049.0, 1.0]).half().tolist()


def test_states_of_two_models_are_refused() -> None:
    start, end = network(0).state_dict(), network(1).state_dict()
    with pytest.raises(ModelError, match=r"differ in '0\.weight'"):
        interpolate(start | {"0.weight": torch.zeros(4, 2)}, end, 0.5)
    with pytest.raises(ModelError, match="differ in 'more'"):
        interpolate(start | {"more": torch.zeros(1)}, end, 0.5)


def test_the_model_is_left_as_the_best_mixture() -> None:
    model = network(0)
    original = copied_state(model)
    model.load_state_dict(network(1).state_dict())
    tuned = copied_state(model)
    middle = (original["0.weight"] + tuned["0.weight"]) / 2

    def measure() -> dict[str, float]:
        """Best half-way."""
        distance = float((model.state_dict()["0.weight"] - middle).abs().max())
        return {"accuracy": 1.0 if distance < 1e-6 else 0.5, "log_loss": distance}

    alpha, rows = mix_with_original(model, original, measure, WiseFtConfig(alphas=(0.1, 0.5, 0.9)))
    assert alpha == 0.5
    assert [row["alpha"] for row in rows] == [0.1, 0.5, 0.9]
    assert [row["accuracy"] for row in rows] == [0.5, 1.0, 0.5]
    for name, value in model.state_dict().items():
        expected = (original[name] + tuned[name]) / 2 if value.is_floating_point() else tuned[name]
        torch.testing.assert_close(value, expected)


def test_accuracy_decides_then_the_loss_then_the_order() -> None:
    state = {"w": torch.zeros(1)}
    figures = iter([(0.5, 0.1), (0.6, 0.9), (0.6, 0.8), (0.6, 0.8)])

    def measure(mixed: dict[str, torch.Tensor]) -> dict[str, float]:
        return dict(zip(("accuracy", "log_loss"), next(figures), strict=True))

    alpha, _, rows = choose_alpha(state, {"w": torch.ones(1)}, measure, (0.2, 0.4, 0.6, 0.8))
    assert alpha == 0.6
    assert len(rows) == 4


@pytest.mark.parametrize("alphas", [[-0.1, 0.5], [1.5]])
def test_alphas_are_shares(alphas: list[float]) -> None:
    with pytest.raises(ConfigError, match="alphas are shares between 0 and 1"):
        validated(WiseFtConfig, {"alphas": alphas}, "wise_ft")
