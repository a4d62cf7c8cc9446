"""The folder that a Bento is made of: the package, the bundle with its accepted forms, the settings, and the entry point.

service.py          finds what lies beside it, and is what BentoML imports
clip_har/           this package
bundle/             the core, its accepted forms and its self-test
serving.yaml        the settings, as configured
requirements.txt    every package in its version
bentofile.yaml      what BentoML is told
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import clip_har
from clip_har.hashing import sha256_folder
from clip_har.inference.exported import EXPORTS
from clip_har.inference.machine import has_nvidia_gpu
from clip_har.inference.self_test import KIND as SELF_TEST
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.registry.storing import link_or_copy
from clip_har.serving.config import ServingConfig
from clip_har.storage import write_atomic

PYTHON_VERSION = "3.11"
_NOT_PACKED = ("__pycache__", "*.pyc", "assets")  # assets: a backbone to begin training with

_ENTRY = '''"""The service over the bundle beside this file, unless the environment names another (see docs/service-deployment.md)."""

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if not os.environ.get("CLIP_HAR_WORKSPACE"):
    os.environ.setdefault("CLIP_HAR_BUNDLE", str(_HERE / "bundle"))
os.environ.setdefault("CLIP_HAR_SERVING", str(_HERE / "serving.yaml"))

from {module} import {service}  # noqa: E402

__all__ = ["{service}"]
'''
_SERVICE = "ClipHarService"


def write_contents(folder: Path, bundle: ModelBundle, config: ServingConfig, requirements: list[str]) -> str:
    """Fill an empty folder; the hash of what is in it.

    Args:
        requirements: `name==version` of every package that it needs.
    """
    source = Path(clip_har.__file__).parent
    shutil.copytree(source, folder / "clip_har", ignore=shutil.ignore_patterns(*_NOT_PACKED))
    described = metadata.distribution("clip-har")
    write_atomic(folder / f"clip_har-{described.version}.dist-info" / "METADATA", described.read_text("METADATA") or "")
    _copy_bundle(bundle.path, folder / "bundle")
    settings = config.model_dump(mode="json", exclude={"bento"})
    write_atomic(folder / "serving.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    write_atomic(folder / "service.py", _ENTRY.format(module=entry_module(config), service=_SERVICE))
    write_atomic(folder / "bentofile.yaml", yaml.safe_dump(_bentofile(bundle, config, requirements), sort_keys=False))
    return sha256_folder(folder)


def entry_module(config: ServingConfig) -> str:
    """The module of the service: the encoder in the API's process, or in a runner of its own."""
    has_gpu = config.device != "cpu" and has_nvidia_gpu()
    with_runner = config.encoder == "runner" or (config.encoder == "auto" and has_gpu)
    return "clip_har.serving.bento_runner" if with_runner else "clip_har.serving.bento"


def _bentofile(bundle: ModelBundle, config: ServingConfig, requirements: list[str]) -> dict[str, Any]:
    info = bundle.info
    return {
        "service": f"service:{_SERVICE}",
        "name": config.name,
        "description": _DESCRIPTION.format(
            model_id=bundle.model_id, method=info.method, backbone=info.backbone, labels=", ".join(bundle.labels)
        ),
        "labels": {
            "model_id": bundle.model_id,
            "method": info.method,
            "backbone": info.backbone,
            "data_revision": info.data_revision,
        },
        "include": ["*"],
        # not a requirements.txt: BentoML reads none in a hidden folder, and a workspace may be in one
        "python": {"packages": requirements, "lock_packages": False, "pack_git_packages": False},
        # in a container only: loopback would not be reached from outside it
        "envs": [{"name": "CLIP_HAR_SERVING__HOST", "value": "0.0.0.0", "stage": "runtime"}],
        "docker": {"distro": "debian", "python_version": PYTHON_VERSION},
    }


_DESCRIPTION = """# Human action recognition

Model `{model_id}`: {method} on {backbone}.

Labels: {labels}.

`src/bundle` is the model, `src/serving.yaml` the settings; both can be replaced by the environment: `CLIP_HAR_BUNDLE`,
`CLIP_HAR_SERVING__QUEUE__DEADLINE_SECONDS=2` and so on.
"""


def _copy_bundle(source: Path, target: Path) -> None:
    """The core, the exported forms and the self-test; other attachments may hold reports or reference data, and stay behind."""
    shutil.copytree(
        source, target, copy_function=link_or_copy, ignore=lambda folder, names: _left_behind(source, folder, names)
    )


def _left_behind(source: Path, folder: str, names: list[str]) -> set[str]:
    if Path(folder) == source / ATTACHMENTS:
        return set(names) - {EXPORTS, SELF_TEST}
    return {name for name in names if name.startswith(".")} if Path(folder) == source else set()
