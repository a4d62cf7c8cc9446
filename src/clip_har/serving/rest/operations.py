"""Method and path → what is done there, as far as it must be known before the body is read."""

from __future__ import annotations

from dataclasses import dataclass

from clip_har.serving.config import RequestLimits

_SMALL_BODY = 65_536


@dataclass(frozen=True)
class Operation:
    """What a request wants.

    Attributes:
        name: for metrics and logs; one of few.
        surface: rest or oip-rest.
        admitted: whether it takes a place in the queue.
        max_body: bytes that its body may have; None: it has none that is read.
        needs_key: whether a key is wanted, if there are keys.
    """

    name: str
    surface: str = "rest"
    admitted: bool = False
    max_body: int | None = None
    needs_key: bool = True


class Operations:
    """All of the service's.

    Args:
        limits: of a request.
    """

    def __init__(self, limits: RequestLimits) -> None:
        body = limits.max_body_bytes
        self._exact = {
            ("POST", "/v1/predict"): Operation("predict", admitted=True, max_body=body),
            ("POST", "/v1/embed"): Operation("embed", admitted=True, max_body=body),
            ("POST", "/v1/feedback"): Operation("feedback", max_body=min(body, _SMALL_BODY)),
            ("GET", "/v1/labels"): Operation("labels"),
            ("GET", "/v1/model"): Operation("model"),
            ("GET", "/v1/reports"): Operation("reports"),
            ("GET", "/metrics"): Operation("metrics"),
            ("GET", "/openapi.json"): Operation("openapi", needs_key=False),
            ("GET", "/"): Operation("docs", needs_key=False),
            ("GET", "/docs"): Operation("docs", needs_key=False),
            ("GET", "/livez"): Operation("live", needs_key=False),
            ("GET", "/healthz"): Operation("live", needs_key=False),
            ("GET", "/readyz"): Operation("ready", needs_key=False),
            ("GET", "/v2"): Operation("server_metadata", "oip-rest"),
            ("GET", "/v2/health/live"): Operation("live", "oip-rest", needs_key=False),
            ("GET", "/v2/health/ready"): Operation("ready", "oip-rest", needs_key=False),
        }
        self._infer = Operation("infer", "oip-rest", admitted=True, max_body=body)
        self._model_ready = Operation("model_ready", "oip-rest")
        self._model_metadata = Operation("model_metadata", "oip-rest")
        self._report, self._unknown = Operation("report"), Operation("unknown")
        self._unknown_oip = Operation("unknown", "oip-rest")

    def of(self, method: str, path: str) -> Operation:
        """The operation at a path."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        if path == "/v2" or path.startswith("/v2/"):
            if path.startswith("/v2/models/"):
                if method == "POST" and path.endswith("/infer"):
                    return self._infer
                if method == "GET":
                    return self._model_ready if path.endswith("/ready") else self._model_metadata
            return self._unknown_oip
        if method == "GET" and path.startswith("/v1/reports/"):
            return self._report
        return self._unknown
