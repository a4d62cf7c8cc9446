"""What /metrics tells, in a form that Prometheus' own parser reads, and that nobody can blow up."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from clip_har.errors import ConfigError
from clip_har.serving.observability.drift import watch_drift
from clip_har.serving.observability.metrics import ServiceMetrics
from clip_har.serving.observability.sharing import Snapshots, folder_of_siblings


def samples(metrics: ServiceMetrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Name of a sample → values of its labels, by the labels' names → value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(v for _, v in sorted(sample.labels.items()))] = sample.value
    return found


def answer_one(metrics: ServiceMetrics, label: str = "running") -> None:
    """What the hot path does for a request of one picture."""
    for stage in ("decode", "queue", "encode", "head"):
        metrics.stage(stage, 0.004)
    metrics.batch(3)
    metrics.predicted("m1", label, 0.72, False)
    metrics.request("rest", "predict", 200, 0.02)


@pytest.fixture
def metrics() -> ServiceMetrics:
    made = ServiceMetrics()
    made.serving("m1", ("running", "sitting"), role="champion", runtime="onnx-int8", name="clip-har")
    return made


def test_a_request_is_counted_and_timed_by_stage(metrics: ServiceMetrics) -> None:
    answer_one(metrics)
    answer_one(metrics, "sitting")
    metrics.predicted("m1", "sitting", 0.31, True)
    found = samples(metrics)
    assert found["clip_har_requests_total"] == {("predict", "200", "rest"): 2}
    assert found["clip_har_predictions_total"] == {("running", "m1"): 1, ("sitting", "m1"): 2}
    assert found["clip_har_abstentions_total"] == {("m1",): 1}
    assert {stage for (stage,) in found["clip_har_stage_seconds_count"]} == {"decode", "queue", "encode", "head"}
    assert found["clip_har_stage_seconds_sum"]["encode",] == pytest.approx(0.008)
    buckets = found["clip_har_stage_seconds_bucket"]
    assert buckets["0.0025", "encode"] == 0
    assert buckets["0.005", "encode"] == buckets["+Inf", "encode"] == 2
    assert found["clip_har_request_seconds_count"]["predict", "rest"] == 2
    assert found["clip_har_batch_size_bucket"]["2.0",] == 0
    assert found["clip_har_batch_size_bucket"]["4.0",] == 2
    assert found["clip_har_confidence_bucket"]["0.4", "m1"] == 1
    assert found["clip_har_confidence_count"]["m1",] == 3
    assert found["clip_har_model_info"] == {("m1", "clip-har", "champion", "onnx-int8"): 1}
    assert list(found["clip_har_build_info"].values()) == [1]
    assert found["process_resident_memory_bytes"]


def test_a_value_on_a_bound_is_in_its_bucket(metrics: ServiceMetrics) -> None:
    metrics.stage("encode", 0.005)
    metrics.stage("encode", 1e9)
    found = samples(metrics)["clip_har_stage_seconds_bucket"]
    assert found["0.0025", "encode"] == 0
    assert found["0.005", "encode"] == found["30.0", "encode"] == 1
    assert found["+Inf", "encode"] == 2


def test_what_others_keep_is_read_when_it_is_asked_for(metrics: ServiceMetrics) -> None:
    state = {"depth": 3, "dropped": 7}
    metrics.watch_queue(lambda: state["depth"])
    metrics.capture_dropped(lambda: state["dropped"])
    assert samples(metrics)["clip_har_queue_depth"] == {(): 3}
    state |= {"depth": 0, "dropped": 9}
    found = samples(metrics)
    assert found["clip_har_queue_depth"] == {(): 0}
    assert found["clip_har_capture_dropped_total"] == {(): 9}


def test_rejections_and_reloads_by_reason(metrics: ServiceMetrics) -> None:
    metrics.rejected("too_many_requests")
    metrics.rejected("too_many_pixels")
    metrics.rejected("too_many_requests")
    metrics.reloaded("m2", True)
    metrics.reloaded("m3", False)
    found = samples(metrics)
    assert found["clip_har_rejections_total"] == {("too_many_requests",): 2, ("too_many_pixels",): 1}
    assert found["clip_har_reloads_total"] == {("m2", "ok"): 1, ("m3", "failed"): 1}


def test_a_reload_changes_which_model_is_served(metrics: ServiceMetrics) -> None:
    metrics.serving("m9", ("running",), role="challenger", runtime="onnx-int8")
    metrics.serving("m2", ("running",), role="champion", runtime="onnx-fp32")
    assert {row[0] for row in samples(metrics)["clip_har_model_info"]} == {"m2", "m9"}
    metrics.not_serving("challenger")
    assert {row[0] for row in samples(metrics)["clip_har_model_info"]} == {"m2"}
    metrics.predicted("m1", "running", 0.5, False)  # begun before the change
    assert samples(metrics)["clip_har_predictions_total"] == {("running", "m1"): 1}


def test_after_many_reloads_the_newest_models_are_told_apart(metrics: ServiceMetrics) -> None:
    for day in range(100):
        metrics.serving(f"day {day}", ("running",), role="champion", runtime="onnx")
        metrics.reloaded(f"day {day}", True)
        metrics.predicted(f"day {day}", "running", 0.9, True)
        metrics.reloaded(f"broken {day}", False)
    found = samples(metrics)
    newest = {f"day {day}" for day in range(84, 100)}
    for name in ("predictions_total", "confidence_count", "abstentions_total"):
        assert {model for labels in found[f"clip_har_{name}"] for model in labels} - {"running"} == newest
    assert {model for model, outcome in found["clip_har_reloads_total"] if outcome == "ok"} == newest
    assert found["clip_har_reloads_total"]["other", "failed"] == 84


def test_labels_of_the_callers_own_are_one_series(metrics: ServiceMetrics) -> None:
    for number in range(5000):
        metrics.predicted("m1", f'made up {number}\n"}} x', 0.5, False)
    assert samples(metrics)["clip_har_predictions_total"] == {("other", "m1"): 5000}


def test_no_label_value_can_become_many(metrics: ServiceMetrics) -> None:
    for number in range(1000):
        metrics.request(f"surface {number}", f"operation {number}", 200 + number, 0.1)
        metrics.rejected(f"reason {number}")
        metrics.stage(f"stage {number}", 0.1)
        metrics.predicted(f"model {number}", "running", 0.1, True)
        metrics.reloaded(f"model {number}", True)
        metrics.serving(f"model {number}", ("running",), role="champion", runtime="onnx")
    found = samples(metrics)
    for name in ("requests_total", "rejections_total", "stage_seconds_count", "predictions_total", "reloads_total"):
        assert len(found[f"clip_har_{name}"]) <= 130, name
    assert sum(samples(metrics)["clip_har_requests_total"].values()) == 1000


def test_a_confidence_that_is_no_number_does_not_spoil_the_sum(metrics: ServiceMetrics) -> None:
    metrics.predicted("m1", "running", float("nan"), False)
    metrics.predicted("m1", "running", 0.5, False)
    assert samples(metrics)["clip_har_confidence_sum"]["m1",] == 0.5


def test_a_gauge_for_what_watches_from_outside(metrics: ServiceMetrics) -> None:
    drift = metrics.gauge("clip_har_drift_share", "Share of features that drifted.", ("feature",))
    drift.set(0.25, ("embedding",))
    assert metrics.gauge("clip_har_drift_share", "again", ("feature",)) is drift
    assert samples(metrics)["clip_har_drift_share"] == {("embedding",): 0.25}
    for name, labels in (("drift", ()), ("clip_har_x y", ()), ("clip_har_drift_share", ()), ("clip_har_requests", ())):
        with pytest.raises(ConfigError, match="metric"):
            metrics.gauge(name, "", labels)


def test_a_registry_of_the_callers_own_is_used() -> None:
    registry = CollectorRegistry()
    ServiceMetrics(registry).batch(1)
    assert registry.get_sample_value("clip_har_batch_size_count") == 1


def test_several_services_in_one_process_do_not_mix() -> None:
    first, second = ServiceMetrics(), ServiceMetrics()
    first.batch(1)
    assert "clip_har_batch_size_count" not in samples(second)


def test_bentomls_shared_folder_is_not_used(tmp_path: Path) -> None:
    """As under `bentoml serve`, which empties that folder whenever a service starts on the machine."""
    code = (
        "from clip_har.serving.observability.metrics import ServiceMetrics\n"
        "m = ServiceMetrics(); m.batch(1); m.watch_queue(lambda: 4)\n"
        "text = m.render().decode()\n"
        "assert 'clip_har_batch_size_count 1.0' in text and 'clip_har_queue_depth 4.0' in text, text\n"
    )
    import subprocess
    import sys

    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert not list(tmp_path.iterdir())


def test_counting_from_many_threads_loses_nothing(metrics: ServiceMetrics) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [answer_one(metrics) for _ in range(200)], range(8)))
    found = samples(metrics)
    assert found["clip_har_requests_total"] == {("predict", "200", "rest"): 1600}
    assert found["clip_har_stage_seconds_count"]["encode",] == 1600


def test_the_hot_path_is_cheap(metrics: ServiceMetrics) -> None:
    """All of a request's metrics cost less than hashing a 300 kB body: about 15 µs on the machine that this was written on."""
    import hashlib

    def shortest(action: object, times: int = 200) -> float:
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            action()
            taken.append(time.perf_counter() - began)
        return min(taken)

    body = bytes(300_000)
    assert shortest(lambda: answer_one(metrics)) < shortest(lambda: hashlib.sha256(body).digest())


