"""The one shape of every error: problem details (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where it is: `labels[2]`.")
    detail: str = Field(description="What is wrong with it, and what would be right.")


class Problem(BaseModel):
    """What was wrong, where, what would be right."""

    type: str = Field(description="Name of the kind of problem, as a URI: `urn:clip-har:problem:` and its code.")
    title: str = Field(description="The kind of problem in words; the same for all of a kind.")
    status: int = Field(ge=400, le=599, description="HTTP status.")
    detail: str = Field(description="What was wrong this time, and what would be right.")
    code: str = Field(description="The kind of problem for programs: `too_many_requests`, `truncated` …")
    field: str | None = Field(None, description="The field of the request that it is about: `images[0]`.")
    request_id: str | None = Field(
        None,
        description="The request's id, as in the log and in the header X-Request-ID; not in a picture's own error.",
    )
    retry_after: float | None = Field(None, description="Seconds after which to try again.")
    errors: list[FieldProblem] | None = Field(None, description="All that is wrong, where it is more than one thing.")
    error: str | None = Field(None, description="`detail` again, for clients of the Open Inference Protocol.")
