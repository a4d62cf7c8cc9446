"""Forms out of a body in memory: what clients send, and what breaks parsers."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from clip_har.serving.errors import BadRequest, ServiceError, TooLarge, UnsupportedMedia
from clip_har.serving.rest.multipart import parse_form

TYPE = 'multipart/form-data; boundary="b0"'


def part(content: bytes, name: str = "images", more: str = "") -> bytes:
    return (
        b'--b0\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n' + more.encode() + b"\r\n" + content
    )


def form(*parts: bytes) -> bytes:
    return b"\r\n".join([*parts, b"--b0--\r\n"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"\r\n",
        b"\r\n--b",
        b"--b0",
        b"\r\n--b1\r\n",
        b"\n--b0\n",
        bytes(range(256)) * 50,
        b"\r" * 1000,
        b"-" * 99,
    ],
)
def test_content_comes_out_as_it_went_in(content: bytes) -> None:
    found = parse_form(TYPE, form(part(content), part(b"5", "top_k")), max_parts=9)
    assert found == [("images", content), ("top_k", b"5")]


def test_random_content_comes_out_as_it_went_in() -> None:
    generator = np.random.default_rng(0)
    for size in generator.integers(0, 3000, 50):
        data = bytes(generator.choice([13, 10, 45, 98, 48, 0, 255], size=int(size)).astype(np.uint8))
        data = data.replace(b"\r\n--b0", b"")
        body = form(part(data, more="Content-Type: application/octet-stream\r\n"))
        assert parse_form(TYPE, body, max_parts=1) == [("images", data)]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", BadRequest),
        (b"no form", BadRequest),
        (part(b"cut off"), BadRequest),
        (form(part(b"x"))[:-6], BadRequest),
        (b"--b0\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0--\r\n", BadRequest),
        (b'--b0\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b0--\r\n', BadRequest),
        (b"--b0\r\n\r\nx\r\n--b0--\r\n", BadRequest),
        (b'--b0\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b0--\r\n', BadRequest),
        (form(part(b"x", more="X-Long: " + "y" * 5000 + "\r\n")), BadRequest),
        (form(*[part(b"x")] * 4), TooLarge),
        (form(part(b"eA==", more="Content-Transfer-Encoding: base64\r\n")), UnsupportedMedia),
    ],
)
def test_what_is_no_form(body: bytes, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        parse_form(TYPE, body, max_parts=3)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 300}"],
)
def test_a_boundary_is_wanted(content_type: str) -> None:
    with pytest.raises(BadRequest):
        parse_form(content_type, form(part(b"x")), max_parts=3)


def test_cut_or_flipped_anywhere_it_is_read_or_refused() -> None:
    body = form(part(b"\x00\xff picture"), part(b"5", "top_k"), part("ä".encode(), "labels"))
    generator = np.random.default_rng(0)
    for place in range(len(body)):
        for changed in (body[:place], body[:place] + bytes([int(generator.integers(256))]) + body[place + 1 :]):
            with suppress(ServiceError):
                parse_form(TYPE, changed, max_parts=9)
