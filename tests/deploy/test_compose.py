"""The compose file: valid, on loopback only, and naming nothing that is not there."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from clip_har.serving.config import ServingConfig
from clip_har.serving.settings import load_settings
from tests.deploy.reading import DEPLOY, compose, run_tool

SERVICES = compose()["services"]


def schema(file: Path):
    return run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_it_is_valid() -> None:
    done = schema(DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"), [("    image: clip-har:cpu", "    imge: clip-har:cpu"), ("ports: [", "ports: 3000 # [")]
)
def test_a_wrong_one_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert right in text
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong, 1))
    assert schema(tmp_path / "compose.yaml").returncode != 0


def test_what_belongs_together_is_there() -> None:
    assert {"service", "ui", "mlflow", "prometheus", "grafana"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_files_and_folders_are_there(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        context = DEPLOY / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert (DEPLOY / source).exists(), source
        elif source.startswith("../"):
            assert source in ("../workspace", "../outputs"), "what pipelines make by default"
        else:
            assert source in compose()["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_it_has_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not re.search(r":latest$|^[^:]+$", service["image"])
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    for key in service.get("environment", {}):
        assert not re.search("PASSW|SECRET|TOKEN", key), key


def test_the_service_finds_its_settings_and_ports() -> None:
    service = SERVICES["service"]
    config = load_settings(service["environment"])
    assert config.security.public, "its address inside the container is no loopback"
    inside = [port.split(":")[2] for port in service["ports"]]
    assert inside == [str(config.port), str(config.grpc.port)]
    assert float(service["stop_grace_period"].removesuffix("s")) > ServingConfig().queue.drain_seconds


def test_a_wrong_setting_is_seen() -> None:
    from clip_har.errors import ConfigError

    with pytest.raises(ConfigError, match="securty"):
        load_settings({"CLIP_HAR_SERVING__SECURTY__PUBLIC": "true"})


def test_the_training_composes() -> None:
    import run

    assert run.main([*SERVICES["training"]["command"], "--dry-run"]) == 0


def test_the_app_knows_its_options_and_asks_the_service() -> None:
    from clip_har.ui.__main__ import _parse

    app = SERVICES["ui"]
    assert app["entrypoint"] == ["python", "-m", "clip_har.ui"]
    options = _parse(app["command"])
    inside = SERVICES["service"]["ports"][0].split(":")[2]
    assert options.url == f"http://service:{inside}"
    assert [str(options.port)] == [port.split(":")[2] for port in app["ports"]]


def test_mlflow_knows_its_options() -> None:
    here = metadata.distribution("mlflow")  # read, since importing it takes longer than all else here
    text = "".join(here.locate_file(f"mlflow/{name}").read_text() for name in ("cli/__init__.py", "utils/cli_args.py"))
    assert SERVICES["mlflow"]["entrypoint"] == ["mlflow", "server"]
    for word in SERVICES["mlflow"]["command"]:
        assert f'"{word.partition("=")[0]}"' in text, word
