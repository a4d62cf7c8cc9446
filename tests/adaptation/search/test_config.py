"""What is searched for is checked against the candidate's own config before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from clip_har.adaptation import parse_method_config
from clip_har.adaptation.search import SearchConfig, check_search, read_searches, with_settings
from clip_har.adaptation.search.config import setting_of
from clip_har.config import load_config
from clip_har.errors import ConfigError

CANDIDATES = {
    "adapter": parse_method_config({"method": "clip_adapter"}),
    "lora": parse_method_config({"method": "lora"}),
    "tuned": parse_method_config({"method": "projection_tuning"}),
}


def check(fields: dict[str, Any], candidate: Any = "lora", **more: Any) -> tuple[SearchConfig, ...]:
    searches = read_searches({"candidate": candidate, "fields": fields, **more})
    for search in searches:
        check_search(search, CANDIDATES)
    return searches


@pytest.mark.parametrize(
    ("candidate", "fields", "words"),
    [
        ("loras", {"rank": [2, 4]}, ["search.candidate", "'loras'", "'lora'"]),
        ("lora", {"rnk": [2, 4]}, ["search.fields.rnk: unknown field", "'rank'"]),
        ("lora", {"training": {"learning_rat": [1, 2]}}, ["training.learning_rat: unknown", "training.learning_rate"]),
        (
            "lora",
            {"training.learning_rat": {"low": 1, "high": 2}},
            ["learning_rat: unknown", "'training.learning_rate'"],
        ),
        ("lora", {"method": ["lora", "coop"]}, ["search.fields.method", "variants"]),
        ("adapter", {"preset": ["cpu", "published"]}, ["search.fields.preset", "variants"]),
        ("lora", {"rank": {"low": 1, "high": 4, "sep": 1}}, ["search.fields.rank", "'sep'", "'step'"]),
        ("lora", {"rank": [0, 4]}, ["rank.choices.0: lora refuses it", "greater than or equal to 1", "got 0"]),
        ("lora", {"rank": {"low": 0, "high": 4}}, ["rank.low: lora refuses it", "greater than or equal to 1"]),
        ("lora", {"dropout": {"low": 0, "high": 1}}, ["dropout.high: lora refuses it", "less than 1", "got 1"]),
        ("lora", {"rank": {"low": 1.5, "high": 3}}, ["rank.low: lora refuses it", "integer"]),
        ("lora", {"rank": {"low": 1, "high": 3, "step": 0.5}}, ["search.fields.rank: whole numbers are wanted"]),
        ("lora", {"rank": {"low": 4, "high": 3}}, ["low must be below high", "4 and 3"]),
        ("lora", {"rank": {"low": 4}}, ["search.fields.rank: wanted: low and high, or choices"]),
        ("lora", {"rank": 4}, ["search.fields.rank: wanted:", "got 4"]),
        ("lora", {"rank": [4]}, ["at least two choices"]),
        ("lora", {"rank": [4, 4]}, ["no two the same"]),
        ("lora", {"rank": {"choices": [2, 4], "low": 1}}, ["choices stand alone"]),
        ("lora", {"dropout": {"low": 0, "high": 0.5, "log": True}}, ["low must be above 0 for log"]),
        ("lora", {"rank": {"low": 1, "high": 4, "log": True, "step": 1}}, ["log and step do not go together"]),
        ("lora", {"rank": {"low": 1, "high": 4, "step": 9}}, ["step must be at most high - low"]),
        ("lora", {"towers": {"low": 1, "high": 2}}, ["search.fields.towers: lora takes no number", "choices"]),
        ("lora", {"prompts": ["single", "several"]}, ["prompts.choices.1", "'several'"]),
        ("lora", {}, ["search.fields", "at least 1"]),
        (["lora", "adapter"], {"rank": [2, 4]}, ["search.fields.rank: unknown field"]),
        (["lora", "lora"], {"rank": [2, 4]}, ["two searches for 'lora'"]),
    ],
)
def test_mistakes_are_named(candidate: Any, fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(fields, candidate)
    for word in words:
        assert word in str(caught.value), caught.value


def test_unknown_keys_and_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"search\.trails: unknown key.*'trials'"):
        check({"rank": [2, 4]}, trails=3)
    with pytest.raises(ConfigError, match=r"search\.sampler.*'tpe' or 'random'"):
        check({"rank": [2, 4]}, sampler="grid")
    with pytest.raises(ConfigError, match=r"search\.1\.pruner"):
        read_searches([{"candidate": "lora", "fields": {"rank": [2, 4]}}, {"candidate": "a", "pruner": "x"}])


def test_fields_may_be_nested_or_dotted_and_several_candidates_named() -> None:
    rate = {"low": 1e-4, "high": 1e-2, "log": True}
    nested, dotted = (
        check(fields, candidate=["lora", "adapter"])
        for fields in ({"training": {"learning_rate": rate}}, {"training.learning_rate": rate})
    )
    assert nested == dotted
    assert [search.candidate for search in nested] == ["lora", "adapter"]
    assert [list(search.fields) for search in nested] == [["training.learning_rate"]] * 2


def test_settings_are_put_where_they_belong() -> None:
    tuned = with_settings(CANDIDATES["tuned"], {"training.learning_rate": 0.5, "wise_ft": None, "penalties": [0.1]})
    assert (tuned.training.learning_rate, tuned.wise_ft, tuned.penalties) == (0.5, None, (0.1,))
    assert tuned.training.max_steps == CANDIDATES["tuned"].training.max_steps  # of the preset
    again = with_settings(tuned, {"wise_ft.alphas": [0.5]})  # below what is not given
    assert again.wise_ft.alphas == (0.5,)
    assert setting_of(again, "wise_ft.alphas") == [0.5]
    assert setting_of(tuned, "wise_ft.alphas") is None


def test_a_run_config_holds_searches_and_is_written_to_be_read_again(tmp_path: Path) -> None:
    whole = {
        "data": {"source": "folder", "path": "photos"},
        "model": {"backbone": "a/b"},
        "adaptation": {"methods": ["zero_shot", "small"], "small": {"method": "lora"}, "coop": {}},
        "search": {"candidate": "small", "fields": {"rank": [2, 4], "training": {"learning_rate": ["1e-3", 0.1]}}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
    config = load_config(tmp_path / "config.yaml", ["search.trials=7"])
    assert [(search.candidate, search.trials) for search in config.search] == [("small", 7)]
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "again.yaml") == config
    with pytest.raises(ConfigError, match=r"search\.candidate: 'coop' is not among adaptation\.methods"):
        load_config(tmp_path / "config.yaml", ["search.candidate=coop", "search.fields={length: [2, 4]}"])
    with pytest.raises(ConfigError, match=r"search\.fields\.rank\.choices\.0"):
        load_config(tmp_path / "config.yaml", ["search.fields.rank=[0, 4]"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole | {"search": None}))
    assert load_config(tmp_path / "config.yaml").search == ()
