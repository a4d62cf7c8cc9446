"""Register stacks from their YAML files, idempotently, and activate one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clip_har.errors import ConfigError, did_you_mean

_FOLDER = Path(__file__).parent
# ${NAME} or, as in a shell, ${NAME:-default}; a default may hold a ${NAME} itself
_VARIABLE = re.compile(r"\$\{(\w+)(?::-((?:[^{}]|\$\{\w+\})*))?\}")
_KEYS = ("name", "components", "settings")
PROJECT = "CLIP_HAR_PROJECT"  # a variable that is always set: where the checkout is


def known_stacks() -> list[str]:
    """Names of the stacks that have a file."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_stack(name: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The description of a stack, with values from the environment filled in.

    A value that is nothing but a variable without content, `${NAME:-}`, is None.

    Args:
        environment: instead of the process's own.

    Raises:
        ConfigError: if there is no such stack, its file has an unknown key, or variables that it needs are not set.
    """
    description, missing = describe_stack(name, environment)
    if missing:
        variables = "variable" if len(missing) == 1 else "variables"
        raise ConfigError(
            f"--stack {name}: stacks/{name}.yaml needs the environment {variables} {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not set. docs/stacks.md says what each stands for."
        )
    return description


def describe_stack(name: str, environment: Mapping[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    """As `read_stack`, and the variables that are wanted and not set; what needs them is None.

    Raises:
        ConfigError: if there is no such stack, or its file has an unknown key.
    """
    file = _FOLDER / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(f"--stack: there is no stack {name!r}. {did_you_mean(name, known_stacks())}")
    description = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key in description:
        if key not in _KEYS:
            raise ConfigError(f"stacks/{file.name}: unknown key {key!r}. {did_you_mean(key, _KEYS)}")
    filling = _Filling({PROJECT: str(_FOLDER.parent)} | dict(os.environ if environment is None else environment))
    return filling.of(description), filling.missing


class _Filling:
    """Puts values of variables where a description names them; what is not set is collected."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.missing: list[str] = []

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str | None:
        known = len(self.missing)
        whole = _VARIABLE.fullmatch(text) is not None
        filled = _VARIABLE.sub(self._value, text)
        return None if len(self.missing) > known or (whole and not filled) else filled

    def _value(self, match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if default is not None:
            return self._environment.get(name) or _VARIABLE.sub(self._value, default)
        if name not in self._environment and name not in self.missing:
            self.missing.append(name)
        return self._environment.get(name, "")


def activate(name: str) -> None:
    """Register or update a stack, and make it the active one.

    Raises:
        ConfigError: as `register`; or if it cannot be used here: packages that it needs are not installed, or it runs
            elsewhere, and so needs a ZenML server.
    """
    register(name)
    _spare_imports()
    from zenml.client import Client
    from zenml.stack import Stack

    client = Client()
    try:
        stack = Stack.from_model(client.get_stack(name, allow_name_prefix_match=False))
    except ImportError as error:
        raise ConfigError(
            f"--stack {name} needs packages that are not installed here ({str(error).splitlines()[0]}). "
            f"{_how_to_install(read_stack(name))}"
        ) from error
    if stack.requires_remote_server and client.zen_store.is_local_store():
        raise ConfigError(
            f"--stack {name} runs its steps elsewhere, where this machine's ZenML database cannot be reached. Connect to a "
            "ZenML server first: zenml login URL, or ZENML_STORE_URL and ZENML_STORE_API_KEY in the environment."
        )
    client.activate_stack(name)  # also if it is the active one: ZenML has it in memory as it was before the update


def _spare_imports() -> None:
    """Keep ZenML from importing, before every run, torch, scikit-learn and BentoML for materializers of their types.

    No step gives such a type; what a step itself needs of them, it imports. It takes 2 to 4 s of a run's first 10.
    """
    from zenml.integrations.registry import integration_registry

    for name in ("bentoml", "pytorch", "sklearn"):
        integration_registry.integrations[name].activate = staticmethod(lambda: None)


def _how_to_install(description: Mapping[str, Any]) -> str:
    """The command that installs what a stack's file asks for."""
    wanted = description.get("settings", {}).get("docker", {}).get("requirements", [])
    if not wanted:
        return "Install the project with: pip install -c constraints.txt -e '.[cpu]'"
    packages = " ".join(f"'{requirement}'" for requirement in wanted)
    return f"Install them with: pip install -c constraints.txt {packages}"


def register(name: str) -> None:
    """Register a stack and its components, or bring them up to date; nothing changes if they are.

    Raises:
        ConfigError: as `read_stack`; or if ZenML refuses a component's configuration.
    """
    description = read_stack(name)
    from zenml.client import Client
    from zenml.enums import StackComponentType

    client = Client()
    identities = {}
    for kind, component in description["components"].items():
        component_type = StackComponentType(kind)
        part = component.get("name", f"{name}_{kind}")
        identities[component_type] = _register_component(client, component_type, part, component, f"stacks/{name}.yaml")
    try:
        stack = client.get_stack(name, allow_name_prefix_match=False)
        registered = {kind: [part.id for part in parts] for kind, parts in stack.components.items()}
        if any(registered.get(kind) != [identity] for kind, identity in identities.items()):
            client.update_stack(stack.id, component_updates={kind: [value] for kind, value in identities.items()})
    except KeyError:
        client.create_stack(name, components=identities)


def run_settings(name: str) -> dict[str, Any]:
    """What a stack's file sets for the steps of every pipeline: keys as `Pipeline.with_options(settings=…)` takes them.

    Raises:
        ConfigError: as `read_stack`.
    """
    return _without_none(read_stack(name).get("settings", {}))


def _register_component(client: Any, component_type: Any, name: str, component: dict[str, Any], file: str) -> Any:
    """Create a component, or bring it up to date; its id. A `source` names the class of a flavor of our own."""
    from zenml.exceptions import ArtifactStoreInterfaceError
    from zenml.stack.utils import validate_stack_component_config

    if "source" in component:
        _register_flavor(client, component_type, component["source"])
    try:
        checked = validate_stack_component_config(
            _without_none(component.get("config", {})), component["flavor"], component_type
        )
    except (ValueError, KeyError, ArtifactStoreInterfaceError) as error:  # pydantic's is a ValueError
        raise ConfigError(f"{file}: ZenML refuses the {component_type.value}: {error}") from None
    configuration = checked.model_dump(mode="json", exclude_unset=True)
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
        gone = dict.fromkeys(existing.configuration.keys() - configuration.keys())
        client.update_stack_component(name, component_type, configuration=configuration | gone)
    return existing.id


def _without_none(value: Any) -> Any:
    """Mappings without the keys whose values are None, at any depth."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


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
