"""Decisions: records that are added to and never changed, also when a process is killed while it writes one."""

from __future__ import annotations

import pytest

from clip_har.data.quarantine import Decision, Decisions
from clip_har.data.quarantine.decisions import append
from clip_har.errors import ConfigError, DataError


def decision(uri: str = "a.jpg", identity: str = "1" * 64, **about) -> Decision:
    known = {"action": "requeue", "who": "Ada", "why": "so", "time": "2026-11-24T12:00:00+00:00"}
    return Decision(uri=uri, id=identity, **known | about)


def test_the_newest_decision_on_exactly_these_bytes_counts():
    first, second = decision(waive=("too_small",)), decision(action="discard")
    other_bytes, other_uri = decision(identity="2" * 64), decision(uri="b.jpg")
    decisions = Decisions((first, other_bytes, second, other_uri))
    assert decisions.of("a.jpg", "1" * 64) is second
    assert decisions.of("a.jpg", "2" * 64) is other_bytes
    assert decisions.of("b.jpg", "1" * 64) is other_uri
    assert decisions.of("b.jpg", "2" * 64) is None


def test_a_decision_on_a_mended_file_answers_the_rejection_of_what_it_was():
    mended = decision(identity="2" * 64, rejected_id="1" * 64)
    assert Decisions((mended,)).newest_about == {("a.jpg", "1" * 64): (0, mended), ("a.jpg", "2" * 64): (0, mended)}
    assert Decisions((mended,)).of("a.jpg", "1" * 64) is None


def test_the_hash_tells_what_was_known_when():
    records = tuple(decision(why=f"reason {number}") for number in range(4))
    hashes = [Decisions(records[:number]).content_hash for number in range(5)]
    assert hashes[0] == ""
    assert len(set(hashes)) == 5
    assert [Decisions(records).number_at(known) for known in hashes] == [0, 1, 2, 3, 4]
    assert Decisions(records).number_at("never") == 0


def test_records_survive(tmp_path):
    path = tmp_path / "quarantine" / "decisions.jsonl"
    assert Decisions.read(path) == Decisions()
    first, second = decision(why="ein »Grund«\nin two lines"), decision(uri="b.jpg", label="sitting")
    append(path, (first,))
    append(path, (second, first))
    assert Decisions.read(path).decisions == (first, second, first)
    Decisions((second,)).write(tmp_path / "copy.jsonl")
    assert Decisions.read(tmp_path / "copy.jsonl").decisions == (second,)


def test_a_record_that_was_cut_short_is_none_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "decisions.jsonl"
    append(path, (decision(),))
    whole = path.read_bytes()
    for length in (1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        assert Decisions.read(path).decisions == (decision(),)
        append(path, (decision(uri="b.jpg"),))
        assert Decisions.read(path).decisions == (decision(), decision(uri="b.jpg"))


def test_a_line_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "decisions.jsonl"
    append(path, (decision(),))
    good = path.read_text()
    path.write_text(f"{good}nonsense\n")
    with pytest.raises(DataError, match=r"decisions\.jsonl, line 2 is not a record"):
        Decisions.read(path)
    path.write_text(good + good.replace('"why"', '"wy"'))
    with pytest.raises(ConfigError, match=r"line 2\.wy: unknown key\. Did you mean 'why'"):
        Decisions.read(path)
