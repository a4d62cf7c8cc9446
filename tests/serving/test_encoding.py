"""Where pictures are encoded: lanes, batches, and the runner's side of both."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import BundleError, ConfigError
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.serving import served_model
from clip_har.serving.config import ServingConfig
from clip_har.serving.encoder_models import EncoderModels
from clip_har.serving.encoding import Elsewhere, InBatches, InLanes, Workers, encoding_of
from clip_har.serving.errors import TooManyRequests
from clip_har.serving.remote_encoder import RemoteEncoder
from clip_har.serving.served_model import runtime_for


class Doubling:
    """A runtime of batches: each row's sum, times two."""

    name, lanes = "doubling", 1

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        self.begun.set()
        assert self.go.wait(20)
        self.sizes.append(len(pixel_values))
        if (pixel_values < 0).any():
            raise ValueError("negative")
        return 2 * pixel_values.reshape(len(pixel_values), -1).sum(axis=1, keepdims=True)


def test_what_waits_is_encoded_together_and_nobody_is_held_back():
    runtime, sizes = Doubling(), []
    encoding = encoding_of(runtime, 4, sizes.append)
    assert isinstance(encoding, InBatches)
    with ThreadPoolExecutor(10) as pool:
        rows = [np.full((3, 2, 2), number, dtype=np.float32) for number in range(9)]
        waiting = [pool.submit(encoding.encode, rows[0], alone=False)]
        assert runtime.begun.wait(20)  # the first one does not wait for others
        waiting += [pool.submit(encoding.encode, row, alone=False) for row in rows[1:]]
        time.sleep(0.2)
        runtime.go.set()
        assert [float(one.result()[0]) for one in waiting] == [24.0 * number for number in range(9)]
    assert sizes == runtime.sizes
    assert sizes == [1, 4, 4]
    encoding.close()


def test_an_error_of_a_batch_reaches_everyone_in_it_and_the_next_one_works():
    runtime = Doubling()
    runtime.go.set()
    encoding = InBatches(runtime, 4)
    with pytest.raises(ValueError, match="negative"):
        encoding.encode(np.full((3, 2, 2), -1, dtype=np.float32), alone=True)
    assert encoding.encode(np.ones((3, 2, 2), dtype=np.float32), alone=True)[0] == 24
    encoding.close()


def test_a_picture_alone_has_all_cores_and_several_have_one_each():
    calls = []

    class Laned:
        name, lanes = "laned", 2

        def encode(self, pixels):
            calls.append("all")
            return pixels.reshape(len(pixels), -1)

        def encode_in_lane(self, pixels):
            calls.append("one")
            return pixels.reshape(len(pixels), -1)

    encoding = encoding_of(Laned(), 4)
    assert isinstance(encoding, InLanes)
    assert encoding.threads == 3
    pixels = np.ones((3, 2, 2), dtype=np.float32)
    for alone in (True, False):
        encoding.encode(pixels, alone=alone)
    assert calls == ["all", "one"]


def test_workers_know_whether_a_picture_is_alone_and_drop_what_is_cancelled():
    workers, go = Workers(1), threading.Event()
    seen = workers.submit(lambda: workers.alone)
    assert seen.result(5)
    first = workers.submit(go.wait, 20)
    second = workers.submit(lambda: workers.alone)
    assert workers.inside == 2
    assert not workers.alone
    assert second.cancel()
    assert workers.inside == 1
    go.set()
    assert first.result(5)
    workers.close()


@pytest.fixture(scope="module")
def models(served_bundle: Path) -> EncoderModels:
    return EncoderModels(ServingConfig(runtime="onnx", threads=1))


def ready(models: EncoderModels, path: Path) -> tuple[str, str]:
    until = time.monotonic() + 20
    while (state := models.begin(str(path)))[0] == "loading" and time.monotonic() < until:
        time.sleep(0.02)
    return state


