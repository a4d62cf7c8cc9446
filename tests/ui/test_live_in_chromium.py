"""Live and Video with the real service in a real Chromium, whose camera is a file of drawn pictures."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("streamlit_webrtc")

from clip_har.client import Client
from tests.serving.conftest import served_bundle  # noqa: F401 - the fixture
from tests.serving.engines import serving_process
from tests.ui.browser.chromium import drive
from tests.ui.browser.live_camera import write_camera
from tests.ui.running import running_app

pytestmark = pytest.mark.slow
BROWSER = Path(__file__).parent / "browser"


@pytest.fixture(scope="module")
def service(served_bundle, tmp_path_factory) -> str:  # noqa: F811
    """The real service's address."""
    with serving_process(served_bundle, tmp_path_factory.mktemp("service")) as served:
        yield served.rest_url


@pytest.fixture(scope="module")
def app(service, tmp_path_factory) -> str:
    """The app's address."""
    with running_app(tmp_path_factory.mktemp("app"), "--url", service) as url:
        yield url


def test_the_camera_is_recognised_as_it_goes(app, service, tmp_path):
    camera = write_camera(tmp_path / "camera.mjpeg", ["cycling", "sleeping"], 2.0, numbered=True)
    seen = drive(BROWSER / "live.mjs", url=app, camera=str(camera), seconds=5, numbered=True, axe=True)
    assert seen["playing"] == [640, 480]
    assert seen["strip"]["dark"] > 0.5, "the panel with the label is on the picture"
    assert seen["strip"]["bright"] > 0.005, "and letters are on it"
    labels = Client(service).labels().labels
    named = {label.replace("_", " ") for label in labels}
    assert seen["labels"], seen
    assert {text.split(" · ")[0] for text in seen["labels"]} <= named
    frames, answers = map(int, re.findall(r"(\d+) (?:frames|answers) a second", seen["pace"]))
    assert frames > 0
    assert answers > 0
    after = sorted(seen["after"])
    assert after, "numbered frames come back"
    late, early = after[len(after) // 2 :], seen["after"][: len(after) // 4 or 1]
    assert min(early) < 2500
    assert min(late) < 2500, "the picture does not fall behind"
    assert seen["problems"] == []
    assert seen["external"] == []
    assert seen["serious"] == []
    assert seen["stopped"]


def test_a_stream_that_finds_no_way_says_so_and_offers_snapshots(app, tmp_path):
    camera = write_camera(tmp_path / "camera.mjpeg", ["cycling"], 0.2)
    seen = drive(BROWSER / "live.mjs", url=app, camera=str(camera), awaits="Take pictures one by one", walled=True)
    assert seen["said"]


def test_a_clip_is_shown_over_time(app, tmp_path):
    import av
    from PIL import Image

    from clip_har.samples import describe_scene, encode_scene

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for seed, action in enumerate(("cycling", "sleeping", "calling")):
            picture = Image.open(io.BytesIO(encode_scene(describe_scene(action, seed), 320, 240))).convert("RGB")
            for _ in range(15):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    seen = drive(BROWSER / "video.mjs", url=app, clip=str(path), widths=[1280, 390])
    written = seen["written"]
    assert [frame["time"] for frame in written["frames"]] == pytest.approx(
        [number / 2 for number in range(18)], abs=0.21
    )
    assert all(sum(frame["scores"].values()) == pytest.approx(1, abs=0.01) for frame in written["frames"])
    assert written["segments"][0]["start"] == 0
    assert written["segments"][-1]["end"] == pytest.approx(9.0, abs=0.01)
    assert seen["played"] >= int(written["segments"][-1]["start"]), "a chosen row plays the clip from there"
    assert seen["charts"] == 2
    assert seen["external"] == []
    assert seen["serious"] == []
    assert max(seen["overflow"]) <= 0
