"""The real service, with keys: who is let in, what its log and its metrics say afterwards, and what they never say."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from clip_har.serving.security.keys import add_key, remove_key
from tests.serving.engines import serving_process
from tests.tiny_models import colour_photos

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def ask(url: str, key: str | None = None, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of an answer."""
    headers = {"traceparent": TRACEPARENT, "content-type": "application/json"} | ({"x-api-key": key} if key else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


@pytest.mark.slow
def test_keys_logs_metrics_and_traces_of_a_running_service(served_bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    camera, limited = add_key(keys, "camera"), add_key(keys, "limited", rate=0.001, burst=1)
    photo = next(iter(colour_photos(tmp_path / "photos", ("running",), 1).rglob("*.jpg"))).read_bytes()
    encoded = base64.b64encode(photo).decode()
    body = json.dumps({"images": [encoded]}).encode()
    sets = (f"serving.security.keys_file={keys}", "serving.observability.tracing_endpoint=console")
    with serving_process(served_bundle, tmp_path, *sets) as served:
        predict, metrics = f"{served.rest_url}/v1/predict", f"{served.rest_url}/metrics"
        assert ask(predict, None, body)[0] == 401
        assert ask(predict, "chk_" + "x" * 43, body)[0] == 401
        assert ask(metrics)[0] == 401
        status, headers, content = ask(predict, camera, body)
        assert status == 200, content
        assert headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
        model = json.loads(content)["model_id"]
        assert ask(predict, limited, body)[0] == 200
        status, headers, _ = ask(predict, limited, body)
        assert (status, int(headers["retry-after"])) == (429, pytest.approx(1000, abs=10))

        status, _, text = ask(metrics, camera)
        lines = text.decode().splitlines()
        assert status == 200
        assert 'clip_har_requests_total{operation="predict",status="200",surface="rest"} 2.0' in lines
        assert 'clip_har_requests_total{operation="predict",status="401",surface="rest"} 2.0' in lines
        assert 'clip_har_rejections_total{reason="too_many_requests"} 1.0' in lines
        assert any(line.startswith("clip_har_predictions_total{") and model in line for line in lines)
        for stage in ("decode", "queue", "encode", "head"):
            assert any(line.startswith(f'clip_har_stage_seconds_count{{stage="{stage}"}} 2') for line in lines), stage

        remove_key(keys, "camera")
        time.sleep(1.1)
        assert ask(predict, camera, body)[0] == 401

    written = served.log.read_text()
    events = [json.loads(line) for line in written.splitlines() if line.startswith('{"time"')]
    requests = [event for event in events if event["event"] == "request" and event.get("operation") == "predict"]
    assert [event["status"] for event in requests] == [401, 401, 200, 200, 429, 401]
    assert [event.get("caller") for event in requests] == [None, None, "camera", "limited", None, None]
    assert all(event["request_id"] and event["trace_id"] == TRACEPARENT.split("-")[1] for event in requests)
    spans = [json.loads(line) for line in written.splitlines() if line.startswith('{"name"')]
    (encode, _) = [span for span in spans if span["name"] == "encode"]
    assert encode["context"]["trace_id"] == f"0x{TRACEPARENT.split('-')[1]}"
    for secret in (camera, limited, camera[4:], encoded[:64]):
        assert secret not in written
