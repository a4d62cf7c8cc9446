"""A hyper-parameter search as people see it: what was found, what was tried, and what mattered."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clip_har.evaluation.plots import search_field, search_history
from clip_har.pages import environment, keep_together


def search_sections(searches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the report's section shows of each search, with its charts as SVG.

    Args:
        searches: as `SearchResult.model_dump(mode="json")` gives them.
    """
    return [_section(search) for search in searches]


def render_search(search: Mapping[str, Any]) -> str:
    """One search as a page of its own."""
    page = environment("clip_har.evaluation").get_template("search.html")
    return keep_together(page.render(search=_section(search)))


def _section(search: Mapping[str, Any]) -> dict[str, Any]:
    config, trials = search["config"], search["trials"]
    select_by, fields = config["select_by"], config["fields"]
    best, own = trials[search["best"]], None if search["own"] is None else trials[search["own"]]
    shown = best["figures"]["accuracy"]
    states = [row["state"] for row in trials]
    return {
        "candidate": config["candidate"],
        "method": search["method"],
        "samples": search["samples"],
        "standard_error": math.sqrt(shown * (1 - shown) / search["samples"]),
        "select_by": select_by,
        "fields": list(fields),
        "importance": dict(sorted(search["importance"].items(), key=lambda item: -item[1])),
        "best": _row(best, search["best"], fields),
        "own": own and _row(own, search["best"], fields),
        "found": {name: _text(best["settings"][name]) for name in fields},
        "counts": {state: states.count(state) for state in ("complete", "pruned", "failed") if state in states},
        "rows": [_row(row, search["best"], fields) for row in trials],
        "charts": [
            search_history(trials, select_by),
            *(search_field(trials, select_by, name, field) for name, field in fields.items()),
        ],
    }


def _row(trial: Mapping[str, Any], best: int, fields: Iterable[str]) -> dict[str, Any]:
    return {
        **{name: trial[name] for name in ("number", "state", "validations", "reason")},
        "is_best": trial["number"] == best,
        "settings": [_text(trial["settings"][name]) for name in fields],
        "accuracy": trial["figures"].get("accuracy"),
        "log_loss": trial["figures"].get("log_loss"),
    }


def _text(value: Any) -> str:
    """A setting as it would be typed, numbers to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
