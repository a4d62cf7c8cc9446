"""Files for `dvc plots show`: every figure of the report's plots, in the same bytes for the same result."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.leaderboard import Leaderboard, LeaderboardRow
from clip_har.evaluation.metrics import Estimate
from clip_har.evaluation.plot_data import plot_files
from clip_har.models.bundle import OpenVocabulary


def report() -> EvaluationReport:
    reliability = {"ece": 0.1, "bins": []}
    return EvaluationReport(
        model_id="m",
        method="lora",
        labels=("sitting, on a chair", "running"),
        split="test",
        samples=6,
        metrics={"accuracy": Estimate(value=0.5, low=0.25, high=0.75)},
        confusion=((2, 1), (0, 3)),
        per_class=(),
        curves={"running": {"recall": [0.0, 1.0], "precision": [1.0, 0.123456789]}},
        temperature=1.0,
        uncalibrated=reliability,
        calibrated=reliability,
        right=(),
        wrong=(),
    )


def board() -> Leaderboard:
    figures = {"accuracy": Estimate(value=0.5, low=0.25, high=0.75), "log_loss": Estimate(value=1, low=0, high=2)}
    rows = [
        LeaderboardRow(
            name=name,
            method="lora",
            metrics=figures,
            trained_parameters=1,
            open_vocabulary=OpenVocabulary(word="kept", basis=""),
        )
        for name in ("winner", "second")
    ]
    return Leaderboard(select_by="accuracy", samples=4, rows=tuple(rows), why="")


HISTORIES = {
    "lora": [{"step": 0, "accuracy": 0.1, "log_loss": 2.0}, {"step": 5, "accuracy": 0.2, "log_loss": 1.0, "loss": 3.0}],
    "probe": [{"inverse_strength": 0.1, "accuracy": 0.3, "log_loss": 1.5}],
    "zero_shot": [],
}


def table(text: str) -> list[dict]:
    return pd.read_csv(io.StringIO(text)).to_dict("records")


def test_the_confusion_has_a_row_a_photograph() -> None:
    rows = table(plot_files(report())["plots/confusion.csv"])
    counted = pd.DataFrame(rows).value_counts().to_dict()
    sitting, running = report().labels
    assert counted == {(sitting, sitting): 2, (sitting, running): 1, (running, running): 3}


def test_curves_and_candidates_are_told_apart_by_name() -> None:
    files = plot_files(report(), board(), HISTORIES)
    assert table(files["plots/precision_recall.csv"]) == [
        {"name": "running", "recall": 0.0, "precision": 1.0},
        {"name": "running", "recall": 1.0, "precision": 0.123457},
    ]
    first, second = table(files["plots/leaderboard.csv"])
    assert (first["name"], second["name"]) == ("winner", "second")
    assert (first["accuracy"], first["accuracy_low"], first["log_loss_high"]) == (0.5, 0.25, 2.0)
    curves = pd.DataFrame(table(files["plots/learning_curves.csv"]))
    assert curves[["name", "step", "accuracy"]].to_numpy().tolist() == [
        ["lora", 0, 0.1],
        ["lora", 5, 0.2],
        ["probe", 0, 0.3],
    ]
    assert curves["loss"].tolist() == pytest.approx([float("nan"), 3.0, float("nan")], nan_ok=True)


def test_what_there_is_none_of_has_no_file() -> None:
    assert set(plot_files(report())) == {"plots/confusion.csv", "plots/precision_recall.csv"}


def test_equal_results_give_equal_bytes() -> None:
    assert plot_files(report(), board(), HISTORIES) == plot_files(report(), board(), HISTORIES)
    assert "\r" not in "".join(plot_files(report(), board(), HISTORIES).values())