def test_the_runner_encodes_a_batch_of_several_models(models, served_bundle, tmp_path):
    link = tmp_path / "again"  # the same model, at another place
    link.symlink_to(served_bundle)
    assert ready(models, served_bundle) == ("ready", "onnx")
    rows = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    wanted = Predictor.load(served_bundle, "onnx", threads=1).runtime.encode(rows)
    items = [(str(path), row) for path, row in zip((served_bundle, link, link, served_bundle), rows, strict=True)]
    answers = models.encode(items)  # the second is loaded on the way
    np.testing.assert_allclose([embedding for embedding, _ in answers], wanted, atol=1e-6)
    assert [size for _, size in answers] == [4, 0, 0, 0]


def test_the_runner_says_why_a_model_does_not_load_and_tries_again(models, tmp_path):
    state, why = ready(models, tmp_path / "nothing")
    assert state == "failed"
    assert "is not a model bundle" in why
    assert models.begin(str(tmp_path / "nothing"))[0] == "loading"


class Local:
    """The runner without BentoML: what its client offers, and a failure at will."""

    def __init__(self, models: EncoderModels) -> None:
        self._models, self.down = models, False

    async def load(self, path: str):
        return await asyncio.to_thread(self._models.begin, path)

    async def encode(self, items):
        if self.down:
            raise ConnectionError("gone")
        return await asyncio.to_thread(self._models.encode, items)


def test_a_remote_encoder_is_a_runtime_like_any_other(models, served_bundle, tmp_path):
    bundle, sizes = ModelBundle.load(served_bundle), []
    runner = Local(models)

    async def main():
        loop = asyncio.get_running_loop()
        remote = await asyncio.to_thread(RemoteEncoder.load, bundle, runner, loop, sizes.append)
        assert (remote.name, remote.lanes) == ("onnx", 1)
        assert isinstance(encoding_of(remote, 8), Elsewhere)
        sizes.clear()
        rows = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype(np.float32)
        found = await asyncio.to_thread(remote.encode, rows)
        runner.down = True
        with pytest.raises(TooManyRequests, match="does not answer now"):
            await asyncio.to_thread(remote.encode, rows)
        return rows, found

    rows, found = asyncio.run(main())
    wanted = Predictor.load(served_bundle, "onnx", threads=1).runtime.encode(rows)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert sizes == [3]


def test_a_model_that_the_runner_cannot_load_is_told(models, served_bundle):
    class Broken(Local):
        async def load(self, path: str):
            return "failed", "its engine does not fit"

    async def main():
        bundle = ModelBundle.load(served_bundle)
        loop = asyncio.get_running_loop()
        with pytest.raises(BundleError, match="its engine does not fit"):
            await asyncio.to_thread(RemoteEncoder.load, bundle, Broken(models), loop)

    asyncio.run(main())


class _Runtimes:
    """A registry whose runtimes load, or say why not."""

    def __init__(self, **loads: str) -> None:
        self._loads = loads
        self.asked: list[str] = []

    def get(self, name: str):
        registry = self

        class Runtime:
            @classmethod
            def load(cls, bundle, *, device, threads):
                registry.asked.append(name)
                if registry._loads[name]:
                    raise ConfigError(registry._loads[name])
                return name

        return Runtime

    def __iter__(self):
        return iter(self._loads)


@pytest.mark.parametrize(
    ("own", "built", "chosen"), [("", "", "tensorrt"), ("does not fit", "", "onnx-tensorrt"), ("no", "no", "fastest")]
)
def test_on_a_gpu_an_engine_is_used_or_built_before_anything_is_measured(
    served_bundle, monkeypatch, own, built, chosen
):
    from clip_har.inference.runtimes import choosing

    runtimes = _Runtimes(**{"auto": "", "torch": "", "tensorrt": own, "onnx-tensorrt": built})
    monkeypatch.setattr(served_model, "RUNTIMES", runtimes)
    monkeypatch.setattr(served_model, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(choosing, "choose", lambda bundle, tried, **_: "fastest")
    assert runtime_for(ModelBundle.load(served_bundle), ServingConfig()) == chosen
    asked = list(runtimes.asked)
    monkeypatch.setattr(served_model, "has_nvidia_gpu", lambda: False)
    assert runtime_for(ModelBundle.load(served_bundle), ServingConfig()) == "fastest"
    assert runtimes.asked == asked  # without a GPU no engine is looked for
