"""What a caller of the service can do wrong, or meet: each with its HTTP status; gRPC's code follows from it."""

from __future__ import annotations

from clip_har.errors import ClipHarError, ImageError


class ServiceError(ClipHarError):
    """An answer that is no success.

    Args:
        message: what was wrong, where, what would be right; shown to the caller.
        field: the field of the request that it is about ("labels", "images[2]").

    Attributes:
        status: HTTP status.
        code: short machine-readable name; the problem type's last part.
        title: the same in words, equal for all errors of a kind.
        retry_after: seconds after which to try again, where that makes sense.
        of_picture: whether it is that a picture cannot be used.
    """

    of_picture = False
    status = 500
    code = "internal"
    title = "The service failed."

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.field, self.retry_after = field, retry_after


class BadRequest(ServiceError):
    """A request that cannot be read."""

    status, code, title = 400, "bad_request", "The request cannot be read."


class Unauthorized(ServiceError):
    """No key, or one that is not known."""

    status, code, title = 401, "unauthorized", "A valid API key is wanted."


class NotFound(ServiceError):
    """A name that nothing answers to."""

    status, code, title = 404, "not_found", "There is no such thing here."


class MethodNotAllowed(ServiceError):
    """A path that answers other methods.

    Attributes:
        allow: those, for the header Allow.
    """

    status, code, title = 405, "method_not_allowed", "This path does not answer that method."
    allow = ""


class RequestTimeout(ServiceError):
    """A body that did not come in time."""

    status, code, title = 408, "request_timeout", "The request did not arrive in time."


class TooLarge(ServiceError):
    """More bytes, pixels or pictures than allowed."""

    status, code, title = 413, "too_large", "The request is larger than allowed."


class UnsupportedMedia(ServiceError):
    """Bytes of a kind that is not taken."""

    status, code, title = 415, "unsupported_media", "This kind of content is not taken."


class HeaderTooLarge(ServiceError):
    """A header of more bytes than allowed."""

    status, code, title = 431, "header_too_large", "The request's header is larger than allowed."


class Unprocessable(ServiceError):
    """A request that can be read and not answered: values out of range, a damaged picture."""

    status, code, title = 422, "unprocessable", "The request cannot be answered as it is."


class TooManyRequests(ServiceError):
    """The queue is full, the deadline cannot be kept, or a key has used up its rate."""

    status, code, title = 429, "too_many_requests", "There are more requests than can be answered now."


class Unavailable(ServiceError):
    """Not ready yet, or shutting down."""

    status, code, title = 503, "unavailable", "The service cannot answer now."


class DeadlineExceeded(TooManyRequests):
    """Accepted, but not answered in time."""

    code, title = "deadline_exceeded", "The request was not answered within its deadline."


_OF_REASONS: dict[str, type[ServiceError]] = {
    "too_many_bytes": TooLarge,
    "too_many_pixels": TooLarge,
    "not_an_image": UnsupportedMedia,
    "empty_file": Unprocessable,
    "truncated": Unprocessable,
    "missing_file": Unprocessable,
}


def of_image(error: ImageError, field: str | None = None) -> ServiceError:
    """A picture that cannot be used → the answer that says so. Its `code` is the image error's reason."""
    made = _OF_REASONS.get(error.reason, Unprocessable)(str(error), field=field)
    made.code, made.of_picture = error.reason, True
    return made
