"""The engine: the Predictor's answers, errors that are a picture's own, deadlines, cancelled clients, an orderly end."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.serving.asking import Answered, Asked
from clip_har.serving.engine import Engine
from clip_har.serving.errors import DeadlineExceeded, ServiceError, TooManyRequests, Unavailable, Unprocessable
from tests.serving.engines import run, running_engine


@pytest.fixture(scope="module")
def photos(served_bundle: Path) -> list[bytes]:
    files = sorted((served_bundle.parent / "study").rglob("*.jpg"))
    return [file.read_bytes() for file in files[::7]][:12]


_PLAIN = Asked()


async def ask(engine: Engine, images, asked: Asked = _PLAIN) -> list[Answered | ServiceError]:
    with engine.admission.enter() as ticket:
        return await engine.predict(images, asked, ticket)


class Gate:
    """Stands before an engine's encoder: pictures wait there until it is opened."""

    def __init__(self, engine: Engine) -> None:
        self._open, self.arrived, self.encoded = threading.Event(), 0, 0
        encoding = engine.model().encoding
        encode = encoding.encode

        def waiting(pixels, *, alone):
            self.arrived += 1
            assert self._open.wait(30)
            self.encoded += 1
            return encode(pixels, alone=alone)

        encoding.encode = waiting

    def open(self) -> None:
        self._open.set()

    async def until_arrived(self, count: int) -> None:
        while self.arrived < count:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("runtime", ["onnx", "onnx-int8", "torch"])
def test_answers_are_the_predictors(served_bundle, photos, runtime):
    wanted = Predictor.load(served_bundle, runtime, threads=2).predict(photos, top_k=4)

    async def main():
        async with running_engine(served_bundle, runtime=runtime) as engine:
            together = await ask(engine, photos, Asked(top_k=4))
            alone = [(await ask(engine, [photo], Asked(top_k=4)))[0] for photo in photos]
            assert engine.model().runtime_name == runtime
            return together, alone

    for answers in run(main()):
        assert [answer.prediction.labels for answer in answers] == [one.labels for one in wanted]
        assert [answer.prediction.label_set for answer in answers] == [one.label_set for one in wanted]
        np.testing.assert_allclose(
            [answer.prediction.scores for answer in answers], [one.scores for one in wanted], atol=1e-5
        )
        assert all(set(answer.seconds) == {"queue", "decode", "encode", "head"} for answer in answers)
        assert len({answer.id for answer in answers}) == len(answers)


def test_answers_on_real_photographs_are_the_predictors(har_folder, har_bundle):
    photos = [file.read_bytes() for file in sorted((har_folder / "train").glob("*.jpg"))[:40:4]]
    wanted = Predictor.load(har_bundle, "torch").predict(photos)

    async def main():
        async with running_engine(har_bundle, runtime="torch") as engine:
            return await ask(engine, photos)

    answers = run(main())
    assert [answer.prediction.labels for answer in answers] == [one.labels for one in wanted]
    np.testing.assert_allclose(
        [answer.prediction.scores for answer in answers], [one.scores for one in wanted], atol=1e-6
    )


@pytest.fixture(scope="module")
def har_bundle(har_dual_encoder, tmp_path_factory) -> Path:
    """The small real model with zero-shot's head."""
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.dual_encoder import DualEncoder
    from tests.serving.zero_shot_bundle import zero_shot_bundle

    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    return zero_shot_bundle(tmp_path_factory.mktemp("har") / "bundle", encoder)


def test_labels_of_the_callers_own_are_scored_through_the_text_encoder(served_bundle, photos):
    asked = Asked(labels=("running", "a cat"), templates=("a photo of {}.",), top_k=2)
    wanted = Predictor.load(served_bundle, "onnx").predict(photos[:2], asked.labels, asked.templates, top_k=2)

    async def main():
        async with running_engine(served_bundle) as engine:
            return await ask(engine, photos[:2], asked)

    for answer, one in zip(run(main()), wanted, strict=True):
        assert answer.prediction.labels == one.labels
        assert answer.prediction.scores == pytest.approx(one.scores, abs=1e-6)
        assert not answer.prediction.calibrated
        assert answer.prediction.label_set is None


