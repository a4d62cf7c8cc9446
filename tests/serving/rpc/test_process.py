"""The real service, in a process of its own: every surface gives the Predictor's answers; it ends as it should."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clip_har.inference.predictor import Predictor
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub
from tests.serving.engines import serving_process
from tests.serving.rpc.service import picture

FILES = [picture(seed, format=format) for seed, format in enumerate(("JPEG", "PNG", "WEBP", "GIF"))]


@pytest.mark.slow
def test_all_surfaces_give_the_predictors_scores(served_bundle: Path, tmp_path: Path) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    expected = [answer.scores for answer in Predictor.load(served_bundle, "onnx", device="cpu").predict(FILES)]
    with serving_process(served_bundle, tmp_path) as served, grpc.insecure_channel(served.grpc_target) as channel:
        request = v1.PredictRequest(images=[v1.Image(content=file) for file in FILES])
        ours = ActionRecognitionStub(channel).Predict(request, timeout=20)
        np.testing.assert_allclose(
            [[one.score for one in result.labels] for result in ours.results], expected, atol=1e-5
        )
        rest = httpx.post(
            f"{served.rest_url}/v1/predict", files=[("images", (f"{n}.bin", file)) for n, file in enumerate(FILES)]
        ).json()
        np.testing.assert_allclose(
            [[one["score"] for one in result["labels"]] for result in rest["results"]], expected, atol=1e-5
        )
        client = triton.InferenceServerClient(served.grpc_target)
        images = triton.InferInput("images", [len(FILES)], "BYTES")
        images.set_data_from_numpy(np.array(FILES, dtype=np.object_))
        np.testing.assert_allclose(client.infer("clip-har", [images]).as_numpy("scores"), expected, atol=1e-5)
        client.close()

        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        os.killpg(served.process.pid, signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert served.process.wait(60) == 0
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    assert ("grpc", "predict", 200) in {(one.get("surface"), one.get("operation"), one.get("status")) for one in lines}
