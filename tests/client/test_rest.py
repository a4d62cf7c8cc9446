"""The REST clients against a service that refuses, breaks off, is slow, or is none of ours."""

from __future__ import annotations

import pickle
import socket
import threading
import time

import pytest

from clip_har.client import Client, ClientSettings, ServiceProblem
from clip_har.errors import ConfigError, ImageError
from clip_har.serving.schemas import PredictResponse
from tests.client.asking import BOTH, Asker
from tests.client.stand_in import (
    MODEL_ID,
    Server,
    answers,
    breaks,
    dripping,
    half,
    predicted,
    problem,
    text,
)

both = pytest.mark.parametrize("ask", BOTH)
PREDICTION = "5f0c" * 8
TOLD = {"request_id": "r", "prediction_id": PREDICTION, "label": "sitting"}


def problem_of(ask: Asker, *arguments, **options) -> ServiceProblem:
    with pytest.raises(ServiceProblem) as caught:
        ask(*arguments, **options)
    return caught.value


@both
def test_answers_are_typed(service: Server, ask: Asker):
    answer = ask(service.url, "predict", b"picture")
    assert isinstance(answer, PredictResponse)
    assert (answer.model_id, answer.results[0].label, answer.results[0].confidence) == (MODEL_ID, "running", 0.75)


@both
def test_what_is_sent(service: Server, ask: Asker, tmp_path):
    (tmp_path / "private name.jpg").write_bytes(b"first")
    ask(
        service.url + "/",
        "predict",
        [tmp_path / "private name.jpg", b"second"],
        key="a-key",
        labels=["riding", "žvýkání"],
        top_k=2,
        threshold=0.25,
        coverage=0.8,
        templates=["a {}"],
        explain=True,
        conformal=False,
        request_id="mine-1",
    )
    [seen] = service.seen
    assert (seen.method, seen.path) == ("POST", "/v1/predict")
    assert seen.headers["Authorization"] == "Bearer a-key"
    assert seen.headers["X-Request-ID"] == "mine-1"
    parts = [part.partition(b"\r\n\r\n") for part in seen.body.split(b"--" + seen.body.split(b"\r\n")[0][2:])[1:-1]]
    found = [
        (head.split(b'name="')[1].split(b'"')[0].decode(), body.rstrip(b"\r\n").decode()) for head, _, body in parts
    ]
    assert sorted(found) == sorted(
        [
            ("images", "first"),
            ("images", "second"),
            ("labels", "riding"),
            ("labels", "žvýkání"),
            ("top_k", "2"),
            ("threshold", "0.25"),
            ("coverage", "0.8"),
            ("templates", "a {}"),
            ("explain", "true"),
            ("conformal", "false"),
        ]
    )
    assert b"private" not in seen.body


@both
def test_a_refusal_is_waited_out_as_long_as_the_service_asks(service: Server, ask: Asker):
    service.behaviours = [
        problem(429, "too_many_requests", retry_after=0.3, headers={"Retry-After": "30"}),  # the finer one counts
        predicted(),
    ]
    assert ask(service.url, "predict", b"picture").results[0].label == "running"
    first, second = service.seen
    assert 0.3 <= second.time - first.time < 20
    assert first.headers["X-Request-ID"] == second.headers["X-Request-ID"]
    assert len(first.body) == len(second.body) > 100  # whole again


@both
def test_a_proxys_header_is_respected_too(service: Server, ask: Asker):
    service.behaviours = [text(503, "<html>busy</html>", Retry_After="1"), predicted()]
    ask(service.url, "predict", b"picture")
    assert service.seen[1].time - service.seen[0].time >= 1.0


@both
def test_a_wait_beyond_the_deadline_is_told_at_once(service: Server, ask: Asker):
    service.behaviours = [problem(503, "unavailable", retry_after=30.0)]
    began = time.monotonic()
    found = problem_of(ask, service.url, "predict", b"picture", settings={"deadline_seconds": 5.0})
    assert time.monotonic() - began < 3
    assert (found.status, found.code, found.retry_after) == (503, "unavailable", 30.0)
    assert len(service.seen) == 1


@both
@pytest.mark.parametrize("behaviour", [breaks, half])
def test_a_broken_connection_is_repeated_for_what_changes_nothing(service: Server, ask: Asker, behaviour):
    service.behaviours = [behaviour, behaviour, predicted()]
    assert ask(service.url, "predict", b"picture").results[0].label == "running"
    assert len(service.seen) == 3


@both
@pytest.mark.parametrize("behaviour", [breaks, half])
def test_feedback_that_may_have_been_taken_is_not_sent_again(service: Server, ask: Asker, behaviour):
    service.behaviours = [behaviour, answers(200, TOLD)]
    found = problem_of(ask, service.url, "feedback", PREDICTION, "sitting")
    assert (found.status, found.code, found.maybe_done) == (None, "no_answer", True)
    assert len(service.seen) == 1


@both
def test_feedback_that_was_refused_is_sent_again(service: Server, ask: Asker):
    service.behaviours = [problem(503, "unavailable"), problem(429, "too_many_requests"), answers(200, TOLD)]
    assert ask(service.url, "feedback", PREDICTION, "sitting").label == "sitting"
    assert len(service.seen) == 3


