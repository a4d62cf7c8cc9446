"""The sample data set: as asked, with exactly the flaws asked for, whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import clip_har.samples.made as made
import clip_har.samples.sample as sample_module
from clip_har.component import validated
from clip_har.data.sources.folder import FolderSource, FolderSourceConfig
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.errors import ConfigError, DataError
from clip_har.hashing import sha256_folder
from clip_har.samples import Nuisances, SampleConfig, write_sample

_SMALL = SampleConfig(
    per_class=14, width=96, height=64, actions=("running", "sitting", "eating"), broken=0.12, exact_duplicates=0.1,
    near_duplicates=0.15, wrong_labels=0.08,
)  # fmt: skip
_CLEAN = {"broken": 0, "exact_duplicates": 0, "near_duplicates": 0, "wrong_labels": 0}


def _tiny(**changes) -> SampleConfig:
    return SampleConfig(
        **({"per_class": 3, "width": 32, "height": 32, "actions": ("calling", "dancing")} | _CLEAN | changes)
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample") / "small", _SMALL, workers=1)


def _flaws(folder: Path) -> list[dict]:
    return json.loads((folder / "sample.json").read_text())["flaws"]


def test_flaws_are_as_many_as_asked_and_validation_finds_exactly_them(small):
    flaws = _flaws(small)
    # shares of 42 good pictures
    assert Counter(flaw["flaw"] for flaw in flaws) == {
        "broken": 5, "exact_duplicate": 4, "near_duplicate": 6, "label_conflict": 1, "wrong_label": 2,
    }  # fmt: skip
    assert Counter(flaw.get("kind") for flaw in flaws if flaw["flaw"] == "broken") == {
        "truncated": 2, "empty": 1, "not an image": 1, "too small": 1,
    }  # fmt: skip
    source = FolderSource(FolderSourceConfig(path=str(small)), str(small))
    manifest, report = deduplicate(*validate(source, ValidationConfig()), ValidationConfig())
    assert report.found == report.accepted + len(report.rejections) == 42 + len(flaws)

    reasons = {
        "truncated": "truncated",
        "empty": "empty_file",
        "not an image": "not_an_image",
        "too small": "too_small",
    }
    expected = {flaw["file"]: reasons[flaw["kind"]] for flaw in flaws if flaw["flaw"] == "broken"}
    for flaw in flaws:
        if flaw["flaw"] == "exact_duplicate":  # of two equal files the first stays
            expected[max(flaw["file"], flaw["copy_of"])] = "exact_duplicate"
        if flaw["flaw"] == "label_conflict":
            expected |= {flaw["file"]: "label_conflict", flaw["copy_of"]: "label_conflict"}
    assert dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True)) == expected

    pairs = {frozenset(pair) for pair in report.near_duplicates[["first", "second"]].itertuples(index=False)}
    assert pairs == {frozenset((f["file"], f["copy_of"])) for f in flaws if f["flaw"] == "near_duplicate"}
    assert manifest.labels == ("eating", "running", "sitting")


def test_a_wrong_label_lies_in_another_folder_than_what_it_shows(small):
    for flaw in _flaws(small):
        if flaw["flaw"] == "wrong_label":
            assert flaw["shows"] in _SMALL.actions
            assert not flaw["file"].startswith(flaw["shows"])
        if flaw["flaw"] == "label_conflict":
            assert (small / flaw["file"]).read_bytes() == (small / flaw["copy_of"]).read_bytes()
            assert flaw["file"].split("/")[0] != flaw["copy_of"].split("/")[0]


def test_names_give_nothing_away(small):
    flawed = {flaw["file"].split("/")[1] for flaw in _flaws(small)}
    names = {path.name for path in small.rglob("*.jpg")}
    assert {len(name) for name in names} == {14}
    first_half = sorted(names)[: len(names) // 2]
    assert 0 < len(flawed.intersection(first_half)) < len(flawed), "flaws stand together in the order of names"


def test_any_number_of_workers_gives_the_same_files(small, tmp_path):
    parallel = write_sample(tmp_path / "parallel", _SMALL, workers=3)
    assert sha256_folder(parallel) == sha256_folder(small)


def test_a_larger_sample_keeps_the_pictures_of_a_smaller_one_and_another_seed_shares_none(tmp_path):
    def files(name: str, **changes) -> dict[str, bytes]:
        folder = write_sample(tmp_path / name, _tiny(**changes))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}

    few, many, other = files("few"), files("many", per_class=5), files("other", seed=1)
    assert len(few) == 6
    assert len(many) == 10
    assert few.items() <= many.items()
    assert not set(few.values()) & set(other.values())


def test_dials_reach_the_pictures(tmp_path):
    usual, dark = (write_sample(tmp_path / str(light), _tiny(nuisances=Nuisances(light=light))) for light in (0.0, 1.0))
    for path in usual.rglob("*.jpg"):
        assert (dark / path.relative_to(usual)).read_bytes() != path.read_bytes()


# -- whole or not at all, once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_writing_leaves_nothing(tmp_path, workers):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "sample", _tiny(), stop, workers)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_file(tmp_path):
    seen = []
    write_sample(tmp_path / "sample", _tiny(), lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


def test_a_second_call_keeps_what_is_there(tmp_path, monkeypatch):
    write_sample(tmp_path / "sample", _tiny())
    before = sha256_folder(tmp_path / "sample")

    def fail(task):
        raise AssertionError("drawn again")

    monkeypatch.setattr(sample_module, "draw_entry", fail)
    assert write_sample(tmp_path / "sample", _tiny()) == tmp_path / "sample"
    assert sha256_folder(tmp_path / "sample") == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder, monkeypatch: next(folder.rglob("*.jpg")).unlink(), "should hold 6 pictures and holds 5"),
        (lambda folder, monkeypatch: (folder / "sample.json").write_text("{"), "sample.json is damaged"),
        (lambda folder, monkeypatch: (folder / "sample.json").unlink(), "was not made here"),
        (lambda folder, monkeypatch: monkeypatch.setattr(made, "code_hash", lambda: "newer"), "another version"),
    ],
    ids=["picture gone", "note damaged", "note gone", "other code"],
)
def test_a_folder_that_is_not_the_sample_is_refused_and_left_alone(tmp_path, monkeypatch, damage, message):
    folder = write_sample(tmp_path / "sample", _tiny())
    damage(folder, monkeypatch)
    before = sha256_folder(folder)
    with pytest.raises(DataError, match=message):
        write_sample(folder, _tiny())
    assert sha256_folder(folder) == before


def test_a_sample_of_another_config_is_refused(tmp_path):
    write_sample(tmp_path / "sample", _tiny())
    with pytest.raises(DataError, match="another config"):
        write_sample(tmp_path / "sample", _tiny(seed=1))


# -- mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"actions": ("running", "sleping")},
            "actions: the drawn world has no action 'sleping'. Did you mean 'sleeping'",
        ),
        ({"actions": ("running", "running")}, "'running' is named twice"),
        ({"actions": ("running",)}, "actions: wanted: .*at least 2"),
        ({"per_class": 0}, "per_class: wanted: .*greater than or equal to 1"),
        ({"broken": 0.5}, "broken: wanted"),
        ({"perclass": 3}, "perclass: unknown key. Did you mean 'per_class'"),
        ({"nuisances": {"blurr": 1}}, "nuisances.blurr: unknown key. Did you mean 'blur'"),
    ],
)
def test_mistakes_in_the_config_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        validated(SampleConfig, changes)


def test_the_default_sample_has_a_few_flaws_of_each_kind():
    plan = sample_module.plan_sample(SampleConfig())
    assert Counter(entry.flaw for entry in plan) == {
        "": 900, "broken": 5, "exact_duplicate": 6, "near_duplicate": 6, "label_conflict": 1, "wrong_label": 1,
    }  # fmt: skip
    assert len({entry.uri(0) for entry in plan}) == 919
