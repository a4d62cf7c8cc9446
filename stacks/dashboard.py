"""ZenML's dashboard on the local store of a workspace: python -m stacks.dashboard [--stop]."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from clip_har.errors import ClipHarError, ConfigError
from stacks.store import prepared_store

ADDRESS, PORT = "127.0.0.1", 8237
_SECONDS_TO_START = 120.0
_PROJECT = Path(__file__).parents[1]
_REMOVE = "from zenml.zen_server.deploy.deployer import LocalServerDeployer; LocalServerDeployer().remove_server()"
# Else the dashboard begins with a form: a name, an address to send news to, and a survey.
_NO_FORM = """
from zenml.client import Client
client = Client()
user = client.active_user
if not user.user_metadata.get("finished_onboarding_survey"):
    done = {**user.user_metadata, "finished_onboarding_survey": True, "overview_tour_done": True}
    client.update_user(user.id, updated_email_opt_in=bool(user.email_opted_in), updated_metadata=done)
"""


def main(arguments: list[str] | None = None) -> int:
    """Start or stop it; the exit code: 0, or 2 for a mistake that is explained."""
    parser = argparse.ArgumentParser(prog="python -m stacks.dashboard", description=__doc__)
    parser.add_argument("--workspace", default="workspace", metavar="FOLDER", help="default: workspace")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    parser.add_argument("--stop", action="store_true", help="stop it")
    options = parser.parse_args(arguments)
    try:
        workspace = Path(options.workspace).absolute()
        if not workspace.is_dir():
            raise ConfigError(f"--workspace: {workspace} is no folder. Run a pipeline first.")
        _prepare(workspace)
        if options.stop:
            stop(workspace)
        else:
            start(workspace, options.port)
        return 0
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def start(workspace: Path, port: int = PORT) -> None:
    """Start the server unless it runs, wait until it answers, and say where it is and how it is stopped.

    The environment is prepared for the workspace.

    Raises:
        ConfigError: if something else answers at the port, or it does not start.
    """
    url = f"http://{ADDRESS}:{port}"
    if is_up(url):
        if not _has_server():
            raise ConfigError(
                f"At {url} another ZenML server answers, of another workspace. Stop that one, or take another port: "
                f"python -m stacks.dashboard --port {port + 1}"
            )
        print(f"The dashboard runs already: {url}")
    else:
        print(f"Starting the dashboard of {workspace} …", flush=True)
        try:
            with prepared_store(workspace):
                _zenml("login", "--local", "--port", str(port), "--ip-address", ADDRESS)
        finally:
            _keep_the_database()
        _run([sys.executable, "-c", _NO_FORM])
        until = time.monotonic() + _SECONDS_TO_START
        while not is_up(url):
            if time.monotonic() > until:
                raise ConfigError(f"The dashboard did not answer at {url} within {_SECONDS_TO_START:.0f} seconds.")
            time.sleep(0.5)
        print(f"The dashboard is at {url} (no password; only this machine reaches it).")
    print(f"Stop it with: {_stop_command(workspace)}")


def stop(workspace: Path) -> None:
    """Stop the server of the workspace that the environment is prepared for; nothing happens if there is none."""
    if _has_server():
        # `zenml logout --local` stops nothing where the client uses the database itself
        _run([sys.executable, "-c", _REMOVE])
        print("The dashboard is stopped.")
    else:
        print(f"No dashboard of {workspace} runs.")


def is_up(url: str) -> bool:
    """Whether a ZenML server answers there."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=2).text.strip().strip('"').lower() == "ok"
    except httpx.HTTPError:
        return False


def _prepare(workspace: Path) -> None:
    from pipelines.launch import prepare_environment

    prepare_environment(workspace)


def _has_server() -> bool:
    """Whether ZenML keeps the record of a server beside its database."""
    return any((Path(os.environ["ZENML_CONFIG_PATH"]) / "zen_server").glob("*/service.json"))


def _keep_the_database() -> None:
    """Have pipelines use the workspace's database itself: one that goes through the server would fail when it is gone."""
    code = "from zenml.config.global_config import GlobalConfiguration; GlobalConfiguration().set_default_store()"
    _run([sys.executable, "-c", code])


def _zenml(*arguments: str) -> None:
    _run([str(Path(sys.executable).with_name("zenml")), *arguments])


def _run(command: list[str]) -> None:
    environment = os.environ | {"ZENML_LOGGING_VERBOSITY": "ERROR", "ZENML_CUSTOM_SOURCE_ROOT": str(_PROJECT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-600:]
        raise ConfigError(f"{Path(command[0]).name} {' '.join(command[1:3])} failed: {said}")


def _stop_command(workspace: Path) -> str:
    named = "" if workspace == Path("workspace").absolute() else f" --workspace {workspace}"
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m stacks.dashboard --stop{named}"


if __name__ == "__main__":
    sys.exit(main())
