"""Drawn pairs: held-out actions are neither shown nor told of."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet
import pytest

from clip_har.data.pairs import build_pair_source, parse_pair_source_config
from clip_har.samples import ACTIONS
from clip_har.samples.wording import WORDINGS

HELD_OUT = ("cycling", "sleeping", "texting")
SMALL = {"source": "samples", "count": 144, "width": 24, "height": 16, "captions_per_image": 8}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory):
    source = build_pair_source(
        parse_pair_source_config({**SMALL, "held_out": HELD_OUT}), str(tmp_path_factory.mktemp("drawn"))
    )
    return source, source.read()


def words_of(actions: tuple[str, ...]) -> set[str]:
    """The words that tell of these actions, and of no other."""

    def words(action: str) -> set[str]:
        wording = WORDINGS[action]
        said = [
            wording.plain,
            *wording.doing,
            *wording.state,
            *wording.roles,
            *(w for pair in wording.does for w in pair),
        ]
        return set(re.findall(r"[a-z]+", re.sub(r"\{.*?\}", "", " ".join(said)).lower()))

    others = set().union(*(words(action) for action in ACTIONS if action not in actions))
    return set().union(*(words(action) for action in actions)) - others


def test_no_caption_tells_of_a_held_out_action(drawn):
    _, pairs = drawn
    telling = words_of(HELD_OUT)
    assert {"cycling", "riding", "sleeping", "asleep", "nap", "texting", "message"} <= telling
    telling -= {"bicycle"}  # stands around in other scenes, which is how its word is learned
    said = {word for caption in pairs.all_captions() for word in re.findall(r"[a-z]+", caption.lower())}
    assert not said & telling
    assert {"phone", "running"} <= said  # else nothing was looked at


def test_every_other_action_is_shown_equally_often(drawn):
    source, pairs = drawn
    actions = pyarrow.parquet.read_table(source.folder / "pairs.parquet")["action"].to_pylist()
    counts = {action: actions.count(action) // 8 for action in set(actions)}
    assert counts == dict.fromkeys(set(ACTIONS) - set(HELD_OUT), 6)
    assert len(pairs) == 144
    assert all(len(captions) == 8 for captions in pairs.captions)


def test_pairs_are_drawn_once(drawn, monkeypatch):
    source, pairs = drawn
    monkeypatch.setattr("clip_har.samples.pairs._draw_pair", None)  # would fail if it were called
    assert source.read() == pairs
    assert source.read().content_hash() == pairs.content_hash()


def test_another_config_has_a_folder_of_its_own(tmp_path: Path):
    folders = {
        build_pair_source(parse_pair_source_config({**SMALL, **change}), str(tmp_path)).folder
        for change in ({}, {"seed": 1}, {"held_out": ["cycling"]}, {"count": 145})
    }
    assert len(folders) == 4
