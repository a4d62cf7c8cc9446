"""The registry: all versions of the model in a workspace, and the one champion among them.

    <workspace>/registry/
      champion.json              the pointer: champion and predecessor; replaced by rename, and the only truth there is
      bundles/<model id>/        the versions, whole
      versions/<model id>.json   what is known of each beyond its bundle
      decisions/<time>_<id>.json every decision with its reasons
      registry.lock              held by the one process that writes

A change of champion is one rename. The decision is written before it under a hidden name and gets its own afterwards; the
next writer finishes, or takes back, what a killed one left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from clip_har.component import ComponentConfig
from clip_har.errors import BundleError, did_you_mean
from clip_har.models.bundle import ModelBundle
from clip_har.registry.records import Action, Decision, Pointer, RegistryError, VersionRecord
from clip_har.registry.storing import clear_leftovers, refresh_attachments, store_bundle
from clip_har.storage import exclusive, write_json

FOLDER = "registry"
_POINTER, _PENDING, _LOCK = "champion.json", ".pending.json", "registry.lock"
_SHOWN = 12  # digits of a model id that people see
_Record = TypeVar("_Record", bound=ComponentConfig)


@dataclass(frozen=True)
class Version:
    """A version in the registry.

    Attributes:
        model_id: which.
        path: its bundle.
        record: what is known of it.
        role: champion, previous, challenger, or "".
    """

    model_id: str
    path: Path
    record: VersionRecord
    role: str


class Registry:
    """The versions in `<workspace>/registry`. Nothing is made on disk before the first version is added.

    Args:
        folder: the registry's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()

    @classmethod
    def of(cls, workspace: str | Path) -> Registry:
        """The registry of a workspace."""
        return cls(Path(workspace) / FOLDER)

    @property
    def pointer(self) -> Pointer | None:
        """What `champion.json` says; None before the first promotion."""
        return _read(Pointer, self.folder / _POINTER)

    def champion(self) -> ModelBundle | None:
        """The champion, verified; None before the first promotion.

        Raises:
            RegistryError: if it is not in the registry any more, or is damaged.
        """
        pointer = self.pointer
        return None if pointer is None else self.load(pointer.model_id)

    def previous(self) -> ModelBundle | None:
        """The champion before this one, verified; None if there is none."""
        pointer = self.pointer
        return None if pointer is None or pointer.previous is None else self.load(pointer.previous)

    def load(self, model_id: str) -> ModelBundle:
        """A version's bundle, verified.

        Raises:
            RegistryError: if it is missing, damaged or another model's.
        """
        try:
            bundle = ModelBundle.load(self._place(model_id))
        except BundleError as error:
            raise RegistryError(
                f"The version {model_id[:_SHOWN]} of the registry cannot be used: {error} Put its bundle into "
                f"{self._place(model_id)} again, or go back: python run.py --pipeline rollback"
            ) from error
        if bundle.model_id != model_id:
            raise RegistryError(f"{bundle.path} holds another model: {bundle.model_id}.")
        return bundle

    def versions(self) -> list[Version]:
        """All versions, the newest first."""
        roles = self.roles()
        found = []
        for path in (self.folder / "bundles").glob("[!.]*"):
            record = _read(VersionRecord, self._record(path.name)) or VersionRecord(model_id=path.name)
            found.append(Version(path.name, path, record, roles.get(path.name, "")))
        return sorted(found, key=lambda version: (version.record.added, version.model_id), reverse=True)

    def version(self, name: str) -> Version:
        """The version that a model id, its first digits, or a role names.

        Raises:
            RegistryError: if there is none, or several begin so.
        """
        versions = self.versions()
        found = [one for one in versions if one.role == name or (len(name) > 3 and one.model_id.startswith(name))]
        if not found:
            roles = [one.role for one in versions if one.role]
            known = did_you_mean(name, [*roles, *(one.model_id[:_SHOWN] for one in versions)])
            raise RegistryError(f"There is no version {name!r} in {self.folder}. {known}")
        if len(found) > 1:
            raise RegistryError(f"Several versions begin with {name!r}: give more digits of the model id.")
        return found[0]

    def roles(self, challenger: str | None = None) -> dict[str, str]:
        """Model id → champion, previous or challenger.

        Args:
            challenger: the version that is being compared; if not given, the one last compared with this champion.
        """
        pointer = self.pointer
        if challenger is None:
            kept = [decision for decision in self.decisions() if decision.action == "kept"]
            since = pointer.since if pointer else ""
            challenger = kept[-1].model_id if kept and kept[-1].time > since else None
        named = {} if challenger is None else {challenger: "challenger"}
        if pointer is not None:
            named |= {pointer.previous: "previous"} if pointer.previous else {}
            named |= {pointer.model_id: "champion"}
        return named

    def decisions(self) -> list[Decision]:
        """Every decision, the oldest first; also one whose writer was killed before it got its name."""
        files = sorted((self.folder / "decisions").glob("[!.]*.json"))
        found = [decision for file in files if (decision := _read(Decision, file)) is not None]
        unfinished = self._unfinished()
        return [*found, unfinished] if unfinished is not None else found

    def add(self, bundle: ModelBundle, **about: Any) -> ModelBundle:
        """Keep a bundle as a version; one that is there already gets the attachments that it lacks.

        Args:
            about: fields of `VersionRecord` that are known.

        Returns:
            The bundle in the registry.

        Raises:
            BundleError: if it is damaged; nothing is added then.
        """
        with self._writing():
            place = self._place(bundle.model_id)
            self._note(bundle.model_id, about)
            if place.is_dir():
                refresh_attachments(bundle, place)
            else:
                store_bundle(bundle, place)
        return self.load(bundle.model_id)

    def annotate(self, model_id: str, **about: Any) -> None:
        """Write down more of what is known of a version."""
        with self._writing():
            self._note(model_id, about)

    def promote(
        self,
        model_id: str,
        *,
        instead_of: str | None,
        reasons: Sequence[str] = (),
        figures: Mapping[str, float | None] | None = None,
        run: str = "",
    ) -> Decision:
        """Make a version the champion; where it is the champion already, nothing changes.

        Args:
            instead_of: the champion that it was compared with; None if there was none.

        Raises:
            RegistryError: if the version does not load, or the champion is another by now.
        """
        with self._writing():
            revision = self.load(model_id).info.data_revision
            pointer = self.pointer
            if pointer is not None and pointer.model_id == model_id:
                return next(
                    (done for done in reversed(self.decisions()) if done.champion == model_id),
                    Decision(time=pointer.since, action="promoted", model_id=model_id, champion=model_id),
                )
            present = None if pointer is None else pointer.model_id
            if present != instead_of:
                raise RegistryError(
                    f"The champion changed while {model_id[:_SHOWN]} was compared with "
                    f"{(instead_of or 'none')[:_SHOWN]}: it is {(present or 'none')[:_SHOWN]} now. Run the same again."
                )
            decision = self._decision("promoted", model_id, model_id, present, reasons, figures, run)
            self._point(decision, revision)
            self._settle()
            return decision

    def keep(
        self,
        model_id: str,
        *,
        reasons: Sequence[str] = (),
        figures: Mapping[str, float | None] | None = None,
        run: str = "",
    ) -> Decision:
        """Record that a version was compared and the champion stays."""
        with self._writing():
            pointer = self.pointer
            champion = None if pointer is None else pointer.model_id
            decision = self._decision("kept", model_id, champion, None, reasons, figures, run)
            write_json(self.folder / "decisions" / decision.file_name, decision.model_dump(mode="json"))
            return decision

    def rollback(
        self,
        *,
        reasons: Sequence[str] = (),
        run: str = "",
        afterwards: Callable[[Decision], None] = lambda decision: None,
    ) -> Decision:
        """Swap champion and predecessor. A rollback that was cut off after its swap is finished, not undone.

        Args:
            afterwards: what belongs to the rollback, like publishing it; called with the lock held, and once more if it was
                cut off. It must not write to the registry.

        Raises:
            RegistryError: if there is nothing to go back to, or it does not load.
        """
        with self._writing(settle=False):
            decision = self._unfinished()
            if decision is None or decision.action != "rolled_back":
                self._settle()
                pointer = self.check_rollback()
                back, left = str(pointer.previous), pointer.model_id
                revision = self.load(back).info.data_revision
                decision = self._decision("rolled_back", back, back, left, reasons, None, run)
                self._point(decision, revision)
            afterwards(decision)
            self._settle()
            return decision

    def check_rollback(self) -> Pointer:
        """The pointer, if there is something to go back to.

        Raises:
            RegistryError: if there is not.
        """
        pointer = self.pointer
        if pointer is None:
            raise RegistryError(
                f"There is no champion in {self.folder}, and so nothing to go back from. `python run.py --pipeline deploy` "
                "makes the first."
            )
        if pointer.previous is None:
            raise RegistryError(
                f"There is nothing to go back to: {pointer.model_id[:_SHOWN]} is the first champion of {self.folder}."
            )
        return pointer

    def prune(self, keep: int = 0, *, dry_run: bool = False) -> list[str]:
        """Remove versions that have no role; model ids of those removed. Decisions about them stay.

        Args:
            keep: how many of the newest stay as well.
            dry_run: only say which would go.
        """
        with self._writing():
            gone = [version for version in self.versions() if not version.role][keep:]
            for version in [] if dry_run else gone:
                away = version.path.with_name(
                    f".{version.model_id}.partial"
                )  # what is cut off here, the next writer removes
                os.rename(version.path, away)
                self._record(version.model_id).unlink(missing_ok=True)
                shutil.rmtree(away)
            return [version.model_id for version in gone]

    def _place(self, model_id: str) -> Path:
        return self.folder / "bundles" / model_id

    def _record(self, model_id: str) -> Path:
        return self.folder / "versions" / f"{model_id}.json"

    def _note(self, model_id: str, about: Mapping[str, Any]) -> None:
        known = _read(VersionRecord, self._record(model_id)) or VersionRecord(model_id=model_id, added=self._now())
        told = VersionRecord.model_validate(known.model_dump() | about)
        if told != known or not self._record(model_id).is_file():
            write_json(self._record(model_id), told.model_dump(mode="json"))

    def _now(self) -> str:
        """The time, later than that of every decision: a clock that was set back must not change their order."""
        last = max((decision.time for decision in self.decisions()), default="")
        now = datetime.now(UTC)
        if (pointer := self.pointer) is not None:
            last = max(last, pointer.since)
        if last and now.isoformat(timespec="microseconds") <= last:
            now = datetime.fromisoformat(last).replace(tzinfo=UTC) + datetime.resolution
        return now.isoformat(timespec="microseconds")

    def _decision(
        self,
        action: Action,
        model_id: str,
        champion: str | None,
        replaced: str | None,
        reasons: Sequence[str],
        figures: Mapping[str, float | None] | None,
        run: str,
    ) -> Decision:
        return Decision(
            time=self._now(),
            action=action,
            model_id=model_id,
            champion=champion,
            replaced=replaced,
            reasons=tuple(reasons),
            figures=dict(figures or {}),
            run=run,
        )

    def _point(self, decision: Decision, data_revision: str) -> None:
        """The change of champion itself: what is decided, under a hidden name, then the pointer."""
        pointer = Pointer(
            model_id=str(decision.champion),
            previous=decision.replaced,
            since=decision.time,
            data_revision=data_revision,
        )
        write_json(self.folder / "decisions" / _PENDING, decision.model_dump(mode="json"))
        write_json(self.folder / _POINTER, pointer.model_dump(mode="json"))

    def _unfinished(self) -> Decision | None:
        """The decision whose pointer is in place, and that has no name of its own yet."""
        pending = _read(Decision, self.folder / "decisions" / _PENDING)
        pointer = self.pointer
        return pending if pending is not None and pointer is not None and pointer.since == pending.time else None

    def _settle(self) -> None:
        """Give a decision that took effect its name, and remove one that did not."""
        pending = self.folder / "decisions" / _PENDING
        if (unfinished := self._unfinished()) is not None:
            os.replace(pending, pending.with_name(unfinished.file_name))
        else:
            pending.unlink(missing_ok=True)

    @contextmanager
    def _writing(self, *, settle: bool = True) -> Iterator[None]:
        """Hold the lock, with what a killed writer left cleared away."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / _LOCK):
            for folder in (self.folder, self.folder / "decisions", self.folder / "versions"):
                for path in folder.glob(".*.partial"):
                    path.unlink(missing_ok=True)
            clear_leftovers(self.folder / "bundles")
            if settle:
                self._settle()
            yield


def _read(record: type[_Record], path: Path) -> _Record | None:
    """A record's file; None if there is none.

    Raises:
        RegistryError: if it is not what it should be.
    """
    try:
        return record.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
