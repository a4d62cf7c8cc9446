"""Whether a stack's components can be reached from here, found without ZenML, in a moment."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml

from stacks.register import describe_stack

_TIMEOUT = 2.0
_WANDB = "https://api.wandb.ai"
_DOCKER = "/var/run/docker.sock"
State = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Reachability:
    """Whether something can be used from here, and what was found."""

    state: State
    note: str


@dataclass(frozen=True)
class Component:
    """A stack's component as its file has it."""

    kind: str
    flavor: str
    reachability: Reachability


@dataclass(frozen=True)
class StackReport:
    """A stack, its components, and the variables that it misses."""

    name: str
    components: tuple[Component, ...]
    missing: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether nothing is missing or out of reach."""
        return not self.missing and all(part.reachability.state != "no" for part in self.components)


def look_at(names: list[str], environment: Mapping[str, str]) -> list[StackReport]:
    """Look at stacks and their components, all at once.

    Args:
        environment: of the process, with CLIP_HAR_WORKSPACE.

    Raises:
        ConfigError: if there is no such stack, or its file cannot be used.
    """
    described = {name: describe_stack(name, environment) for name in names}
    with ThreadPoolExecutor(max_workers=16) as pool:
        looks = {
            name: [
                (kind, part["flavor"], pool.submit(_look, kind, part["flavor"], part.get("config") or {}, environment))
                for kind, part in description["components"].items()
            ]
            for name, (description, _) in described.items()
        }
        return [
            StackReport(
                name,
                tuple(Component(kind, flavor, look.result()) for kind, flavor, look in looks[name]),
                tuple(described[name][1]),
            )
            for name in names
        ]


def _look(kind: str, flavor: str, config: Mapping[str, Any], environment: Mapping[str, str]) -> Reachability:
    """The worst of what is found of a component."""
    look = _LOOKS.get((kind, flavor))
    if look is None:
        return Reachability("unknown", "not looked at")
    found = list(look(config, environment))
    states: tuple[State, ...] = ("no", "unknown", "yes")
    worst = min(found, key=lambda one: states.index(one.state))
    return Reachability(worst.state, "; ".join(one.note for one in found))


def _orchestrator_here(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    yield Reachability("yes", "this process")


def _folder(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    yield _writable(Path(config["path"]))


def _writable(folder: Path) -> Reachability:
    """A folder that can be written, or made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK):
        return Reachability("yes", _shown(folder))
    return Reachability("no", f"{_shown(folder)} cannot be written")


def _shown(path: Path) -> str:
    """A path as it can be typed here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _dvc(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    remote = str(config["remote"])
    if "://" in remote:
        yield Reachability("unknown", f"{remote}, not looked at")
    else:
        yield _writable(Path(environment["CLIP_HAR_WORKSPACE"]) / remote)


def _mlflow(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    uri = config.get("tracking_uri")
    if uri is None:
        yield Reachability("no", "no address")
    elif uri.startswith(("http://", "https://")):
        yield _answers(f"{uri.rstrip('/')}/health", uri, wanted=200)
    elif uri.startswith("sqlite:///"):
        file = Path(uri.removeprefix("sqlite:///"))
        found = _writable(file.parent)
        yield Reachability(found.state, f"SQLite, {_shown(file)}" if found.state == "yes" else found.note)
    else:
        yield Reachability("unknown", f"{_without_password(uri)}, not looked at")


def _wandb(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    offline = environment.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    if offline or not (config.get("api_key") or environment.get("WANDB_API_KEY")):
        found = _writable(Path(config.get("folder") or Path(environment["CLIP_HAR_WORKSPACE"]) / "wandb"))
        yield Reachability(found.state, f"W&B offline, {found.note}")
    else:
        address = config.get("base_url") or environment.get("WANDB_BASE_URL") or _WANDB
        found = _answers(address, address)
        yield Reachability(found.state, f"W&B online, {found.note}")


def _dual(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    yield from _mlflow(config, environment)
    yield from _wandb(config, environment)


def _kubernetes(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    if (package := _package("kubernetes")) is not None:
        yield package
    wanted = config.get("kubernetes_context")
    if wanted is None:
        yield Reachability("no", "no context")
        return
    servers = _servers(environment)
    if wanted not in servers:
        known = f"there are: {', '.join(servers)}" if servers else "there is none"
        yield Reachability("no", f"no context {wanted!r} in the kubeconfig, {known}")
    elif servers[wanted] is None:
        yield Reachability("unknown", f"context {wanted!r}, without a server")
    else:
        yield _listens(servers[wanted], f"context {wanted!r}")


def _servers(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Context → address of its server, of all kubeconfig files; none where there is no such file."""
    default = str(Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config")
    contexts: dict[str, str | None] = {}
    for file in (environment.get("KUBECONFIG") or default).split(os.pathsep):
        try:
            read = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError):
            continue
        clusters = {part["name"]: part["cluster"].get("server") for part in read.get("clusters") or ()}
        for part in read.get("contexts") or ():
            contexts.setdefault(part["name"], clusters.get(part["context"]["cluster"]))
    return contexts


