"""The REST side as an application: FastAPI's routes behind the gateway."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from clip_har.serving.errors import BadRequest, MethodNotAllowed, NotFound, ServiceError
from clip_har.serving.observability.tracing import Tracer
from clip_har.serving.problems import Invalid
from clip_har.serving.rest.describing import Describing
from clip_har.serving.rest.gateway import Gateway
from clip_har.serving.rest.open_inference import OpenInference
from clip_har.serving.rest.openapi import describe
from clip_har.serving.rest.predicting import Predicting
from clip_har.serving.rest.reference import render_reference
from clip_har.serving.rest.reports import ReportShelf

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def make_app(
    engine: Engine, security: Security, *, shelf: ReportShelf | None = None, tracer: Tracer | None = None
) -> FastAPI:
    """The REST side over an engine; it may be made before the engine is started.

    Args:
        shelf: where reports are; beside what the engine serves if not given.
        tracer: the process's, which closes it; one of its own if not given.
    """
    # A page of our own for reading the document: FastAPI's load their scripts from elsewhere.
    app = FastAPI(title="clip-har", docs_url=None, redoc_url=None, redirect_slashes=False)
    Predicting(engine, security).add_to(app)
    Describing(engine, shelf or _shelf(engine)).add_to(app)
    OpenInference(engine).add_to(app)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    tracer = tracer or Tracer.from_config(engine.config)
    app.add_middleware(Gateway, engine=engine, security=security, tracer=tracer)
    cors = security.cors()
    if cors is not None:
        app.add_middleware(CORSMiddleware, **cors)  # the outermost: refusals, too, are for the page to read

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(
                app,
                engine.config,
                version("clip-har"),
                wants_key=security.wants_key,
                fetches=security.fetches,
            )
        return app.openapi_schema

    async def reference() -> Response:
        return HTMLResponse(render_reference(document()), headers={"Content-Security-Policy": _PAGE_POLICY})

    async def index() -> Response:
        return RedirectResponse("docs")

    app.openapi = document  # type: ignore[method-assign]
    app.add_api_route("/docs", reference, include_in_schema=False)
    app.add_api_route("/", index, include_in_schema=False)
    return app


def _shelf(engine: Engine) -> ReportShelf:
    """Reports beside what the engine serves; the bundle's own only, if nothing says where others are."""
    return ReportShelf(engine.source.workspace, engine.source.outputs)


async def _of_routing(request: Request, error: Exception) -> Any:
    """What Starlette says of a path or method → our error, for the gateway."""
    assert isinstance(error, HTTPException)
    raise _routing_error(request.scope, error)


def _routing_error(scope: Scope, error: HTTPException) -> ServiceError:
    path = scope["path"][:200]
    if error.status_code == 404:
        return NotFound(f"There is nothing at {path!r}. `GET /openapi.json` says what there is.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        made = MethodNotAllowed(f"{path!r} answers {allowed or 'other methods'}, not {scope['method'][:20]}.")
        made.allow = allowed
        return made
    return BadRequest(str(error.detail))


async def _of_parameters(request: Request, error: Exception) -> Any:
    """What FastAPI says of path and query → our error."""
    assert isinstance(error, RequestValidationError)
    errors = [(".".join(str(part) for part in one["loc"][1:]), f"wanted: {one['msg']}.") for one in error.errors()]
    raise Invalid(errors)