@both
def test_a_service_that_comes_up_meanwhile_is_found(ask: Asker):
    class Later(Server):
        def server_bind(self) -> None:
            self.server_address = ("127.0.0.1", port)
            super().server_bind()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started: list[Server] = []

    def start() -> None:
        time.sleep(0.3)
        started.append(Later())
        started[0].behaviours = [answers(200, TOLD)]
        started[0].serve_forever(poll_interval=0.02)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    try:
        settings = {"tries": 50, "backoff_seconds": 0.1, "most_backoff_seconds": 0.1}
        found = ask(f"http://127.0.0.1:{port}", "feedback", PREDICTION, "sitting", settings=settings)
        assert found.label == "sitting"
    finally:
        started[0].shutdown()
        started[0].server_close()
        thread.join()


@both
@pytest.mark.parametrize("behaviour", [predicted(after=5.0), dripping], ids=["silent", "dripping"])
def test_a_slow_answer_is_given_up_at_the_deadline(service: Server, ask: Asker, behaviour):
    service.behaviours = [behaviour]
    began = time.monotonic()
    found = problem_of(ask, service.url, "predict", b"picture", settings={"deadline_seconds": 0.5})
    assert time.monotonic() - began < 3
    assert found.code == "no_answer"
    assert "in time" in str(found)


@both
def test_an_error_says_what_the_service_said(service: Server, ask: Asker):
    service.behaviours = [problem(422, "unprocessable", field="top_k")]
    found = problem_of(ask, service.url, "predict", b"picture", request_id="mine")
    assert (found.status, found.code, found.field) == (422, "unprocessable", "top_k")
    assert (found.request_id, str(found)) == ("mine", "This is unprocessable.")
    assert len(service.seen) == 1
    again = pickle.loads(pickle.dumps(found))
    assert (str(again), again.field, again.status) == (str(found), "top_k", 422)


@both
@pytest.mark.parametrize(
    ("behaviour", "wanted"),
    [
        (text(200, "<html>Welcome to the router</html>"), "Welcome to the router"),
        (answers(200, {"label": "running"}), "none of this service's answers"),
        (text(404, ""), "nothing"),
        (text(500, "Traceback\x1b[31m"), "500"),
    ],
)
def test_what_is_none_of_our_services_is_told(service: Server, ask: Asker, behaviour, wanted):
    service.behaviours = [behaviour]
    found = problem_of(ask, service.url, "predict", b"picture")
    assert found.code == "unreadable_answer"
    assert wanted in str(found)
    assert "\x1b" not in str(found)
    assert len(service.seen) == 1


@both
def test_a_proxy_without_a_service_is_asked_again(service: Server, ask: Asker):
    service.behaviours = [text(502, "<html>bad gateway</html>"), predicted()]
    assert ask(service.url, "predict", b"picture").results[0].label == "running"


@both
def test_an_answer_without_end_is_given_up(service: Server, ask: Asker):
    service.behaviours = [text(200, " " * 200_000)]
    found = problem_of(ask, service.url, "predict", b"picture", settings={"max_answer_bytes": 100_000})
    assert "100,000 bytes" in str(found)


@both
def test_no_service(ask: Asker):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        found = problem_of(ask, url, "labels", settings={"tries": 2})
        assert (found.status, found.code, found.maybe_done) == (None, "no_answer", False)
        assert url in str(found)
        assert ask(url, "ready") is False


@both
@pytest.mark.parametrize(
    ("behaviour", "is_ready"),
    [
        (answers(200, {"ready": True}), True),
        (problem(503, "unavailable", retry_after=1.0), False),
        (text(200, "<html></html>"), False),
    ],
)
def test_readiness_is_asked_once(service: Server, ask: Asker, behaviour, is_ready):
    service.behaviours = [behaviour]
    assert ask(service.url, "ready") is is_ready
    assert [seen.path for seen in service.seen] == ["/v2/health/ready"]


@both
def test_mistakes_that_no_service_need_be_asked_about(service: Server, ask: Asker, tmp_path):
    for options, wanted in (
        ({"labels": "running"}, "a list"),
        ({"labels": []}, "labels"),
        ({"top_k": 0}, "top_k"),
        ({"threshold": 2}, "threshold"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            ask(service.url, "predict", b"picture", **options)
    with pytest.raises(ConfigError, match="no picture"):
        ask(service.url, "predict", [])
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        ask(service.url, "predict", tmp_path / "absent.jpg")
    with pytest.raises(ConfigError, match="prediction_id"):
        ask(service.url, "feedback", "x", "sitting")
    assert not service.seen


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://localhost", "http://", ""])
def test_an_address_that_is_none(url):
    with pytest.raises(ConfigError, match="address"):
        Client(url)


def test_a_key_that_cannot_be_sent():
    with pytest.raises(ConfigError, match="key"):
        Client(key="key\r\nX-Evil: 1")


def test_settings_are_checked():
    with pytest.raises(ValueError, match="tries"):
        ClientSettings(tries=0)
