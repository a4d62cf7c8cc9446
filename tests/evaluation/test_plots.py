"""Charts of what methods leave as their histories: whatever its rows are, the report has something true to draw."""

from __future__ import annotations

import re

import pytest

from clip_har.adaptation import METHODS
from clip_har.evaluation.plot_data import plot_files
from clip_har.evaluation.plots import learning_curves
from tests.adaptation.tiny_study import Study
from tests.evaluation.test_plot_data import report

SCORES = {"accuracy": 0.5, "log_loss": 1.0}


def training(steps: tuple[int, ...] = (0, 5, 10), **setting: float) -> list[dict[str, float]]:
    return [{**setting, "step": step, **({"loss": 2.0} if step else {}), **SCORES} for step in steps]


def sweep(axis: str, *values: float, **more: float) -> list[dict[str, float]]:
    return [{axis: value, **more, **SCORES} for value in values]


def drawn(history: list[dict[str, float]]) -> list[tuple[list[str], str]]:
    """(legend, name of the horizontal axis) of each chart of accuracy."""
    charts = learning_curves({"method": history}).get("method", [])
    said = [[text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", chart)] for chart in charts[::2]]
    names = ("step", "C (weaker regularisation →)", "beta (with the best alpha)", "share of the tuned weights")
    names += ("members of the ensemble",)
    return [
        (
            [text for text in texts if re.match(r"(penalty|ratio|run|before|after)\b", text)],
            next(text for text in texts if text in names),
        )
        for texts in said
    ]


@pytest.mark.parametrize(
    ("history", "charts"),
    [
        ([], []),
        (training((0,)), []),
        (training(), [([], "step")]),
        (
            training(penalty=1.0) + training(penalty=0.1) + sweep("alpha", 0.1, 0.5, 1.0),
            [(["penalty 1", "penalty 0.1"], "step"), ([], "share of the tuned weights")],
        ),
        (training(ratio=0.2) + training(ratio=0.2), [(["ratio 0.2", "ratio 0.2 (2)"], "step")]),
        (training() + training(), [(["run", "run (2)"], "step")]),
        (
            sweep("beta", 1.0, 2.0, alpha=3.0) + training() + sweep("beta", 1.0, 2.0, alpha=4.0),
            [(["before training", "after training"], "beta (with the best alpha)"), ([], "step")],
        ),
        (
            sweep("members", 1, 2) + sweep("members", 2, names=5) + sweep("control", 0, 1) + sweep("without", 1),
            [([], "members of the ensemble")],
        ),
        (sweep("inverse_strength", 0.01, 1.0, 100.0), [([], "C (weaker regularisation →)")]),
        (sweep("control", 0, 1), []),
    ],
)
def test_every_kind_of_row_has_its_chart(history, charts) -> None:
    assert drawn(history) == charts


def test_one_runs_training_loss_is_shown_beside_validations() -> None:
    accuracy, loss = learning_curves({"lora": training()})["lora"]
    assert "training" in loss
    assert "training" not in accuracy
    assert "training" not in "".join(learning_curves({"a": training(ratio=0.1) + training(ratio=0.2)})["a"])


@pytest.mark.parametrize("name", [name for name in METHODS if name != "lora"])
def test_every_methods_history_can_be_drawn(name: str, study: Study) -> None:
    method = METHODS.get(name)
    fields = method.Config.model_fields
    quickly = {"training": {"max_steps": 4, "evaluate_every": 2, "learning_rate": 0.01}} if "training" in fields else {}
    history = method(method.Config(**quickly)).adapt(study.context(), name).history
    charts = learning_curves({name: history})
    assert (name in charts) == (len(history) > 1)
    rows = plot_files(report(), None, {name: history})["plots/learning_curves.csv"].splitlines()
    assert len(rows) == len(history) + 1
