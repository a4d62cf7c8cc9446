"""The shell: which service is asked, and what is said when there is none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import clip_har.ui
from clip_har.ui import connection, local_service
from clip_har.ui.connection import Service
from clip_har.ui.local_service import LocalService, NotStarted
from clip_har.ui.pages import PAGES
from clip_har.ui.settings import AppSettings
from clip_har.ui.theme import options
from tests.ui.conftest import texts
from tests.ui.stand_in import model, no_answer

SCRIPT = str(Path(clip_har.ui.__file__).parent / "shell" / "script.py")


@pytest.fixture
def app(place):
    return AppTest.from_file(SCRIPT, default_timeout=20)


def test_a_named_service_is_shown(app, client, monkeypatch):
    monkeypatch.setattr(connection, "_find", lambda: Service(client, model(), "http://127.0.0.1:3000"))
    page = app.run()
    assert not page.exception
    said = texts(page)
    assert "`3f6c3f6c3f6c`, the champion" in said
    assert "not started by this app" in said
    assert page.title[0].value == "What is being done here?"


def test_a_service_of_its_own_is_said_to_be_one(app, client, monkeypatch):
    monkeypatch.setattr(connection, "_find", lambda: Service(client, model(), "http://127.0.0.1:3000", local=True))
    assert "started by this app, and stopped with it" in texts(app.run())


def test_a_dead_service_is_a_sentence_with_a_way_out(app, monkeypatch):
    def find():
        raise no_answer()

    monkeypatch.setattr(connection, "_find", find)
    page = app.run()
    assert not page.exception
    assert "No service answers" in page.error[0].value.replace("\\", "")
    assert "have the app start one" in page.error[0].value
    assert [one.label for one in page.button if one.label == "Try again"]
    assert "No service answers." in texts(page)


def test_another_service_can_be_chosen(app, client, monkeypatch):
    asked = []

    def find():
        asked.append(connection.wanted())
        return Service(client, model(), "http://127.0.0.1:3000")

    monkeypatch.setattr(connection, "_find", find)
    assert not app.run().text_input  # an app that others reach asks nobody for them
    monkeypatch.setattr("clip_har.ui.sidebar.at_this_machine", lambda: True)
    page = app.run()
    page.text_input[0].set_value(" http://127.0.0.1:9999 ")
    page.text_input[1].set_value("secret")
    next(one for one in page.button if one.label == "Use it").click().run()
    assert asked[0] == (None, None)
    assert asked[-1] == ("http://127.0.0.1:9999", "secret")


def test_an_address_that_is_none_is_a_sentence(app, monkeypatch):
    monkeypatch.setenv("CLIP_HAR_URL", "not an address")
    connection.settings.clear()
    page = app.run()
    assert not page.exception
    assert "is no address of a service" in page.error[0].value.replace("\\", "")


def test_a_service_that_does_not_start_is_not_waited_for_twice(app, monkeypatch):
    started = []

    def url(self):
        started.append(1)
        raise NotStarted("There is no bundle yet.")

    monkeypatch.setattr(LocalService, "url", url)
    page = app.run()
    assert "There is no bundle yet" in page.error[0].value
    page.run()
    assert len(started) == 1
    next(one for one in page.button if one.label == "Try again").click().run()
    assert len(started) == 2


def test_a_fault_in_finding_the_service_is_a_sentence_too(app, monkeypatch):
    def find():
        raise OSError("No space left")

    monkeypatch.setattr(connection, "_find", find)
    page = app.run()
    assert not page.exception
    assert "fault of the app" in page.error[0].value


def test_every_page_of_the_navigation_is_there():
    assert [entry.path for entry in PAGES][:2] == ["recognise", "any_action"]
    assert {"batch", "model", "data"} <= {entry.path for entry in PAGES}
    assert all(callable(entry.run) for entry in PAGES)


def test_settings_come_from_the_environment(tmp_path):
    found = AppSettings.of({"CLIP_HAR_URL": "http://x", "CLIP_HAR_WORKSPACE": str(tmp_path / "w")})
    assert found.url == "http://x"
    assert found.outputs == tmp_path / "outputs"


def test_streamlit_is_told_to_be_quiet_and_to_show_no_tracebacks():
    told = options("127.0.0.1", 1, 10)
    assert told["browser_gatherUsageStats"] is False
    assert told["client_showErrorDetails"] == "none"


def starter(tmp_path: Path, body: str) -> subprocess.Popen:
    """A process that starts another one, which says its id, through `ends_with`."""
    child = "import os, time, sys; print(os.getpid(), flush=True); time.sleep(60)"
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'clip_har.ui.ends_with', sys.executable, '-c', {child!r}],"
        " stdin=subprocess.PIPE, start_new_session=True)\n" + body
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def ended(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_the_app_started_ends_with_it(tmp_path, how):
    app = starter(tmp_path, "time.sleep(60)")
    pid = int(app.stdout.readline())
    assert not ended(pid)
    app.send_signal(how)
    app.wait(10)
    until = time.monotonic() + 15
    while not ended(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert ended(pid)


def test_a_service_that_does_not_start_says_why(tmp_path):
    own = LocalService(AppSettings(workspace=tmp_path / "none", outputs=tmp_path / "outputs"))
    with pytest.raises(NotStarted, match="no bundle yet"):
        own.url()
    assert not own.running
    own.stop()


def test_a_service_that_is_too_slow_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(local_service, "_START_SECONDS", 0.2)
    own = LocalService(AppSettings(workspace=tmp_path / "none", outputs=tmp_path / "outputs"))
    with pytest.raises(NotStarted, match="not ready after"):
        own.url()
    assert not own.running
