"""Examples get their pictures, where these were kept and can be read."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image

from clip_har.monitoring.pictures import from_file, with_pictures
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (900, 600)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_examples_are_small_pictures_of_their_own_rows():
    bare = observations(60, 1)
    window = replace(bare, pictures=tuple(f"{row}.jpg" for row in range(60)))
    asked: list[str] = []

    def picture_of(name: str) -> bytes | None:
        asked.append(name)
        return {"0.jpg": jpeg((200, 10, 10)), "1.jpg": b"no picture", "2.jpg": None}.get(name, jpeg((10, 10, 200)))

    report = with_pictures(drift_report(window), window, picture_of)
    first, second, third, *_ = report.farthest
    head, _, data = first.picture.partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/jpeg;base64"
    assert shown.size == (240, 160)
    assert shown.getpixel((100, 100))[0] > 150
    assert (second.picture, third.picture) == ("", "")
    assert all(one.picture for one in report.nearest)
    assert sorted(asked) == [f"{row}.jpg" for row in range(6)]  # of the examples only


@pytest.mark.parametrize("pictures", [None, ("",) * 60])
def test_nothing_is_asked_for_where_nothing_was_kept(pictures):
    window = replace(observations(60, 1), pictures=pictures)
    report = with_pictures(drift_report(window), window, lambda name: pytest.fail(f"asked for {name!r}"))
    assert report == drift_report(window)


def test_a_file_that_is_gone_is_no_picture(tmp_path):
    (tmp_path / "one.jpg").write_bytes(b"bytes")
    assert from_file(str(tmp_path / "one.jpg")) == b"bytes"
    assert from_file(str(tmp_path / "two.jpg")) is None
    assert from_file(str(tmp_path)) is None
