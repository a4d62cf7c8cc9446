"""The Kubernetes manifests: valid as rendered, hardened, and fitting each other and the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from clip_har.component import validated
from clip_har.serving.config import ServingConfig
from clip_har.serving.rest.operations import Operations
from clip_har.serving.settings import load_settings
from tests.deploy.kustomize import Resource, containers, render
from tests.deploy.reading import DEPLOY

PLACES = {name: DEPLOY / "kubernetes" / name for name in ("overlays/cpu", "overlays/gpu", "training")}
VERSION = "1.31"  # the oldest that upstream still looked after
# What the Prometheus operator takes of it, as far as it is used here: https://prometheus-operator.dev/docs/api-reference/api/
SERVICE_MONITOR = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "spec": {
            "type": "object",
            "required": ["selector", "endpoints"],
            "additionalProperties": False,
            "properties": {
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}},
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string", "pattern": "^/"},
                            "interval": {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
                            "authorization": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "type": {"type": "string"},
                                    "credentials": {
                                        "type": "object",
                                        "required": ["key"],
                                        "additionalProperties": False,
                                        "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


def check(resource: Resource) -> None:
    """Raises for a resource that a cluster would refuse."""
    if resource["kind"] == "ServiceMonitor":
        jsonschema.validate(resource, SERVICE_MONITOR)
    else:
        kubernetes_validate.validate(resource, VERSION, strict=True)


def of_kind(resources: list[Resource], kind: str) -> Resource:
    (found,) = [resource for resource in resources if resource["kind"] == kind]
    return found


def everything() -> list[tuple[str, Resource]]:
    return [(name, resource) for name, place in PLACES.items() for resource in render(place)]


@pytest.mark.parametrize(
    ("place", "resource"), everything(), ids=lambda value: value["kind"] if isinstance(value, dict) else value
)
def test_it_is_valid(place: str, resource: Resource) -> None:
    check(resource)
    if resource["kind"] != "Namespace":
        assert resource["metadata"]["namespace"] == "clip-har"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 2),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet", "port"), ["http"]),
        ("HorizontalPodAutoscaler", ("spec", "minReplicas"), "two"),
        ("NetworkPolicy", ("spec", "egres"), []),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "often"),
        ("ServiceMonitor", ("spec", "selector", "matchlabels"), {}),
    ],
)
def test_a_wrong_one_is_seen(kind: str, path: tuple, value: Any) -> None:
    resource = of_kind(render(PLACES["overlays/cpu"]), kind)
    place: Any = resource
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(resource)


def test_an_unknown_feature_of_kustomize_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\nnamePrefix: a-\n")
    with pytest.raises(AssertionError, match="namePrefix"):
        render(tmp_path)


def test_every_file_is_used() -> None:
    used: set[Path] = set()
    for folder in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        told = yaml.safe_load(folder.read_text())
        names = [*told["resources"], *(patch["path"] for patch in told.get("patches", []))]
        used |= {folder, *((folder.parent / name).resolve() for name in names)}
    assert set((DEPLOY / "kubernetes").rglob("*.yaml")) <= used


@pytest.mark.parametrize("place", PLACES)
def test_pods_are_hardened(place: str) -> None:
    """As Pod Security's `restricted` wants it, which the namespace enforces; and more."""
    pods = [resource["spec"]["template"]["spec"] for resource in render(PLACES[place]) if containers(resource)]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            assert mounts <= {volume["name"] for volume in pod["volumes"]}
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, "images set HOME to it"
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]


@pytest.mark.parametrize("place", ["overlays/cpu", "overlays/gpu"])
def test_parts_fit_each_other(place: str) -> None:
    resources = render(PLACES[place])
    deployment, service = of_kind(resources, "Deployment"), of_kind(resources, "Service")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    def chosen(selector: dict[str, str]) -> bool:
        return bool(selector) and selector.items() <= labels.items()

    assert chosen(deployment["spec"]["selector"]["matchLabels"])
    assert chosen(service["spec"]["selector"])
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    for kind in ("PodDisruptionBudget",):
        assert chosen(of_kind(resources, kind)["spec"]["selector"]["matchLabels"])
    policy = of_kind(resources, "NetworkPolicy")["spec"]
    assert chosen(policy["podSelector"]["matchLabels"])
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= set(ports)
    monitor = of_kind(resources, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    names = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= names
    for resource in resources:
        if resource["kind"] == "Ingress":
            for path in (path for rule in resource["spec"]["rules"] for path in rule["http"]["paths"]):
                assert path["backend"]["service"]["name"] == service["metadata"]["name"]
                assert path["backend"]["service"]["port"]["name"] in names
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    claim = of_kind(resources, "PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["workspace"]["persistentVolumeClaim"]["claimName"] == claim
    settings = of_kind(resources, "ConfigMap")
    assert volumes["settings"]["configMap"]["name"] == settings["metadata"]["name"]
    mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounted["settings"]["subPath"] in settings["data"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_what_is_asked_is_answered_and_with_a_key_where_one_is_wanted() -> None:
    resources = render(PLACES["overlays/cpu"])
    (container,) = containers(of_kind(resources, "Deployment"))
    operations = Operations(ServingConfig().limits)
    for probe, name in (("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")):
        asked = operations.of("GET", container[probe]["httpGet"]["path"])
        assert (asked.name, asked.needs_key) == (name, False)
    (endpoint,) = of_kind(resources, "ServiceMonitor")["spec"]["endpoints"]
    scraped = operations.of("GET", endpoint["path"])
    assert scraped.name == "metrics"
    assert ("authorization" in endpoint) is scraped.needs_key


@pytest.mark.parametrize("place", ["overlays/cpu", "overlays/gpu"])
def test_the_service_is_configured_as_it_says(place: str, tmp_path: Path) -> None:
    resources = render(PLACES[place])
    pod = of_kind(resources, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    file = tmp_path / "serving.yaml"
    file.write_text(of_kind(resources, "ConfigMap")["data"]["serving.yaml"])
    validated(ServingConfig, yaml.safe_load(file.read_text()), "serving")
    config = load_settings(environment | {"CLIP_HAR_SERVING": str(file)})
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": config.port, "grpc": config.grpc.port}
    assert config.host == "0.0.0.0"
    assert not config.security.public
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert environment["CLIP_HAR_SERVING"] == mounts["settings"]
    assert environment["CLIP_HAR_WORKSPACE"] == mounts["workspace"]
    assert Path(config.security.keys_file).parent == Path(mounts["keys"])
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > waits + config.queue.drain_seconds
    gpu = place.endswith("gpu")
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is gpu
    assert (config.device, config.encoder) == (("cuda", "runner") if gpu else ("auto", "auto"))
    assert any(resource["kind"] == "HorizontalPodAutoscaler" for resource in resources) is not gpu


def test_the_autoscaler_alone_says_how_many() -> None:
    resources = render(PLACES["overlays/cpu"])
    deployment, scaler = of_kind(resources, "Deployment"), of_kind(resources, "HorizontalPodAutoscaler")
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["spec"]["minReplicas"] > of_kind(resources, "PodDisruptionBudget")["spec"]["maxUnavailable"]


def test_the_training_job_runs_what_run_py_knows() -> None:
    import run

    job = of_kind(render(PLACES["training"]), "Job")
    ran = [container["args"] for container in containers(job)]
    assert [arguments[0] for arguments in ran] == ["--pipeline=train", "--pipeline=deploy"]
    for arguments in ran:
        assert run.main([*arguments, "--dry-run"]) == 0
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == [of_kind(render(PLACES["overlays/cpu"]), "PersistentVolumeClaim")["metadata"]["name"]]
