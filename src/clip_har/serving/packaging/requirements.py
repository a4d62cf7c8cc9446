"""What a Bento needs to be installed: the service's requirements and theirs, in the versions that are here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from clip_har.errors import ConfigError
from clip_har.inference.exported import Exports
from clip_har.models.bundle import ModelBundle

_PROJECT = "clip-har"
_EXTRA = "serving"
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_TORCH = ("torch", "transformers")
_ENGINES = ("tensorrt", "tensorrt-rtx")


def requirements_for(bundle: ModelBundle, *, explain: bool) -> list[str]:
    """`name==version` of every package, sorted: what answered here, and so what passed the gate.

    Args:
        explain: whether torch is wanted although the bundle's forms do without.

    Raises:
        ConfigError: if something is not installed.
    """
    forms = Exports.read(bundle).forms
    in_onnx = {form.encoder for form in forms if form.format == "onnx" and not form.single_only}
    engines = [name for name in _ENGINES if _installed(name)] if any(f.format == "tensorrt" for f in forms) else []
    wanted = [f"{_PROJECT}[{_EXTRA}]", *(name for name in _RUNTIMES if _installed(name)), *engines]
    if explain or engines or in_onnx != {"image", "text"}:
        wanted += _TORCH
    return pinned(wanted)


def pinned(wanted: Iterable[str]) -> list[str]:
    """These packages and all that they require on this machine, as `name==version`, without this project itself.

    Raises:
        ConfigError: if one is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement.name, extra) for requirement in map(Requirement, wanted) for extra in _extras(requirement)]
    while waiting:
        name, extra = waiting.pop()
        name = canonicalize_name(name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise ConfigError(
                f"A Bento needs the package {name}, which is not installed here. `make setup` installs everything."
            ) from None
        if name != _PROJECT:
            found[name] = Version(installed.version).public  # torch's "+cpu" names a place to fetch it from
        for requirement in map(Requirement, installed.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, more) for more in _extras(requirement)]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _extras(requirement) -> list[str]:
    return ["", *sorted(requirement.extras)]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
