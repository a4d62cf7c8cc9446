"""What goes wrong becomes a sentence in the page, with what to do about it. No traceback is ever shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from clip_har.client import ServiceProblem
from clip_har.errors import ClipHarError
from clip_har.ui.wording import plain, seconds_in_words

logger = logging.getLogger("clip_har.ui")

_TAKEN = "JPEG, PNG, WebP, BMP, GIF and TIFF are taken."
_CHOOSE = "Choose another one under **Service** in the sidebar, or have the app start one there."
_ADVICE = {
    "not_an_image": "Choose a picture, or save it as JPEG or PNG first.",
    "unsupported_media": _TAKEN,
    "truncated": "The file is damaged or was not copied as a whole: get it again.",
    "empty_file": "The file is empty: get it again.",
    "too_many_pixels": "Make the picture smaller, and try again.",
    "too_many_bytes": "Make the picture smaller, and try again.",
    "too_large": "Send fewer or smaller pictures.",
    "unauthorized": "Enter its key under **Service** in the sidebar.",
    "no_answer": _CHOOSE,
    "unreadable_answer": f"Something else seems to answer at that address. {_CHOOSE}",
    "internal": "That is a fault of the service; its log has the reason.",
}


@dataclass(frozen=True)
class Told:
    """A failure for the person who looks at the page.

    Attributes:
        sentence: what went wrong; plain text.
        advice: what to do about it, in Markdown; may be empty.
        passing: whether trying again later is enough.
    """

    sentence: str
    advice: str = ""
    passing: bool = False

    @property
    def markdown(self) -> str:
        """Both, for a box of Streamlit's."""
        return f"{plain(self.sentence)} {self.advice}".strip()


def told(error: BaseException) -> Told:
    """What to say about an error."""
    if isinstance(error, ServiceProblem):
        return _of_the_service(error)
    if isinstance(error, ClipHarError):
        return Told(_sentence(error), _ADVICE.get(getattr(error, "reason", ""), ""))
    if isinstance(error, MemoryError):
        return Told("There is not enough memory for that.", "Choose fewer or smaller files.")
    return Told(
        "Something in the app failed; this is a fault of the app, not yours.",
        "Its log, in the terminal that it was started from, has the reason. Reload the page to go on.",
    )


def show(error: BaseException, doing: str = "") -> None:
    """The failure as a box in the page.

    Args:
        doing: what was not done: "The label was not sent."
    """
    if not isinstance(error, ClipHarError):
        logger.error("%s", doing or "the page failed", exc_info=error)
    found = told(error)
    box = st.warning if found.passing else st.error
    box(f"{doing} {found.markdown}".strip(), icon=":material/hourglass:" if found.passing else ":material/error:")


@contextmanager
def caught(doing: str = "") -> Iterator[None]:
    """What fails inside becomes a box where it happens; the rest of the page goes on."""
    try:
        yield
    except Exception as error:
        show(error, doing)


def _of_the_service(problem: ServiceProblem) -> Told:
    sentence, passing = _sentence(problem), problem.status in (408, 429, 503)
    if passing:
        wait = f" in {seconds_in_words(problem.retry_after)}" if problem.retry_after else " in a moment"
        return Told(sentence, f"Try again{wait}.", passing=True)
    advice = _ADVICE.get(problem.code, "")
    if problem.status is not None and problem.status >= 500 and not advice:
        advice = _ADVICE["internal"]
    if problem.status is not None and problem.status >= 500 and problem.request_id:
        advice += f" (request `{plain(problem.request_id)}`)"
    return Told(sentence, advice)


def _sentence(error: ClipHarError) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."
