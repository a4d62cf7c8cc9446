"""What a service, or the way to it, may answer instead of a result."""

from __future__ import annotations

from pydantic import ValidationError

from clip_har.errors import ClipHarError
from clip_har.serving.schemas.problem import Problem

# Statuses that say something of the caller or the address, not of one picture: all further requests would get them too.
_OF_THE_CALLER = (401, 403, 404, 405)
NO_ANSWER, UNREADABLE = "no_answer", "unreadable_answer"


class ServiceProblem(ClipHarError):
    """A request that was not answered as wanted.

    Attributes:
        status: HTTP status (that of the same problem, over gRPC); None if there was no answer at all.
        code: the kind of problem for programs: `too_many_requests`, `truncated` …; `no_answer` if there was none,
            `unreadable_answer` if it was not one of this service.
        field: the field of the request that it is about: `images[0]`.
        request_id: the request's id, as the service's log has it.
        retry_after: seconds after which the service wants to be asked again.
        maybe_done: whether the service may have acted on the request nevertheless.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = NO_ANSWER,
        field: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        maybe_done: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.field = status, code, field
        self.request_id, self.retry_after, self.maybe_done = request_id, retry_after, maybe_done

    @classmethod
    def of(cls, problem: Problem, request_id: str | None = None, retry_after: float | None = None) -> ServiceProblem:
        """What problem details say.

        Args:
            request_id, retry_after: as the answer's headers have them, if the problem does not.
        """
        return cls(
            problem.detail,
            status=problem.status,
            code=problem.code,
            field=problem.field,
            request_id=problem.request_id or request_id,
            retry_after=retry_after if problem.retry_after is None else problem.retry_after,
        )

    @property
    def about_the_picture(self) -> bool:
        """Whether another picture could be answered all the same."""
        if self.status is None or self.code == UNREADABLE or self.status in _OF_THE_CALLER:
            return False
        return self.status != 422 or self.field is None or self.field.startswith("images")

    def __reduce__(self) -> tuple:
        return _again, (type(self), str(self), self.__dict__)


def problem_in(body: bytes | str) -> Problem | None:
    """Problem details in an answer's body; None if there are none."""
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        return None


def _again(kind: type[ServiceProblem], message: str, values: dict) -> ServiceProblem:
    made = kind(message)
    made.__dict__.update(values)
    return made
