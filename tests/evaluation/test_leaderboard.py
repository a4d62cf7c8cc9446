"""Who wins on the validation split, and whether the reason given is true."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clip_har.errors import DataError
from clip_har.evaluation.leaderboard import Entry, Leaderboard, compare
from clip_har.models.bundle import OpenVocabulary

LABELS = np.tile(np.arange(4), 50)


def entry(name: str, right: int, *, parameters: int = 0, confidence: float = 3.0, remarks: tuple = ()) -> Entry:
    """A candidate that is right on the first `right` of 200 samples."""
    predicted = np.where(np.arange(200) < right, LABELS, (LABELS + 1) % 4)
    logits = (confidence * np.eye(4)[predicted]).astype(np.float32)
    return Entry(
        name=name,
        method=name,
        logits=logits,
        trained_parameters=parameters,
        open_vocabulary=OpenVocabulary(word="kept", basis=""),
        remarks=remarks,
    )


def ranked(*entries: Entry, select_by: str = "accuracy") -> Leaderboard:
    return compare(entries, LABELS, select_by=select_by)


def test_the_best_comes_first_and_the_reason_says_by_how_much() -> None:
    board = ranked(entry("a", 100), entry("b", 180, parameters=9), entry("c", 140, remarks=("small",)))
    assert [row.name for row in board.rows] == ["b", "c", "a"]
    assert board.winner.metrics["accuracy"].value == 0.9
    assert board.samples == 200
    assert board.winner.behind_winner is None
    assert [row.behind_winner.value for row in board.rows[1:]] == pytest.approx([-0.2, -0.4])
    assert board.rows[1].remarks == ("small",)
    assert board.why.startswith("b has the best accuracy on the validation split: 0.900 (95 % interval 0.")
    assert "The next, c, is 20.0 points of accuracy behind (95 % interval 14" in board.why
    assert board.why.endswith("more than chance explains.")


def test_a_small_lead_may_be_chance() -> None:
    board = ranked(entry("a", 101), entry("b", 100))
    assert "The next, b, is 0.5 points of accuracy behind (95 % interval 0.0 to 1.5)" in board.why
    assert board.why.endswith("which may be chance at this number of photographs.")


def test_a_tie_in_accuracy_has_no_sign() -> None:
    board = ranked(entry("sure", 150, confidence=30.0), entry("modest", 150, confidence=1.5), select_by="log_loss")
    assert board.winner.name == "modest"
    assert "The next, sure, is 0.0 points of accuracy behind" in board.why


@pytest.mark.parametrize(("select_by", "winner"), [("accuracy", "sure"), ("log_loss", "modest"), ("macro_f1", "sure")])
def test_the_winner_is_by_the_chosen_figure(select_by: str, winner: str) -> None:
    board = ranked(entry("sure", 120, confidence=30.0), entry("modest", 110, confidence=1.0), select_by=select_by)
    assert board.winner.name == winner
    assert board.select_by == select_by
    assert f"{winner} has the best {select_by.replace('_', ' ')}" in board.why


def test_among_equals_fewer_fitted_parameters_win() -> None:
    board = ranked(entry("big", 150, parameters=10_000), entry("small", 150, parameters=10))
    assert board.winner.name == "small"
    assert board.why.endswith("big equals it, but has more fitted parameters.")


def test_among_full_equals_the_first_listed_wins_and_no_untrue_reason_is_given() -> None:
    board = ranked(entry("first", 150), entry("second", 150))
    assert board.winner.name == "first"
    assert board.why.endswith("second equals it, but comes later in the list.")


def test_a_second_that_is_more_accurate_is_not_called_behind() -> None:
    """Chosen by log-loss, the winner may be the less accurate one."""
    board = ranked(entry("sure", 150, confidence=30.0), entry("modest", 100, confidence=1.0), select_by="log_loss")
    assert board.winner.name == "modest"
    assert "The next, sure, has a log loss of 6.908," in board.why
    assert "though it is 25.0 points of accuracy ahead (95 % interval 19" in board.why
    assert "behind" not in board.why
    assert "chance" not in board.why


def test_an_only_candidate() -> None:
    assert ranked(entry("a", 100)).why.endswith("It was the only candidate.")


def test_no_candidate_is_an_error_that_names_the_key() -> None:
    with pytest.raises(DataError, match=r"adaptation\.methods is empty"):
        ranked()


def test_figures_are_json_and_the_same_each_time() -> None:
    boards = [ranked(entry("a", 100), entry("b", 180)) for _ in range(2)]
    texts = [json.dumps(board.figures(), sort_keys=True, allow_nan=False) for board in boards]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["winner"] == "b"
    assert json.loads(texts[0])["a"]["accuracy"]["value"] == 0.5
    assert Leaderboard.model_validate_json(boards[0].model_dump_json()) == boards[0]
