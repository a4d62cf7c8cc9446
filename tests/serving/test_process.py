"""The real service as processes: its worker killed under load, shut down under load, and with its encoder in a runner."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from clip_har.inference.predictor import Predictor
from clip_har.serving.__main__ import main
from tests.serving.engines import Served, serving_process

httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def photos(served_bundle: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted((served_bundle.parent / "study").rglob("*.jpg"))[::9]][:8]


def predict(client, photo: bytes):
    return client.post("/v1/predict", files={"images": ("photo.jpg", photo, "image/jpeg")})


def worker_of(served: Served) -> psutil.Process:
    children = psutil.Process(served.process.pid).children(recursive=True)
    [worker] = [child for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline())]
    return worker


class Clients:
    """Ask until they are told to end; connection errors are noted, not raised."""

    def __init__(self, served: Served, photos: list[bytes], count: int = 4) -> None:
        self.statuses: list[tuple[float, int | str]] = []
        self.answers: list[dict] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(served, photos), daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, served: Served, photos: list[bytes]) -> None:
        with httpx.Client(base_url=served.rest_url, timeout=30) as client:
            number = 0
            while not self._end.is_set():
                number += 1
                try:
                    answer = predict(client, photos[number % len(photos)])
                except httpx.TransportError as error:
                    self.statuses.append((time.monotonic(), type(error).__name__))
                    time.sleep(0.02)
                    continue
                self.statuses.append((time.monotonic(), answer.status_code))
                if answer.status_code == 200:
                    self.answers.append(answer.json())

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def since(self, moment: float) -> Counter:
        return Counter(status for when, status in self.statuses if when > moment)


def until(condition, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_what_was_captured_is_readable(served_bundle, photos, tmp_path):
    from clip_har.capture.store import CaptureStore

    with serving_process(served_bundle, tmp_path, "serving.capture.flush_seconds=0.4") as served:
        clients = Clients(served, photos)
        until(lambda: len(clients.answers) > 50, 60)
        first = worker_of(served)
        before = list(clients.answers)
        time.sleep(1.5)  # longer than a flush of what is captured
        killed = time.monotonic()
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        until(lambda: clients.since(killed + 0.5)[200] > 20, 60)
        assert worker_of(served).pid != first.pid
        later = time.monotonic()
        until(lambda: clients.since(later)[200] > 20, 60)
        clients.end()
        assert set(clients.since(later)) == {200}
        store = CaptureStore(tmp_path / "workspace" / "capture")
        kept = set(store.predictions().column("id").to_pylist())
        assert {answer["results"][0]["prediction_id"] for answer in before} <= kept
        assert served.log.read_text().count("A process of the service ended, and this one takes its place.") == 1


@pytest.mark.slow
def test_a_shutdown_under_load_breaks_no_accepted_request(served_bundle, photos, tmp_path):
    with serving_process(served_bundle, tmp_path) as served:
        with httpx.Client(base_url=served.rest_url) as client:
            wanted = Predictor.load(served_bundle, "onnx").predict(photos)
            for photo, one in zip(photos, wanted, strict=True):
                result = predict(client, photo).json()["results"][0]
                assert [item["label"] for item in result["labels"]] == list(one.labels)
                assert [item["score"] for item in result["labels"]] == pytest.approx(one.scores, abs=1e-5)
        clients = Clients(served, photos)
        until(lambda: len(clients.answers) > 20, 60)
        os.kill(served.process.pid, signal.SIGTERM)
        assert served.process.wait(60) == 0
        clients.end()
    # Refused connections, and ones that are closed while idle, are no broken answers: what was read was answered, and arrived.
    assert {status for _, status in clients.statuses} <= {200, 503, "ConnectError", "RemoteProtocolError", "ReadError"}
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    said = Counter(line["status"] for line in lines if line.get("operation") == "predict")
    assert set(said) <= {200, 503}
    assert said[200] == len(clients.answers) + len(photos)


@pytest.mark.slow
def test_with_a_runner_the_answers_are_the_same_also_beyond_a_hundred_calls(served_bundle, photos, tmp_path):
    """BentoML's client would close its session after a hundred requests, with calls in flight."""
    wanted = Predictor.load(served_bundle, "onnx").predict(photos)
    with serving_process(served_bundle, tmp_path, "serving.encoder=runner", "serving.max_latency_ms=5000") as served:
        with httpx.Client(base_url=served.rest_url, timeout=30) as client, ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda photo: predict(client, photo), photos * 32))
            metrics = client.get("/metrics").text
        assert Counter(answer.status_code for answer in answers) == {200: len(photos) * 32}
        for place, answer in enumerate(answers):
            one = wanted[place % len(photos)]
            result = answer.json()["results"][0]
            assert [item["score"] for item in result["labels"]] == pytest.approx(one.scores, abs=1e-5)
        batches = {
            line.split()[0]: float(line.split()[1])
            for line in metrics.splitlines()
            if "batch_size" in line and "#" not in line
        }
        assert batches["clip_har_batch_size_sum"] > batches["clip_har_batch_size_count"]  # some were together


