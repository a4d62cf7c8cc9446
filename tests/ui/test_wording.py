from __future__ import annotations

import pytest

from clip_har.ui.wording import one_of, percent, plain, seconds_in_words, words


@pytest.mark.parametrize(
    "text", ["![x](http://example.org/a.png)", "**bold**", ":red[x] $a$ `b`", "<b>", "# title", "a_b_c"]
)
def test_foreign_text_formats_nothing(text):
    """Each sign that Markdown knows is escaped, and taking the escapes away gives the text again."""
    written = plain(text)
    assert written.replace("\\", "") == text
    for place, sign in enumerate(written):
        if sign in "!*:$`<#_[":
            assert written[place - 1] == "\\"


def test_foreign_text_stays_on_its_line():
    assert plain("a\n# b\x1b[31m") == "a \\# b \\[31m"


@pytest.mark.parametrize(
    ("share", "digits", "written"),
    [
        (0.913, 0, "91"),
        (0.9999, 0, "> 99"),
        (1.0, 0, "100"),
        (0.00001, 1, "< 0.1"),
        (0.0, 1, "0.0"),
        (0.99999, 1, "> 99.9"),
    ],
)
def test_what_is_not_certain_is_not_shown_as_certain(share, digits, written):
    assert percent(share, digits) == f"{written}\u202f%"


def test_label_sets_in_words():
    assert one_of(["calling", "using_laptop"]) == "one of: calling, using laptop"
    assert one_of(["calling"]) == "calling"
    assert one_of([]).startswith("none")
    assert words("using_laptop") == "using laptop"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0132, "13 ms"), (2.44, "2.4 s"), (42.0, "42 s"), (130, "2 min 10 s"), (7300, "2 h 1 min")],
)
def test_times_in_words(seconds, written):
    assert seconds_in_words(seconds).replace("\u202f", " ") == written
