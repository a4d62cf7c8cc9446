"""The app with the real service: through its pages' logic, and through a real browser."""

from __future__ import annotations

import zipfile
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from clip_har.capture.store import CaptureStore
from clip_har.samples import describe_scene, encode_scene
from clip_har.storage import write_json
from clip_har.ui.local_service import LocalService
from clip_har.ui.settings import AppSettings
from tests.serving.conftest import served_bundle  # noqa: F401 - the fixture
from tests.serving.engines import Served, serving_process
from tests.ui.browser.chromium import drive
from tests.ui.conftest import texts
from tests.ui.drifted import drift_report
from tests.ui.running import running_app
from tests.ui.test_shell import SCRIPT

pytestmark = pytest.mark.slow
ACTIONS = ("cycling", "running", "sleeping")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Drawn pictures, and as the last a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for action in ACTIONS:
        (folder / f"{action}.jpg").write_bytes(encode_scene(describe_scene(action, 7), 360, 240))
    (folder / "zz_broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    """The workspace that the service captures into."""
    return tmp_path_factory.mktemp("captured")


@pytest.fixture(scope="module")
def service(served_bundle, capture, tmp_path_factory) -> Served:  # noqa: F811
    """The real service."""
    with serving_process(served_bundle, tmp_path_factory.mktemp("service"), workspace=capture) as served:
        yield served


def test_from_a_picture_to_what_people_say_of_it(service, pictures, place, monkeypatch, capture):
    monkeypatch.setenv("CLIP_HAR_URL", service.rest_url)
    page = AppTest.from_file(SCRIPT, default_timeout=60).run()
    page.file_uploader[0].set_value([(file.name, file.read_bytes(), "image/jpeg") for file in pictures])
    page.run()
    assert not page.exception
    said = texts(page)
    assert said.count("answered in") == len(ACTIONS)
    assert len(page.error) == 1
    with httpx.Client(base_url=service.rest_url) as http:
        answer = http.post("/v1/predict", files={"images": pictures[0].read_bytes()}).json()["results"][0]
    assert f'style="width:{100 * answer["confidence"]:.2f}%"' in said  # the service's own numbers
    next(one for one in page.button if one.label == "This is right").click().run()
    assert "Noted as" in texts(page)
    told = CaptureStore(capture / "capture").feedback().to_pylist()
    assert [row["label"] for row in told] == [answer["label"]]


def test_the_app_starts_a_service_of_its_own_and_ends_it(served_bundle, tmp_path):  # noqa: F811
    own = LocalService(
        AppSettings(bundle=served_bundle, workspace=tmp_path / "workspace", outputs=tmp_path / "outputs")
    )
    try:
        url = own.url()
        assert own.url() == url  # it is there already
        assert httpx.get(f"{url}/v1/model").json()["role"] == "packaged"
    finally:
        own.stop()
    assert not own.running
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v1/model")


def test_in_a_real_browser(service, pictures, capture, tmp_path):
    *good, bad = map(str, pictures)
    write_json(capture / "reports" / "drift.json", drift_report())
    (tmp_path / "workspace").mkdir()
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for file in pictures:
            archive.write(file, file.name)
    with running_app(tmp_path, "--url", service.rest_url) as url:
        seen = drive(
            url=url,
            pictures=good,
            bad=bad,
            zip=str(tmp_path / "many.zip"),
            rows=len(pictures),
            drift="What changed",
            pages=[
                "recognise",
                "camera@desktop",
                "paste@desktop",
                "any_action@phone",
                "batch",
                "model",
                "drift@phone",
                "data_card@phone",
                "dead@desktop",
            ],
        )
    assert all(seen["checks"].values()), seen["checks"]
    assert len(seen["checks"]) >= 8
    assert seen["external"] == []
    assert seen["tracebacks"] == []
    assert not [name for name, pixels in seen["overflow"].items() if pixels > 0]
    serious = {
        name: [one for one in found if one["impact"] in ("serious", "critical")] for name, found in seen["axe"].items()
    }
    assert not any(serious.values()), serious
