"""`make dashboard`: started once, found when it runs, and stopped; pipelines keep the workspace's own database."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stacks import dashboard
from stacks.dashboard import main


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'"OK"' if self.path == "/health" else b"")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Where a ZenML server answers."""
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would have been run, and a workspace to run it in."""
    commands: list[list[str]] = []
    monkeypatch.setattr(dashboard, "_run", commands.append)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("ZENML_CONFIG_PATH", None)
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path)
    return commands


def record_server(workspace: Path) -> None:
    (workspace / "zenml" / "zen_server" / "daemon").mkdir(parents=True)
    (workspace / "zenml" / "zen_server" / "daemon" / "service.json").write_text("{}")


def test_it_is_started_and_pipelines_keep_the_database(
    commands: list, port: int, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(dashboard, "is_up", lambda url: next(answers))
    assert main(["--port", str(port)]) == 0
    login, keep, no_form = commands
    assert login[1:] == ["login", "--local", "--port", str(port), "--ip-address", "127.0.0.1"]
    assert "set_default_store" in keep[-1]
    assert "finished_onboarding_survey" in no_form[-1]
    said = capsys.readouterr().out
    assert f"http://127.0.0.1:{port}" in said
    assert "-m stacks.dashboard --stop" in said


def test_one_that_runs_is_found(commands: list, port: int, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    record_server(tmp_path / "workspace")
    assert main(["--port", str(port)]) == 0
    assert commands == []
    assert f"runs already: http://127.0.0.1:{port}" in capsys.readouterr().out


def test_one_of_another_workspace_is_not_taken_for_it(
    commands: list, port: int, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["--port", str(port)]) == 2
    assert f"--port {port + 1}" in capsys.readouterr().err
    assert commands == []


def test_it_is_stopped(commands: list, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["--stop"]) == 0
    assert commands == []
    record_server(tmp_path / "workspace")
    assert main(["--stop"]) == 0
    ((_, _, code),) = commands
    assert "remove_server()" in code


@pytest.mark.slow
@pytest.mark.thorough
def test_a_real_one_starts_shows_what_is_in_the_database_and_stops(tmp_path: Path, commands: list) -> None:
    """ZenML answers in a process of its own; what has been said to be stopped is stopped."""
    import socket
    import subprocess
    import sys

    from tests.command import PROJECT

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'src'}"}
    command = [sys.executable, "-m", "stacks.dashboard", "--port", str(port)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert f"http://127.0.0.1:{port}" in done.stdout
        assert dashboard.is_up(f"http://127.0.0.1:{port}")
        assert "sqlite:" in (tmp_path / "workspace" / "zenml" / "config.yaml").read_text()
    finally:
        stopped = subprocess.run([*command, "--stop"], env=environment, capture_output=True, text=True, timeout=300)
    assert "is stopped" in stopped.stdout, stopped.stderr
    assert not dashboard.is_up(f"http://127.0.0.1:{port}")


def test_without_a_workspace_it_says_so(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["--workspace", str(tmp_path / "nothing")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
