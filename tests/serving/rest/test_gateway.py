"""What every request passes: id, key, admission, bounded body, one shape of error; and clients that are slow or gone."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from clip_har.serving.errors import RequestTimeout, Unauthorized
from clip_har.serving.observability import logs
from clip_har.serving.rest import body as body_reading
from clip_har.serving.rest.app import make_app
from clip_har.serving.schemas import Problem
from clip_har.serving.security import Security
from tests.serving.engines import run
from tests.serving.rest.stand_in import Reply, StandInEngine, ask, form

HEADERS, BODY = form(b"a picture")


def app_of(engine: StandInEngine) -> Any:
    return make_app(engine, Security.from_config(engine.config))  # type: ignore[arg-type]


def is_problem(reply: Reply, status: int, code: str) -> Problem:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(reply.body)
    assert (found.status, found.code, found.type) == (status, code, f"urn:clip-har:problem:{code}")
    assert found.request_id == reply.headers["x-request-id"]
    assert found.detail
    return found


def test_a_request_id_is_kept_if_it_is_sane_and_made_otherwise() -> None:
    async def go() -> None:
        app = app_of(engine := StandInEngine())
        kept = await ask(app, "POST", "/v1/predict", BODY, headers=HEADERS | {"x-request-id": "order-17/a"})
        assert kept.headers["x-request-id"] == kept.json()["request_id"] == "order-17/a"
        assert engine.asked[0][1].key == "order-17/a"
        for strange in ("", "a b", "ü", "x" * 129, "<script>", "a\tb"):
            made = await ask(app, "GET", "/livez", headers={"x-request-id": strange})
            assert len(made.headers["x-request-id"]) == 32
            assert made.headers["x-request-id"] != strange

    run(go())


def test_unknown_paths_and_methods_are_problems() -> None:
    async def go() -> None:
        app = app_of(StandInEngine())
        is_problem(await ask(app, "GET", "/nothing"), 404, "not_found")
        is_problem(await ask(app, "POST", "/v1/predict/"), 404, "not_found")
        for path in ("/v1/predict", "/v1/labels", "/v2", "/v2/models/clip-har/infer"):
            refused = await ask(app, "DELETE", path)
            is_problem(refused, 405, "method_not_allowed")
            assert refused.headers["allow"] in ("GET", "POST")

    run(go())


def test_a_body_is_not_read_before_the_request_is_let_in() -> None:

    async def go() -> None:
        engine = StandInEngine(queue={"max_waiting": 1})
        app, received = app_of(engine), []
        with engine.admission.enter():
            full = await ask(app, "POST", "/v1/predict", BODY, headers=HEADERS, received=received)
        problem = is_problem(full, 429, "too_many_requests")
        assert int(full.headers["retry-after"]) >= 1
        assert problem.retry_after > 0
        engine.admission.close("The model is being loaded.")
        closed = await ask(app, "POST", "/v1/embed", BODY, headers=HEADERS, received=received)
        assert is_problem(closed, 503, "unavailable").detail == "The model is being loaded."
        assert closed.headers["retry-after"] == "1"
        assert received == []
        assert engine.asked == []
        assert 'reason="too_many_requests"} 1.0' in engine.metrics.render().decode()

    run(go())


def test_a_wrong_key_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: Security, headers: Any) -> None:
        raise Unauthorized("An API key is wanted.")

    monkeypatch.setattr(Security, "check", check)

    async def go() -> None:
        engine = StandInEngine()
        app = app_of(engine)
        received: list[int] = []
        engine.admission.close("closed")  # which would be said if admission came first
        headers = HEADERS | {"content-length": "999999999"}
        for method, path in (("POST", "/v1/predict"), ("GET", "/v1/labels"), ("GET", "/nothing"), ("GET", "/metrics")):
            refused = await ask(app, method, path, BODY, headers=headers, received=received)
            is_problem(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert received == []
        for path in ("/livez", "/v2/health/live", "/readyz", "/openapi.json"):  # probes have no key
            assert (await ask(app, "GET", path)).status == 200

    run(go())


def test_a_body_that_announces_too_much_is_refused_before_it_is_read() -> None:
    async def go() -> None:
        engine = StandInEngine(limits={"max_body_bytes": 1000})
        received: list[int] = []
        headers = HEADERS | {"content-length": "1001"}
        refused = await ask(app_of(engine), "POST", "/v1/predict", headers=headers, received=received)
        is_problem(refused, 413, "too_large")
        assert refused.headers["connection"] == "close"
        assert engine.admission.depth == 0

    run(go())


def test_a_body_that_says_nothing_of_its_length_is_cut_off_at_the_limit() -> None:
    async def go() -> None:
        engine = StandInEngine(limits={"max_body_bytes": 1000})
        headers = {"content-type": HEADERS["content-type"]}
        received: list[int] = []
        parts = [b"x" * 600] * 5
        refused = await ask(app_of(engine), "POST", "/v1/predict", *parts, headers=headers, received=received)
        is_problem(refused, 413, "too_large")
        assert engine.admission.depth == 0
        assert (await ask(app_of(engine), "POST", "/v1/predict", BODY, headers=headers)).status == 200

    run(go())


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 415, "unsupported_media"),
        ({}, 415, "unsupported_media"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415, "unsupported_media"),
        ({"content-type": "multipart/form-data"}, 400, "bad_request"),
        ({"content-type": "application/json", "content-length": "-5"}, 400, "bad_request"),
        ({"content-type": "application/json"}, 400, "bad_request"),
    ],
)
def test_headers_that_do_not_fit(headers: dict[str, str], status: int, code: str) -> None:
    engine = StandInEngine()
    is_problem(run(ask(app_of(engine), "POST", "/v1/predict", BODY, headers=headers)), status, code)
    assert engine.admission.depth == 0


def test_a_fault_of_ours_is_a_500_that_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(ticket: Any) -> None:
        raise RuntimeError("the secret of the house")

    logging.getLogger("clip_har").disabled = False
    engine = StandInEngine(fail)
    refused = run(ask(app_of(engine), "POST", "/v1/predict", BODY, headers=HEADERS))
    is_problem(refused, 500, "internal")
    assert b"secret" not in refused.body
    assert b"Traceback" not in refused.body
    assert "the secret of the house" in caplog.text
    assert engine.admission.depth == 0


def test_a_client_that_hangs_up_frees_its_place_and_its_work() -> None:
    async def go() -> None:
        cancelled, begun, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work(ticket: Any) -> None:
            begun.set()
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        engine = StandInEngine(work)
        request = asyncio.create_task(ask(app_of(engine), "POST", "/v1/predict", BODY, headers=HEADERS, gone=gone))
        await begun.wait()
        assert engine.admission.depth == 1
        gone.set()
        await asyncio.wait([request], timeout=5)
        assert request.done()  # no more is waited for
        assert cancelled.is_set()
        assert request.result().status == 0  # nobody is there to be answered
        assert engine.admission.depth == 0
        assert 'status="499"' in engine.metrics.render().decode()

    run(go())


def test_a_service_that_is_stopped_is_not_a_client_that_hung_up() -> None:
    async def go() -> None:
        begun = asyncio.Event()

        async def work(ticket: Any) -> None:
            begun.set()
            await asyncio.sleep(30)

        engine = StandInEngine(work)
        request = asyncio.create_task(ask(app_of(engine), "POST", "/v1/predict", BODY, headers=HEADERS))
        await begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert engine.admission.depth == 0

    run(go())


def test_half_a_body_and_then_nothing_is_no_answer_and_no_place() -> None:
    async def go() -> None:
        engine, gone = StandInEngine(), asyncio.Event()
        parts = (BODY[:20], 0.05)
        request = asyncio.create_task(ask(app_of(engine), "POST", "/v1/predict", *parts, BODY[20:], headers=HEADERS))
        await asyncio.sleep(0.01)
        assert engine.admission.depth == 1
        assert (await request).status == 200
        gone.set()

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        reader = body_reading.Bodies(1000, 1.0).reading(receive, 1000)
        with pytest.raises(body_reading.ClientGone):
            await reader.read(None, engine.admission)

    run(go())


def test_slow_bodies_take_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than there are places, and a quick client is answered meanwhile; those that end in time too."""
    monkeypatch.setattr(body_reading, "_PATIENCE", 0.02)

    async def go() -> None:
        engine = StandInEngine(queue={"max_waiting": 2, "deadline_seconds": 2})
        app = app_of(engine)
        slow = [
            asyncio.create_task(ask(app, "POST", "/v1/predict", BODY[:9], 0.3 + i / 20, BODY[9:], headers=HEADERS))
            for i in range(8)
            if await asyncio.sleep(0.03) is None
        ]
        await asyncio.sleep(0.05)
        assert engine.admission.depth == 0
        assert (await ask(app, "POST", "/v1/predict", BODY, headers=HEADERS)).status == 200
        assert [reply.status for reply in await asyncio.gather(*slow)] == [200] * 8
        assert engine.admission.depth == 0

    run(go())


