"""Alerts: what is sent, when, and that no failure of the other side, and no address, gets out."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clip_har.monitoring import alerts
from clip_har.monitoring.alerts import alert, alert_of_retraining, message
from clip_har.monitoring.config import AlertConfig
from clip_har.monitoring.history import Retraining
from clip_har.monitoring.report import Decided, DriftReport
from tests.monitoring.reports import accuracy, drift_report

SECRET = "T00000000/B0000/verysecret"


class Channel:
    """A webhook on this machine: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.answers: list[int] = []
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                channel.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(channel.answers.pop(0) if channel.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                channel.got.append({"method": "GET"})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setattr(alerts, "_PAUSE_SECONDS", 0.01)
    made = Channel()
    monkeypatch.setenv("CLIP_HAR_WEBHOOK", made.address)
    yield made
    made.server.shutdown()
    made.server.server_close()


def decided(state: str = "watch", before: str | None = "ok", *, alarm: bool = True, **more) -> DriftReport:
    report = drift_report(alarm=alarm, first="2026-11-01T08:00:00+00:00", last="2026-11-02T08:00:00+00:00", **more)
    return report.model_copy(update={"decided": Decided(state=state, before=before, reasons=("1 window.",))})


def test_what_slack_is_told(channel: Channel) -> None:
    report = decided(
        "retrain", "watch", accuracy=accuracy(0.9, estimated=0.7), changed_since="2026-11-01T20:00:00+00:00"
    )
    outcome = alert(report, AlertConfig(), {"report": "outputs/run/report.html"})
    assert outcome.status == "sent"
    (sent,) = channel.got
    assert set(sent) == {"text", "blocks"}
    assert "watch → retrain" in sent["text"]
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "section", "section", "context"]
    told = json.dumps(sent, ensure_ascii=False)
    for wanted in (
        *("Pictures are darker", "&lt;on average&gt;", "2026-11-01T20:00:00", "70.0 % (68.0 to 72.0)"),
        *("outputs/run/report.html", "mmmmmmmmmmmm", "200 pictures", "Brightness"),
    ):
        assert wanted in told
    assert "<on average>" not in told


def test_it_keeps_within_what_slack_takes() -> None:
    long = decided().model_copy(update={"said": ("x" * 5000,), "method": "m" * 300})
    for block in message(long, {f"link {number}": "y" * 500 for number in range(20)})["blocks"]:
        texts = (
            [block["text"], *block.get("fields", ())] if "text" in block else block.get("fields", block.get("elements"))
        )
        limit = 150 if block["type"] == "header" else 3000
        assert all(len(text["text"]) <= limit for text in texts)


@pytest.mark.parametrize(
    ("on", "report", "sent"),
    [
        ("change", decided("watch", "ok"), True),
        ("change", decided("watch", None), True),
        ("change", decided("ok", None, alarm=False), False),
        ("change", decided("watch", "watch"), False),
        ("change", decided("ok", "watch", alarm=False), True),
        ("alarm", decided("watch", "watch"), True),
        ("alarm", decided("ok", "watch", alarm=False), False),
        ("always", decided("ok", "ok", alarm=False), True),
    ],
)
def test_when(channel: Channel, on: str, report: DriftReport, sent: bool) -> None:
    outcome = alert(report, AlertConfig(on=on), {})
    assert outcome.status == ("sent" if sent else "not wanted")
    assert len(channel.got) == sent


@pytest.mark.parametrize(
    ("answers", "status", "tries"),
    [
        ([500], "sent", 2),
        ([429], "sent", 2),
        ([500, 503], "failed", 2),
        ([404], "failed", 1),
        ([302], "failed", 1),
    ],
)
def test_failures_of_the_webhook(channel: Channel, answers: list[int], status: str, tries: int) -> None:
    channel.answers = list(answers)
    outcome = alert(decided(), AlertConfig(), {})
    assert (outcome.status, len(channel.got)) == (status, tries)
    assert not any("method" in got for got in channel.got), "a redirect is not followed"
    if status == "failed":
        assert str(answers[-1]) in outcome.said


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(alerts, "_PAUSE_SECONDS", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        said = []
        for address in (closed, hanging, f"ftp://host/{SECRET}", f"https://[{SECRET}", f"https://a b/{SECRET}", SECRET):
            monkeypatch.setenv("CLIP_HAR_WEBHOOK", address)
            outcome = alert(decided(), AlertConfig(seconds=0.2), {})
            assert outcome.status == "failed", address
            said.append(outcome.said)
    streams = capfd.readouterr()
    assert "verysecret" not in " ".join([*said, streams.out, streams.err])
    assert "refused" in said[0]
    assert "within 0.2 s" in said[1] or "timed out" in said[1] or "TimeoutError" in said[1]


def test_without_an_address_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIP_HAR_WEBHOOK", raising=False)
    outcome = alert(decided(), AlertConfig(), {})
    assert outcome.status == "no address"
    assert "CLIP_HAR_WEBHOOK" in outcome.said


def test_what_came_of_training_again_is_told(channel: Channel) -> None:
    retraining = Retraining(outcome="promoted", said=("lora (abc) is the champion now.",))
    assert alert_of_retraining(decided("retrain"), retraining, AlertConfig()).status == "sent"
    assert "promoted" in channel.got[0]["text"]
    assert "lora (abc)" in json.dumps(channel.got[0])
