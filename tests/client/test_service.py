"""The clients, the commands and docs/api.md against one real service, over REST and gRPC."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clip_har import cli
from clip_har.client import (
    AsyncClient,
    AsyncGrpcClient,
    Client,
    ClientSettings,
    GrpcClient,
    PictureResult,
    ServiceProblem,
    heat_map_of,
)
from clip_har.serving.schemas import PredictResponse
from tests.client.grpcurl import grpcurl
from tests.client.served import Model, make_model, served
from tests.command import PROJECT
from tests.serving.engines import Served

pytestmark = pytest.mark.slow

KINDS = ["rest", "rest-async", "grpc", "grpc-async"]
SETTINGS = ClientSettings(deadline_seconds=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def service(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(model, tmp_path_factory.mktemp("service")) as running:
        yield running


def ask(service: Served, kind: str, method: str, *arguments: Any, **options: Any) -> Any:
    """The result of a client's method; of one that gives one thing after the other, a list."""
    made = {"rest": Client, "rest-async": AsyncClient, "grpc": GrpcClient, "grpc-async": AsyncGrpcClient}[kind]
    where = service.rest_url if kind.startswith("rest") else service.grpc_target
    several = method in ("predict_files", "predict_stream")
    if not kind.endswith("async"):
        with made(where, settings=SETTINGS) as client:
            found = getattr(client, method)(*arguments, **options)
            return list(found) if several else found

    async def asked() -> Any:
        async with made(where, settings=SETTINGS) as client:
            found = getattr(client, method)(*arguments, **options)
            return [one async for one in found] if several else await found

    return asyncio.run(asked())