# --- several processes ---


def _worker(folder: str, requests: int, done: object, leave: object) -> None:
    metrics = ServiceMetrics()
    metrics.share(folder, interval=0.05)
    metrics.watch_queue(lambda: 5)
    for _ in range(requests):
        metrics.request("rest", "predict", 200, 0.01)
    time.sleep(0.2)
    done.set()
    leave.wait(30)
    metrics.close()


def test_any_of_several_workers_tells_the_sum(tmp_path: Path) -> None:
    """And a worker that was killed takes nothing of what it had counted with it, except its place in the queue."""
    spawn = multiprocessing.get_context("spawn")
    done, leave = spawn.Event(), spawn.Event()
    worker = spawn.Process(target=_worker, args=(str(tmp_path), 30, done, leave))
    worker.start()
    metrics = ServiceMetrics()
    metrics.share(tmp_path, interval=0.05)
    metrics.watch_queue(lambda: 2)
    metrics.request("rest", "predict", 200, 0.01)
    assert done.wait(60)
    found = samples(metrics)
    assert found["clip_har_requests_total"] == {("predict", "200", "rest"): 31}
    assert found["clip_har_request_seconds_bucket"]["0.01", "predict", "rest"] == 31
    assert found["clip_har_queue_depth"] == {(): 7}
    assert set(found["clip_har_build_info"].values()) == {1}
    worker.kill()
    worker.join()
    found = samples(metrics)
    assert found["clip_har_requests_total"] == {("predict", "200", "rest"): 31}
    assert found["clip_har_queue_depth"] == {(): 2}
    metrics.close()


