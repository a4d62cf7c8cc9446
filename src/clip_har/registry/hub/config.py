"""What is sent to the Hub, where to, and how a bundle there is named: `hf://owner/name@revision`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.errors import ConfigError

SCHEME = "hf://"
MAIN = "main"
# https://huggingface.co/docs/huggingface_hub/package_reference/utilities: validate_repo_id, with the owner wanted
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_LONGEST = 96
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def repository_problem(text: str) -> str | None:
    """What is wrong with the id of a repository, or None."""
    parts = text.split("/")
    usual = all(_PART.fullmatch(part) for part in parts) and "--" not in text and ".." not in text
    if len(parts) == 2 and usual and len(text) <= _LONGEST and not text.endswith(".git"):
        return None
    return (
        f"{text!r} is not the id of a repository on the Hub: wanted: OWNER/NAME, of letters, digits, '-', '_' and '.'"
    )


def revision_problem(text: str) -> str | None:
    """What is wrong with the name of a branch, tag or commit, or None."""
    if _REVISION.fullmatch(text) and ".." not in text and not text.endswith(("/", ".", ".lock")):
        return None
    return f"{text!r} cannot name a branch or a tag: wanted: letters, digits, '-', '_', '.' and '/'"


class ModelCardConfig(ComponentConfig):
    """What only a person can say of a model."""

    name: str | None = Field(None, min_length=1, description="What the model is called; if not given, its repository.")
    about: str = Field("", description="What it is and what it was made for: Markdown, a paragraph.")
    intended_use: str = Field(
        "", description="What it may be used for, and what not: Markdown; a default if not given."
    )
    license: str | None = Field(
        None, min_length=1, description="Identifier as the Hub knows it, like apache-2.0; not stated if not given."
    )
    tags: tuple[str, ...] = Field((), description="Further tags on the Hub.")
    dataset: str | None = Field(
        None, description="OWNER/NAME of the data set on the Hub that it was trained on, if it is there."
    )

    @field_validator("dataset")
    @classmethod
    def _dataset_is_an_id(cls, value: str | None) -> str | None:
        if value is not None and (problem := repository_problem(value)):
            raise ValueError(problem)
        return value


class HubConfig(ComponentConfig):
    """A repository on the Hub, and what of a bundle goes there."""

    repository: str = Field(description="OWNER/NAME on the Hub; made if it is not there.")
    private: bool = Field(True, description="Whether only its owners can see it. A public one is then refused.")
    revision: str = Field(MAIN, description="Branch that is pushed to; made if it is not there.")
    tag: str | None = Field(
        None, description="A name for good for what is pushed, like v1; the model's id becomes a tag in any case."
    )
    attachments: tuple[str, ...] = Field(
        ("exports",), description="Which attachments of the bundle go along, those that it has."
    )
    include_reference: bool = Field(
        False, description="Also send the attachment `reference`, which is made of reference data."
    )
    dry_run: bool = Field(False, description="Write what would be sent into a folder, and send nothing.")
    message: str | None = Field(None, min_length=1, description="Message of the commit; a default if not given.")
    timeout: float = Field(
        300, gt=0, description="Seconds without an answer after which a connection counts as broken."
    )
    card: ModelCardConfig = Field(ModelCardConfig(), description="What the model card says beyond what was measured.")

    @field_validator("repository")
    @classmethod
    def _repository_is_an_id(cls, value: str) -> str:
        if problem := repository_problem(value):
            raise ValueError(problem)
        return value

    @field_validator("revision", "tag")
    @classmethod
    def _names_are_usual(cls, value: str | None) -> str | None:
        if value is not None and (problem := revision_problem(value)):
            raise ValueError(problem)
        return value

    @field_validator("attachments")
    @classmethod
    def _reference_is_asked_for_apart(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(kind.split("/")[0] == "reference" for kind in value):
            raise ValueError("the attachment 'reference' is made of reference data: ask for it with include_reference")
        return value

    @property
    def sent_attachments(self) -> tuple[str, ...]:
        """Kinds of attachments that go along."""
        return (*self.attachments, *(("reference",) if self.include_reference else ()))


@dataclass(frozen=True)
class HubReference:
    """A repository at a revision, written `hf://owner/name@revision` (`main` if there is no `@`)."""

    repository: str
    revision: str = MAIN

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}@{self.revision}"

    @classmethod
    def of(cls, repository: str, revision: str | None = None) -> HubReference:
        """Checked.

        Raises:
            ConfigError: if one of them cannot be a name on the Hub.
        """
        revision = MAIN if revision is None else revision
        if problem := repository_problem(repository) or revision_problem(revision):
            raise ConfigError(f"{problem}.")
        return cls(repository, revision)

    @classmethod
    def parse(cls, text: str) -> HubReference | None:
        """The reference in a text; None if it is another kind of text (a folder's path).

        Raises:
            ConfigError: if it begins like a reference and is none.
        """
        if not text.startswith(SCHEME):
            return None
        repository, at, revision = text.removeprefix(SCHEME).partition("@")
        return cls.of(repository, revision if at else None)
