"""Where the project's code lies, and which of it a module is made of: for fingerprints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from clip_har.hashing import sha256_file, sha256_json

PROJECT = Path(__file__).parents[1]
PROJECT_CODE = [PROJECT / name for name in ("src", "steps", "pipelines", "materializers")]
_ROOTS = {
    "clip_har": PROJECT / "src" / "clip_har",
    "steps": PROJECT / "steps",
    "materializers": PROJECT / "materializers",
}
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")  # where a statement has statements


def hash_of_modules(*modules: str) -> str:
    """sha256 over the files of the project that these modules are made of."""
    files = sorted(code_of(*modules))
    return sha256_json({path.relative_to(PROJECT).as_posix(): sha256_file(path) for path in files})


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
    files: list[Path] = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files += [file for name in node.names for file in _files_of(name.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            files += _files_of(node.module)
            files += [file for name in node.names for file in _files_of(f"{node.module}.{name.name}")]
    return tuple(files)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A module's statements, also those in blocks of others. An import is one, so that no expression is looked into."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not _is_typing_only(node):
            yield node
            for block in _BLOCKS:
                waiting += getattr(node, block, ())


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    """The module's file and those of the packages around it; nothing for modules of others."""
    top, *rest = module.split(".")
    if top not in _ROOTS:
        return ()
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
            return ()
    return tuple(file for file in files if file.is_file())
