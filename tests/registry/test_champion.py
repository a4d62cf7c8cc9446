"""The registry: one champion, decided by one rename; versions whole; every decision kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.records import RegistryError
from clip_har.storage import exclusive, write_atomic

Bundles = tuple[ModelBundle, ModelBundle, ModelBundle]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.of(tmp_path / "workspace")


def promoted(registry: Registry, *bundles: ModelBundle) -> None:
    for bundle in bundles:
        registry.add(bundle)
        pointer = registry.pointer
        registry.promote(bundle.model_id, instead_of=pointer and pointer.model_id)


def test_nothing_is_made_by_looking(registry: Registry) -> None:
    assert registry.champion() is None
    assert registry.previous() is None
    assert registry.versions() == []
    assert registry.decisions() == []
    assert not registry.folder.exists()


def test_versions_are_whole_bundles_with_what_is_known_of_them(registry: Registry, three_bundles: Bundles) -> None:
    first, second, _ = three_bundles
    kept = registry.add(first, run="run-1", report="run-1/promotion.html", git_revision="abc", runtime="onnx")
    assert kept.path == registry.folder / "bundles" / first.model_id
    assert kept.model_id == first.model_id
    assert ModelBundle.load(kept.path).info == first.info
    registry.add(second)
    registry.annotate(first.model_id, metrics={"accuracy": 0.75})
    newest, oldest = registry.versions()
    assert (newest.model_id, oldest.model_id) == (second.model_id, first.model_id)
    assert (oldest.record.run, oldest.record.git_revision, oldest.record.runtime) == ("run-1", "abc", "onnx")
    assert oldest.record.metrics == {"accuracy": 0.75}
    assert registry.version(first.model_id[:8]).model_id == first.model_id
    with pytest.raises(RegistryError, match="There is no version 'champion'"):
        registry.version("champion")


def test_the_pointer_names_champion_and_predecessor(registry: Registry, three_bundles: Bundles) -> None:
    first, second, third = three_bundles
    promoted(registry, first, second)
    written = json.loads((registry.folder / "champion.json").read_text())
    assert written.keys() == {"model_id", "previous", "since", "data_revision"}
    assert (written["model_id"], written["previous"]) == (second.model_id, first.model_id)
    assert written["data_revision"] == second.info.data_revision
    promoted(registry, third)
    champion, previous = registry.champion(), registry.previous()
    assert champion is not None
    assert previous is not None
    assert (champion.model_id, previous.model_id) == (third.model_id, second.model_id)
    assert [version.role for version in registry.versions()] == ["champion", "previous", ""]


def test_the_champion_promoted_again_changes_nothing(registry: Registry, three_bundles: Bundles) -> None:
    first, second, _ = three_bundles
    promoted(registry, first, second)
    before = registry.pointer, registry.decisions()
    done = registry.promote(second.model_id, instead_of=first.model_id)
    assert done == before[1][-1]
    assert (registry.pointer, registry.decisions()) == before


def test_a_champion_that_changed_meanwhile_is_not_overruled(registry: Registry, three_bundles: Bundles) -> None:
    first, second, third = three_bundles
    promoted(registry, first, second)
    registry.add(third)
    with pytest.raises(RegistryError, match=f"The champion changed .* it is {second.model_id[:12]} now"):
        registry.promote(third.model_id, instead_of=first.model_id)
    assert registry.champion().model_id == second.model_id


def test_rollback_swaps_and_swaps_again(registry: Registry, three_bundles: Bundles) -> None:
    first, second, _ = three_bundles
    promoted(registry, first)
    with pytest.raises(RegistryError, match="nothing to go back to"):
        registry.rollback()
    promoted(registry, second)
    done = registry.rollback(reasons=["it was slow"], run="run-2")
    assert (done.action, done.champion, done.replaced) == ("rolled_back", first.model_id, second.model_id)
    assert registry.champion().model_id == first.model_id
    assert registry.pointer.data_revision == first.info.data_revision
    assert registry.previous().model_id == second.model_id
    registry.rollback()
    assert registry.champion().model_id == second.model_id
    decisions = registry.decisions()
    assert [one.action for one in decisions] == ["promoted", "promoted", "rolled_back", "rolled_back"]
    assert decisions[2].reasons == ("it was slow",)
    assert [one.time for one in decisions] == sorted(one.time for one in decisions)
    assert len({one.file_name for one in decisions}) == 4


def test_no_champion_to_go_back_from(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="There is no champion in"):
        registry.rollback()


def test_a_rollback_that_was_not_published_is_finished_not_undone(registry: Registry, three_bundles: Bundles) -> None:
    first, second, _ = three_bundles
    promoted(registry, first, second)

    def full_disk(decision) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        registry.rollback(run="run-1", afterwards=full_disk)
    assert registry.champion().model_id == first.model_id, "it had happened"
    assert registry.decisions()[-1].action == "rolled_back", "and is known"
    seen = []
    registry.rollback(run="run-2", afterwards=seen.append)
    assert [one.run for one in seen] == ["run-1"]
    assert registry.champion().model_id == first.model_id
    registry.rollback()
    assert registry.champion().model_id == second.model_id, "the next is a rollback of its own"


def test_a_challenger_is_what_was_last_compared_with_this_champion(registry: Registry, three_bundles: Bundles) -> None:
    first, second, third = three_bundles
    promoted(registry, first)
    registry.add(second)
    registry.keep(second.model_id, reasons=["no better"], figures={"Gain": 0.0})
    assert registry.roles() == {first.model_id: "champion", second.model_id: "challenger"}
    assert registry.roles(third.model_id) == {first.model_id: "champion", third.model_id: "challenger"}
    assert registry.decisions()[-1].figures == {"Gain": 0.0}
    promoted(registry, third)
    assert registry.roles() == {third.model_id: "champion", first.model_id: "previous"}


def test_a_damaged_bundle_neither_enters_nor_becomes_champion(
    registry: Registry, three_bundles: Bundles, tmp_path: Path
) -> None:
    first, second, _ = three_bundles
    promoted(registry, first)
    shutil.copytree(second.path, tmp_path / "damaged")
    damaged = ModelBundle.load(tmp_path / "damaged")
    prompts = damaged.path / "clip_har" / "prompts.json"
    prompts.write_text(prompts.read_text() + " ")
    with pytest.raises(Exception, match="differ from their checksums"):
        registry.add(damaged)
    assert [version.model_id for version in registry.versions()] == [first.model_id]
    kept = registry.add(second)
    stored = kept.path / "clip_har" / "prompts.json"
    text = stored.read_text()
    write_atomic(stored, text + " ")
    with pytest.raises(RegistryError, match="cannot be used"):
        registry.promote(second.model_id, instead_of=first.model_id)
    assert registry.champion().model_id == first.model_id
    assert ModelBundle.load(second.path), "a link was replaced, not the original"


def test_forms_that_were_exported_later_come_along(registry: Registry, three_bundles: Bundles, tmp_path: Path) -> None:
    first = three_bundles[0]
    registry.add(first)
    shutil.copytree(first.path, tmp_path / "exported")
    later = ModelBundle.load(tmp_path / "exported")
    for text in ("old", "new"):
        later.attach("exports", lambda folder, text=text: (folder / "image.onnx").write_text(text))
        kept = registry.add(later)
        assert (kept.attachment("exports") / "image.onnx").read_text() == text
    kept = registry.add(first)
    assert (kept.attachment("exports") / "image.onnx").read_text() == "new", "what is not brought stays"
    assert len(registry.versions()) == 1


def test_pruning_leaves_the_roles(registry: Registry, three_bundles: Bundles) -> None:
    first, second, third = three_bundles
    promoted(registry, first, second, third)
    assert registry.prune(dry_run=True) == [first.model_id]
    assert len(registry.versions()) == 3
    assert registry.prune(keep=1) == []
    assert registry.prune() == [first.model_id]
    assert {version.role for version in registry.versions()} == {"champion", "previous"}
    assert registry.champion().model_id == third.model_id


def test_one_writes_at_a_time(registry: Registry, three_bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    from clip_har.errors import DataError
    from clip_har.registry import champion

    promoted(registry, three_bundles[0])
    monkeypatch.setattr(champion, "exclusive", lambda lock: exclusive(lock, wait=0.1))
    with exclusive(registry.folder / "registry.lock"), pytest.raises(DataError, match="Another process"):
        registry.keep(three_bundles[0].model_id)
    assert registry.champion() is not None, "reading waits for nobody"


def test_a_pointer_that_is_no_pointer_is_said(registry: Registry, three_bundles: Bundles) -> None:
    promoted(registry, three_bundles[0])
    (registry.folder / "champion.json").write_text("{}")
    with pytest.raises(RegistryError, match=r"champion\.json cannot be read"):
        registry.champion()
