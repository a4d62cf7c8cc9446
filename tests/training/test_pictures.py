"""Pictures decoded once: what is kept, what is left out, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.data.image import ImageLimits
from clip_har.training.pictures import StoredPictures


def picture(folder: Path, name: str, width: int, height: int) -> Path:
    pixels = np.random.default_rng(len(name) + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def test_small_pictures_come_back_as_they_are(tmp_path):
    paths = [picture(tmp_path, "a.png", 30, 20), picture(tmp_path, "b.png", 20, 40), picture(tmp_path, "c.png", 25, 25)]
    stored = StoredPictures.decode(paths, 64, tmp_path)
    assert len(stored) == 3
    for number in (2, 0, 1, 0):
        assert np.array_equal(np.asarray(stored[number]), np.asarray(Image.open(paths[number])))


@pytest.mark.parametrize(
    ("width", "height", "kept"),
    [(300, 200, (60, 40)), (200, 300, (40, 60)), (900, 100, (80, 40)), (100, 900, (40, 80)), (40, 90, (40, 80))],
)
def test_large_ones_are_reduced_and_long_ones_cut(tmp_path, width, height, kept):
    stored = StoredPictures.decode([picture(tmp_path, "a.png", width, height)], 40, tmp_path)
    assert stored[0].size == kept


def test_what_cannot_be_decoded_is_left_out_and_counted(tmp_path):
    good = [picture(tmp_path, "a.png", 30, 20), picture(tmp_path, "z.png", 31, 20)]
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "short.png").write_bytes(good[0].read_bytes()[:200])
    broken = [tmp_path / name for name in ("text.png", "gone.png", "empty.png", "short.png")]
    done: list[int] = []
    stored = StoredPictures.decode(
        [good[0], *broken, good[1], picture(tmp_path, "huge.png", 90, 90)],
        64,
        tmp_path,
        ImageLimits(max_pixels=5000),
        done.append,
    )
    assert stored.kept == [0, 5]
    assert dict(stored.rejected) == {
        "not_an_image": 1,
        "missing_file": 1,
        "empty_file": 1,
        "truncated": 1,
        "too_many_pixels": 1,
    }
    assert "text.png" in stored.first_problem
    assert stored[1].size == (31, 20)
    assert done == list(range(1, 8))


def test_none_at_all_is_no_error_here(tmp_path):
    assert len(StoredPictures.decode([tmp_path / "gone.png"], 64, tmp_path)) == 0
