"""Splits: seeded, stable when data grow, and never through a group."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.splits import EarlierSplits, SplitConfig, split_data, split_manifest, split_of
from clip_har.data.validation import ValidationReport
from clip_har.data.validation.report import PAIR_COLUMNS, WARNING_COLUMNS, table_of
from clip_har.errors import DataError


def name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def manifest(numbers, groups=None, labels=("running", "sitting")) -> Manifest:
    ids = [name(number) for number in numbers]
    rows = {
        "id": ids,
        "uri": ids,
        "label": [labels[number % len(labels)] for number in numbers],
        "split": "",
        "group": groups or ids,
        "width": 40,
        "height": 30,
        "format": "JPEG",
        "source": "folder",
        "data_revision": "",
    }
    return Manifest(pd.DataFrame(rows), labels, "photos")


def splits_by_id(data: Manifest) -> dict[str, str]:
    return dict(zip(data.frame["id"], data.frame["split"], strict=True))


def test_a_picture_keeps_its_split_when_data_come_and_go():
    before = splits_by_id(split_manifest(manifest(range(300)), SplitConfig()))
    after = splits_by_id(split_manifest(manifest(range(150, 900)), SplitConfig()))
    assert all(before[name(number)] == after[name(number)] for number in range(150, 300))
    assert set(before.values()) == set(SPLITS)


def test_the_assignment_is_the_same_on_every_machine():
    """Fixed by the formula: a change of it would move pictures from test into train."""
    assigned = [split_of(name(number), SplitConfig()) for number in range(12)]
    assert " ".join(assigned) == (
        "calibration test validation calibration train train train test train train train train"
    )


def test_groups_are_never_separated():
    groups = [name(number // 3) for number in range(600)]
    data = split_manifest(manifest(range(600), groups), SplitConfig())
    assert (data.frame.groupby("group")["split"].nunique() == 1).all()
    assert set(data.frame["split"]) == set(SPLITS)


@pytest.mark.parametrize(
    "shares", [(0.65, 0.1, 0.1, 0.15), (0.25, 0.25, 0.25, 0.25), (0.05, 0.05, 0.05, 0.85)], ids=str
)
def test_shares_are_met(shares):
    config = SplitConfig(**dict(zip(SPLITS, shares, strict=True)))
    assigned = np.array([split_of(name(number), config) for number in range(4000)])
    for split, share in zip(SPLITS, shares, strict=True):
        deviation = 4 * np.sqrt(share * (1 - share) / 4000)
        assert np.mean(assigned == split) == pytest.approx(share, abs=deviation)


def test_another_seed_is_another_assignment():
    first, second = ([split_of(name(number), SplitConfig(seed=seed)) for number in range(1000)] for seed in (0, 1))
    same = np.mean(np.array(first) == np.array(second))
    assert same == pytest.approx(0.65**2 + 0.1**2 + 0.1**2 + 0.15**2, abs=0.06)  # as by chance


def test_enlarging_train_at_the_cost_of_its_neighbour_moves_only_between_them():
    small = SplitConfig(train=0.5, validation=0.2, calibration=0.1, test=0.2)
    large = SplitConfig(train=0.6, validation=0.1, calibration=0.1, test=0.2)
    moves = {(split_of(name(number), small), split_of(name(number), large)) for number in range(2000)}
    assert {move for move in moves if move[0] != move[1]} == {("validation", "train")}


@pytest.mark.parametrize("shares", [{"train": 0.8}, {"test": 0.0}, {"train": 1.0}, {"train": 0.649999}])
def test_shares_must_sum_to_one(shares):
    with pytest.raises(ValidationError):
        SplitConfig(**shares)


def test_too_few_photographs_are_told():
    with pytest.raises(DataError, match=r"The \w+ split is empty: 4 accepted photographs"):
        split_manifest(manifest(range(4)), SplitConfig())
    rare = next(number for number in range(1000, 2000) if split_of(name(number), SplitConfig()) == "test")
    data = manifest([*range(0, 200, 2), rare])
    frame = data.frame.assign(label=["running"] * 100 + ["sitting"])
    with pytest.raises(DataError, match=r"No photograph of sitting falls into the train split"):
        split_manifest(Manifest(frame, data.labels, data.root), SplitConfig())


def test_a_split_of_one_class_is_refused():
    data = manifest(range(0, 200))
    in_test = [split_of(name(number), SplitConfig()) == "test" for number in range(200)]
    labels = ["running" if test else ("running", "sitting")[row % 2] for row, test in enumerate(in_test)]
    frame = data.frame.assign(label=labels)
    with pytest.raises(DataError, match=rf"All {sum(in_test)} photographs of the test split are labelled 'running'"):
        split_manifest(Manifest(frame, data.labels, data.root), SplitConfig())


def report_of(data: Manifest) -> ValidationReport:
    return ValidationReport(len(data), len(data), table_of(()))


def in_split(split: str, start: int, count: int = 1) -> list[int]:
    """Numbers whose pictures fall into a split by the hash."""
    return [number for number in range(start, start + 2000) if split_of(name(number), SplitConfig()) == split][:count]


def test_a_new_near_duplicate_joins_the_split_of_the_picture_that_it_resembles():
    first, report = split_data(manifest(range(300)), report_of(manifest(range(300))), SplitConfig())
    assert splits_by_id(first) == splits_by_id(split_manifest(manifest(range(300)), SplitConfig()))
    (old,) = in_split("test", 0)
    # its group is now named after the new picture, and by the hash alone would move
    new = next(number for number in in_split("train", 5000, 500) if name(number) < name(old))
    numbers = [*range(300), new]
    groups = [name(new) if number == old else name(number) for number in numbers]
    later = manifest(numbers, groups)
    alone, _ = split_data(later, report_of(later), SplitConfig())
    assert splits_by_id(alone)[name(old)] == "train", "the case is one that the hash alone gets wrong"
    second, told = split_data(later, report_of(later), SplitConfig(), EarlierSplits.of([first]))
    assert all(splits_by_id(second)[identity] == split for identity, split in splits_by_id(first).items())
    assert splits_by_id(second)[name(new)] == "test"
    assert (second.frame.groupby("group")["split"].nunique() == 1).all()
    assert told.rejections.empty
    # and the third version, without the new picture, is the first again
    third, _ = split_data(manifest(range(300)), report, SplitConfig(), EarlierSplits.of([second, first]))
    assert third.content_hash == first.content_hash


def test_a_picture_that_resembles_two_splits_is_rejected_and_the_others_stay():
    first, _ = split_data(manifest(range(300)), report_of(manifest(range(300))), SplitConfig())
    (trained,), (tested,) = in_split("train", 0), in_split("test", 0)
    bridge = 7777
    numbers = [*range(300), bridge]
    together = {trained, tested, bridge}
    later = manifest(numbers, [name(bridge) if number in together else name(number) for number in numbers])
    report = ValidationReport(
        302,
        301,
        table_of([("broken.jpg", "running", "truncated", "damaged", "")]),
        table_of([(name(bridge), name(tested), 3, 0.99), (name(1), name(2), 2, 0.95)], PAIR_COLUMNS),
        table_of([(name(bridge), "running", "too_dark", "", name(bridge))], WARNING_COLUMNS),
    )
    second, told = split_data(later, report, SplitConfig(), EarlierSplits.of([first]))
    assert splits_by_id(second) == splits_by_id(first)
    assert told.accepted + len(told.rejections) == told.found == 302
    assert told.reasons == {"between_splits": 1, "truncated": 1}
    assert name(bridge) not in set(told.near_duplicates["first"]) | set(told.warnings["uri"])
    assert len(told.near_duplicates) == 1


def test_the_newest_of_several_versions_gives_way_to_the_oldest(tmp_path):
    old, new = manifest([1]), manifest([1, 2])
    versions = [
        Manifest(data.frame.assign(split=split), data.labels, data.root)
        for data, split in ((new, "test"), (old, "train"))
    ]
    earlier = EarlierSplits.of(versions)
    assert earlier.places == {name(1): ("train", name(1)), name(2): ("test", name(2))}
    earlier.write(tmp_path)
    assert EarlierSplits.read(tmp_path) == earlier
    assert EarlierSplits.read(tmp_path).content_hash == earlier.content_hash != EarlierSplits({}).content_hash
