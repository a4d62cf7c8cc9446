"""What the service says of itself: labels, model, reports, health, metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from starlette.responses import Response

from clip_har.serving.errors import Unavailable
from clip_har.serving.rest.answers import json_response
from clip_har.serving.rest.gateway import Visit
from clip_har.serving.rest.openapi import documented
from clip_har.serving.rest.reports import ReportShelf
from clip_har.serving.schemas import (
    LabelsResponse,
    LiveResponse,
    ModelResponse,
    ReadyResponse,
    ReportResponse,
    ReportsResponse,
)

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.served_model import ServedModel

# Reports are pages of ours with everything inside; whatever else stood in one could do nothing.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:; sandbox allow-scripts"
_SOON = 1.0  # seconds after which somebody told "not ready" may ask again


class Describing:
    """Routes that answer from what is known already.

    Args:
        engine: of the service.
        shelf: where reports are.
    """

    def __init__(self, engine: Engine, shelf: ReportShelf) -> None:
        self._engine, self._shelf = engine, shelf

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        about = {"tag": "about"}
        page = {"text/html": {"schema": {"type": "string"}}}
        app.add_api_route("/v1/labels", self.labels, **documented("labels", LabelsResponse, **about))
        app.add_api_route("/v1/model", self.model, **documented("model", ModelResponse, **about))
        app.add_api_route("/v1/reports", self.reports, **documented("reports", ReportsResponse, **about))
        problems = (401, 404, 422, 429, 500, 503)
        app.add_api_route(
            "/v1/reports/{name}",
            self.report,
            **documented("report", ReportResponse, problems=problems, content=page, **about),
        )
        running: dict[str, Any] = {"tag": "operations"}
        for path, name in (("/livez", "live"), ("/healthz", "health")):
            app.add_api_route(path, self.live, **documented(name, LiveResponse, problems=(500,), **running))
        app.add_api_route("/readyz", self.ready, **documented("ready", ReadyResponse, problems=(500, 503), **running))
        text = {"text/plain": {"schema": {"type": "string"}}}
        app.add_api_route(
            "/metrics", self.metrics, **documented("metrics", None, problems=(401, 429, 500), content=text, **running)
        )

    async def labels(self, request: Request) -> Response:
        """The labels of the model that is served, in the order of its scores."""
        model = self._engine.model()
        word = model.bundle.info.open_vocabulary.word
        return json_response({"model_id": model.model_id, "labels": model.labels, "open_vocabulary": word})

    async def model(self, request: Request) -> Response:
        """The model that is served: what it is, what it was trained on, how good it is, what runs it."""
        return json_response(described(self._engine.model(), self._engine))

    async def reports(self, request: Request) -> Response:
        """The reports that there are: leaderboard, evaluation, export, promotion, drift … whatever was made."""
        model = self._engine.model()
        entries = await asyncio.to_thread(self._shelf.entries, model.bundle)
        listed = [{"name": one.name, "formats": sorted(one.files), "source": one.source} for one in entries]
        return json_response({"model_id": model.model_id, "reports": listed})

    async def report(
        self,
        request: Request,
        name: Annotated[str, Path(description="Its name, as `/v1/reports` lists it.")],
        format: Annotated[
            Literal["json", "html"] | None,
            Query(description="What it is wanted as; by the header Accept if not given, JSON where both are."),
        ] = None,
    ) -> Response:
        """One report: its figures as JSON, or the page."""
        model = self._engine.model()
        accepts = Visit.of(request.scope).headers.get("accept", "")
        wanted = format or ("html" if "text/html" in accepts and "application/json" not in accepts else None)
        entry, found, content = await asyncio.to_thread(self._shelf.read, model.bundle, name, wanted)
        if found == "html":
            return Response(content, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})
        return json_response({"name": name, "model_id": model.model_id, "source": entry.source, "content": content})

    async def live(self) -> Response:
        """Whether the process answers. It says nothing of whether pictures are answered: `/readyz` does."""
        return json_response({"live": True})

    async def ready(self) -> Response:
        """Whether pictures are answered: the model is loaded, warmed up, and has recognised its self-test picture."""
        require_ready(self._engine)
        return json_response({"ready": True})

    async def metrics(self) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(self._engine.metrics.render(), media_type=self._engine.metrics.content_type)


def require_ready(engine: Engine) -> None:
    """Refuse while pictures are not answered.

    Raises:
        Unavailable: it says why they are not.
    """
    if not engine.ready:
        raise Unavailable(engine.why_not_ready(), retry_after=_SOON)


def described(model: ServedModel, engine: Engine) -> dict[str, Any]:
    """A `ModelResponse`."""
    info, calibration = model.bundle.info, model.bundle.calibration
    _, height, width = model.input_shape
    conformal, abstention = calibration.conformal, calibration.abstention
    word = info.open_vocabulary
    return {
        "model_id": model.model_id,
        "name": engine.config.name,
        "role": model.role,
        "method": info.method,
        "backbone": info.backbone,
        "data": {"revision": info.data_revision, "hash": info.data_hash, "dvc_hash": info.data_dvc_hash or None},
        "metrics": info.metrics,
        "runtime": model.runtime_name,
        "embedding_dimensions": model.bundle.class_matrix.shape[1],
        "encoder_hash": info.encoder_hash,
        "input": {"height": height, "width": width, "formats": engine.config.limits.images.formats},
        "labels": model.labels,
        "open_vocabulary": word.model_dump(include=_WORDS),
        "calibration": {
            "temperature": calibration.temperature,
            "split": calibration.split,
            "samples": calibration.samples,
            "threshold": None if abstention is None else abstention.threshold,
            "coverage": None if conformal is None else calibration.coverage,
            "coverages": [] if conformal is None else conformal.coverages,
        },
    }


_WORDS = {"word", "basis", "base_accuracy", "novel_accuracy", "harmonic_mean"}