def test_what_cannot_be_shared_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counted = {"x": [[[], 1.0]]}
    shared = Snapshots(tmp_path / "shared", lambda: counted, interval=60)
    (tmp_path / "shared").rename(tmp_path / "gone")
    (tmp_path / "shared").write_text("a file where the folder was")
    counted["x"] = [[[], 2.0]]
    shared.close()
    assert "not shared" in caplog.text


def test_siblings_have_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = folder_of_siblings()
    assert folder == folder_of_siblings()
    assert folder.stat().st_mode & 0o077 == 0
    (folder.parent / "999999999-1").mkdir()  # of a service that is gone
    folder_of_siblings()
    assert [one.name for one in folder.parent.iterdir()] == [folder.name]
    folder.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="not this user's alone"):
        folder_of_siblings()


# --- what is written about them ---


def test_the_documents_and_dashboards_know_the_metrics(metrics: ServiceMetrics, tmp_path: Path) -> None:
    """Each metric is in the table of docs/service-operations.md with its labels; no rule or dashboard asks for another."""
    watch_drift(metrics, tmp_path, lambda: None)
    project = Path(__file__).parents[3]
    families = {family.name: family for family in metrics.collect()}
    exposed = {f"{name}_total" if family.type == "counter" else name for name, family in families.items()}
    table = re.findall(r"^\| `(clip_har_\w+)` \|([^|]*)\|", (project / "docs/service-operations.md").read_text(), re.M)
    assert {name for name, _ in table} == exposed
    for name, labels in table:
        family = families[name.removesuffix("_total")]
        assert [label.strip() for label in labels.split(",") if label.strip()] == list(family._labelnames), name
    for folder in ("deploy/prometheus", "deploy/grafana"):
        for file in (project / folder).rglob("*.*"):
            for used in re.findall(r"clip_har_[a-z_]+", file.read_text(encoding="utf-8")):
                assert used in exposed or re.sub("_(bucket|sum|count)$", "", used) in exposed, f"{file.name}: {used}"
