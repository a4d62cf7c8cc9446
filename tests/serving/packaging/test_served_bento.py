"""A Bento serves by itself: in another folder, with the packages that it names and no others, and without this project."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.serving.config import ServingConfig
from clip_har.serving.packaging import build
from tests.command import PROJECT
from tests.serving.engines import Served, await_answer, end_group, free_port
from tests.serving.packaging.bare_environment import make_environment

pytestmark = pytest.mark.slow


def test_it_serves_without_the_project(served_bundle: Path, tmp_path: Path) -> None:
    bundle = ModelBundle.load(served_bundle)
    packed = build(bundle, tmp_path / "store", ServingConfig(runtime="onnx"))
    requirements = (Path(packed.path) / "env" / "python" / "requirements.txt").read_text().split()
    programs = make_environment(tmp_path / "environment", requirements)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    python = [str(programs / "python"), "-c"]
    absent = subprocess.run([*python, "import clip_har"], cwd=elsewhere, capture_output=True, text=True)
    assert "No module named 'clip_har'" in absent.stderr
    absent = subprocess.run([*python, "import torch"], cwd=elsewhere, capture_output=True, text=True)
    assert "No module named 'torch'" in absent.stderr

    port, grpc_port = free_port(), free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CLIP_HAR_", "PYTHON"))}
    log = tmp_path / "service.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(programs / "bentoml"), "serve", packed.tag, "--port", str(port)],
            cwd=elsewhere,
            env=own
            | {
                "BENTOML_HOME": packed.store,
                "BENTOML_DO_NOT_TRACK": "True",
                "CLIP_HAR_SERVING__GRPC__PORT": str(grpc_port),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "OMP_NUM_THREADS": "1",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}", process, log)
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(picture, "PNG")
    try:
        await_answer(served, "/v2/health/ready", 60)
        with httpx.Client(base_url=served.rest_url, timeout=30) as client:
            answer = client.post("/v1/predict", files={"images": ("picture.png", picture.getvalue(), "image/png")})
            assert answer.status_code == 200, answer.text
            model, server = client.get("/v1/model").json(), client.get("/v2").json()
            other = client.post(
                "/v1/predict",
                files={"images": ("picture.png", picture.getvalue(), "image/png")},
                data={"labels": ["a cat", "a dog"]},
            )
            assert other.status_code == 200, other.text
    finally:
        end_group(process)
    said = answer.json()
    (expected,) = Predictor.load(bundle, "onnx", device="cpu").predict([picture.getvalue()])
    (found,) = said["results"]
    assert said["model_id"] == packed.model_id == model["model_id"] == bundle.model_id
    assert model["role"] == "packaged"
    assert server["name"]
    scores = {label["label"]: label["score"] for label in found["labels"]}
    assert scores == pytest.approx(dict(zip(expected.labels, expected.scores, strict=True)), abs=1e-5)
    assert "Traceback" not in log.read_text()
    assert str(PROJECT / "src") not in log.read_text()
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            assert json.loads(line)["level"] != "error", line
