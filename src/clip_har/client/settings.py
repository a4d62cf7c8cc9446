"""How a client asks: how long, how often again, and what it sends."""

from __future__ import annotations

from pydantic import Field

from clip_har.component import ComponentConfig


class ClientSettings(ComponentConfig):
    """How a client asks."""

    deadline_seconds: float = Field(
        60.0, gt=0, description="How long a call may take in all: waiting, trying again and answering."
    )
    connect_seconds: float = Field(5.0, gt=0, description="How long connecting may take, of that.")
    tries: int = Field(5, ge=1, description="How often a call is tried at most.")
    backoff_seconds: float = Field(
        0.2, ge=0, description="Longest wait before the second try; doubled for each further one."
    )
    most_backoff_seconds: float = Field(
        10.0, ge=0, description="The longest such wait. What Retry-After asks for is waited in any case."
    )
    concurrency: int = Field(4, ge=1, description="Pictures of a folder that are asked for at one time.")
    max_picture_bytes: int = Field(
        50_000_000, gt=0, description="A larger file is not even read. What the service takes is its own affair."
    )
    max_answer_bytes: int = Field(100_000_000, gt=0, description="A larger answer is given up.")
    shorter_edge: int | None = Field(
        None,
        ge=32,
        description="Reduce pictures to this shorter edge, in pixels, before they are sent, where that saves bytes. It changes "
        "the answers a little; not done if not given.",
    )
    reduced_quality: int = Field(92, ge=1, le=100, description="JPEG quality of pictures that were reduced.")
