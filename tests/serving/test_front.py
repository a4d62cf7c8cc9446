"""What stands before both apps: all requests are the service's own as soon as it is there."""

from __future__ import annotations

import pytest

from clip_har.serving.front import Front
from clip_har.serving.rest.app import make_app
from clip_har.serving.security import Security
from tests.serving.engines import run
from tests.serving.rest.stand_in import StandInEngine, ask


async def bentoml(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b"of BentoML"})


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/livez"])
def test_probes_are_the_services_own_once_it_is_there(path):
    engine = StandInEngine()
    engine.ready = False
    own = make_app(engine, Security.from_config(engine.config))  # type: ignore[arg-type]
    before = run(ask(Front(bentoml, lambda: None), "GET", path))
    assert before.body == b"of BentoML"
    found = run(ask(Front(bentoml, lambda: own), "GET", path))
    if path != "/readyz":
        assert (found.status, found.json()) == (200, {"live": True})
        return
    assert found.status == 503
    assert found.json()["detail"] == "The model is being loaded."
    assert int(found.headers["retry-after"]) >= 1


def test_the_lifespan_stays_bentomls():
    seen = []

    async def lifespan(scope, receive, send) -> None:
        seen.append(scope["type"])

    async def own(scope, receive, send) -> None:
        raise AssertionError("it is not for the service's own app")

    run(Front(lifespan, lambda: own)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
