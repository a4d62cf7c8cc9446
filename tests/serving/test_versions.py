"""Which models are served: reloads under load, the challenger's share, shadows, and versions that do not load."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clip_har.component import validated
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.serving.asking import Asked
from clip_har.serving.config import ServingConfig
from clip_har.serving.engine import Engine
from clip_har.serving.errors import NotFound, Unavailable
from clip_har.serving.settings import Source
from clip_har.serving.versions import draw
from tests.serving.engines import run, variant_of

_FAST = {"runtime": "onnx", "threads": 2, "versions": {"watch_seconds": 0.05}}


@pytest.fixture(scope="module")
def bundles(served_bundle: Path, tmp_path_factory) -> list[ModelBundle]:
    """Two models that answer alike but for their confidence."""
    first = ModelBundle.load(served_bundle)
    return [first, variant_of(first, tmp_path_factory.mktemp("variant") / "bundle", 8.0)]


@pytest.fixture(scope="module")
def photo(served_bundle: Path) -> bytes:
    return sorted((served_bundle.parent / "study").rglob("*.jpg"))[-1].read_bytes()


@pytest.fixture
def registry(bundles, tmp_path) -> Registry:
    """Both versions; the first is the champion."""
    made = Registry.of(tmp_path / "workspace")
    for bundle in bundles:
        made.add(bundle)
    made.promote(bundles[0].model_id, instead_of=None)
    return made


def engine_of(tmp_path: Path, **versions) -> Engine:
    values = {**_FAST, "versions": {"watch_seconds": 0.05, **versions}}
    workspace = tmp_path / "workspace"
    return Engine(validated(ServingConfig, values), Source(workspace=workspace, outputs=tmp_path / "outputs"))


async def ask(engine: Engine, photo: bytes, **asked):
    with engine.admission.enter() as ticket:
        [answer] = await engine.predict([photo], Asked(**asked), ticket)
        return answer


async def until(condition, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def test_ten_reloads_under_load_fail_no_request_and_mix_no_models(registry, bundles, photo, tmp_path):
    scores = {
        bundle.model_id: Predictor.load(bundle, "onnx", threads=2).predict([photo])[0].scores for bundle in bundles
    }
    assert abs(scores[bundles[0].model_id][0] - scores[bundles[1].model_id][0]) > 1e-3

    async def main():
        engine = engine_of(tmp_path)
        await engine.start()
        assert await engine.until_ready(30), engine.why_not_ready()
        answers, done = [], asyncio.Event()

        async def client():
            while not done.is_set():
                answers.append(await ask(engine, photo))

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for number in range(10):
            new, old = bundles[(number + 1) % 2], bundles[number % 2]
            registry.promote(new.model_id, instead_of=old.model_id)
            await until(lambda new=new: engine.model().model_id == new.model_id)
            seen = len(answers)
            await until(lambda seen=seen: len(answers) > seen + 8)
        done.set()
        await asyncio.gather(*clients)
        await engine.stop()
        return answers

    answers = run(main())
    assert {answer.model_id for answer in answers} == set(scores)
    for answer in answers:
        np.testing.assert_allclose(answer.prediction.scores, scores[answer.model_id], atol=1e-5)


def test_a_request_ends_on_the_model_that_it_began_with(registry, bundles, photo, tmp_path):
    import threading

    async def main():
        engine = engine_of(tmp_path)
        await engine.start()
        assert await engine.until_ready(30)
        began, go = threading.Event(), threading.Event()
        encode = engine.model().encoding.encode

        def slow(pixels, *, alone):
            began.set()
            assert go.wait(30)
            return encode(pixels, alone=alone)

        engine.model().encoding.encode = slow
        asking = asyncio.create_task(ask(engine, photo))
        await until(began.is_set)
        registry.promote(bundles[1].model_id, instead_of=bundles[0].model_id)
        await until(lambda: engine.model().model_id == bundles[1].model_id)
        go.set()
        answer = await asking
        later = await ask(engine, photo)
        await engine.stop()
        return answer.model_id, later.model_id

    assert run(main()) == (bundles[0].model_id, bundles[1].model_id)


def test_a_champion_that_does_not_load_leaves_the_old_one_and_is_said(registry, bundles, photo, tmp_path, caplog):
    async def main():
        engine = engine_of(tmp_path)
        await engine.start()
        assert await engine.until_ready(30)
        registry.promote(bundles[1].model_id, instead_of=bundles[0].model_id)
        head = registry.folder / "bundles" / bundles[1].model_id / "clip_har" / "head.safetensors"
        data = head.read_bytes()
        head.unlink()  # it may be a link to the other tests' file
        head.write_bytes(data[:-4] + b"spoi")
        await until(lambda: "champion" in engine.versions.reload_errors)
        answer = await ask(engine, photo)
        error = engine.versions.reload_errors["champion"]
        rendered = engine.metrics.render().decode()
        registry.rollback()  # what is wanted again is what is served
        await until(lambda: not engine.versions.reload_errors)
        ready = engine.ready
        await engine.stop()
        return answer, error, rendered, ready

    answer, error, rendered, ready = run(main())
    assert answer.model_id == bundles[0].model_id
    assert ready
    assert "head.safetensors" in error.message
    assert error.path.name == bundles[1].model_id
    assert "cannot be served" in caplog.text
    assert caplog.text.count("cannot be served") == 1
    assert f'clip_har_reloads_total{{model_id="{bundles[1].model_id}",outcome="failed"}} 1' in rendered


def test_without_any_model_it_says_so_and_takes_the_first_that_comes(bundles, photo, tmp_path):
    registry = Registry.of(tmp_path / "workspace")

    async def main():
        engine = engine_of(tmp_path)
        await engine.start()
        assert not await engine.until_ready(5)
        assert "no bundle yet" in engine.why_not_ready()
        with pytest.raises(Unavailable, match=r"starting|no bundle"):
            await ask(engine, photo)
        registry.add(bundles[0])
        registry.promote(bundles[0].model_id, instead_of=None)
        await until(lambda: engine.ready)
        role = engine.model().role
        await engine.stop()
        return role

    assert run(main()) == "champion"


def test_the_newest_bundle_is_served_until_there_is_a_champion(bundles, tmp_path):
    shutil.copytree(bundles[1].path, tmp_path / "outputs" / "run-1" / "bundle")
    registry = Registry.of(tmp_path / "workspace")

    async def main():
        engine = engine_of(tmp_path)
        await engine.start()
        assert await engine.until_ready(30)
        first = (engine.model().role, engine.model().model_id)
        registry.add(bundles[0])
        registry.promote(bundles[0].model_id, instead_of=None)
        await until(lambda: engine.model().role == "champion")
        second = engine.model().model_id
        await engine.stop()
        return first, second

    assert run(main()) == (("newest", bundles[1].model_id), bundles[0].model_id)


def test_the_challenger_has_its_share_by_key(registry, bundles, photo, tmp_path):
    async def main():
        engine = engine_of(tmp_path, challenger=bundles[1].model_id[:12], challenger_share=0.3)
        await engine.start()
        assert await engine.until_ready(30)
        await until(lambda: engine.versions.challenger is not None)
        answers = [(key, (await ask(engine, photo, key=key)).model_id) for key in map(str, range(200))]
        again = [(key, (await ask(engine, photo, key=key)).model_id) for key in map(str, range(200))]
        await engine.stop()
        return answers, again

    answers, again = run(main())
    assert answers == again
    shares = Counter(model_id for _, model_id in answers)
    assert 0.2 < shares[bundles[1].model_id] / 200 < 0.4


def test_a_version_that_is_named_answers_whatever_the_share_is(registry, bundles, photo, tmp_path):
    async def main():
        engine = engine_of(tmp_path, challenger=bundles[1].model_id[:12], challenger_share=0.5)
        await engine.start()
        assert await engine.until_ready(30)
        await until(lambda: engine.versions.challenger is not None)
        pixels = engine.model().pixels(engine.model().decode(photo))[None]
        for bundle in bundles:
            for version in (bundle.model_id, bundle.model_id[:8]):
                answers = [await ask(engine, photo, key=key, version=version) for key in map(str, range(8))]
                with engine.admission.enter() as ticket:
                    answers += await engine.predict_pixels(pixels, Asked(version=version), ticket)
                assert {answer.model_id for answer in answers} == {bundle.model_id}
        with pytest.raises(NotFound, match="no version 'ffffffffffff'") as refused:
            await ask(engine, photo, version="f" * 12)
        await engine.stop()
        return refused.value

    assert run(main()).field == "version"


def test_draws_are_even():
    values = np.array([draw(f"request-{number}") for number in range(4000)])
    assert np.allclose(np.quantile(values, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_a_shadow_answers_beside_the_champion_and_is_only_recorded(registry, bundles, photo, tmp_path):
    from clip_har.capture.store import CaptureStore

    async def main():
        engine = engine_of(tmp_path, challenger=str(bundles[1].path), shadow=True)
        await engine.start()
        assert await engine.until_ready(30)
        await until(lambda: engine.versions.challenger is not None)
        answers = []
        for _ in range(5):
            answers.append(await ask(engine, photo))
            await until(lambda: not engine._shadows.waiting)
        await engine.feedback(answers[1].id, "running", None)
        await asyncio.sleep(0.05)
        await engine.stop()
        return answers

    answers = run(main())
    assert {answer.model_id for answer in answers} == {bundles[0].model_id}
    rows = CaptureStore(tmp_path / "workspace" / "capture").predictions().to_pylist()
    assert Counter((row["role"], row["model_id"]) for row in rows) == {
        ("champion", bundles[0].model_id): 5,
        ("shadow", bundles[1].model_id): 5,
    }
    assert {row["id"] for row in rows if row["role"] == "shadow"} == {answer.id for answer in answers}
    deleted, *others = (answer.id for answer in answers)
    store = CaptureStore(tmp_path / "workspace" / "capture")
    labelled = [row["id"] for row in store.with_feedback().to_pylist() if row["feedback_label"] == "running"]
    assert labelled == 2 * [answers[1].id]
    store.delete([deleted])
    left = [row["id"] for row in store.predictions().to_pylist()]
    assert sorted(left) == sorted(2 * others)


def test_the_pointer_is_followed_but_not_a_bundle_that_is_named(registry, bundles, tmp_path):
    async def main():
        config = validated(ServingConfig, _FAST)
        engine = Engine(config, Source(bundle=bundles[1].path, workspace=tmp_path / "workspace"))
        await engine.start()
        assert await engine.until_ready(30)
        registry.promote(bundles[1].model_id, instead_of=bundles[0].model_id)
        await asyncio.sleep(0.3)
        found = (engine.model().role, engine.model().bundle.path)
        await engine.stop()
        return found

    assert run(main()) == ("packaged", bundles[1].path)


# --- ready means right ---


@pytest.fixture
def own_copy(served_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(served_bundle, tmp_path / "copy"))


def why_never_ready(bundle: Path, runtime: str = "onnx") -> str:
    async def main():
        config = validated(ServingConfig, {**_FAST, "runtime": runtime})
        engine = Engine(config, Source(bundle=bundle))
        await engine.start()
        try:
            assert not await engine.until_ready(20)
            await asyncio.sleep(0.2)
            assert not engine.ready
            with pytest.raises(Unavailable):
                engine.admission.enter()
            return engine.why_not_ready()
        finally:
            await engine.stop()

    return run(main())


def test_a_damaged_form_is_never_ready(own_copy):
    file = own_copy / "attachments" / "exports" / "onnx" / "image-fp32.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "image-fp32.onnx is damaged" in why_never_ready(own_copy)


def test_a_damaged_core_is_never_ready(own_copy):
    (own_copy / "clip_har" / "calibration.json").write_text("{}")
    assert "calibration.json differ from their checksums" in why_never_ready(own_copy)


def test_a_form_with_other_weights_does_not_recognise_the_picture(own_copy):
    """Its checksum is right, it runs, it gives unit vectors: only the self-test can tell."""
    import onnx
    from onnx import numpy_helper

    from clip_har.inference.exported import Exports

    bundle = ModelBundle.load(own_copy)
    file = own_copy / "attachments" / "exports" / "onnx" / "image-fp32.onnx"
    model = onnx.load(file)
    generator = np.random.default_rng(0)
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim == 2:
            changed = generator.permutation(values.reshape(-1)).reshape(values.shape)
            weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
    onnx.save(model, file)
    from clip_har.hashing import sha256_file

    exports = Exports.read(bundle)
    forms = tuple(
        form.model_copy(update={"sha256": sha256_file(file)}) if form.file == "onnx/image-fp32.onnx" else form
        for form in exports.forms
    )
    Exports(model_id=bundle.model_id, forms=forms).write(bundle)
    assert "self-test picture is not recognised" in why_never_ready(own_copy)


def test_a_self_test_of_another_model_is_noticed(own_copy):
    note = own_copy / "attachments" / "selftest" / "attachment.json"
    note.write_text(json.dumps({"kind": "selftest", "model_id": "0" * 64}))
    assert "made for another model" in why_never_ready(own_copy)


def test_a_bundle_without_self_test_is_served_if_its_embeddings_are_sound(own_copy, caplog):
    shutil.rmtree(own_copy / "attachments" / "selftest")

    async def main():
        engine = Engine(validated(ServingConfig, _FAST), Source(bundle=own_copy))
        await engine.start()
        assert await engine.until_ready(20), engine.why_not_ready()
        found = engine.model().self_test
        await engine.stop()
        return found

    assert "carries no self-test" in run(main())


def test_auto_does_not_import_torch_where_there_is_an_onnx_form(served_bundle, tmp_path):
    """Seconds of a cold start; also when nothing was measured on this machine before."""
    import os
    import subprocess
    import sys

    code = f"""
