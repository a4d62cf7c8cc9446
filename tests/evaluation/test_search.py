"""A search as a page: what was found, what was tried, and charts that ask nothing of any server."""

from __future__ import annotations

import copy
import re
from typing import Any

from clip_har.evaluation.search import render_search, search_sections
from tests.self_contained import requests_of

SEARCH: dict[str, Any] = {
    "method": "clip_adapter",
    "config": {
        "candidate": "adapter",
        "select_by": "accuracy",
        "fields": {
            "training.learning_rate": {"low": 1e-4, "high": 1.0, "log": True, "step": None, "choices": None},
            "prompts": {"low": None, "high": None, "log": False, "step": None, "choices": ["single", "<b>ensemble"]},
        },
    },
    "trials": [
        {
            "number": number,
            "state": state,
            "settings": {"prompts": prompts, "training.learning_rate": rate},
            "figures": figures,
            "validations": 3,
            "reason": reason,
        }
        for number, (state, prompts, rate, figures, reason) in enumerate(
            [
                ("complete", "single", 1e-3, {"accuracy": 0.5, "log_loss": 1.5}, ""),
                ("complete", "<b>ensemble", 0.0123456, {"accuracy": 0.75, "log_loss": 0.8}, ""),
                ("pruned", "single", 1e-4, {"accuracy": 0.25, "log_loss": 2.0}, ""),
                ("failed", "single", 1.0, {}, "the loss <is> not finite"),
            ]
        )
    ],
    "best": 1,
    "own": 0,
    "importance": {"prompts": 0.2, "training.learning_rate": 0.8},
    "samples": 40,
}


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_the_page_says_what_was_found() -> None:
    page = render_search(SEARCH)
    said = text_of(page)
    assert "4 trials on the 40 photographs of the validation split: 2 complete, 1 pruned, 1 failed." in said
    assert "training.learning_rate: 0.01235 , prompts: &lt;b&gt;ensemble" in said
    assert "Accuracy 75.0 % and log-loss 0.800, against 50.0 % and 1.500" in said
    assert "accuracy on so many photographs is 6.8 points" in said
    assert said.index("training.learning_rate 80") < said.index("prompts 20")
    assert "failed the loss &lt;is&gt; not finite" in said
    assert "<b>ensemble" not in page
    assert requests_of(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)) == []


def test_one_chart_of_the_history_and_one_for_each_field() -> None:
    (section,) = search_sections([SEARCH])
    assert len(section["charts"]) == 3
    history, rate, prompts = section["charts"]
    assert ">trial<" in history
    assert ">training.learning_rate<" in rate
    assert ">single<" in prompts
    for chart in section["charts"]:
        assert chart.startswith("<svg")
        assert "#010206" not in chart
        assert set(re.findall(r"https?://[^\"]*", chart)) <= {"http://www.w3.org/2000/svg"}
        assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", chart))


def test_own_settings_out_of_reach_or_best() -> None:
    other = copy.deepcopy(SEARCH) | {"own": None}
    assert "own settings lie outside" in text_of(render_search(other))
    assert "nothing better was found" in text_of(render_search(SEARCH | {"best": 0}))


def test_losses_are_shown_where_they_decide() -> None:
    by_loss = copy.deepcopy(SEARCH)
    by_loss["config"]["select_by"] = "log_loss"
    (section,) = search_sections([by_loss])
    assert "log-loss on validation" in section["charts"][0]
