"""REST without the sending: what is asked, and what an answer means. The clients for threads and event loops share it."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

import clip_har
from clip_har.client.errors import NO_ANSWER, UNREADABLE, ServiceProblem, problem_in
from clip_har.client.retrying import retry_after
from clip_har.client.settings import ClientSettings
from clip_har.component import validated
from clip_har.errors import ConfigError
from clip_har.serving.schemas import (
    EmbedResponse,
    FeedbackRequest,
    FeedbackResponse,
    LabelsResponse,
    ModelResponse,
    PredictOptions,
    PredictResponse,
    ReadyResponse,
    ReportResponse,
    ReportsResponse,
)

DEFAULT_URL = "http://127.0.0.1:3000"
REQUEST_ID = "X-Request-ID"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHOWN = 200  # characters of an answer that is none of ours

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Ask(Generic[Answer]):
    """One request.

    Attributes:
        method, path: of it.
        answer: the shape of what is answered.
        repeatable: whether it may be made twice: it changes nothing that counts.
        files: pictures of a form.
        values: its other fields, or a JSON body if there are no files.
        request_id: names it in the service's log, in all tries.
    """

    method: str
    path: str
    answer: type[Answer]
    repeatable: bool = True
    files: Sequence[bytes] = ()
    values: dict[str, Any] | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def arguments(self) -> dict[str, Any]:
        """For httpx's `build_request`."""
        found: dict[str, Any] = {"method": self.method, "url": self.path, "headers": {REQUEST_ID: self.request_id}}
        if self.files:  # their names are nobody's business
            found["files"] = [("images", ("image", data, "application/octet-stream")) for data in self.files]
            found["data"] = self.values or {}
        elif self.values is not None:
            found["json"] = self.values
        return found


def predict(pictures: Sequence[bytes], options: PredictOptions, request_id: str | None) -> Ask[PredictResponse]:
    """POST /v1/predict."""
    chosen = options.model_dump(exclude_defaults=True)
    values = {
        name: ("true" if value else "false") if isinstance(value, bool) else value for name, value in chosen.items()
    }
    return Ask("POST", "/v1/predict", PredictResponse, files=pictures, values=values, **_named(request_id))


def embed(pictures: Sequence[bytes], request_id: str | None) -> Ask[EmbedResponse]:
    """POST /v1/embed."""
    return Ask("POST", "/v1/embed", EmbedResponse, files=pictures, **_named(request_id))


def feedback(prediction_id: str, label: str) -> Ask[FeedbackResponse]:
    """POST /v1/feedback. Not repeatable: said twice it would count twice, or after what was said in between.

    Raises:
        ConfigError: if the id is none, or the label is empty.
    """
    told = validated(FeedbackRequest, {"prediction_id": prediction_id, "label": label})
    return Ask("POST", "/v1/feedback", FeedbackResponse, repeatable=False, values=told.model_dump())


def labels() -> Ask[LabelsResponse]:
    """GET /v1/labels."""
    return Ask("GET", "/v1/labels", LabelsResponse)


def model() -> Ask[ModelResponse]:
    """GET /v1/model."""
    return Ask("GET", "/v1/model", ModelResponse)


def reports() -> Ask[ReportsResponse]:
    """GET /v1/reports."""
    return Ask("GET", "/v1/reports", ReportsResponse)


def report(name: str) -> Ask[ReportResponse]:
    """GET /v1/reports/NAME."""
    return Ask("GET", f"/v1/reports/{quote(name, safe='')}", ReportResponse)


def ready() -> Ask[ReadyResponse]:
    """GET /v2/health/ready: /readyz may be BentoML's own, which says nothing of whose it is."""
    return Ask("GET", "/v2/health/ready", ReadyResponse)


def client_options(url: str, key: str | None, settings: ClientSettings) -> dict[str, Any]:
    """Arguments for httpx's clients.

    Raises:
        ConfigError: if the URL is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is no address of a service; wanted: one like {DEFAULT_URL}.")
    headers = {"User-Agent": f"clip-har/{clip_har.__version__} python/{platform.python_version()}"}
    if key:
        if not key.isascii() or not key.isprintable():
            raise ConfigError("The API key has characters that no key has; was more than the key copied?")
        headers["Authorization"] = f"Bearer {key}"
    return {
        "base_url": url,
        "headers": headers,
        "verify": parts.scheme
        == "https",  # else nothing is verified, and the authorities' certificates need not be loaded
        "trust_env": parts.hostname not in _LOOPBACK,  # no proxy leads to this machine
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=max(20, settings.concurrency)),
    }


def timeouts(seconds_left: float, settings: ClientSettings) -> httpx.Timeout:
    """Of one try."""
    return httpx.Timeout(seconds_left, connect=min(seconds_left, settings.connect_seconds))


def read(ask: Ask[Answer], response: httpx.Response, body: bytes) -> Answer:
    """What an answer says.

    Raises:
        ServiceProblem: if it is no success, or none of this service's answers.
    """
    request_id = response.headers.get(REQUEST_ID) or ask.request_id
    if response.is_success:
        try:
            return ask.answer.model_validate_json(body)
        except ValidationError:
            raise _unreadable(ask, response, body, request_id) from None
    wait = retry_after(response.headers.get("Retry-After"))
    problem = problem_in(body)
    if problem is not None:
        raise ServiceProblem.of(problem, request_id, wait)
    if response.status_code in (408, 429, 502, 503, 504):  # a proxy's
        raise ServiceProblem(
            f"{response.url} answers {response.status_code} {response.reason_phrase}.",
            status=response.status_code,
            code=UNREADABLE,
            request_id=request_id,
            retry_after=wait,
            maybe_done=response.status_code in (408, 502, 504),
        )
    raise _unreadable(ask, response, body, request_id)


def too_long(ask: Ask, url: Any, most: int) -> ServiceProblem:
    """The problem of an answer without end."""
    return ServiceProblem(
        f"{url} answers with more than {most:,} bytes.", status=502, code=UNREADABLE, request_id=ask.request_id
    )


def not_answered(ask: Ask, url: Any, error: Exception) -> ServiceProblem:
    """What broke on the way."""
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if connecting:
        said = f"No service answers at {url}: {_reason(error)}. Is it running, and is that its address? (make serve)"
    elif isinstance(error, httpx.TimeoutException | TimeoutError):
        said = f"{url} did not answer in time."
    else:
        said = f"The connection to {url} broke: {_reason(error)}."
    return ServiceProblem(said, code=NO_ANSWER, request_id=ask.request_id, maybe_done=not connecting)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.rstrip(".")


def _unreadable(ask: Ask, response: httpx.Response, body: bytes, request_id: str) -> ServiceProblem:
    shown = body[:_SHOWN].decode("utf-8", "replace")
    plain = "".join(letter if letter.isprintable() else " " for letter in shown).strip()
    return ServiceProblem(
        f"{response.url} answers {response.status_code} with something that is none of this service's answers: "
        f"{plain or 'nothing'}{' …' if len(body) > _SHOWN else ''}",
        status=response.status_code,
        code=UNREADABLE,
        request_id=request_id,
        maybe_done=True,
    )


def _named(request_id: str | None) -> dict[str, str]:
    return {} if request_id is None else {"request_id": request_id}
