"""What can go wrong with the Hub, in a sentence for the person who must act."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clip_har.errors import ClipHarError

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token of your account's settings"


class HubError(ClipHarError):
    """Something that the Hub, or the way to it, does not allow."""


@contextmanager
def in_words(place: str, doing: str, again: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a `HubError`; anything that is no failure of the Hub passes as it is.

    Args:
        place: the repository, for messages: "the repository owner/name".
        doing: what is being done: "sending to", "reading".
        again: a sentence about what was done already and what to do, for a connection that broke.
    """
    try:
        yield
    except ClipHarError:
        raise
    except Exception as error:
        told = _sentence(error, place, doing, again)
        if told is None:
            raise
        raise HubError(told) from error


def _sentence(error: Exception, place: str, doing: str, again: str) -> str | None:
    from huggingface_hub import errors

    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return f"{doing.capitalize()} {place} needs the Hub, and offline mode is set: unset HF_HUB_OFFLINE first."
    if isinstance(error, ValueError) and "metadata in README.md" in str(error):
        refused = " ".join(str(error).split())
        return f"The Hub refuses the card's front matter (licence and tags are yours to say): {refused}"
    for cause in causes:
        if isinstance(cause, errors.HfHubHTTPError):
            return _answered(cause, place, doing, again)
        if isinstance(cause, errors.HFValidationError):
            return f"The Hub takes no such name: {_first_line(cause)}"
        if isinstance(cause, errors.HTTPError):  # the transport's: no route, time-out, a connection that broke
            return f"The connection to the Hub broke while {doing} {place} ({_kind(cause)}). {again}"
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = Path(cause.filename).parent if cause.filename else "the disk"
            return (
                f"There is no space left while {doing} {place}, in {folder}. Make room; {again[0].lower()}{again[1:]}"
            )
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or _of_xet(error):
        return f"The connection to the Hub broke while {doing} {place} ({_kind(error)}). {again}"
    return None


def _answered(error: Exception, place: str, doing: str, again: str) -> str:
    """The sentence for an answer of the Hub that is an error."""
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return f"{_capital(place)} asks for its terms to be accepted on the Hub first, with the account of your token."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{_capital(place)} has no such branch, tag or commit."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{_capital(place)} does not have what is looked for: {_first_line(error)}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"The Hub has no such thing as {place}, or it is private and your token may not see it. {LOG_IN}."
    if status == 401:
        return f"The Hub does not accept your token while {doing} {place}. {LOG_IN}."
    if status == 403:
        return (
            f"Your token may not do this: {doing} {place} was forbidden (403). Use a token with write access to its "
            "owner, or another owner's name."
        )
    if status in (409, 412):
        return (
            f"Someone else changed {place} while it was being written ({status}); nothing of theirs was overwritten. "
            "Look at what is there now, and run the same again to replace it."
        )
    if status == 413:
        return f"The Hub finds a file too large while {doing} {place} (413): {_first_line(error)}"
    if status in (408, 429) or status >= 500:
        return f"The Hub could not answer while {doing} {place} ({status}). {again}"
    return f"The Hub refused {doing} {place} ({status}): {getattr(error, 'server_message', None) or _first_line(error)}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _of_xet(error: BaseException) -> bool:
    """Whether it comes from `hf_xet`, which raises RuntimeError, without a frame of its own, for what breaks on the way."""
    last, trace = "", error.__traceback__
    while trace is not None:
        last, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return isinstance(error, RuntimeError) and last.startswith("huggingface_hub")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _kind(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}" if str(error).strip() else type(error).__name__


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