def same(found: Any, wanted: Any) -> None:
    assert [one.label for one in found.labels] == list(wanted.labels)
    np.testing.assert_allclose([one.score for one in found.labels], wanted.scores, atol=1e-5)
    assert (found.label, found.abstained, found.calibrated) == (wanted.label, wanted.abstained, wanted.calibrated)
    assert found.label_set == (None if wanted.label_set is None else list(wanted.label_set))
    assert found.error is None


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_predictors(service: Served, model: Model, kind: str) -> None:
    photos = model.photos[:6]
    answer = ask(service, kind, "predict", photos)
    assert isinstance(answer, PredictResponse)
    assert answer.model_id == model.predictor.bundle.model_id
    for found, wanted in zip(answer.results, model.predictor.predict(photos), strict=True):
        same(found, wanted)
    forms = [
        photos[0].read_bytes(),
        str(photos[0]),
        Image.open(photos[0]),
        np.asarray(Image.open(photos[0]).convert("RGB")),
    ]
    for found in ask(service, kind, "predict", forms).results:
        same(found, model.predictor.predict(photos[:1])[0])


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_real_photographs_too(service: Served, model: Model, har_folder: Path, kind: str) -> None:
    photos = sorted((har_folder / "train").glob("*.jpg"))[:24]
    found = ask(service, kind, "predict_files", photos, top_k=15)
    assert [path for path, _ in found] == photos
    for (_, result), wanted in zip(found, model.predictor.predict(photos, top_k=15), strict=True):
        same(result, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option(service: Served, model: Model, kind: str) -> None:
    photo, predictor = model.photos[0], model.predictor
    asked = {"labels": ["surfing", "žvýkání", "sitting"], "templates": ["someone is {}"], "top_k": 2, "threshold": 1.0}
    [found] = ask(service, kind, "predict", photo, **asked).results
    same(found, predictor.predict([photo], **asked)[0])
    assert found.abstained
    [found] = ask(service, kind, "predict", photo, coverage=0.6, threshold=0.0).results
    same(found, predictor.predict([photo], coverage=0.6, threshold=0.0)[0])
    with pytest.raises(ServiceProblem) as caught:
        ask(service, kind, "predict", photo, coverage=0.6, labels=["surfing", "sitting"])
    assert "coverage" in str(caught.value)
    assert ask(service, kind, "predict", photo, conformal=False).results[0].label_set is None


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_heat_map(service: Served, model: Model, kind: str) -> None:
    [found] = ask(service, kind, "predict", model.photos[0], explain=True).results
    assert heat_map_of(found).startswith(b"\x89PNG")
    assert found.heat_map_label == found.label


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_feedback(service: Served, model: Model, kind: str) -> None:
    photos = model.photos[:2]
    found = ask(service, kind, "embed", [photos[0], b"no picture", photos[1]])
    vectors = np.array([found.results[0].embedding, found.results[2].embedding])
    np.testing.assert_allclose(vectors, model.predictor.embed_images(photos), atol=1e-6)
    assert found.results[1].error.code == "not_an_image"
    assert found.dimensions == vectors.shape[1]
    [predicted] = ask(service, kind, "predict", photos[0]).results
    told = ask(service, kind, "feedback", predicted.prediction_id, "running")
    assert (told.prediction_id, told.label) == (predicted.prediction_id, "running")
    assert ask(service, kind, "ready") is True


@pytest.mark.parametrize("kind", KINDS)
def test_problems(service: Served, model: Model, kind: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceProblem) as caught:
        ask(service, kind, "predict", b"no picture", request_id="mine-1")
    found = caught.value
    assert (found.status, found.code, found.field, found.request_id) == (415, "not_an_image", "images[0]", "mine-1")
    with pytest.raises(ServiceProblem) as caught:
        ask(service, kind, "predict", model.photos[0], labels=["a", "a"])
    assert (caught.value.status, caught.value.field, caught.value.about_the_picture) == (422, "labels", False)
    (tmp_path / "bad.jpg").write_bytes(model.photos[0].read_bytes()[:300])
    shutil.copy(model.photos[0], tmp_path / "good.jpg")
    outcomes = dict(ask(service, kind, "predict_files", tmp_path))
    assert isinstance(outcomes[tmp_path / "good.jpg"], PictureResult)
    assert outcomes[tmp_path / "bad.jpg"].code == "truncated"


def test_what_is_served(service: Served, model: Model) -> None:
    for kind in ("rest", "rest-async"):
        assert tuple(ask(service, kind, "labels").labels) == model.predictor.bundle.labels
        assert ask(service, kind, "model").model_id == model.predictor.bundle.model_id
        assert ask(service, kind, "reports").model_id == model.predictor.bundle.model_id
        with pytest.raises(ServiceProblem, match="nothing-here") as caught:
            ask(service, kind, "report", "nothing-here")
        assert caught.value.status == 404


def test_a_stream(service: Served, model: Model) -> None:
    wanted = dict(enumerate(model.predictor.predict(model.photos[:5], top_k=2)))
    frames = [(str(number), photo) for number, photo in enumerate(model.photos[:5])]
    answers = ask(service, "grpc", "predict_stream", [*frames, ("bad", b"no picture")], top_k=2)
    assert len(answers) == 6
    for answer in answers:
        if answer.id == "bad":
            assert answer.result.code == "not_an_image"
        else:
            same(answer.result, wanted[int(answer.id)])


# The commands.


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.main(arguments)
    return code, *capsys.readouterr()


@pytest.fixture
def photos(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three pictures in the folder `photos` of the current one, and a bad one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("CLIP_HAR_URL", "CLIP_HAR_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(model.photos[:3]):
        shutil.copy(photo, tmp_path / "photos" / f"{number}.jpg")
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no picture")
    return [Path("photos") / f"{number}.jpg" for number in range(3)]


@pytest.mark.parametrize("who", ["--url", "--bundle"])
def test_predict_answers_as_the_predictor(
    service: Served, model: Model, photos: list[Path], capsys: pytest.CaptureFixture, who: str
) -> None:
    where = {"--url": service.rest_url, "--bundle": str(model.bundle)}[who]
    code, out, err = run(capsys, "predict", "photos", who, where, "--json", "--top-k", "2", "--explain", "maps")
    assert code == 1  # a bad one is among them
    assert where in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["path"] for line in lines] == [*map(str, photos), "photos/bad.jpg"]
    assert lines[3]["error"]["code"] == "not_an_image"
    for line, wanted in zip(lines, model.predictor.predict(photos, top_k=2), strict=False):
        assert [one["label"] for one in line["labels"]] == list(wanted.labels)
        np.testing.assert_allclose([one["score"] for one in line["labels"]], wanted.scores, atol=1e-5)
        assert line["model_id"] == model.predictor.bundle.model_id
        assert Path(line["heat_map"]).read_bytes().startswith(b"\x89PNG")
        assert bool(line["prediction_id"]) is (who == "--url")


@pytest.mark.parametrize("who", ["--url", "--bundle"])
def test_predict_in_other_forms(
    service: Served, model: Model, photos: list[Path], capsys: pytest.CaptureFixture, who: str, monkeypatch: Any
) -> None:
    where = {"--url": service.rest_url, "--bundle": str(model.bundle)}[who]
    asked = ["--labels", "surfing, sitting", "--labels", "flying", "--threshold", "1"]
    code, out, _ = run(capsys, "predict", "photos/?.jpg", who, where, *asked)
    assert code == 0
    assert out.count("not sure enough to say") == 3
    assert all(label in out for label in ("surfing", "sitting", "flying"))
    code, out, _ = run(capsys, "predict", *map(str, photos), who, where, "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["label"] for row in rows] == [one.label for one in model.predictor.predict(photos)]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photos[0].read_bytes())))
    code, out, _ = run(capsys, "predict", "-", who, where, "--json")
    assert (code, json.loads(out)["label"]) == (0, model.predictor.predict(photos[:1])[0].label)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no picture")))
    code, out, _ = run(capsys, "predict", "-", who, where, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "not_an_image")


def test_who_answers_if_nobody_is_named(
    service: Served, model: Model, photos: list[Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clip_har.registry.champion import Registry
    from clip_har.terminal import recognisers

    monkeypatch.setattr(recognisers, "DEFAULT_URL", service.rest_url)
    _, _, err = run(capsys, "predict", str(photos[0]))
    assert f"the service at {service.rest_url}" in err
    monkeypatch.setattr(recognisers, "DEFAULT_URL", "http://127.0.0.1:9")
    code, _, err = run(capsys, "predict", str(photos[0]))
    assert code == 2
    assert "Nobody can answer" in err
    shutil.copytree(model.bundle, "outputs/latest/bundle")
    code, out, err = run(capsys, "predict", str(photos[0]), "--json")
    assert code == 0
    assert "newest bundle" in err
    registry = Registry.of("workspace")
    registry.add(model.predictor.bundle)
    registry.promote(model.predictor.bundle.model_id, instead_of=None)
    code, again, err = run(capsys, "predict", str(photos[0]), "--json")
    assert "the champion of workspace (no service answers at http://127.0.0.1:9)" in err
    assert json.loads(again)["labels"] == json.loads(out)["labels"]
    monkeypatch.setenv("CLIP_HAR_URL", service.rest_url)
    _, _, err = run(capsys, "predict", str(photos[0]))
    assert f"the service at {service.rest_url}" in err


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["predict", "gone.jpg"], "no file or folder"),
        (["predict", "-", "photos"], "stands alone"),
        (["predict", "photos", "--url", "localhost"], "no address"),
        (["predict", "photos", "--url", "http://127.0.0.1:9"], "No service answers"),
        (["predict", "photos", "--url", "SERVICE", "--top-k", "0"], "top_k"),
        (["predict", "photos", "--url", "SERVICE", "--top-k", "1000"], "top_k"),
        (["predict", "photos", "--url", "SERVICE", "--labels", ","], "--labels"),
        (["predict", "photos", "--url", "SERVICE", "--labels", "a,a"], "labels"),
        (["predict", "photos", "--url", "SERVICE", "--concurrency", "0"], "--concurrency"),
        (["predict", "photos", "--url", "SERVICE", "--explain", "one.png"], "one file"),
        (["predict", "photos", "--bundle", "photos"], "photos"),
        (["predict", "photos", "--bundle", "BUNDLE", "--threshold", "3"], "threshold"),
        (["predict", "photos", "--bundle", "BUNDLE", "--labels", "a,b", "--explain", "maps"], "heat map"),
        (["watch", "gone"], "no folder"),
        (["watch", "photos", "--settle", "-1"], "--settle"),
        (["feedback", "x", "running", "--url", "SERVICE"], "prediction_id"),
        (["feedback", "5f0c" * 8, "runing", "--url", "SERVICE"], "Did you mean 'running'"),
        (["feedback", "5f0c" * 8, "running", "--url", "http://127.0.0.1:9"], "No service answers"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_mistakes(
    service: Served, model: Model, photos: list[Path], capsys: pytest.CaptureFixture, arguments: list[str], wanted: str
) -> None:
    named = {"SERVICE": service.rest_url, "BUNDLE": str(model.bundle)}
    code, out, err = run(capsys, *(named.get(word, word) for word in arguments))
    assert (code, out) == (2, "")
    assert wanted in err
    assert "Traceback" not in err


def test_feedback(service: Served, photos: list[Path], capsys: pytest.CaptureFixture) -> None:
    _, out, _ = run(capsys, "predict", str(photos[0]), "--url", service.rest_url, "--json")
    prediction = json.loads(out)["prediction_id"]
    code, out, _ = run(capsys, "feedback", prediction, "running", "--url", service.rest_url)
    assert (code, out) == (0, f"{prediction} is running.\n")
    code, _, _ = run(capsys, "feedback", prediction, "flying", "--any-label", "--url", service.rest_url)
    assert code == 0


def test_watch_answers_what_comes_until_it_is_stopped(service: Served, model: Model, photos: list[Path]) -> None:
    command = [sys.executable, "-m", "clip_har", "watch", "photos", "--url", service.rest_url, "--json"]
    process = subprocess.Popen(
        [*command, "--interval", "0.1", "--settle", "0.3", "--patience", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "service at" in process.stderr.readline()
        assert "Watching photos" in process.stderr.readline()
        data = model.photos[4].read_bytes()
        with open("photos/slow.jpg", "wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            shutil.copy(model.photos[3], "photos/new.jpg")
            first = json.loads(process.stdout.readline())
            time.sleep(0.5)  # half a picture that has settled
            file.write(data[len(data) // 2 :])
        second = json.loads(process.stdout.readline())
        assert [first["path"], second["path"]] == ["photos/new.jpg", "photos/slow.jpg"]
        wanted = model.predictor.predict([model.photos[3], model.photos[4]])
        assert [first["label"], second["label"]] == [one.label for one in wanted]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (130, "")
        assert err == "Stopped.\n"
    finally:
        process.kill()
        process.wait()


# The document.

_SHELL = """
set -euo pipefail
clip-har() {{ {python} -m clip_har "$@"; }}
pip() {{ printf '%s\\n' "$@" >> pip.txt; }}
grpcurl() {{
    local call="calls/$(ls calls | wc -l)"
    mkdir "$call"
    printf '%s\\0' "$@" > "$call/arguments"
    case " $* " in *" -d @ "*) cat > "$call/stdin" ;; esac
}}
"""


def test_every_example_of_the_document(
    service: Served, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    Path("photos/0.jpg").rename("photos/another.jpg")
    shutil.copy("photos/another.jpg", "photo.jpg")
    Path("photos/bad.jpg").unlink()
    Path("calls").mkdir()
    text = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    port, grpc_port = service.rest_url.rpartition(":")[2], service.grpc_target.rpartition(":")[2]
    text = text.replace("localhost:3000", f"127.0.0.1:{port}").replace("localhost:3001", f"127.0.0.1:{grpc_port}")
    assert "3000" not in re.sub(r"#.*", "", "".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)))
    environment = {**os.environ, "CLIP_HAR_KEY": "", "PYTHONPATH": str(PROJECT / "src")}
    space: dict[str, Any] = {"__name__": "api_md"}
    answered, asked = 0, []
    for number, (language, code) in enumerate(re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)):
        if language == "python":
            exec(compile(code, f"api.md block {number}", "exec", dont_inherit=True), space)
            continue
        assert language == "bash"
        script = _SHELL.format(python=sys.executable) + code
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        answered += done.stdout.count('"model_id"')
        for call in sorted(Path("calls").iterdir(), key=lambda path: int(path.name)):
            arguments = (call / "arguments").read_text().split("\0")[:-1]
            stdin = (call / "stdin").read_text() if (call / "stdin").exists() else ""
            asked.append((arguments[-1].rpartition("/")[2], grpcurl(arguments, stdin)))
            shutil.rmtree(call)
    assert answered >= 7  # curl's and clip-har's
    answers = dict(asked)
    assert [name for name, _ in asked] == [
        *("Predict", "Predict", "Embed", "Feedback", "list", "clip_har.v1.ActionRecognition", "Check"),
        *("ModelMetadata", "ModelReady"),
    ]
    assert len(asked[0][1]["results"][0]["labels"]) == 3
    assert {one["label"] for one in asked[1][1]["results"][0]["labels"]} == {"running", "walking the dog"}
    assert len(answers["Embed"]["embeddings"][0]["values"]) == 16
    assert "clip_har.v1.ActionRecognition" in answers["list"]
    assert "PredictStream" in answers["clip_har.v1.ActionRecognition"]
    assert (answers["Check"], answers["ModelReady"]) == ({"status": "SERVING"}, {"ready": True})
    assert Path("why.png").read_bytes().startswith(b"\x89PNG")
    assert len(Path("answers.csv").read_text().splitlines()) == 5
    said = capsys.readouterr().out
    assert "422 unprocessable labels" in said
    assert "cosine: 1" in said or "cosine: 0.99" in said
    import tomllib

    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {word for word in Path("pip.txt").read_text().split() if "clip-har[" in word} == {"clip-har[client-grpc]"}
    assert "client-grpc" in extras
