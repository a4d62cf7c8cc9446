"""The study: better settings, found again from where it was killed, without lost or repeated trials."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.search import SearchConfig
from clip_har.adaptation.search.result import SearchResult
from clip_har.adaptation.search.study import run_search
from clip_har.errors import DataError, TrainingError
from clip_har.storage import exclusive
from clip_har.training.interruption import TrainingInterrupted
from tests.adaptation.search.toy_search import Toy, fits, search
from tests.adaptation.tiny_study import Study
from tests.command import PROJECT


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))


ADAPTER = {
    "method": "clip_adapter",
    "ratios": [0.2],
    "training": {"epochs": 5, "batch_size": 16, "learning_rate": 1e-6, "patience": None},
}
RATE = {"learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}


def test_a_real_search_finds_better_than_the_candidates_own_settings(study: Study, tmp_path: Path) -> None:
    method = parse_method_config(ADAPTER)
    config = SearchConfig(
        candidate="adapter", fields={"training": RATE, "ratios": [[0.2], [0.8]]}, trials=10, select_by="log_loss"
    )
    context = replace(study.context(), manifest=replace(study.manifest, root="/nowhere"))  # nothing is encoded again
    found = run_search(config, method, context, tmp_path / "a.db")
    own, best = found.trials[found.own], found.trials[found.best]
    assert own.settings == {"training.learning_rate": 1e-6, "ratios": [0.2]}
    assert best.figures["log_loss"] < own.figures["log_loss"] - 0.05
    again = METHODS.get("clip_adapter")(found.applied_to(method)).adapt(study.context(), "adapter")
    assert again.recipe["training"]["learning_rate"] == best.settings["training.learning_rate"]
    assert again.recipe["ratios"] == best.settings["ratios"]
    assert again.history[-1]["log_loss"] == pytest.approx(best.figures["log_loss"], rel=1e-4)


def test_pooled_features_are_used_and_every_trial_has_the_encoder_as_it_came(study: Study, tmp_path: Path) -> None:
    from clip_har.adaptation.projection import embed_pooled

    context = study.context()
    pooled = embed_pooled(study.manifest, context.encoder, batch_size=16)
    context = replace(context, pooled=pooled, manifest=replace(study.manifest, root="/nowhere"))
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "patience": None}
    method = parse_method_config({"method": "projection_tuning", "penalties": [0.01], "training": training})
    config = SearchConfig(candidate="p", fields={"training": {"learning_rate": [0.01, 0.001]}}, trials=2)
    before = context.encoder.image_encoder_hash()
    found = run_search(config, method, context, tmp_path / "p.db")
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    assert context.encoder.image_encoder_hash() == before


def test_the_same_seed_tries_the_same_and_another_seed_tries_others(tmp_path: Path) -> None:
    results = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        results.append(search(tmp_path / str(number), trials=8, seed=seed))
    assert results[0] == results[1]
    assert [t.settings for t in results[2].trials[1:]] != [t.settings for t in results[0].trials[1:]]
    best = results[0].trials[results[0].best]
    assert best.figures["accuracy"] == max(trial.figures["accuracy"] for trial in results[0].trials)


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "hyperband"), ("random", "median"), ("tpe", "none")])
def test_every_sampler_and_pruner_comes_to_its_end(sampler: str, pruner: str, tmp_path: Path) -> None:
    found = search(tmp_path, sampler=sampler, pruner=pruner)
    assert len(found.trials) == 10
    assert len({trial.settings["x"] for trial in found.trials}) == 10
    assert abs(found.settings["x"] - 0.3) < 0.2
    if pruner == "none":
        assert {trial.state for trial in found.trials} == {"complete"}


def test_a_killed_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    expected = search(whole, trials=9)
    command = [sys.executable, "-m", "tests.adaptation.search.toy_search", str(killed), "9"]
    # in a trial, the numbers of fits counting those that were cut off; and when one has ended
    for moment in ("0 1", "4 3", "6 end"):
        done = subprocess.run([*command, moment], cwd=PROJECT, capture_output=True, text=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
    seen: list[int] = []
    found = search(killed, trials=9, on_trial=lambda trial: seen.append(trial.number))
    assert found.trials == expected.trials
    assert found == expected
    assert seen == [6, 7, 8]  # 0 to 5 had been told of; 6 had ended, but its telling was cut off
    times = Counter(fits(killed))
    twice = [line for line, number in times.items() if number == 2]
    assert set(times.values()) <= {1, 2}
    assert len(twice) == 2
    assert set(times) == set(fits(whole))
    seen.clear()
    assert search(killed, trials=10, on_trial=lambda trial: seen.append(trial.number)).trials[:9] == expected.trials
    assert seen == [9]


def test_what_ended_just_before_a_kill_is_told_of_though_nothing_is_left_to_try(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.adaptation.search.toy_search", str(tmp_path), "1", "0 end"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen: list[int] = []
    search(tmp_path, trials=1, on_trial=lambda trial: seen.append(trial.number))
    search(tmp_path, trials=1, on_trial=lambda trial: seen.append(trial.number))
    assert seen == [0]


def test_more_trials_go_on_from_those_there_are(tmp_path: Path) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    few = search(first, trials=6)
    more = search(first, trials=9)
    assert more.trials[:6] == few.trials
    assert more == search(whole, trials=9)
    assert len(fits(first)) == 9
    assert search(first, trials=6).trials == few.trials  # fewer again: as it was
    assert len(fits(first)) == 9


def test_a_hopeless_trial_is_given_up_on_the_way(tmp_path: Path) -> None:
    found = search(tmp_path, trials=14, sampler="random")
    assert {trial.state for trial in found.trials[:4]} == {"complete"}  # there is nothing yet to be compared with
    worst = max(found.trials[4:], key=lambda trial: abs(trial.settings["x"] - 0.3))
    assert worst.state == "pruned"
    assert worst.validations == 4  # of 5; the first three are not judged
    assert worst.figures["accuracy"] == pytest.approx((1 - abs(worst.settings["x"] - 0.3)) * 4 / 5)
    assert found.trials[found.best].validations == 5


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    found = search(tmp_path, fields={"kind": ["good", "broken", "out_of_memory"]}, trials=9)
    by_kind = {trial.settings["kind"]: trial for trial in found.trials}
    assert len(found.trials) == 3  # no more than there are combinations
    assert [by_kind[kind].state for kind in ("good", "broken", "out_of_memory")] == ["complete", "failed", "failed"]
    assert by_kind["broken"].reason == "the loss is not finite"
    assert "can't allocate memory" in by_kind["out_of_memory"].reason
    assert by_kind["broken"].figures == {}
    assert found.summary()["trials"] == {"complete": 1, "pruned": 0, "failed": 2}


def test_a_search_in_which_all_fails_says_of_what(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none of 2 trials .* the loss is not finite"):
        search(tmp_path, method={"kind": "broken"}, trials=2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, TrainingInterrupted])
def test_what_ends_the_search_leaves_the_trial_to_be_done_again(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self, context, name):
        raise error

    expected = tmp_path / "expected"
    expected.mkdir()
    search(tmp_path, trials=2)
    with monkeypatch.context() as broken:
        broken.setattr(Toy, "fit", fit)
        with pytest.raises(error):
            search(tmp_path, trials=4)
    assert search(tmp_path, trials=4) == search(expected, trials=4)


def test_a_small_space_is_tried_whole_and_nothing_twice(tmp_path: Path) -> None:
    found = search(tmp_path, fields={"x": {"low": 0.1, "high": 0.75, "step": 0.2}}, trials=20)
    assert sorted(round(trial.settings["x"], 6) for trial in found.trials) == [0.1, 0.3, 0.5, 0.7]
    assert found.own is None  # 0.9 is out of reach
    assert found.settings["x"] == pytest.approx(0.3)
    assert len(fits(tmp_path)) == 4


def test_time_is_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr("clip_har.adaptation.search.study.monotonic", lambda: next(now))
    assert len(search(tmp_path, trials=50, timeout=45).trials) == 4  # begun after 10, 20, 30 and 40 seconds


def test_importance_names_what_mattered(tmp_path: Path) -> None:
    found = search(tmp_path, fields={"x": {"low": 0.0, "high": 1.0}, "validations": [5, 6]}, trials=9, pruner="none")
    assert set(found.importance) == {"x", "validations"}
    assert found.importance["x"] > 0.8
    assert sum(found.importance.values()) == pytest.approx(1)


def test_two_processes_do_not_share_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clip_har.adaptation.search.study._SECONDS_FOR_ANOTHER", 0.1)
    with exclusive(tmp_path / "toy.db.lock"), pytest.raises(DataError, match="Another process"):
        search(tmp_path)


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy.db").write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(TrainingError, match=r"toy\.db cannot be used"):
        search(tmp_path)


def test_a_result_survives_json(tmp_path: Path) -> None:
    found = search(tmp_path, fields={"x": [0.3, 0.7], "kind": ["good", "broken"]}, trials=4)
    assert SearchResult.model_validate_json(found.model_dump_json()) == found


def test_checkpoints_of_the_candidate_do_not_disturb_trials(study: Study, tmp_path: Path) -> None:
    method = parse_method_config(ADAPTER | {"training": ADAPTER["training"] | {"checkpoint": {}, "epochs": 1}})
    config = SearchConfig(candidate="a", fields={"ratios": [[0.2], [0.8]]}, trials=2)
    found = run_search(config, method, study.context(), tmp_path / "a.db")
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    assert found.applied_to(method).training.checkpoint is not None
