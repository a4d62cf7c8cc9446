"""The contact sheet: a page with every rejected sample, its picture where that is safe, and nothing from elsewhere."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from clip_har.data.quarantine import RejectionQueue
from clip_har.data.quarantine.contact_sheet import render_contact_sheet
from clip_har.errors import DataError
from tests.data.quarantine.reports import rejected, report_of
from tests.self_contained import requests_of


def jpeg(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header announces 3.6 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def queue_of(root: Path, rows: list) -> RejectionQueue:
    queue = RejectionQueue(root.parent / "quarantine")
    queue.update(report_of(rows), root, "v1")
    return queue


def figures(page: str) -> list[str]:
    return re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)


def test_every_sample_is_shown_with_its_label_its_reason_and_its_key(root):
    rows = [
        rejected(root, "a.jpg", "too_small", jpeg("red"), "running", "60 × 40 pixels"),
        rejected(root, "b.jpg", "truncated", jpeg("red")[:200], "sitting", "cut off"),
        rejected(root, "c.jpg", "missing_file", None, "", "not there"),
        rejected(root, "d.png", "too_many_pixels", bomb(), "running", "a bomb"),
    ]
    queue = queue_of(root, rows)
    page = render_contact_sheet(queue)
    shown = {row.uri: next(figure for figure in figures(page) if row.key in figure) for row in queue.rows()}
    assert len(figures(page)) == 4
    assert "data:image/jpeg;base64," in shown["a.jpg"]
    assert all("data:image" not in shown[uri] and "no picture" in shown[uri] for uri in ("b.jpg", "c.jpg", "d.png"))
    assert all(detail in shown[uri] for uri, _, _, detail, _ in rows)
    assert "running" in shown["a.jpg"]
    assert "no label" in shown["c.jpg"]
    assert 'id="too_many_pixels"' in page
    assert requests_of(page) == []


def test_both_sides_of_a_conflict_stand_together(root):
    same, like, other = jpeg("green"), jpeg("blue"), jpeg("navy")
    rows = [
        rejected(root, "a.jpg", "label_conflict", same, "running"),
        rejected(root, "b.jpg", "label_conflict", jpeg("red"), "eating"),
        rejected(root, "y.jpg", "label_conflict", same, "sitting"),
        rejected(root, "z.jpg", "label_conflict", jpeg("red"), "hugging"),
        rejected(root, "l.jpg", "near_duplicate_label_conflict", like, "running", "like m.jpg, which is labelled 'x'"),
        rejected(root, "m.jpg", "near_duplicate_label_conflict", other, "sitting", "like l.jpg, which is labelled 'y'"),
        rejected(root, "n.jpg", "near_duplicate_label_conflict", jpeg("pink"), "eating", "like gone.jpg, which is"),
    ]
    page = render_contact_sheet(queue_of(root, rows))
    groups = re.findall(r'<div class="grid pictures whole">(.*?)</div><p', page, flags=re.DOTALL)
    together = {frozenset(re.findall(r'title="(\w\.jpg)"', group)) for group in groups}
    assert together == {
        frozenset(["a.jpg", "y.jpg"]),
        frozenset(("b.jpg", "z.jpg")),
        frozenset(("l.jpg", "m.jpg")),
        frozenset(("n.jpg",)),
    }


def test_a_stranger_s_words_are_words(root):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    rows = [
        (f"{evil}.jpg", evil, "truncated", evil, ""),
        ("x.jpg", "running", "missing_label", "javascript:alert(1)", ""),
    ]
    page = render_contact_sheet(queue_of(root, rows))
    assert requests_of(page) == []
    assert "&lt;script&gt;" in page


def test_decided_samples_are_marked_and_still_seen(root):
    queue = queue_of(root, [rejected(root, f"{name}.jpg", "too_small", jpeg("red")) for name in "abc"])
    queue.discard(["a.jpg"], "Ada", "no use")
    queue.requeue(["b.jpg"], "Ada", "fine", waive=["too_small"])
    page = render_contact_sheet(queue)
    marked = {
        uri: re.findall(r"badge[^>]*>(\w+)<", next(f for f in figures(page) if uri in f))
        for uri in ("a.jpg", "b.jpg", "c.jpg")
    }
    assert marked == {"a.jpg": ["discarded"], "b.jpg": ["requeued"], "c.jpg": []}
    assert page.count("data:image/jpeg") == 3  # the discarded one from the source
    assert "1 wait for a person, 2 have been decided about" in page


def test_a_source_that_leads_out_of_itself_is_not_opened(root):
    (root.parent / "private.jpg").write_bytes(jpeg("red"))
    (root / "link.jpg").symlink_to(root.parent / "private.jpg")
    page = render_contact_sheet(
        queue_of(
            root,
            [("link.jpg", "x", "outside_data_folder", "", ""), ("../private.jpg", "x", "outside_data_folder", "", "")],
        )
    )
    assert "data:image" not in page


def test_a_reason_alone_and_no_more_than_wanted(root):
    queue = queue_of(
        root,
        [rejected(root, f"{number}.jpg", "too_small", jpeg("red")) for number in range(5)]
        + [rejected(root, "x.jpg", "blurred", jpeg("red"))],
    )
    page = render_contact_sheet(queue, "too_small", most=2)
    assert len(figures(page)) == 2
    assert "3 more are in the queue" in page
    assert "x.jpg" not in page
    assert len(figures(render_contact_sheet(queue, most=2))) == 3
    with pytest.raises(DataError, match="Did you mean 'blurred'"):
        render_contact_sheet(queue, "blured")


def test_an_empty_queue_has_a_page_too(root):
    assert "Nothing is rejected." in render_contact_sheet(queue_of(root, []))
