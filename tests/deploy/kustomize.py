"""What `kubectl kustomize` would print, for the few features that deploy/kubernetes uses; any other is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]
_KNOWN = {"apiVersion", "kind", "resources", "namespace", "labels", "images", "patches"}
_CLUSTER_WIDE = {"Namespace"}
# lists whose entries are merged by a key; all others are replaced (as Kubernetes' own schema says)
_MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}


def render(folder: Path) -> list[Resource]:
    """The resources of a kustomization, patched and named."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(told) <= _KNOWN, f"{folder}: kustomization.yaml has {set(told) - _KNOWN}, which the tests do not know"
    resources: list[Resource] = []
    for name in told["resources"]:
        place = folder / name
        resources += render(place) if place.is_dir() else load(place)
    for patch in told.get("patches", []):
        assert set(patch) == {"path"}, patch
        for change in load(folder / patch["path"]):
            resources = _patched(resources, change)
    for resource in resources:
        if "namespace" in told and resource["kind"] not in _CLUSTER_WIDE:
            resource["metadata"]["namespace"] = told["namespace"]
        for labels in told.get("labels", []):
            assert set(labels) == {"pairs"}, labels
            resource["metadata"].setdefault("labels", {}).update(labels["pairs"])
        for image in told.get("images", []):
            for container in containers(resource):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    return resources


def load(file: Path) -> list[Resource]:
    """The documents of a file; YAML's aliases become copies."""
    return [deepcopy(document) for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def containers(resource: Resource) -> list[dict[str, Any]]:
    """All containers of a resource that has pods."""
    pod = resource.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _patched(resources: list[Resource], change: Resource) -> list[Resource]:
    found = [resource for resource in resources if _identity(resource) == _identity(change)]
    assert len(found) == 1, f"a patch for {_identity(change)}, of which there are {len(found)}"
    if change.pop("$patch", None) == "delete":
        return [resource for resource in resources if resource is not found[0]]
    _merge(found[0], change)
    return resources


def _identity(resource: Resource) -> tuple[str, str, str]:
    return resource["apiVersion"], resource["kind"], resource["metadata"]["name"]


def _merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    for name, value in change.items():
        present = target.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge(present, value)
        elif isinstance(value, list) and isinstance(present, list) and name in _MERGED_BY:
            key = _MERGED_BY[name]
            for entry in value:
                same = next((other for other in present if other[key] == entry[key]), None)
                if same is None:
                    present.append(entry)
                else:
                    _merge(same, entry)
        else:
            target[name] = value
