"""The stack for Kubernetes: what its file gives ZenML is what ZenML takes, and reads as it is meant."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from clip_har.errors import ConfigError
from stacks.register import PROJECT, describe_stack, read_stack, run_settings
from tests.command import PROJECT as CHECKOUT

VARIABLES = {
    "CLIP_HAR_WORKSPACE": "/clip-har/workspace",
    "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
    "KUBERNETES_CONTEXT": "cluster",
    "CLIP_HAR_S3_PATH": "s3://bucket/folder",
    "AWS_ENDPOINT_URL_S3": "https://store.example.org:9000",
    "CLIP_HAR_CONTAINER_REGISTRY": "registry.example.org/clip-har",
    "CLIP_HAR_GPUS": "1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in ("CLIP_HAR_CPUS", "CLIP_HAR_MEMORY", "CLIP_HAR_SHARE", "CLIP_HAR_CLAIM", "CLIP_HAR_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(environment: None) -> dict:
    return run_settings("kubernetes")


@pytest.fixture
def kubernetes_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZenML converts pod settings with the Kubernetes client's models: a stand-in for their names where it is absent."""
    if importlib.util.find_spec("kubernetes") is not None:
        return

    class Models(ModuleType):
        def __getattr__(self, name: str) -> type:
            if not name.startswith("V1"):
                raise AttributeError(name)
            fields = {
                "V1Volume": ("name", "persistentVolumeClaim"),
                "V1VolumeMount": ("name", "mountPath"),
                "V1EnvFromSource": ("secretRef",),
                "V1PersistentVolumeClaimVolumeSource": ("claimName",),
                "V1SecretEnvSource": ("name", "optional"),
            }.get(name, ())
            return type(name, (), {"attribute_map": {field: field for field in fields}, "openapi_types": {}})

    models, client, package = (
        Models("kubernetes.client.models"),
        ModuleType("kubernetes.client"),
        ModuleType("kubernetes"),
    )
    client.models, package.client = models, client
    for module in (models, client, package):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_what_is_missing_is_named(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_CONTEXT", "CLIP_HAR_S3_PATH"):
        monkeypatch.delenv(name)
    with pytest.raises(
        ConfigError, match=r"--stack kubernetes: .*KUBERNETES_CONTEXT, CLIP_HAR_S3_PATH, which are not set"
    ):
        read_stack("kubernetes")


def test_components_are_what_zenml_takes(environment: None) -> None:
    """By the classes of the flavors: they need no client of Kubernetes or S3."""
    from zenml.container_registries.default_container_registry import DefaultContainerRegistryFlavor
    from zenml.image_builders.local_image_builder import LocalImageBuilderFlavor
    from zenml.integrations.kubernetes.flavors import KubernetesOrchestratorFlavor
    from zenml.integrations.mlflow.flavors import MLFlowExperimentTrackerFlavor
    from zenml.integrations.s3.flavors import S3ArtifactStoreFlavor

    components = read_stack("kubernetes")["components"]
    flavors = {
        "orchestrator": KubernetesOrchestratorFlavor(),
        "artifact_store": S3ArtifactStoreFlavor(),
        "container_registry": DefaultContainerRegistryFlavor(),
        "image_builder": LocalImageBuilderFlavor(),
        "experiment_tracker": MLFlowExperimentTrackerFlavor(),
    }
    assert components.keys() == flavors.keys(), "an orchestrator that builds images wants a registry and a builder"
    made = {}
    for kind, flavor in flavors.items():
        assert (flavor.name, flavor.type.value) == (components[kind]["flavor"], kind)
        given = {key: value for key, value in components[kind].get("config", {}).items() if value is not None}
        assert given.keys() <= flavor.config_class.model_fields.keys()
        made[kind] = flavor.config_class(**given)
        assert made[kind].is_valid
    assert made["orchestrator"].is_remote
    assert made["orchestrator"].kubernetes_namespace == "clip-har"
    assert (made["artifact_store"].bucket, made["artifact_store"].path) == ("bucket", "s3://bucket/folder")
    assert made["artifact_store"].client_kwargs == {"endpoint_url": "https://store.example.org:9000"}
    assert not made["artifact_store"].is_local
    assert not made["experiment_tracker"].is_local


def test_docker_settings_build_the_project_in_its_pinned_versions(settings: dict) -> None:
    from zenml.config import DockerSettings

    given = settings["docker"]
    assert given.keys() <= DockerSettings.model_fields.keys()
    docker = DockerSettings.model_validate(given)
    assert "-c constraints.txt" in docker.local_project_install_command
    assert docker.allow_including_files_in_images, "or there is nothing to install"
    assert not docker.install_stack_requirements
    assert docker.runtime_environment["CLIP_HAR_WORKSPACE"] == "/clip-har/workspace"
    assert all(isinstance(value, str) for value in docker.runtime_environment.values())


def test_the_image_holds_the_code_and_not_what_lies_around(settings: dict) -> None:
    from zenml.config import DockerSettings
    from zenml.image_builders.build_context import BuildContext

    ignored = DockerSettings.model_validate(settings["docker"]).build_config.dockerignore
    assert ignored == f"{CHECKOUT}/stacks/kubernetes.dockerignore"
    files = BuildContext(root=str(CHECKOUT), dockerignore_file=ignored).get_files().keys()
    assert {"run.py", "pyproject.toml", "constraints.txt", "stacks/tracking.py", "src/clip_har/__init__.py"} <= files
    assert not [name for name in files if name.split("/")[0] in (".git", ".venv", "tests", "workspace", "outputs")]


def test_nothing_that_is_made_here_goes_into_the_image(environment: None, tmp_path: Path) -> None:
    from zenml.image_builders.build_context import BuildContext

    kept = {"run.py", "src/clip_har/runs.py", "configs/har.yaml", "README.md"}
    made = {".git/config", ".venv/bin/python", "src/clip_har/__pycache__/runs.pyc", "workspace/zenml/x", "outputs/a/b"}
    made |= {"wandb/run/x", "src/clip_har.egg-info/PKG", "build/lib/x", ".pytest_cache/x", "tests/test_run.py"}
    for name in kept | made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ignored = str(CHECKOUT / "stacks" / "kubernetes.dockerignore")
    files = {
        name
        for name in BuildContext(root=str(tmp_path), dockerignore_file=ignored).get_files()
        if (tmp_path / name).is_file()
    }
    assert files == kept


def test_resource_settings(settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from zenml.config import ResourceSettings

    assert settings["resources"].keys() <= ResourceSettings.model_fields.keys()
    resources = ResourceSettings.model_validate(settings["resources"])
    assert (resources.cpu_count, resources.memory, resources.gpu_count) == (4, "16GiB", 1)
    monkeypatch.setenv("CLIP_HAR_MEMORY", "plenty")
    with pytest.raises(ValueError, match="memory"):
        ResourceSettings.model_validate(run_settings("kubernetes")["resources"])


def test_pods_have_the_share_and_the_secret(settings: dict, kubernetes_models: None) -> None:
    from zenml.integrations.kubernetes.flavors import KubernetesOrchestratorSettings

    assert settings["orchestrator"].keys() <= KubernetesOrchestratorSettings.model_fields.keys()
    pod = KubernetesOrchestratorSettings.model_validate(settings["orchestrator"]).pod_settings
    assert settings["orchestrator"]["pod_settings"].keys() <= type(pod).model_fields.keys()
    ((volume,), (mount,)) = pod.volumes, pod.volume_mounts
    assert volume == {"name": mount["name"], "persistentVolumeClaim": {"claimName": "clip-har"}}
    assert mount["mountPath"] == "/clip-har"
    assert VARIABLES["CLIP_HAR_WORKSPACE"].startswith(mount["mountPath"])
    assert pod.env_from == [{"secretRef": {"name": "clip-har", "optional": True}}]


def test_settings_are_what_a_pipeline_takes(settings: dict, kubernetes_models: None) -> None:
    from zenml.config.pipeline_configurations import PipelineConfigurationUpdate

    update = PipelineConfigurationUpdate(settings=settings)
    assert set(update.settings) == {"docker", "resources", "orchestrator"}


def test_no_stack_of_this_machine_has_settings() -> None:
    for name in ("local", "mlflow", "wandb", "dual", "dvc"):
        assert "settings" not in describe_stack(name, {"CLIP_HAR_WORKSPACE": "w"})[0]


def test_the_checkout_is_a_variable_that_is_always_set() -> None:
    description, missing = describe_stack("kubernetes", {})
    assert PROJECT not in missing
    assert str(CHECKOUT) in description["settings"]["docker"]["build_config"]["dockerignore"]
