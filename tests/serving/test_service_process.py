"""One process of the service: what its parts share, and what its end does."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from clip_har.component import validated
from clip_har.serving.config import ServingConfig
from clip_har.serving.observability import logs
from clip_har.serving.observability.tracing import Tracer
from clip_har.serving.service_process import ServiceProcess
from clip_har.serving.settings import Source
from tests.serving.engines import run


def test_rest_and_grpc_have_one_tracer_which_is_closed_last(
    served_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made, closed = [], []
    make = Tracer.from_config
    monkeypatch.setattr(logs, "configure", lambda config: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr(Tracer, "from_config", staticmethod(lambda config: made.append(make(config)) or made[-1]))
    monkeypatch.setattr(Tracer, "close", lambda self: closed.append((self, process.engine.admission.depth)))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "drift.json").write_text("{}")
    config = validated(ServingConfig, {"runtime": "onnx", "threads": 2, "grpc": {"port": 0}})
    process = ServiceProcess(config, Source(bundle=served_bundle, workspace=tmp_path))

    async def main():
        await process.start()
        try:
            assert await process.engine.until_ready(60)
            transport = httpx.ASGITransport(app=process.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                assert (await client.get("/readyz")).status_code == 200
                assert (await client.get("/v1/reports/drift")).json()[
                    "source"
                ] == "workspace"  # of the engine's workspace
            assert closed == []
        finally:
            await process.stop()

    run(main())
    assert len(made) == 1
    assert closed == [(made[0], 0)]