def test_a_public_address_without_keys_is_refused(served_bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        assert main(["--bundle", str(served_bundle), "--host", "0.0.0.0"]) == 2
    assert "no API key is wanted" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(served_bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken, monkeypatch.context() as patch:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        patch.setattr(os, "environ", dict(os.environ))
        assert main(["--bundle", str(served_bundle), "--port", str(taken.getsockname()[1])]) == 2
    assert "Set serving.port to another one" in capsys.readouterr().err


def test_a_port_of_grpc_that_is_taken_is_said_before_anything_starts(served_bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken, monkeypatch.context() as patch:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        patch.setattr(os, "environ", dict(os.environ))
        setting = f"serving.grpc.port={taken.getsockname()[1]}"
        assert main(["--bundle", str(served_bundle), "--port", "0", "--set", setting]) == 2
    assert "Set serving.grpc.port to another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "nowhere"], "nowhere does not exist"),
        (["--set", "serving.queue.max_wating=3"], "Did you mean 'max_waiting'?"),
        (["--set", "serving.queue.max_waiting=none"], "queue.max_waiting"),
        (["--set", "max_waiting"], "wanted: serving.key=value"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--set", "serving.grpc.tls_certificate=server.crt"], "without grpc.tls_key"),
        (["--workspace", "empty", "--outputs", "none"], "no bundle yet"),
    ],
)
def test_mistakes_are_said_and_nothing_is_started(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", {"PATH": ""})
        assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_settings_come_from_file_then_environment(tmp_path):
    from clip_har.serving.settings import load_settings

    file = tmp_path / "run.yaml"
    file.write_text(json.dumps({"seed": 1, "serving": {"port": 8080, "queue": {"max_waiting": 7, "drain_seconds": 3}}}))
    environment = {
        "CLIP_HAR_SERVING": str(file),
        "CLIP_HAR_SERVING__QUEUE__MAX_WAITING": "9",
        "CLIP_HAR_SERVING__SECURITY__CORS_ORIGINS": "[https://a.example]",
        "CLIP_HAR_SERVING__CAPTURE__RETENTION_DAYS": "null",
    }
    found = load_settings(environment, tmp_path)
    assert (found.port, found.queue.max_waiting, found.queue.drain_seconds) == (8080, 9, 3)
    assert found.security.cors_origins == ("https://a.example",)
    assert found.capture.retention_days is None


def test_a_bentos_own_bundle_and_settings_are_found(served_bundle, tmp_path, monkeypatch):
    from clip_har.serving.settings import find_source, load_settings

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "bundle").symlink_to(served_bundle)
    (tmp_path / "src" / "serving.yaml").write_text("port: 1234\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).port == 1234
    assert find_source({}).bundle == tmp_path / "src" / "bundle"


@pytest.mark.slow
def test_what_only_the_process_finds_out_ends_the_service_with_code_2(served_bundle, tmp_path):
    """A collector's address without the package that exports to it; nobody starts the process again and again."""
    with suppress(ImportError):
        importlib.import_module("opentelemetry.exporter.otlp.proto.http")
        pytest.skip("the exporter is installed here")
    setting = "serving.observability.tracing_endpoint=http://127.0.0.1:4318/v1/traces"
    command = [
        sys.executable,
        "-m",
        "clip_har.serving",
        "--bundle",
        str(served_bundle),
        "--port",
        "0",
        "--set",
        setting,
    ]
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "CLIP_HAR_SERVING__GRPC__PORT": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "opentelemetry-exporter-otlp-proto-http" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
