"""Killed at any operation on files, of adding, promoting and rolling back: one champion remains, loads, and the same again
completes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry

_OPERATIONS = ("replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync", "open")
_KILLED = 41


def _bundles_of(folder: Path, bundles: tuple[ModelBundle, ...]) -> list[ModelBundle]:
    """Copies in a folder of their own, the second with exported forms that the registry's copy of it lacks."""
    copies = [
        ModelBundle.load(shutil.copytree(bundle.path, folder / f"{number}")) for number, bundle in enumerate(bundles)
    ]
    return copies


def _run_until(number: int, action: Callable[[], Any]) -> bool:
    """Run in a child that dies at its n-th operation on files; whether it died."""
    child = os.fork()
    if child == 0:
        try:
            left = number

            def counted(original: Callable) -> Callable:
                def call(*arguments: Any, **options: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        os._exit(_KILLED)
                    return original(*arguments, **options)

                return call

            for name in _OPERATIONS:
                setattr(os, name, counted(getattr(os, name)))
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, _KILLED), "the command itself failed"
    return code == _KILLED


def _is_sound(registry: Registry, allowed: set[str]) -> str:
    """The one champion; everything that is listed as a version loads."""
    champion = registry.champion()
    assert champion is not None
    assert champion.model_id in allowed
    roles = [version.role for version in registry.versions()]
    assert roles.count("champion") == 1
    for version in registry.versions():
        assert registry.load(version.model_id).model_id == version.model_id
    assert registry.decisions()[-1].champion == champion.model_id, "the last decision is the one in force"
    return champion.model_id


@pytest.fixture
def prepared(three_bundles, tmp_path: Path) -> tuple[Path, list[ModelBundle]]:
    """A registry whose champion is the first bundle and that has the second without its forms, and copies of all three."""
    bundles = _bundles_of(tmp_path / "bundles", three_bundles)
    registry = Registry(tmp_path / "registry")
    registry.add(bundles[0])
    registry.promote(bundles[0].model_id, instead_of=None)
    return registry.folder, bundles


def _killed_everywhere(
    template: Path, place: Path, act: Callable[[Registry], Any], check: Callable[[Registry], None]
) -> int:
    """Kill `act` at every operation, each time on a fresh copy; after each the same again; the number of operations."""
    for number in range(400):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place, copy_function=os.link)
        registry = Registry(place)
        died = _run_until(number, lambda registry=registry: act(registry))
        check(registry)
        act(registry)
        check(registry)
        hidden = [
            path.name for path in place.rglob(".*") if "partial" in path.name or path.name.endswith((".old", ".new"))
        ]
        assert not hidden, "leftovers are cleared away"
        if not died:
            return number
    raise AssertionError("it never got to its end")


def test_adding(prepared, tmp_path: Path) -> None:
    template, (first, second, _) = prepared
    ids = {first.model_id}
    steps = _killed_everywhere(
        template,
        tmp_path / "place",
        lambda registry: registry.add(second, run="r"),
        lambda registry: _is_sound(registry, ids),
    )
    assert steps > 10, "every file of the bundle is an operation"


def test_adding_forms_to_the_champion(prepared, tmp_path: Path) -> None:
    template, (first, *_) = prepared
    registry = Registry(template)
    first.attach("exports", lambda folder: (folder / "image.onnx").write_text("old"))
    registry.add(first)
    first.attach("exports", lambda folder: (folder / "image.onnx").write_text("new"))

    def check(registry: Registry) -> None:
        _is_sound(registry, {first.model_id})
        registry.annotate(first.model_id, run="another writer")  # clears away what was left, and brings nothing along
        assert (registry.champion().attachment("exports") / "image.onnx").read_text() in ("old", "new")

    _killed_everywhere(template, tmp_path / "place", lambda registry: registry.add(first), check)
    kept = Registry(tmp_path / "place").champion()
    assert (kept.attachment("exports") / "image.onnx").read_text() == "new"


def test_promoting(prepared, tmp_path: Path) -> None:
    template, (first, second, _) = prepared
    Registry(template).add(second)
    ids = {first.model_id, second.model_id}
    _killed_everywhere(
        template,
        tmp_path / "place",
        lambda registry: registry.promote(second.model_id, instead_of=first.model_id, reasons=["better"]),
        lambda registry: _is_sound(registry, ids),
    )
    registry = Registry(tmp_path / "place")
    assert registry.champion().model_id == second.model_id
    assert registry.previous().model_id == first.model_id
    assert [one.action for one in registry.decisions()] == ["promoted", "promoted"]


def test_rolling_back(prepared, tmp_path: Path) -> None:
    template, (first, second, _) = prepared
    registry = Registry(template)
    registry.add(second)
    registry.promote(second.model_id, instead_of=first.model_id)
    published = tmp_path / "published"
    ids = {first.model_id, second.model_id}

    def act(registry: Registry) -> None:
        if not published.exists():  # a command that has said that it is done is not repeated
            registry.rollback(afterwards=lambda decision: published.mkdir())

    def check(registry: Registry) -> None:
        champion = _is_sound(registry, ids)
        if published.exists():
            assert champion == first.model_id, "it was rolled back once, however often it was tried"

    for number in range(100):
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        shutil.copytree(template, tmp_path / "place", copy_function=os.link)
        shutil.rmtree(published, ignore_errors=True)
        registry = Registry(tmp_path / "place")
        died = _run_until(number, lambda registry=registry: act(registry))
        check(registry)
        act(registry)
        check(registry)
        assert registry.champion().model_id == first.model_id
        assert [one.action for one in registry.decisions()] == ["promoted", "promoted", "rolled_back"]
        if not died:
            break
    assert number > 5
