"""The drawn sample as a data source."""

from __future__ import annotations

import pytest

import clip_har.samples.made as made
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.sources.samples import SamplesSource
from clip_har.errors import ConfigError, DataError

_SMALL = {"source": "samples", "per_class": 2, "width": 32, "height": 32, "actions": ["eating", "running"]}


def _source(workspace, **changes) -> SamplesSource:
    return build_source(parse_source_config(_SMALL | changes), str(workspace))


def test_the_sample_is_drawn_once_and_listed_like_a_folder(tmp_path):
    source = _source(tmp_path)
    assert isinstance(source, SamplesSource)
    source.check()
    assert not list(tmp_path.iterdir()), "drawn by the check"
    calls = []
    source.prepare(lambda done, total: calls.append((done, total)))
    assert calls == [(number, 4) for number in range(1, 5)]
    records = source.records()
    assert sorted(record.label for record in records) == ["eating", "eating", "running", "running"]
    assert all((source.root / record.uri).is_file() and record.problem is None for record in records)
    source.prepare(lambda done, total: calls.append((done, total)))
    assert len(calls) == 4, "drawn again"


def test_records_of_a_source_that_was_not_prepared_are_there(tmp_path):
    assert len(_source(tmp_path).records()) == 4


def test_the_fingerprint_is_of_the_pictures(tmp_path):
    first = _source(tmp_path / "a").fingerprint()
    assert _source(tmp_path / "b").fingerprint() == first
    assert _source(tmp_path / "a", seed=1).fingerprint() != first


def test_every_config_and_every_version_of_the_code_has_a_folder_of_its_own(tmp_path, monkeypatch):
    roots = {_source(tmp_path, **changes).root for changes in ({}, {"seed": 1}, {"nuisances": {"blur": 0.5}})}
    monkeypatch.setattr(made, "code_hash", lambda: "newer")
    roots.add(_source(tmp_path).root)
    assert len(roots) == 4
    assert {root.parent for root in roots} == {tmp_path / "samples"}
    # the choice of classes draws nothing else
    assert _source(tmp_path, labels=["running", "eating"]).root in roots


def test_the_default_is_the_fifteen_actions(tmp_path):
    config = parse_source_config({"source": "samples"})
    assert len(config.sample.actions) == 15
    assert config.sample.per_class == 60
    assert config.nuisances.light == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": ["eating", "runing"]}, "data.actions: .*'runing'. Did you mean 'running'"),
        ({"per_clas": 3}, "data.per_clas: unknown key. Did you mean 'per_class'"),
        ({"nuisances": {"light": 2}}, "data.nuisances.light: wanted: .*less than or equal to 1"),
        ({"path": "x"}, "data.path: unknown key"),
    ],
)
def test_mistakes_in_the_config_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_source_config(_SMALL | changes)


def test_a_class_that_is_not_drawn_is_found_at_once(tmp_path):
    source = _source(tmp_path, labels=["eating", "runing"])
    with pytest.raises(DataError, match=r"data.labels: 'runing'.*'running'"):
        source.check()
    assert not list(tmp_path.iterdir())


def test_a_damaged_sample_is_refused(tmp_path):
    source = _source(tmp_path)
    next(source.root / record.uri for record in source.records()).unlink()
    with pytest.raises(DataError, match=r"should hold 4 pictures and holds 3. Delete it"):
        _source(tmp_path).records()


def test_the_config_survives_being_written_down():
    config = parse_source_config(_SMALL | {"nuisances": {"noise": 0.25}})
    assert parse_source_config(config.model_dump(mode="json")) == config