def test_a_body_that_does_not_come_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reading, "_PATIENCE", 0.01)

    async def go() -> None:
        engine = StandInEngine(queue={"deadline_seconds": 0.1})
        refused = await ask(app_of(engine), "POST", "/v1/predict", BODY[:9], 5.0, BODY[9:], headers=HEADERS)
        is_problem(refused, 408, RequestTimeout.code)
        assert refused.headers["connection"] == "close"
        assert engine.admission.depth == 0

    run(go())


def test_memory_for_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reading, "_WHOLE_BODIES", 2)

    async def go() -> None:
        blocked = asyncio.Event()

        async def work(ticket: Any) -> None:
            await blocked.wait()

        engine = StandInEngine(work, limits={"max_body_bytes": len(BODY)})
        app = app_of(engine)
        held = [asyncio.create_task(ask(app, "POST", "/v1/predict", BODY, headers=HEADERS)) for _ in range(2)]
        await asyncio.sleep(0.02)
        third = ask(app, "POST", "/v1/predict", BODY, headers=HEADERS)
        is_problem(await asyncio.wait_for(third, 5), 429, "too_many_requests")
        blocked.set()
        assert [reply.status for reply in await asyncio.gather(*held)] == [200, 200]
        assert (await ask(app, "POST", "/v1/predict", BODY, headers=HEADERS)).status == 200

    run(go())


