"""The loop from end to end: the champion serves, the world shifts, monitoring says so, labels come, and a better model answers.

Somebody keeps asking all the while, and no request may fail.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from clip_har.data.versions import VersionStore
from clip_har.monitoring.history import History
from clip_har.registry.champion import Registry
from tests.command import Finished, Workplace
from tests.serving.engines import serving_process
from tests.tiny_models import colour_photos, tiny_clip

pytestmark = pytest.mark.slow

LABELS = ("cycling", "running", "sleeping", "using_laptop")
CONFIG = ("--config", "config.yaml")


def config() -> dict:
    """Small and quick, with splits that leave enough to compare a window with."""
    return {
        "data": {"source": "folder", "path": "photos"},
        "splits": {"train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2},
        "model": {"backbone": "backbone"},
        "compute": {"threads": 1},
        "adaptation": {"methods": ["linear_probe"]},
        "evaluation": {"resamples": 100, "examples": 4},
        "export": {"forms": ["onnx"], "encoders": ["image"]},
        "serving": {"bento": {"enabled": False}},
        # of so few test photographs, one is more than a point
        "promotion": {"latency_ratio": None, "older_margin": 0.03, "resamples": 200},
        "monitor": {
            "profile": {"partitions": 400},
            "false_alarm_rate": 0.01,
            "evidently": False,
            "labelling": {"minimum": 60},
        },
    }


def pictures(folder: Path, seed: int, *, shifted: bool) -> list[tuple[str, bytes]]:
    """(true label, JPEG) of pictures that nobody has seen; in a shifted world a third of the light is left."""
    made = []
    for path in sorted(colour_photos(folder, LABELS, 60, seed=seed).rglob("*.jpg")):
        image = Image.open(path)
        if shifted:
            image = image.point(lambda value: value // 3)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=92)
        made.append((path.parent.name, stream.getvalue()))
    order = np.random.default_rng(seed).permutation(len(made))
    return [made[place] for place in order]


class Traffic:
    """Somebody who keeps asking.

    Attributes:
        world: where the pictures come from now.
        answers: (time, true label, prediction id, model id, best label).
        failures: what went wrong, in words.
    """

    def __init__(self, url: str, world: list[tuple[str, bytes]]) -> None:
        self.world = itertools.cycle(world)
        self.answers: list[tuple[float, str, str, str, str]] = []
        self.failures: list[str] = []
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def asking(self) -> Iterator[Traffic]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(60)

    def wait_for(self, number: int) -> None:
        """Wait until so many more are answered."""
        wanted, until = len(self.answers) + number, time.monotonic() + 120
        while len(self.answers) < wanted and not self.failures:
            assert time.monotonic() < until, "the service is far too slow"
            time.sleep(0.05)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._over.wait(0.02):
                truth, picture = next(self.world)
                asked = time.time()
                try:
                    found = client.post("/v1/predict", files={"images": picture})
                    if found.status_code == 200 and "labels" in (result := found.json()["results"][0]):
                        best = result["labels"][0]["label"]
                        self.answers.append((asked, truth, result["prediction_id"], found.json()["model_id"], best))
                    else:
                        self.failures.append(f"{found.status_code}: {found.text}")
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def monitored(place: Workplace, since: float, until: float, *settings: str) -> Finished:
    """A run of `monitor` over a window of time."""
    named = {"monitor.since": moment(since), "monitor.until": moment(until)}
    window = [word for key, value in named.items() for word in ("--set", f"{key}={value}")]
    return place.run("monitor", *CONFIG, *window, *settings)


def drift(place: Workplace) -> dict:
    return json.loads((place.latest / "drift_report.json").read_text())


def trained(folder: Path) -> Workplace:
    """A place with a champion."""
    place = Workplace(folder)
    colour_photos(folder / "photos", LABELS, 110)
    tiny_clip(folder / "backbone")
    (folder / "config.yaml").write_text(yaml.safe_dump(config()))
    for pipeline in ("train", "deploy"):
        done = place.run(pipeline, *CONFIG)
        assert done.code == 0, done.err
    return place


def test_the_loop(tmp_path: Path) -> None:
    place = trained(tmp_path)
    registry, store = Registry.of(place.workspace), VersionStore(place.workspace)
    first, data = registry.champion().model_id, store.current()
    assert (registry.champion().attachment("reference") / "profile.json").is_file()

    normal, shifted = (
        pictures(tmp_path / name, seed, shifted=name == "shifted") for name, seed in (("normal", 7), ("shifted", 6))
    )
    sets = ("serving.capture.images=true", "serving.capture.flush_seconds=0.2", "serving.versions.watch_seconds=0.2")
    with serving_process(None, tmp_path / "service", *sets, workspace=place.workspace) as served:
        traffic = Traffic(served.rest_url, normal)
        with traffic.asking():
            began = time.time()
            traffic.wait_for(100)
            ended = time.time()
            done = monitored(place, began, ended)
            assert done.code == 0, done.err
            assert drift(place)["decided"]["state"] == "ok", done.out

            traffic.world = itertools.cycle(shifted)
            traffic.wait_for(1)
            shifted_since = time.time()
            traffic.wait_for(100)
            done = monitored(place, shifted_since, (first_until := time.time()), "--set", "monitor.retrain=never")
            found = drift(place)
            assert found["decided"]["state"] in ("watch", "retrain"), done.out
            assert found["decided"]["alarms_in_a_row"] == 1
            assert found["cause"] == "brightness", found["said"]
            assert done.code == (3 if found["decided"]["state"] == "retrain" else 0)

            traffic.wait_for(100)
            told = [answer for answer in traffic.answers if answer[0] >= shifted_since][:180]
            with httpx.Client(base_url=served.rest_url) as client:
                for _, truth, prediction, _, _ in told:
                    said = client.post("/v1/feedback", json={"prediction_id": prediction, "label": truth})
                    assert said.status_code == 200, said.text
            done = monitored(place, first_until, time.time(), "--set", "monitor.evidently=true")
            assert done.code == 0, done.err + done.out
            found, record = drift(place), place.record()
            assert (found["decided"]["state"], found["decided"]["alarms_in_a_row"]) == ("retrain", 2)
            retraining = record["monitor"]["retraining"]
            assert retraining["outcome"] == "promoted", (retraining, done.out)

            second = registry.champion().model_id
            assert second == retraining["model"] != first == retraining["model_before"]
            until = time.monotonic() + 60
            while traffic.answers[-1][3] != second:
                assert time.monotonic() < until, "the running service does not follow the champion"
                time.sleep(0.1)
            before = [answer for answer in traffic.answers if answer[0] >= shifted_since and answer[3] == first]
            seen = len(traffic.answers)
            traffic.wait_for(60)
            after = traffic.answers[seen:]
        assert traffic.failures == []
    assert {answer[3] for answer in traffic.answers} == {first, second}

    def accuracy(answers: list) -> float:
        return float(np.mean([truth == best for _, truth, _, _, best in answers]))

    assert accuracy(after) > accuracy(before) + 0.2
    assert store.current().git_revision != data.git_revision
    assert store.current().samples > data.samples + 50
    figures = retraining["figures"]
    assert figures["the newest data: gain"] > 0
    assert figures["the newest data: p"] < 0.05
    old = [name for name in figures if name.endswith(": gain") and not name.startswith("the newest")]
    assert old
    assert all(figures[name] > -0.05 for name in old)
    rows = History(place.workspace).rows()
    assert [row.report.decided.state for row in rows][0::2] == ["ok", "retrain"]
    assert rows[-1].retraining.outcome == "promoted"
    assert set(rows[-1].retraining.runs) == {"data", "train", "deploy"}
    assert (place.latest / "evidently.html").is_file()
    assert json.loads((place.workspace / "reports" / "drift.json").read_text())["model_id"] == first