def _s3(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    if (package := _package("s3fs") or _package("boto3")) is not None:
        yield package
    path = config.get("path")
    if path is None:
        yield Reachability("no", "no bucket")
        return
    endpoint = (config.get("client_kwargs") or {}).get("endpoint_url")
    if endpoint is None:
        yield Reachability("unknown", f"{path} at Amazon, not looked at")
    else:
        yield _listens(endpoint, path)


def _registry(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    uri = config.get("uri")
    if uri is None:
        yield Reachability("no", "no address")
        return
    yield _listens(uri if "://" in uri else f"https://{uri}", uri)


def _image_builder_here(config: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Reachability]:
    engine = environment.get("DOCKER_HOST") or f"unix://{_DOCKER}"
    if engine.startswith("unix://"):
        there = Path(engine.removeprefix("unix://")).exists()
        yield Reachability("yes", engine) if there else Reachability("no", "no Docker engine here")
    else:
        yield _listens(engine.replace("tcp://", "http://"), engine)


def _package(name: str) -> Reachability | None:
    if importlib.util.find_spec(name) is None:
        return Reachability("no", f"the package {name} is not installed")
    return None


def _answers(url: str, shown: str, wanted: int | None = None) -> Reachability:
    """Whether a server answers a GET, with a certain status if one is wanted."""
    import httpx

    shown = _without_password(shown)
    try:
        status = httpx.get(url, timeout=_TIMEOUT, follow_redirects=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Reachability("no", f"{shown} does not answer ({type(error).__name__})")
    if wanted is not None and status != wanted:
        return Reachability("no", f"{shown} answers {status}")
    return Reachability("yes", shown)


def _listens(url: str, shown: str) -> Reachability:
    """Whether somebody takes connections at a URL's host and port."""
    parts = urlsplit(url)
    shown = _without_password(shown)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        with socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT):
            return Reachability("yes", shown)
    except (OSError, ValueError) as error:
        return Reachability(
            "no", f"{shown}: {parts.netloc.rpartition('@')[2]} does not answer ({type(error).__name__})"
        )


def _without_password(url: str) -> str:
    head, separator, tail = url.partition("://")
    return f"{head}{separator}{tail.rpartition('@')[2]}" if separator else url


_LOOKS: dict[tuple[str, str], Callable[[Mapping[str, Any], Mapping[str, str]], Iterator[Reachability]]] = {
    ("orchestrator", "local"): _orchestrator_here,
    ("orchestrator", "kubernetes"): _kubernetes,
    ("artifact_store", "local"): _folder,
    ("artifact_store", "dvc"): _dvc,
    ("artifact_store", "s3"): _s3,
    ("experiment_tracker", "mlflow"): _mlflow,
    ("experiment_tracker", "wandb"): _wandb,
    ("experiment_tracker", "dual"): _dual,
    ("container_registry", "default"): _registry,
    ("image_builder", "local"): _image_builder_here,
}
