"""ZenML caching that is true: a step runs again when the code that it uses changes, and not when other code does.

ZenML itself looks at the step function only. Here every step depends on the files of all project modules that its
module imports, directly or through others, and on the module of the method or source that its config names.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from zenml.config.cache_policy import CachePolicy
from zenml.steps import BaseStep

_PROJECT = Path(__file__).parents[1]
_ROOTS = {
    "clip_har": _PROJECT / "src" / "clip_har",
    "steps": _PROJECT / "steps",
    "materializers": _PROJECT / "materializers",
}


def on_its_code(step: BaseStep, *modules: str) -> BaseStep:
    """The step with a cache key that covers the code it uses.

    Args:
        modules: names of modules that the step finds at run time, through a registry.
    """
    files = code_of(step.source_object.__module__, *modules)
    relative = sorted(str(path.relative_to(_PROJECT)) for path in files)
    return step.with_options(cache_policy=CachePolicy(file_dependencies=relative))


def code_of(*modules: str) -> frozenset[Path]:
    """Files of the project that these modules are made of, through all their imports."""
    found: set[Path] = set()
    waiting = [path for module in modules for path in _files_of(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path))
    return frozenset(found)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Project files that a file imports, at its top or inside its functions; `if TYPE_CHECKING` imports are not used."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(part) for node in ast.walk(tree) if _is_typing_only(node) for part in ast.walk(node)}
    files: list[Path] = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            files += [file for name in node.names for file in _files_of(name.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            files += _files_of(node.module)
            files += [file for name in node.names for file in _files_of(f"{node.module}.{name.name}")]
    return tuple(files)


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _files_of(module: str) -> list[Path]:
    """The module's file and those of the packages around it; nothing for modules of others."""
    top, *rest = module.split(".")
    if top not in _ROOTS:
        return []
    place = _ROOTS[top]
    files = [place / "__init__.py"]
    for number, part in enumerate(rest):
        package, plain = place / part / "__init__.py", place / f"{part}.py"
        if package.is_file():
            files.append(package)
            place = place / part
        elif plain.is_file() and number == len(rest) - 1:
            files.append(plain)
        else:
            return []
    return [file for file in files if file.is_file()]