import asyncio, sys
from pathlib import Path
from clip_har.serving.config import ServingConfig
from clip_har.serving.engine import Engine
from clip_har.serving.settings import Source
from clip_har.serving.asking import Asked

async def main():
    engine = Engine(ServingConfig(), Source(bundle=Path({str(served_bundle)!r}), workspace=Path({str(tmp_path)!r})))
    await engine.start()
    assert await engine.until_ready(60), engine.why_not_ready()
    photo = next(Path({str(served_bundle.parent)!r}).rglob("*.jpg")).read_bytes()
    with engine.admission.enter() as ticket:
        [answer] = await engine.predict([photo], Asked(labels=("running", "a cat")), ticket)
    assert answer.prediction.label, answer
    await engine.stop()
    print(engine.model().runtime_name, *(n for n in ("torch", "transformers", "pandas", "sklearn", "mlflow", "zenml") if n in sys.modules))

asyncio.run(main())
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("onnx", "onnx-int8")
    assert done.stdout.split()[1:] == []


def test_a_shutdown_does_not_wait_for_a_model_that_is_being_loaded(served_bundle):
    """Building an engine takes minutes, and cannot be stopped."""
    import threading
    import time

    go = threading.Event()

    def load_runtime(bundle, sized):
        assert go.wait(30)
        raise AssertionError("nobody waits for it")

    async def main():
        engine = Engine(validated(ServingConfig, _FAST), Source(bundle=served_bundle), load_runtime=load_runtime)
        await engine.start()
        await asyncio.sleep(0.2)
        assert engine.why_not_ready() == "The model is being loaded."
        await engine.stop()

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 10
    go.set()
