"""What all pages share."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from clip_har.pages import bins, environment, keep_together, picture, readable_size


def test_bins_count_every_value_once():
    values = np.random.default_rng(0).lognormal(3, 2, 500).tolist()
    for logarithmic in (False, True):
        rows = bins(values, 10, logarithmic)
        assert len(rows) == 10
        assert sum(row["count"] for row in rows) == 500
        assert max(row["share"] for row in rows) == 1
        assert (rows[0]["low"], rows[-1]["high"]) == pytest.approx((min(values), max(values)))
        for row in rows[:-1]:
            assert row["count"] == sum(row["low"] <= value < row["high"] for value in values)
    ratios = [row["high"] / row["low"] for row in bins(values, 10, logarithmic=True)]
    assert ratios == pytest.approx([ratios[0]] * 10)


def test_equal_values_are_one_bin_and_none_are_no_bin():
    assert bins([7.0, 7.0]) == [{"low": 7.0, "high": 7.0, "count": 2, "share": 1.0}]
    assert bins([]) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (123_456, "123 kB"), (5e7, "50.0 MB"), (2e12, "2000 GB")],
)
def test_sizes_are_readable(number, text):
    assert readable_size(number) == text


def test_a_picture_is_small_and_the_original_stays():
    image = Image.new("RGB", (800, 400), "red")
    prefix, _, data = picture(image, 100).partition(",")
    assert prefix == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (100, 50)
    assert image.size == (800, 400)


def test_templates_share_the_stylesheet_and_escape_what_they_show():
    for package in ("clip_har.data", "clip_har.evaluation"):
        templates = environment(package)
        assert "prefers-color-scheme: dark" in templates.get_template("style.css").render()
        assert templates.from_string("{{ word }} {{ 1234 | thousands }}").render(word="<b>") == "&lt;b&gt; 1,234"


def test_percent_signs_stay_with_their_numbers():
    assert keep_together("90 % of 100 %s") == "90\u202f% of 100\u202f%s"
