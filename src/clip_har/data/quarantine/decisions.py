"""What people decided about rejected samples: records that are added to and never changed."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.component import Artifact, ComponentConfig, validated
from clip_har.errors import DataError
from clip_har.storage import write_atomic


class Decision(ComponentConfig):
    """One person's word on one sample."""

    id: str = Field(description="sha256 of the bytes that it is about; empty where they cannot be read.")
    uri: str = Field(description="Path of the sample, as the source lists it.")
    action: Literal["requeue", "discard"] = Field(description="Look at it again, or leave it out for good.")
    waive: tuple[str, ...] = Field((), description="Reasons for rejection that do not apply to this sample.")
    label: str | None = Field(None, description="Class to use instead of the listed one.")
    who: str = Field(min_length=1, description="Who decided.")
    why: str = Field(min_length=1, description="Why.")
    time: str = Field(description="When, in ISO 8601 with its zone.")
    rejected_id: str | None = Field(
        None, description="sha256 of the bytes that were rejected, where the file has been changed since."
    )


@dataclass(frozen=True)
class Decisions(Artifact):
    """All decisions, the oldest first."""

    decisions: tuple[Decision, ...] = ()

    def __len__(self) -> int:
        return len(self.decisions)

    @cached_property
    def _newest(self) -> dict[tuple[str, str], Decision]:
        return {(decision.uri, decision.id): decision for decision in self.decisions}

    @cached_property
    def newest_about(self) -> dict[tuple[str, str], tuple[int, Decision]]:
        """uri and sha256 of rejected bytes → the newest decision that answers their rejection, and its number.

        It answers it also where the file has been changed by the time of the decision.
        """
        found = {}
        for number, decision in enumerate(self.decisions):
            for identity in {decision.id, decision.rejected_id} - {None}:
                found[decision.uri, identity] = (number, decision)
        return found

    def of(self, uri: str, identity: str) -> Decision | None:
        """The newest decision for exactly these bytes at this uri.

        Args:
            identity: sha256 of the bytes; empty where they cannot be read.
        """
        return self._newest.get((uri, identity))

    @cached_property
    def content_hash(self) -> str:
        """sha256 of all records in their order; empty if there are none."""
        return self._hashes[-1]

    @cached_property
    def _hashes(self) -> list[str]:
        """The hash of the first 0, 1, … n records."""
        digest, hashes = hashlib.sha256(), [""]
        for decision in self.decisions:
            digest.update(_line(decision).encode())
            hashes.append(digest.hexdigest())
        return hashes

    def number_at(self, content_hash: str) -> int:
        """How many of the oldest records there were when their hash was this; 0 if it never was."""
        return self._hashes.index(content_hash) if content_hash in self._hashes else 0

    def write(self, path: str | Path) -> Path:
        """Write one record a line, as JSON."""
        return write_atomic(path, "".join(map(_line, self.decisions)))

    @classmethod
    def read(cls, path: str | Path) -> Decisions:
        """Read what `write` or `append` wrote; a file that is not there holds none. A last line cut short is no record.

        Raises:
            DataError: if a whole line is not a record.
        """
        path = Path(path)
        if not path.is_file():
            return cls()
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        lines = whole.decode().split("\n") if whole else []
        return cls(tuple(_record(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)))


def append(path: Path, decisions: tuple[Decision, ...]) -> None:
    """Add records at the end, in one write. The caller keeps other processes away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        file.seek(0)
        kept = file.read().rfind(b"\n") + 1  # what follows was cut short when its process was killed
        file.truncate(kept)
        file.write("".join(map(_line, decisions)).encode())
        file.flush()
        os.fsync(file.fileno())


def _line(decision: Decision) -> str:
    return json.dumps(decision.model_dump(mode="json"), ensure_ascii=False, sort_keys=True) + "\n"


def _record(line: str, place: str) -> Decision:
    try:
        return validated(Decision, json.loads(line), place)
    except json.JSONDecodeError as error:
        raise DataError(f"{place} is not a record of a decision (JSON): {error}.") from error
