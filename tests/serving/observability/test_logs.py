"""The log: JSON, one line to an event, with the request's ids, without pictures and without keys."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from clip_har.serving.config import ObservabilityConfig, ServingConfig
from clip_har.serving.observability import logs
from clip_har.serving.security.keys import PREFIX

KEY = PREFIX + "Ab3_-" * 8 + "xyz"
PICTURE = bytes(range(256)) * 40


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged after `configure`; logging is as it was afterwards."""
    names = ["clip_har", "clip_har.serving.access", "uvicorn.access", "bentoml.access", *logs._THEIRS]
    known = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    loggers = {logging.getLogger(), *map(logging.getLogger, names), *known}
    before = [(one, list(one.handlers), one.level, one.propagate, one.disabled, list(one.filters)) for one in loggers]
    stream = io.StringIO()
    logs.configure(ServingConfig(), stream)
    yield stream
    for one, handlers, level, propagate, disabled, filters in before:
        one.handlers[:], one.propagate, one.disabled, one.filters[:] = handlers, propagate, disabled, filters
        one.setLevel(level)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_a_line_with_its_fields(written: io.StringIO) -> None:
    with logs.bound(request_id="r-1", trace_id=None):
        logging.getLogger("clip_har.serving.versions").info("model reloaded", extra={"model_id": "m1", "seconds": 0.5})
    logging.getLogger("clip_har.serving.versions").info("after")
    first, second = lines(written)
    assert (first["event"], first["level"], first["logger"]) == ("model reloaded", "info", "clip_har.serving.versions")
    assert (first["model_id"], first["seconds"], first["request_id"]) == ("m1", 0.5, "r-1")
    assert first["time"].endswith("+00:00")
    assert "trace_id" not in first
    assert "request_id" not in second


def test_tasks_of_a_request_have_its_id_and_no_others(written: io.StringIO) -> None:
    async def request(name: str) -> None:
        with logs.bound(request_id=name):
            await asyncio.sleep(0.001)
            await asyncio.gather(say(name), say(name))

    async def say(name: str) -> None:
        await asyncio.sleep(0.001)
        logging.getLogger("clip_har.x").info(name)

    async def both() -> None:
        await asyncio.gather(request("a"), request("b"))

    asyncio.run(both())
    found = lines(written)
    assert len(found) == 4
    assert all(line["event"] == line["request_id"] for line in found)


@pytest.mark.parametrize(
    "wicked",
    [
        'a\n{"level":"info","event":"forged"}',
        "a\r\nb",
        "a\u2028b\u2029c\x85d\x0b\x0ce",
        "\x1b[31mred\x1b]0;title\x07",
        "\x00nul",
        "\ud800 half a surrogate",
        "مرحبا ‮ reversed",
    ],
    ids=["newline", "return", "separators", "escapes", "nul", "surrogate", "reversed"],
)
def test_no_text_can_begin_another_line_or_steer_a_terminal(
    written: io.StringIO, wicked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for handler in logging.root.handlers:
        if type(handler).__module__ == "_pytest.logging":  # its report, with half a surrogate, ends xdist's worker
            monkeypatch.setattr(handler, "handle", lambda record: None)
    with logs.bound(request_id=wicked):
        logging.getLogger("clip_har.x").warning("bad name %s", wicked, extra={"label": wicked, wicked: 1})
    raw = written.getvalue()
    assert raw.count("\n") == 1
    assert raw.isascii()
    assert raw.rstrip("\n").isprintable()
    assert lines(written)[0]["label"] == wicked


def test_no_key_and_no_picture_is_in_any_line(written: io.StringIO) -> None:
    """However it comes there: as a field, in a message, an exception, a header, a list."""
    encoded, log = base64.b64encode(PICTURE).decode(), logging.getLogger("clip_har.x")
    log.info("key %s", KEY)
    log.info("header Bearer secret-word-of-somebody")
    log.info("headers", extra={"headers": {"authorization": "Bearer abc-secret", "X-Api-Key": "abc-secret"}})
    log.info("deep", extra={"request": {"headers": [{"x-api-key": "abc-secret"}, f"x {KEY}"]}})
    log.info("field", extra={"api_key": "abc-secret", "cookie": "abc-secret", "image": encoded, "body": "abc-secret"})
    log.info("bytes", extra={"data": PICTURE, "view": memoryview(PICTURE), "rows": [PICTURE]})
    log.info("text %s", encoded, extra={"data": encoded, "url": f"data:image/png;base64,{encoded}"})
    log.info("repr %r", PICTURE)
    log.info("cut %s", "x, " * 5000 + KEY)
    log.info("array", extra={"pixels": np.zeros((3, 224, 224))})
    try:
        raise ValueError(f"cannot read {PICTURE!r} of {KEY} {encoded}")
    except ValueError:
        log.exception("fault")
    with logs.bound(request_id=KEY):
        logs.access(path=f"/v1/predict/{KEY}", caller="camera")
    raw = written.getvalue()
    assert len(lines(written)) == 12
    for secret in (KEY, KEY[4:], "abc-secret", "secret-word", encoded[:64], "\\\\x10\\\\x11", "\\u0010"):
        assert secret not in raw, secret
    assert max(map(len, raw.splitlines())) < 20_000
    assert lines(written)[9]["pixels"] == "[array (3, 224, 224)]"
    assert lines(written)[11]["caller"] == "camera"


def test_numbers_are_no_secrets_and_always_json(written: io.StringIO) -> None:
    values = {"images": 3, "score": np.float32(0.5), "loss": float("nan"), "far": float("inf"), "count": np.int64(7)}
    logging.getLogger("clip_har.x").info("n", extra=values)
    (found,) = lines(written)
    assert [found[name] for name in values] == [3, 0.5, "nan", "inf", 7]


def test_a_librarys_mistaken_message_is_still_a_line() -> None:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "two %s %s", ("one",), None)
    assert json.loads(logs.JsonLines().format(record))["event"] == "two %s %s"


def test_uvicorns_and_bentomls_lines_come_as_ours(written: io.StringIO) -> None:
    """As BentoML sets its logging up before the service is made, and silences every logger that is there by then."""
    from bentoml._internal.log import configure_server_logging

    early = logging.getLogger("clip_har.imported.early")
    configure_server_logging()
    assert early.disabled
    logs.configure(ServingConfig(), written)
    early.info("ours")
    logging.getLogger("uvicorn.error").error("broken pipe")
    logging.getLogger("bentoml.worker.service").warning("slow start")
    logging.getLogger("bentoml.access").info("request")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("somebody.else").warning("hm")
    assert [line["event"] for line in lines(written)] == ["ours", "broken pipe", "slow start", "hm"]


def test_the_level_and_the_access_log_are_the_configs(written: io.StringIO) -> None:
    logs.configure(ObservabilityConfig(log_level="error", access_log=False), written)
    logging.getLogger("clip_har.x").warning("quiet")
    logs.access(status=200)
    assert written.getvalue() == ""
    logs.configure(ObservabilityConfig(log_level="error"), written)
    logs.access(status=200)
    assert [line["event"] for line in lines(written)] == ["request"]


def test_a_line_is_written_quickly_whatever_is_in_it(written: io.StringIO) -> None:
    """No text makes the patterns run for long."""
    import time

    for text in (
        "a" * 10_000_000,
        "b'" * 1_000_000,
        "b'" + "\\" * 1_000_001,
        "Bearer " * 1_000_000,
        "chk_" * 1_000_000,
    ):
        began = time.perf_counter()
        logging.getLogger("clip_har.x").info("%s", text)
        assert time.perf_counter() - began < 1.0
