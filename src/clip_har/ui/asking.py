"""Asking the service about pictures: a few at a time, and never twice about the same one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import streamlit as st

from clip_har.client import PictureResult, ServiceProblem
from clip_har.errors import ClipHarError, ImageError
from clip_har.ui.connection import Service

_REMEMBERED = 400
_AT_ONE_TIME = 4
_ANSWERS = "answers"


@dataclass(frozen=True)
class Picture:
    """A picture that somebody gave the app.

    Attributes:
        name: as people know it.
        data: the file's bytes.
    """

    name: str
    data: bytes

    @property
    def digest(self) -> str:
        """sha256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What became of one picture.

    Attributes:
        picture: which.
        result: what the service says; None if there is an error.
        error: why there is no result.
        seconds: from asking to the answer, the way there and back included.
    """

    picture: Picture
    result: PictureResult | None
    error: ClipHarError | None
    seconds: float


def ask(
    service: Service,
    pictures: Sequence[Picture],
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> list[Answer]:
    """The answer for each picture, in their order. What this session has been told before is not asked again.

    Args:
        progress: called as `progress(done, total)`.
        options: of `Client.predict`.

    Raises:
        ServiceProblem: if no picture would be answered.
    """
    known: dict[str, tuple[PictureResult, float]] = st.session_state.setdefault(_ANSWERS, {})
    keys = [_key(service, picture, options) for picture in pictures]
    new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
    failed = {}
    for done, (key, answer) in enumerate(zip(new, stream(service, new.values(), **options), strict=True), start=1):
        if answer.result is None:
            failed[key] = answer  # it may pass: asked again the next time
        else:
            known[key] = (answer.result, answer.seconds)
        if progress is not None:
            progress(done, len(new))
    found = [
        failed[key] if key in failed else Answer(picture, known[key][0], None, known[key][1])
        for key, picture in zip(keys, pictures, strict=True)
    ]
    for key in list(known)[: max(0, len(known) - _REMEMBERED)]:
        del known[key]
    return found


def stream(service: Service, pictures: Iterable[Picture], **options: Any) -> Iterator[Answer]:
    """The answers in the order of the pictures, of which only a few are held at one time.

    Raises:
        ServiceProblem: the first that is not about its picture.
    """

    def one(picture: Picture) -> Answer:
        start = time.perf_counter()
        try:
            response = service.client.predict(picture.data, **options)
        except (ServiceProblem, ImageError) as error:
            if isinstance(error, ServiceProblem) and not error.about_the_picture:
                raise
            return Answer(picture, None, error, time.perf_counter() - start)
        result = response.results[0]
        made = PictureResult.model_construct(
            model_id=response.model_id,
            request_id=response.request_id,
            **{name: getattr(result, name) for name in type(result).model_fields},
        )
        return Answer(picture, made, None, time.perf_counter() - start)

    with ThreadPoolExecutor(_AT_ONE_TIME, thread_name_prefix="clip-har-ui") as pool:
        running: list = []
        source = iter(pictures)
        try:
            while True:
                while len(running) < _AT_ONE_TIME and (picture := next(source, None)) is not None:
                    running.append(pool.submit(one, picture))
                if not running:
                    return
                yield running.pop(0).result()
        finally:
            for future in running:
                future.cancel()


def _key(service: Service, picture: Picture, options: dict[str, Any]) -> str:
    return f"{service.url} {service.model.model_id} {picture.digest} {json.dumps(options, sort_keys=True)}"