def test_one_bad_picture_spoils_no_other(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            return await ask(engine, [photos[0], b"no picture", b"", photos[1][:300], photos[2]])

    first, text, empty, cut, last = run(main())
    assert isinstance(first, Answered)
    assert isinstance(last, Answered)
    assert [(one.code, one.status, one.field) for one in (text, empty, cut)] == [
        ("not_an_image", 415, "images[1]"),
        ("empty_file", 422, "images[2]"),
        ("truncated", 422, "images[3]"),
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Asked(top_k=0), "top_k"),
        (Asked(top_k=101), "top_k"),
        (Asked(threshold=1.5), "threshold"),
        (Asked(threshold=float("nan")), "threshold"),
        (Asked(coverage=1.5), "coverage"),
        (Asked(labels=()), "labels"),
        (Asked(labels=("a", " ")), "labels[1]"),
        (Asked(labels=("a", "a")), "labels"),
        (Asked(labels=("x" * 101,)), "labels[0]"),
        (Asked(labels=("\ud800",)), "labels[0]"),
        (Asked(labels=tuple(map(str, range(101)))), "labels"),
        (Asked(templates=("no place",)), "templates"),
        (Asked(labels=("a",), coverage=0.9), "coverage"),
        (Asked(labels=("a",), explain=True), "explain"),
    ],
)
def test_what_cannot_be_asked_names_its_field(served_bundle, photos, asked, field):
    async def main():
        async with running_engine(served_bundle) as engine:
            with pytest.raises(Unprocessable) as refused:
                await ask(engine, photos[:1], asked)
            assert engine.admission.depth == 0
            return refused.value

    assert run(main()).field == field


def test_too_many_pictures_and_none(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, limits={"max_images": 2}, queue={"max_waiting": 4}) as engine:
            with pytest.raises(ServiceError, match="3 pictures in one request; at most 2") as refused:
                await ask(engine, photos[:3])
            assert refused.value.status == 413
            with pytest.raises(Unprocessable, match="no picture"):
                await ask(engine, [])

    run(main())


