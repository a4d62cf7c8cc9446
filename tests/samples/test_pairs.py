"""Pictures with captions: what is drawn, and the table that is written."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pandas as pd
import pytest
from PIL import Image

from clip_har.errors import ConfigError, DataError
from clip_har.hashing import sha256_folder
from clip_har.samples import ACTIONS, PairsConfig, SampleConfig, draw_pairs, write_pairs
from clip_har.samples.sample import plan_sample, scene_seed

_CONFIG = PairsConfig(count=70, actions=("walking", "reading", "eating"), width=24, height=16, captions_per_image=2)


def test_pairs_are_the_same_whatever_the_number_of_workers():
    one, two = ([(i.tobytes(), c, a) for i, c, a in draw_pairs(70, width=24, height=16, workers=w)] for w in (1, 2))
    assert one == two
    assert len({picture for picture, _, _ in one}) == 70


def test_pairs_have_their_size_captions_and_actions_in_turn():
    pairs = list(draw_pairs(54, width=30, height=20, captions_per_image=3, seed=5))
    assert {image.size for image, _, _ in pairs} == {(30, 20)}
    assert {len(captions) for _, captions, _ in pairs} == {3}
    assert Counter(action for _, _, action in pairs) == dict.fromkeys(ACTIONS, 2)
    assert [action for _, _, action in pairs[:27]] != [action for _, _, action in pairs[27:]]


def test_only_the_chosen_actions_are_drawn():
    assert {action for *_, action in draw_pairs(8, ("waving", "pushing"), width=16, height=16)} == {"waving", "pushing"}


def test_pairs_are_lazy():
    assert len(list(islice(draw_pairs(10_000_000, width=8, height=8, workers=1), 2))) == 2


def test_another_seed_gives_other_pairs_and_no_scene_is_one_of_a_sample():
    first, second = (next(draw_pairs(1, ("eating", "running"), seed=seed, width=16, height=16)) for seed in (0, 1))
    assert first[0].tobytes() != second[0].tobytes()
    config = SampleConfig()
    sample = {scene_seed("sample", config.seed, entry.number) for entry in plan_sample(config)}
    assert not sample & {scene_seed("pairs", 0, number) for number in range(20_000)}


def test_the_table_has_a_row_for_each_caption(tmp_path):
    folder = write_pairs(tmp_path / "pairs", _CONFIG)
    table = pd.read_parquet(folder / "pairs.parquet")
    assert list(table.columns) == ["image", "caption", "action"]
    assert len(table) == 140
    assert set(table.groupby("image").size()) == {2}
    assert sorted(table["image"].unique()) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.jpg"))
    drawn = list(draw_pairs(**_CONFIG.model_dump(exclude={"nuisances"})))
    assert list(table["caption"]) == [caption for _, captions, _ in drawn for caption in captions]
    with Image.open(folder / table["image"].iloc[-1]) as image:
        assert image.tobytes() == drawn[-1][0].tobytes()
    assert table["action"].iloc[-1] == drawn[-1][2]


def test_writing_is_done_once_whole_or_not_at_all(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pairs(tmp_path / "pairs", _CONFIG, stop)
    assert list(tmp_path.iterdir()) == []

    write_pairs(tmp_path / "pairs", _CONFIG)
    before = sha256_folder(tmp_path / "pairs")
    calls = []
    write_pairs(tmp_path / "pairs", _CONFIG, lambda done, total: calls.append(done))
    assert calls == [], "drawn again"
    with pytest.raises(DataError, match="another config"):
        write_pairs(tmp_path / "pairs", PairsConfig(count=2))
    assert sha256_folder(tmp_path / "pairs") == before


def test_an_unknown_action_is_refused_before_anything_is_drawn():
    with pytest.raises(ConfigError, match=r"'jumpin'.*'jumping'"):
        draw_pairs(3, ("jumpin",))