def test_a_place_is_free_when_the_answer_begins() -> None:
    """A client that reads its answer slowly keeps nobody out."""

    async def go() -> None:
        engine, depths = StandInEngine(), []
        app = app_of(engine)

        async def receive_body() -> dict[str, Any]:
            return {"type": "http.request", "body": BODY, "more_body": False}

        messages = iter([receive_body()])

        async def receive() -> dict[str, Any]:
            found = next(messages, None)
            return await found if found is not None else await asyncio.sleep(60)

        async def send(message: dict[str, Any]) -> None:
            depths.append(engine.admission.depth)

        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "root_path": ""}
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await app({**scope, "headers": headers, "client": None, "scheme": "http", "server": None}, receive, send)
        assert depths == [0, 0]

    run(go())


def test_a_trace_context_comes_back_and_nonsense_does_not() -> None:
    async def go() -> None:
        app = app_of(StandInEngine())
        given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        assert (await ask(app, "GET", "/livez", headers={"traceparent": given})).headers["traceparent"] == given
        for nonsense in ("", "00-0-0-0", "x" * 4000):
            assert "traceparent" not in (await ask(app, "GET", "/livez", headers={"traceparent": nonsense})).headers

    run(go())


def test_every_request_leaves_a_line_and_a_figure_without_content(caplog: pytest.LogCaptureFixture) -> None:
    logs._access.disabled = False
    with caplog.at_level(logging.INFO, logs._access.name):
        engine = StandInEngine()
        headers = HEADERS | {"x-api-key": "chk_secret", "x-request-id": "abc"}
        run(ask(app_of(engine), "POST", "/v1/predict", BODY, headers=headers))
        run(ask(app_of(engine), "GET", "/v1/reports/../../etc"))
    told = [record for record in caplog.records if record.name == logs._access.name]
    lines = [json.loads(logs.JsonLines().format(record)) for record in told]
    assert [(line["operation"], line["status"]) for line in lines] == [("predict", 200), ("report", 404)]
    assert lines[0]["bytes"] == len(BODY)
    assert lines[0]["images"] == 1
    assert lines[0]["seconds"] > 0
    assert "secret" not in caplog.text
    assert "a picture" not in caplog.text
    figures = engine.metrics.render().decode()
    assert 'clip_har_requests_total{operation="predict",status="200",surface="rest"} 1.0' in figures


def test_browsers_of_other_origins_are_let_in_only_if_named() -> None:
    preflight = {"origin": "https://app.example.com", "access-control-request-method": "POST"}

    async def go() -> None:
        closed = app_of(StandInEngine())
        assert (await ask(closed, "OPTIONS", "/v1/predict", headers=preflight)).status == 405
        plain = await ask(closed, "GET", "/livez", headers={"origin": "https://app.example.com"})
        assert "access-control-allow-origin" not in plain.headers
        open_ = app_of(StandInEngine(security={"cors_origins": ["https://app.example.com"]}))
        allowed = await ask(open_, "OPTIONS", "/v1/predict", headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        refused = await ask(open_, "OPTIONS", "/v1/predict", headers=preflight | {"origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in refused.headers
        error = await ask(open_, "GET", "/nothing", headers={"origin": "https://app.example.com"})
        assert error.headers["access-control-allow-origin"] == "https://app.example.com"

    run(go())
