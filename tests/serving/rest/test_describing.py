"""What the service says of itself: model, labels, reports, health, metrics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clip_har.evaluation.evaluate import EVALUATION_FILE
from clip_har.models.bundle import ModelBundle
from clip_har.serving.errors import NotFound
from clip_har.serving.rest.reports import ReportShelf
from clip_har.serving.schemas import LabelsResponse, ModelResponse, Problem, ReportResponse, ReportsResponse
from clip_har.storage import write_json
from tests.serving.engines import run
from tests.serving.rest.service import RestService, rest_service
from tests.serving.rest.stand_in import StandInEngine, ask
from tests.serving.rest.test_gateway import app_of


def test_the_model_says_what_it_is(client: httpx.Client, served_bundle: Path) -> None:
    bundle = ModelBundle.load(served_bundle)
    told = ModelResponse.model_validate_json(client.get("/v1/model").content)
    assert told.model_id == bundle.model_id
    assert (told.data.revision, told.data.hash) == (bundle.info.data_revision, bundle.info.data_hash)
    assert told.metrics == bundle.info.metrics
    assert told.runtime == "onnx"
    assert told.role == "packaged"
    assert told.open_vocabulary.word == bundle.info.open_vocabulary.word
    assert told.calibration.temperature == bundle.calibration.temperature
    assert told.calibration.coverages
    assert (told.input.height, told.input.width, told.embedding_dimensions) == (32, 32, 16)


def test_labels_are_in_the_order_of_the_scores(client: httpx.Client, served_bundle: Path) -> None:
    told = LabelsResponse.model_validate_json(client.get("/v1/labels").content)
    assert tuple(told.labels) == ModelBundle.load(served_bundle).labels


def test_live_is_not_ready() -> None:
    async def go() -> None:
        engine = StandInEngine()
        engine.ready = False
        app = app_of(engine)
        for path in ("/livez", "/healthz", "/v2/health/live"):
            assert (await ask(app, "GET", path)).json() == {"live": True}
        for path in ("/readyz", "/v2/health/ready", "/v2/models/clip-har/ready"):
            refused = await ask(app, "GET", path)
            assert refused.status == 503
            assert Problem.model_validate_json(refused.body).detail == "The model is being loaded."
        engine.ready = True
        for path in ("/readyz", "/v2/health/ready"):
            assert (await ask(app, "GET", path)).json() == {"ready": True}

    run(go())


def test_a_browser_finds_the_reference(client: httpx.Client) -> None:
    answer = client.get("/", follow_redirects=True)
    assert str(answer.url).endswith("/docs")
    assert answer.status_code == 200
    assert "POST" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_metrics_are_prometheus_text(client: httpx.Client) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client.get("/v1/labels")
    client.get("/v1/a-path-of-a-caller")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    operations = {sample.labels.get("operation") for sample in families["clip_har_requests"].samples}
    assert {"labels", "unknown"} <= operations
    assert "a-path-of-a-caller" not in answer.text


# --- reports ---


def published_run(folder: Path, bundle: ModelBundle, *, started: str, accuracy: float) -> None:
    """What a run of `train` leaves, as far as reports go."""
    row = {"split": "test", "accuracy": {"value": accuracy}}
    write_json(
        folder / "metrics.json",
        {"test": row, "validation": {"winner": "lora", "lora": {"accuracy": {"value": accuracy}}}, "export": {}},
    )
    write_json(folder / "run.json", {"model_id": bundle.model_id, "started": started})
    write_json(folder / "export_report.json", {"decision": "accepted"})
    write_json(folder / EVALUATION_FILE, {"model_id": bundle.model_id, "confusion": [[round(100 * accuracy)]]})
    (folder / "report.html").write_text(f"<h1>accuracy {accuracy}</h1>")


@pytest.fixture
def shelf(served_bundle: Path, tmp_path: Path) -> tuple[ReportShelf, ModelBundle, Path]:
    """A model that was trained twice, a run of another model, and a drift report."""
    bundle = ModelBundle.load(shutil.copytree(served_bundle, tmp_path / "bundle"))
    outputs, workspace = tmp_path / "outputs", tmp_path / "workspace"
    published_run(outputs / "a", bundle, started="2026-01-02", accuracy=0.9)
    published_run(outputs / "b", bundle, started="2026-01-01", accuracy=0.8)
    published_run(outputs / "c", bundle, started="2026-01-03", accuracy=0.1)
    write_json(outputs / "c" / "run.json", {"model_id": "another", "started": "2026-01-03"})
    (outputs / "d").mkdir()
    (outputs / "d" / "run.json").write_text("no JSON")
    write_json(workspace / "reports" / "drift.json", {"verdict": "no drift"})
    (workspace / "reports" / "drift.html").write_text("<h1>drift</h1>")
    (workspace / "reports" / "Not A Name.json").write_text("{}")
    return ReportShelf(workspace, outputs), bundle, tmp_path


def test_reports_are_those_of_the_model_the_newest_first(shelf: tuple[ReportShelf, ModelBundle, Path]) -> None:
    found, bundle, _ = shelf
    assert {(entry.name, entry.source, *sorted(entry.files)) for entry in found.entries(bundle)} == {
        ("drift", "workspace", "html", "json"),
        ("evaluation", "a", "html", "json"),
        ("evaluation_details", "a", "json"),
        ("export", "a", "json"),
        ("leaderboard", "a", "html", "json"),
    }
    assert found.read(bundle, "leaderboard")[2] == {"winner": "lora", "lora": {"accuracy": {"value": 0.9}}}
    assert found.read(bundle, "evaluation", "html")[2] == b"<h1>accuracy 0.9</h1>"
    assert found.read(bundle, "evaluation")[2]["test"]["accuracy"]["value"] == 0.9
    assert found.read(bundle, "evaluation_details")[2]["confusion"] == [[90]]
    for name, wanted in (("nothing", None), ("export", "html"), ("../a/run", None), ("drift\0", None)):
        with pytest.raises(NotFound):
            found.read(bundle, name, wanted)


def test_a_bundle_carries_its_reports_elsewhere(shelf: tuple[ReportShelf, ModelBundle, Path]) -> None:
    found, bundle, folder = shelf
    bundle.attach("reports", lambda place: found.pack(bundle, place) and None)
    alone = ModelBundle.load(shutil.copytree(bundle.path, folder / "elsewhere" / "bundle"))
    packed = ReportShelf()
    assert {(entry.name, entry.source) for entry in packed.entries(alone)} == {
        (name, "bundle") for name in ("drift", "evaluation", "evaluation_details", "export", "leaderboard")
    }
    assert packed.read(alone, "leaderboard")[2]["winner"] == "lora"


def test_a_report_that_was_damaged_is_not_there(shelf: tuple[ReportShelf, ModelBundle, Path]) -> None:
    found, bundle, folder = shelf
    found.entries(bundle)
    (folder / "workspace" / "reports" / "drift.json").write_text('{"cut')
    with pytest.raises(NotFound, match="any more"):
        found.read(bundle, "drift", "json")


@pytest.fixture(scope="module")
def reporting(
    served_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RestService, httpx.Client]]:
    """A service beside a workspace with reports."""
    folder = tmp_path_factory.mktemp("reporting")
    published_run(folder / "outputs" / "a", ModelBundle.load(served_bundle), started="2026", accuracy=0.9)
    with (
        rest_service(served_bundle, shelf=ReportShelf(folder, folder / "outputs")) as service,
        httpx.Client(base_url=service.url) as client,
    ):
        yield service, client


def test_reports_are_listed_and_read(reporting: tuple[RestService, httpx.Client]) -> None:
    service, client = reporting
    listed = ReportsResponse.model_validate_json(client.get("/v1/reports").content)
    assert listed.model_id == service.engine.model().model_id
    assert {entry.name for entry in listed.reports} == {*("leaderboard", "evaluation", "evaluation_details", "export")}
    for entry in listed.reports:
        for kind in entry.formats:
            answer = client.get(f"/v1/reports/{entry.name}", params={"format": kind})
            assert answer.status_code == 200
            if kind == "json":
                told = ReportResponse.model_validate_json(answer.content)
                assert (told.name, told.source) == (entry.name, "a")
            else:
                assert answer.text == "<h1>accuracy 0.9</h1>"
                assert "default-src 'none'" in answer.headers["content-security-policy"]
    browser = client.get("/v1/reports/evaluation", headers={"accept": "text/html,application/xhtml+xml;q=0.9"})
    assert browser.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/v1/reports/evaluation").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/reports/leaderbord", 404, "Did you mean 'leaderboard'"),
        ("/v1/reports/export?format=html", 404, "json only"),
        ("/v1/reports/export?format=pdf", 422, "json"),
        ("/v1/reports/..%2F..%2Fetc%2Fpasswd", 404, "nothing at"),
        ("/v1/reports/%00", 404, "no report"),
        ("/v1/reports/" + "x" * 3000, 404, "no report"),
    ],
)
def test_reports_that_are_not_there(
    reporting: tuple[RestService, httpx.Client], path: str, status: int, said: str
) -> None:
    answer = reporting[1].get(path)
    assert answer.status_code == status
    assert said in Problem.model_validate_json(answer.content).detail
    assert len(json.dumps(answer.json())) < 1500
