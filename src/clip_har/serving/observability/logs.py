"""The service's log: a line of JSON for each event, on standard error, without pictures and without keys.

A field is whatever is given by `extra`: `log.info("model reloaded", extra={"model_id": …})`. Within a request, `bound` adds the
request's and the trace's id to every line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from clip_har.serving.config import ObservabilityConfig, ServingConfig

_BOUND: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=MappingProxyType({}))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OF_BENTOML = {"levelname_bracketed", "component", "trace_msg", "service_name"}
_LONGEST = 2_000  # characters of a value
_MOST = 50  # members of a list or mapping
_KEY = re.compile(r"chk_[A-Za-z0-9_-]{43}|(?<=[Bb]earer )[^\s\"']+")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{257,}")  # base64 of something: a picture
_BYTES = re.compile(r"""\bb(?:'(?:\\.|[^'\\]){33,}'?|"(?:\\.|[^"\\]){33,}"?)""")  # Python's way to write bytes
_SECRET_FIELDS = re.compile(
    r"authorization|api[-_]?key|cookie|password|secret|token$|^image$|^images$|^body$|^content$", re.I
)
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_access = logging.getLogger("clip_har.serving.access")
_THEIRS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "bentoml", "circus", "grpc", "grpc._cython.cygrpc", "asyncio")


class JsonLines(logging.Formatter):
    """A record → a line of JSON in ASCII: no message can begin a second line, or colour a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _clean(_message(record)),
        }
        line.update(_BOUND.get())
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in _OF_BENTOML and value is not None:
                line.setdefault(name, _field(name, value))
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = _clean(self.formatException(record.exc_info), 8 * _LONGEST)
        return _encode(line)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library's mistake in its arguments is no reason to lose the line
        return str(record.msg)


def _field(name: str, value: Any, depth: int = 3) -> Any:
    """A value as JSON can hold it, if its name does not say that it is a secret or a picture; numbers are neither."""
    kind = type(value)
    if kind is int or kind is bool:
        return value
    if kind is not float and _is_secret(name):
        return "[hidden]"
    return _clean(value) if kind is str else _plain(value, depth)


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return _SECRET_FIELDS.search(name) is not None


def _clean(text: str, longest: int = _LONGEST) -> str:
    """Text without keys and without what looks like an encoded picture, cut to a length."""
    if len(text) > 256:
        text = text[: 64 * longest]
    if "chk_" in text or "earer " in text:
        text = _KEY.sub("[hidden]", text)
    if "b'" in text or 'b"' in text:
        text = _BYTES.sub("[bytes]", text)
    if len(text) > 256:
        text = _ENCODED.sub(lambda found: f"[{len(found[0])} characters]", text)
        if len(text) > longest:
            text = f"{text[:longest]}… [{len(text)} characters]"
    return text


def _plain(value: Any, depth: int = 3) -> Any:
    """A value as JSON can hold it; bytes and arrays only by their size."""
    if hasattr(value, "shape") and hasattr(value, "item"):
        value = value.item() if value.shape == () else f"[array {value.shape}]"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping) and depth:
        some = list(value.items())[:_MOST]
        return {_clean(str(key), 100): _field(str(key), one, depth - 1) for key, one in some}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(one, depth - 1) for one in list(value)[:_MOST]]
    return _clean(str(value))


def configure(config: ServingConfig | ObservabilityConfig, stream: Any = None) -> None:
    """Send everything that this process logs to `stream` (standard error) as JSON; uvicorn's and BentoML's lines too.

    May be called again: what an earlier call, or BentoML, has set up is replaced.
    """
    section = config.observability if isinstance(config, ServingConfig) else config
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for one in logging.Logger.manager.loggerDict.values():
        if isinstance(one, logging.Logger):
            one.disabled = False  # BentoML's set-up silences every logger that exists already
    level = getattr(logging, section.log_level.upper())
    logging.getLogger("clip_har").setLevel(level)
    for name in _THEIRS:
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.filters.clear()
        theirs.propagate = True
        theirs.setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True  # ours has the request's id
    logging.getLogger("bentoml.access").disabled = True
    _access.disabled = not section.access_log
    _access.setLevel(logging.INFO)
    logging.captureWarnings(True)


@contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """Add fields (request_id, trace_id) to every line that is logged within the block, by its tasks too."""
    token = _BOUND.set({**_BOUND.get(), **{name: _clean(value, 200) for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _BOUND.reset(token)


def access(**fields: Any) -> None:
    """The line for a request that was answered: surface, operation, method, path, status, seconds, bytes, caller …

    Never headers or content. Query strings are the caller's own words: leave them out.
    """
    if not _access.disabled:
        _access.info("request", extra=fields)
