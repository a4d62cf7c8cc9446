"""Hashes that mean the same everywhere, and change with what they stand for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from clip_har.hashing import canonical_json, sha256_arrays, sha256_bytes, sha256_file, sha256_folder, sha256_json


def test_bytes_and_files_are_plain_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_json_is_canonical():
    assert canonical_json({"b": 1, "a": ["é", None, 1.5]}) == '{"a":["é",null,1.5],"b":1}'
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1}) == sha256_bytes(b'{"a":2,"b":1}')
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        sha256_json(float("inf"))


NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"b": NUMBERS},
        {"a": NUMBERS.reshape(3, 2)},
        {"a": NUMBERS.astype(np.float64)},
        {"a": NUMBERS.view(np.int32)},
        {"a": np.nextafter(NUMBERS, 9)},
        {"a": NUMBERS, "c": NUMBERS[:0]},
    ],
    ids=["name", "shape", "type", "kind", "a bit", "one more"],
)
def test_arrays_differ_in_the_hash(changed):
    assert sha256_arrays(changed) != sha256_arrays({"a": NUMBERS})


def test_arrays_are_the_same_in_any_layout_and_order():
    first = sha256_arrays({"a": NUMBERS, "b": NUMBERS[0]})
    assert first == sha256_arrays({"b": NUMBERS[0].copy(), "a": np.asfortranarray(NUMBERS)})


def test_a_folder_is_its_names_and_contents(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "a").write_bytes(b"a")
        (tmp_path / name / "b").write_bytes(b"b")
    same = sha256_folder(tmp_path / "one")
    assert same == sha256_folder(tmp_path / "two")
    (tmp_path / "two" / "b").rename(tmp_path / "two" / "c")
    assert sha256_folder(tmp_path / "two") != same
    (tmp_path / "two" / "c").rename(tmp_path / "two" / "b")
    (tmp_path / "two" / "deep" / "a").write_bytes(b"A")
    assert sha256_folder(tmp_path / "two") != same
