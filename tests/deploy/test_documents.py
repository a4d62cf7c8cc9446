"""docs/service-deployment.md: its commands name files, options and services that are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from clip_har.serving.config import ServingConfig
from tests.command import PROJECT
from tests.deploy.kustomize import render
from tests.deploy.reading import DEPLOY, DOCKERFILES, compose

DOCUMENT = PROJECT / "docs" / "service-deployment.md"


def lines() -> list[str]:
    """The commands of all bash blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return [line for line in "\n".join(blocks).replace("\\\n", " ").splitlines() if line.strip()]


def words(line: str) -> list[str]:
    """Of a command, without the variables that it sets."""
    found = shlex.split(line, comments=True)
    while re.match(r"\w+=", found[0]):
        found.pop(0)
    return found


def starting(*first: str) -> list[list[str]]:
    found = [words(line) for line in lines()]
    return [line for line in found if tuple(line[: len(first)]) == first]


def test_every_dockerfile_is_built() -> None:
    built = [line[line.index("--file") + 1] for line in starting("docker", "build")]
    assert sorted(built) == [file.relative_to(PROJECT).as_posix() for file in DOCKERFILES]
    tags = {line[line.index("--tag") + 1] for line in starting("docker", "build")}
    assert starting("docker", "run")[-1][-1] in tags
    text = DOCUMENT.read_text()
    for name in re.findall(r"`(deploy/[\w./-]+)`", text):
        assert (PROJECT / name).exists(), name


def test_compose_commands_fit_the_file() -> None:
    for line in starting("docker", "compose"):
        assert PROJECT / line[3] == DEPLOY / "compose.yaml"
        if "run" in line:
            assert line[-1] in compose()["services"]
    assert "${CLIP_HAR_USER:-" in (DEPLOY / "compose.yaml").read_text()


def test_kubectl_commands_fit_the_manifests() -> None:
    applied = [line[-1] for line in starting("kubectl", "apply")]
    resources = [resource for folder in applied for resource in render(PROJECT / folder)]
    names = {f"{resource['kind'].lower()}/{resource['metadata']['name']}" for resource in resources}
    for line in starting("kubectl"):
        if "--namespace" in line:
            assert f"namespace/{line[line.index('--namespace') + 1]}" in names
        if "rollout" in line:
            assert line[-1] in names
    made, for_metrics = [line for line in starting("kubectl", "--namespace") if "secret" in line]
    (monitor,) = [resource for resource in resources if resource["kind"] == "ServiceMonitor"]
    credentials = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert credentials["name"] == for_metrics[for_metrics.index("generic") + 1]
    assert for_metrics[-1].startswith(f"--from-literal={credentials['key']}=")
    (deployment,) = [resource for resource in resources if resource["kind"] == "Deployment"]
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["keys"]["secret"]["secretName"] == made[made.index("generic") + 1]
    (settings,) = [resource for resource in resources if resource["kind"] == "ConfigMap"]
    name = made[-1].removeprefix("--from-file=").partition("=")[0]
    assert f"/{name}\n" in settings["data"]["serving.yaml"]


def test_the_keys_are_made_where_the_secret_takes_them(tmp_path: Path, monkeypatch, capsys) -> None:
    from clip_har import cli

    monkeypatch.chdir(tmp_path)
    for made in starting(".venv/bin/clip-har", "keys", "add"):
        assert cli.main(made[1:]) == 0
    capsys.readouterr()
    secret, _ = [line for line in starting("kubectl", "--namespace") if "secret" in line]
    assert (tmp_path / secret[-1].rpartition("=")[2]).is_file()


@pytest.mark.parametrize("line", [line for line in lines() if "/bentoml " in line])
def test_bentoml_knows_its_commands_and_options(line: str) -> None:
    import click
    from bentoml_cli.cli import create_bentoml_cli

    command: click.Command = create_bentoml_cli()
    rest = words(line)[1:]
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        assert not word.startswith("--") or word in known, (word, sorted(known))


def test_ports_and_metrics_are_as_they_are_called() -> None:
    from tests.deploy.test_monitoring import series

    text = DOCUMENT.read_text()
    config = ServingConfig()
    assert f"REST on port {config.port} and gRPC on {config.grpc.port}" in text
    assert set(re.findall(r"`(clip_har_\w+)`", text)) <= set(series())
    published = {port.split(":")[1] for service in compose()["services"].values() for port in service.get("ports", [])}
    for name, port in (("MLflow", "5000"), ("Prometheus", "9090"), ("Grafana", "3030")):
        assert re.search(rf"{name} on {port}\b", text.replace("\n", " ")), name
        assert port in published
