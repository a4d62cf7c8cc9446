"""Prometheus and Grafana: every query asks for metrics that the service has, with labels that they have."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
import yaml

from clip_har.serving.observability.drift import FILE, watch_drift
from clip_har.serving.observability.metrics import ServiceMetrics
from clip_har.storage import write_json
from tests.deploy.reading import DEPLOY, compose

DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "clip-har.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
FROM_PROMETHEUS = {"job", "instance"}


def series() -> dict[str, set[str]]:
    """Name of each time series that the service shows → its labels."""
    metrics = ServiceMetrics()
    metrics.request("rest", "predict", 200, 0.1)
    metrics.stage("decode", 0.1)
    metrics.batch(1)
    metrics.watch_queue(lambda: 1)
    metrics.serving("m", ["running"], role="champion", runtime="onnx")
    metrics.predicted("m", "running", 0.9, True)
    metrics.rejected("too_large")
    metrics.capture_dropped(lambda: 1)
    metrics.reloaded("m", True)
    with tempfile.TemporaryDirectory() as workspace:
        figure = {"value": 0.8}
        check = {"name": "brightness", "verdict": "drift", "statistic": 0.4, "threshold": 0.2}
        found = {"model_id": "m", "checks": [check], "decided": {"state": "watch"}}
        write_json(Path(workspace) / FILE, found | {"accuracy": {"estimated": figure, "measured": figure}})
        watch_drift(metrics, Path(workspace), lambda: "m")
        shown = metrics.render().decode()
    return _series_of(shown)


def _series_of(shown: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in shown.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return found


def wrong_names(query: str, known: dict[str, set[str]]) -> list[str]:
    """What a query names that is not there."""
    wrong = []
    own = known | {"up": set()}
    for name in re.findall(r"\b(?:clip_har_\w+|up)\b", query):
        if name not in own:
            wrong.append(name)
    for name, inside in re.findall(r"\b(clip_har_\w+|up)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
        wrong += sorted(labels - own.get(name, set()) - FROM_PROMETHEUS)
    named = set().union(*(own[name] for name in re.findall(r"\bclip_har_\w+\b", query) if name in own))
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        wrong += sorted({word.strip() for word in grouped.split(",")} - named - FROM_PROMETHEUS)
    for matched in re.findall(r'status=~?"([^"]*)"', query):
        assert re.fullmatch(r"[\d.|]+", matched)
    return wrong


def queries() -> dict[str, str]:
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }
    return panels | {rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", queries())
def test_a_query_asks_for_what_there_is(name: str) -> None:
    assert wrong_names(queries()[name], series()) == []
    assert queries()[name].count("(") == queries()[name].count(")")


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(clip_har_request_total[5m])", ["clip_har_request_total"]),
        ('clip_har_requests_total{code="200"}', ["code"]),
        ("sum by (model) (clip_har_predictions_total)", ["model"]),
    ],
)
def test_a_wrong_query_is_seen(query: str, wrong: list[str]) -> None:
    assert wrong_names(query, series()) == wrong


def test_the_whole_service_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    ours = {re.sub("_(bucket|sum|count|total|created)$", "", name) for name in series() if name.startswith("clip_har_")}
    missing = {name for name in ours - {"clip_har_build_info"} if name not in shown}
    assert not missing


def test_the_dashboard_is_whole() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for query in (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]):
        assert set(re.findall(r"\$(\w+)", query)) <= variables | {"__rate_interval"}
    known = series()
    for variable in DASHBOARD["templating"]["list"]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
        assert label in known[metric] | FROM_PROMETHEUS


def test_grafana_and_prometheus_find_each_other() -> None:
    services = compose()["services"]
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "clip-har.yml").read_text())["providers"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in services["grafana"]["volumes"]}
    folder = DEPLOY / mounted[provider["options"]["path"]]
    assert (folder / "clip-har.json").is_file()
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].endswith("/clip-har.json")
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["service:3000"]}]
    assert f'job="{job["job_name"]}"' in next(rule["expr"] for rule in ALERTS["groups"][0]["rules"])
    mounts = [volume.split(":")[1] for volume in services["prometheus"]["volumes"]]
    assert {f"/etc/prometheus/{name}" for name in (*prometheus["rule_files"], "prometheus.yml")} <= set(mounts)
