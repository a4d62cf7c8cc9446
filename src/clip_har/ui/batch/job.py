"""A batch in the making. It lives in the session: whatever is clicked meanwhile, it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from clip_har.errors import DataError
from clip_har.ui.asking import Answer, Picture, stream
from clip_har.ui.batch.rows import Row, row_of
from clip_har.ui.batch.sources import Given
from clip_har.ui.connection import Service
from clip_har.ui.pictures import small

_THUMBNAILS = 1500
_THUMBNAIL_SIDE = 240


@dataclass
class Job:
    """Pictures, and the rows of those that are done.

    Attributes:
        name: of the source.
        given: all pictures.
        rows: of the first of them, in their order.
        running: whether it is to go on.
        seconds: spent so far.
    """

    name: str
    given: list[Given]
    rows: list[Row] = field(default_factory=list)
    running: bool = True
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether every picture has its row."""
        return len(self.rows) == len(self.given)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take; None as long as nothing is known."""
        if not self.rows:
            return None
        return self.seconds / len(self.rows) * (len(self.given) - len(self.rows))

    def go_on(self, service: Service, **options) -> Iterator[int]:
        """Ask about what is not done yet; how many are done, after each.

        Raises:
            ServiceProblem: if no other picture would be answered either; what is done stays.
        """
        unread: dict[int, Answer] = {}
        begun = len(self.rows)

        def pictures() -> Iterator[Picture]:
            for place in range(begun, len(self.given)):
                try:
                    yield self.given[place].picture()
                except DataError as error:
                    unread[place] = Answer(Picture(self.given[place].name, b""), None, error, 0.0)

        since = time.perf_counter()
        answers = stream(service, pictures(), **options)
        try:
            for answer in answers:
                yield from self._take(unread, since)
                since = self._append(answer, since)
                yield len(self.rows)
            yield from self._take(unread, since)
        finally:
            answers.close()
        self.running = False

    def _take(self, unread: dict[int, Answer], since: float) -> Iterator[int]:
        """Put rows of unreadable files in their place."""
        while len(self.rows) in unread:
            since = self._append(unread[len(self.rows)], since)
            yield len(self.rows)

    def _append(self, answer: Answer, since: float) -> float:
        data = answer.picture.data
        room = len(self.rows) < _THUMBNAILS
        self.rows.append(row_of(answer, small(data, _THUMBNAIL_SIDE) if data and room else None))
        now = time.perf_counter()
        self.seconds += now - since
        return now