def test_ready_tensors_are_answered_like_their_picture(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            model = engine.model()
            pixels = np.stack([model.pixels(model.decode(photo)) for photo in photos[:3]])
            answers = await ask(engine, photos[:3])
            with engine.admission.enter() as ticket:
                of_pixels = await engine.predict_pixels(pixels, Asked(), ticket)
            for answer, other in zip(answers, of_pixels, strict=True):
                assert answer.prediction == other.prediction
            for wrong in (pixels[:, :, :8], pixels.astype(np.int64), np.full_like(pixels, np.nan)):
                with engine.admission.enter() as ticket, pytest.raises(Unprocessable) as refused:
                    await engine.predict_pixels(wrong, Asked(), ticket)
                assert refused.value.field == "pixel_values"

    run(main())


def test_embeddings_are_the_predictors(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            with engine.admission.enter() as ticket:
                return await engine.embed([*photos[:2], b"x"], ticket)

    model_id, (first, second, error) = run(main())
    assert model_id == ModelBundle.load(served_bundle).model_id
    wanted = Predictor.load(served_bundle, "onnx").embed_images(photos[:2])
    np.testing.assert_allclose([first, second], wanted, atol=1e-5)
    assert error.code == "not_an_image"


def test_a_heat_map_explains_the_best_label(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, queue={"deadline_seconds": 60}) as engine:
            [answer] = await ask(engine, photos[:1], Asked(explain=True))
            return answer

    answer = run(main())
    assert answer.heat_map_label == answer.prediction.label
    assert Image.open(io.BytesIO(answer.heat_map)).format == "PNG"


def test_a_request_is_given_up_at_its_deadline_and_what_waits_is_not_encoded(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, queue={"deadline_seconds": 0.3}) as engine:
            gate = Gate(engine)
            threads = engine.model().encoding.threads
            began = time.monotonic()
            asking = [asyncio.create_task(ask(engine, [photo])) for photo in photos]
            answers = [one for answer in await asyncio.gather(*asking) for one in answer]
            assert time.monotonic() - began < 5
            assert all(isinstance(one, DeadlineExceeded) and one.status == 429 for one in answers)
            assert engine.admission.depth == 0
            gate.open()
            await asyncio.sleep(0.2)
            assert gate.encoded == gate.arrived == threads  # who had begun; nobody who was waiting

    run(main())


def test_a_deadline_that_passed_in_the_queue_is_noticed_before_encoding(served_bundle, photos):
    """Also where nobody cancels: the thread looks at the time itself."""
    from clip_har.serving.encoding import Workers
    from clip_har.serving.picture import Job, embed

    async def main():
        async with running_engine(served_bundle) as engine:
            gate = Gate(engine)
            gate.open()
            with pytest.raises(DeadlineExceeded):
                embed(Job(engine.model(), time.monotonic() - 1, image=photos[0]), Workers(1))
            assert gate.arrived == 0

    run(main())


def test_a_cancelled_client_frees_its_place_and_its_waiting_pictures(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, queue={"max_waiting": 12}) as engine:
            gate = Gate(engine)
            threads = engine.model().encoding.threads
            asking = asyncio.create_task(ask(engine, photos))
            await gate.until_arrived(threads)
            assert engine.admission.depth == len(photos) == engine.admission.capacity
            with pytest.raises(TooManyRequests):
                engine.admission.enter()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert engine.admission.depth == 0
            gate.open()
            [answer] = await ask(engine, photos[:1])
            assert isinstance(answer, Answered)
            for _ in range(100):  # those that were at the gate end when they get a core
                if gate.encoded >= threads + 1:
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            assert gate.encoded == threads + 1

    run(main())


def test_a_shutdown_answers_what_was_accepted_and_refuses_the_rest(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            gate = Gate(engine)
            asking = asyncio.create_task(ask(engine, photos))
            await gate.until_arrived(1)
            stopping = asyncio.create_task(engine.stop())
            await asyncio.sleep(0.1)
            assert not stopping.done()
            assert not engine.ready
            assert "shutting down" in engine.why_not_ready()
            with pytest.raises(Unavailable, match="shutting down"):
                engine.admission.enter()
            gate.open()
            answers = await asking
            await stopping
            return answers

    assert all(isinstance(answer, Answered) for answer in run(main()))


def test_a_fault_of_ours_is_logged_and_shows_nothing(served_bundle, photos, caplog):
    async def main():
        async with running_engine(served_bundle) as engine:
            model = engine.model()

            def broken(pixels, *, alone):
                raise RuntimeError("secret detail")

            model.encoding.encode = broken
            return await ask(engine, photos[:1])

    [error] = run(main())
    assert error.status == 500
    assert "secret" not in str(error)
    assert "secret detail" in caplog.text


def test_the_response_cache_answers_the_same_bytes_without_encoding_them(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, response_cache=2) as engine:
            gate = Gate(engine)
            gate.open()
            [first] = await ask(engine, photos[:1])
            [again] = await ask(engine, photos[:1])
            assert gate.encoded == 1
            assert again.prediction == first.prediction
            assert again.id != first.id
            [other] = await ask(engine, photos[:1], Asked(top_k=1))  # another question
            assert len(other.prediction.labels) == 1
            assert gate.encoded == 2
            await ask(engine, photos[:1], Asked(conformal=False))  # the same one, answered with less
            assert gate.encoded == 2
            for photo in photos[1:3]:
                await ask(engine, [photo])
            assert len(engine._cache) == 2
            await ask(engine, photos[:1])
            assert gate.encoded == 5  # it had been the oldest

    run(main())


def test_what_was_answered_is_captured_and_feedback_finds_it(served_bundle, photos, tmp_path):
    from clip_har.capture.store import CaptureStore

    async def main():
        async with running_engine(served_bundle, workspace=tmp_path) as engine:
            answers = await ask(engine, [*photos[:3], b"x"], Asked(surface="grpc"))
            await engine.feedback(answers[0].id, "running", "me")
            for wrong, field in ((("no id", "running"), "prediction_id"), ((answers[0].id, " "), "label")):
                with pytest.raises(Unprocessable) as refused:
                    await engine.feedback(*wrong, None)
                assert refused.value.field == field
            return answers[:3]

    answers = run(main())
    store = CaptureStore(tmp_path / "capture")
    rows = {row["id"]: row for row in store.predictions().to_pylist()}
    ids = {answer.id for answer in answers}
    [refused] = [rows.pop(name) for name in set(rows) - ids]
    assert set(rows) == ids
    assert (refused["error"], refused["embedding"], refused["labels"], refused["scores"]) == (
        "not_an_image",
        None,
        [],
        [],
    )
    assert (refused["bytes"], refused["surface"], refused["image"]) == (1, "grpc", None)
    assert {row["error"] for row in rows.values()} == {""}
    row = rows[answers[0].id]
    assert (row["model_id"], row["surface"], row["role"]) == (answers[0].model_id, "grpc", "packaged")
    np.testing.assert_allclose(row["embedding"], answers[0].embedding, atol=1e-6)
    assert [one["label"] for one in store.feedback().to_pylist()] == ["running"]


def test_figures_are_taken_only_of_what_is_captured(served_bundle, photos, tmp_path, monkeypatch):
    from clip_har.capture import statistics
    from clip_har.capture.store import CaptureStore

    taken = []
    take = statistics.image_statistics
    monkeypatch.setattr(statistics, "image_statistics", lambda image: taken.append(image) or take(image))

    async def main(workspace: Path | None, **settings):
        taken.clear()
        async with running_engine(served_bundle, workspace=workspace, **settings) as engine:
            await ask(engine, photos)
            await ask(engine, photos)
        return len(taken)

    assert run(main(None)) == 0
    assert run(main(tmp_path / "off", capture={"enabled": False})) == 0
    some = run(main(tmp_path / "some", capture={"sampling_rate": 0.5}))
    rows = CaptureStore(tmp_path / "some" / "capture").predictions().to_pylist()
    assert some == len(rows) < 2 * len(photos)
    run(main(tmp_path / "kept", capture={"sampling_rate": 0.5}, response_cache=100))
    rows = CaptureStore(tmp_path / "kept" / "capture").predictions().to_pylist()
    assert all(row["brightness"] > 0 for row in rows)  # also where another prediction's answer was kept


def test_a_fresh_engine_takes_many_at_once_though_the_first_were_slow(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, queue={"deadline_seconds": 4}) as engine:
            encoding, cold = engine.model().encoding, threading.Semaphore(engine.model().encoding.threads)
            encode = encoding.encode

            def slow_at_first(pixels, *, alone):
                if cold.acquire(blocking=False):
                    time.sleep(0.5)
                return encode(pixels, alone=alone)

            encoding.encode = slow_at_first

            async def client():
                return [await ask(engine, photos[:1]) for _ in range(2)]

            await asyncio.gather(*(client() for _ in range(32)))  # raises TooManyRequests where one is refused

    run(main())


def test_without_a_place_nothing_is_captured(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            assert engine.capture is None
            [answer] = await ask(engine, photos[:1])
            with pytest.raises(Unavailable, match="no folder"):
                await engine.feedback(answer.id, "running", None)

    run(main())


def test_many_clients_at_once_get_their_own_answers(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle) as engine:
            alone = [(await ask(engine, [photo]))[0] for photo in photos]
            together = await asyncio.gather(*(ask(engine, [photo]) for photo in photos * 4))
            return alone, [answer for [answer] in together]

    alone, together = run(main())
    for place, answer in enumerate(together):
        assert answer.prediction.scores == pytest.approx(alone[place % len(alone)].prediction.scores, abs=1e-5)


def test_texts_that_take_long_hold_up_no_picture(served_bundle, photos):
    async def main():
        async with running_engine(served_bundle, queue={"deadline_seconds": 0.5}) as engine:
            go = threading.Event()
            embed_texts = engine.model().predictor.embed_texts
            engine.model().predictor.embed_texts = lambda texts: go.wait(30) and embed_texts(texts)
            slow = [asyncio.create_task(ask(engine, photos[:1], Asked(labels=(f"label {n}",)))) for n in range(6)]
            await asyncio.sleep(0.05)
            [answer] = await ask(engine, photos[:1])
            assert isinstance(answer, Answered)
            late = await asyncio.gather(*slow, return_exceptions=True)
            assert all(isinstance(one, DeadlineExceeded) for one in late)
            go.set()
            await asyncio.sleep(0.3)
            [again] = await ask(engine, photos[:1], Asked(labels=("label 0",)))  # what had begun was kept
            assert again.prediction.label == "label 0"

    run(main())
