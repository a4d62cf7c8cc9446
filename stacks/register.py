"""Register stacks from their YAML files, idempotently, and activate one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from clip_har.errors import ConfigError, did_you_mean

_FOLDER = Path(__file__).parent
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")  # ${NAME} or, as in a shell, ${NAME:-default}


def known_stacks() -> list[str]:
    """Names of the stacks that have a file."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_stack(name: str) -> dict[str, Any]:
    """The description of a stack, with values from the environment filled in.

    Raises:
        ConfigError: if there is no such stack, or a variable that it needs is not set.
    """
    file = _FOLDER / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(f"--stack: there is no stack {name!r}. {did_you_mean(name, known_stacks())}")

    def value_of(match: re.Match[str]) -> str:
        if match[2] is not None:
            return os.environ.get(match[1]) or match[2]
        if match[1] not in os.environ:
            raise ConfigError(f"stacks/{file.name} needs the environment variable {match[1]}, which is not set.")
        return os.environ[match[1]]

    return yaml.safe_load(_VARIABLE.sub(value_of, file.read_text(encoding="utf-8")))


def activate(name: str) -> None:
    """Register or update a stack, and make it the active one.

    Raises:
        ConfigError: as `read_stack`.
    """
    description = read_stack(name)
    from zenml.client import Client
    from zenml.enums import StackComponentType

    client = Client()
    identities = {}
    for kind, component in description["components"].items():
        component_type = StackComponentType(kind)
        identities[component_type] = _register_component(client, component_type, f"{name}_{kind}", component)
    try:
        stack = client.get_stack(name, allow_name_prefix_match=False)
        registered = {kind: [part.id for part in parts] for kind, parts in stack.components.items()}
        if any(registered.get(kind) != [identity] for kind, identity in identities.items()):
            client.update_stack(stack.id, component_updates={kind: [value] for kind, value in identities.items()})
    except KeyError:
        client.create_stack(name, components=identities)
    client.activate_stack(name)  # also if it is the active one: ZenML has it in memory as it was before the update


def _register_component(client: Any, component_type: Any, name: str, component: dict[str, Any]) -> Any:
    """Create a component, or bring it up to date; its id. A `source` names the class of a flavor of our own."""
    if "source" in component:
        _register_flavor(client, component_type, component["source"])
    configuration = component.get("config", {})
    try:
        existing = client.get_stack_component(component_type, name, allow_name_prefix_match=False)
    except KeyError:
        return client.create_stack_component(name, component["flavor"], component_type, configuration).id
    if existing.flavor_name != component["flavor"]:
        raise ConfigError(
            f"The {component_type.value} {name!r} is registered with the flavor {existing.flavor_name!r}; the stack's "
            f"file says {component['flavor']!r}. Remove the old one with the zenml command first."
        )
    if existing.configuration != configuration:
        client.update_stack_component(name, component_type, configuration=configuration)
    return existing.id


def _register_flavor(client: Any, component_type: Any, source: str) -> None:
    """Create a flavor of our own, or bring it up to date."""
    from zenml.models import FlavorUpdate
    from zenml.stack.flavor import validate_flavor_source

    _, flavor = validate_flavor_source(source, component_type)
    wanted = flavor.to_model(integration="custom", is_custom=True)
    registered = client.list_flavors(name=flavor.name, type=component_type).items
    if not registered:
        client.create_flavor(source, component_type)
    elif (
        registered[0].source != wanted.source
        or client.get_flavor(registered[0].id).config_schema != wanted.config_schema
    ):
        update = FlavorUpdate(source=wanted.source, config_schema=wanted.config_schema)
        client.zen_store.update_flavor(registered[0].id, update)
