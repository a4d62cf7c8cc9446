"""The service with its image encoder in a runner with adaptive batching. `bentoml serve clip_har.serving.bento_runner:ClipHarService`."""

from __future__ import annotations

import asyncio
from typing import Any

import bentoml

from clip_har.serving.bento import ActionRecognition, DirectService, service_config
from clip_har.serving.served_model import LoadRuntime
from clip_har.serving.settings import find_source, load_settings

_config = load_settings()  # BentoML wants to know batches, workers and resources when it imports the services


def _resources() -> dict[str, Any]:
    from clip_har.inference.machine import has_nvidia_gpu

    return {"gpu": 1} if _config.device != "cpu" and has_nvidia_gpu() else {}


@bentoml.service(
    name=f"{_config.name}-encoder",
    workers=1,
    resources=_resources(),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class EncoderRunner:
    """Runs image encoders; whatever waits is encoded together."""

    def __init__(self) -> None:
        from clip_har.serving.encoder_models import EncoderModels
        from clip_har.serving.observability import logs

        logs.configure(_config)
        self._models = EncoderModels(_config)

    @bentoml.on_startup
    def begin(self) -> None:
        """Load the model at once: who serves it asks for it a moment later."""
        from clip_har.errors import ClipHarError

        try:
            path, _ = find_source().wanted()
        except ClipHarError:
            return  # the API process says why there is none
        self._models.begin(str(path.absolute()))

    @bentoml.api
    def load(self, path: str) -> list[str]:
        """As `EncoderModels.begin`."""
        return list(self._models.begin(path))

    # What has waited for longer than the latency is cancelled by BentoML's dispatcher; callers are told to come again (429).
    # The dispatcher also guesses its first delays from it: no larger one only to be safe from that.
    @bentoml.api(
        batchable=True,
        batch_dim=0,
        max_batch_size=max(2, _config.max_batch_size),
        max_latency_ms=_config.max_latency_ms,
    )
    def encode(self, items: list[Any]) -> list[Any]:
        """As `EncoderModels.encode`."""
        return self._models.encode(items)


class ActionRecognitionWithRunner(ActionRecognition):
    """Recognises human actions in photographs."""

    runner = bentoml.depends(EncoderRunner)

    def load_runtime(self) -> LoadRuntime:
        """Ask the runner."""
        from clip_har.serving.remote_encoder import RemoteEncoder

        client = self.runner.to_async
        _keep_sessions(client)
        loop = asyncio.get_running_loop()
        return lambda bundle, sized: RemoteEncoder.load(bundle, client, loop, sized)


def _keep_sessions(client: Any) -> None:
    """BentoML's client closes its session after a hundred requests, those in flight included: let it keep the one it has."""
    sessions = getattr(getattr(client, "client", client), "_session_manager", None)
    if sessions is not None:
        sessions.max_requests = sessions.max_age = float("inf")


ClipHarService = DirectService(name=_config.name, config=service_config(_config), inner=ActionRecognitionWithRunner)
