"""What all trackers get: the same keys, the same texts, the same run ids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from clip_har.tracking.tracker import RunIdentity, flatten, normalised, normalised_key, plain_params, run_id_of
from clip_har.tracking.trackers import TRACKERS, described, trackers_of


def test_flatten() -> None:
    nested = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": {}}
    assert flatten(nested) == {"a.b": 1, "a.c.d": [1, 2], "e": None, "f": {}}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lora/loss", "lora/loss"),
        ("test.per_class.rock'n'roll (live).f1", "test.per_class.rock_n_roll _live_.f1"),
        ("per_class.使う", "per_class.使う"),
        ("/a//b/", "a/b"),
        ("../a/./b", "__/a/_/b"),
        ("", "_"),
        (" a / b ", "a/b"),
    ],
)
def test_keys_are_such_as_every_tracker_takes(key: str, expected: str) -> None:
    assert normalised_key(key) == expected


def test_long_keys_stay_apart() -> None:
    first, second = (normalised_key("k" * 300 + end) for end in "ab")
    assert len(first) == len(second) == 250
    assert first != second


def test_keys_that_become_alike_get_a_number() -> None:
    assert normalised({"a(b": 1, "a)b": 2, "a_b": 3}) == {"a_b": 1, "a_b_2": 2, "a_b_3": 3}


def test_params_are_json_values_under_flat_keys() -> None:
    given = {"model": {"layers": (1, 2), "path": Path("a/b")}, "none": None, "long": "x" * 9000}
    assert plain_params(given) == {"model.layers": [1, 2], "model.path": "a/b", "none": None, "long": "x" * 6000}


def test_run_ids_are_stable_and_apart() -> None:
    assert run_id_of("train-2026_11_26-09_00_00_123") == "train-2026-11-26-09-00-00-123"
    names = ["使う", "食べる", "a!", "a?", "x" * 200, "x" * 201, "a", "-"]
    ids = [run_id_of(name) for name in names]
    assert len(set(ids)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,95}", identity) for identity in ids)
    assert ids == [run_id_of(name) for name in names]


def test_an_inner_run_names_its_parent() -> None:
    inner = RunIdentity.of("train 1").inner("search trial 3", {"state": "failed"})
    assert (inner.id, inner.name, inner.parent) == ("train-1-search-trial-3", "train 1 search trial 3", "train-1")
    assert inner.tags == {"state": "failed"}


def test_a_flavor_stands_for_its_trackers() -> None:
    settings = {"tracking_uri": "sqlite:///a.db", "project_name": "p"}
    assert list(trackers_of("mlflow", settings)) == ["mlflow"]
    assert list(trackers_of("wandb", settings)) == ["wandb"]
    assert list(trackers_of("dual", settings)) == ["mlflow", "wandb"]
    with pytest.raises(ConfigError, match=r"no experiment tracker 'mlfow'.*'mlflow'"):
        trackers_of("mlfow", settings)


def test_secrets_are_not_written_down() -> None:
    settings = {"tracking_uri": "https://me:pass@host:5000/x", "api_key": "k", "tracking_password": "p", "entity": None}
    (maker,) = trackers_of("mlflow", settings).values()
    assert described(maker) == {"tracking_uri": "https://me@host:5000/x"}
    assert described(lambda: None) == {}


def test_every_registered_tracker_has_all_methods() -> None:
    from clip_har.tracking.tracker import Tracker

    wanted = {name for name in vars(Tracker) if not name.startswith("_")}
    assert len(wanted) == 11
    for name in TRACKERS:
        assert wanted <= set(dir(TRACKERS.get(name)))
