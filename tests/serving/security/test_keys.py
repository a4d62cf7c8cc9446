"""API keys: what the file holds, what a key opens, how often, and that the service follows the file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clip_har.cli import main
from clip_har.errors import ConfigError
from clip_har.serving.config import ServingConfig
from clip_har.serving.errors import TooManyRequests, Unauthorized
from clip_har.serving.security import Caller, Security
from clip_har.serving.security.keys import PATTERN, KeyFile, WatchedKeys, add_key, remove_key
from clip_har.serving.security.rates import TokenBucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def gate(file: Path, clock: Clock | None = None, workers: int = 1, **security: object) -> Security:
    config = ServingConfig(security={"keys_file": str(file), **security}, workers=workers)
    return Security(config.security, WatchedKeys(file, 1.0, clock or Clock()), workers=workers)


def test_the_file_holds_no_key_and_is_its_owners_only(file: Path) -> None:
    key = add_key(file, "camera-1")
    assert PATTERN.fullmatch(key)
    text = file.read_text()
    assert key not in text
    assert hashlib.sha256(key.encode()).hexdigest() not in text  # salted
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in KeyFile.read(file).keys] == ["camera-1"]
    assert not list(file.parent.glob("*.partial"))


def test_the_same_key_has_another_hash_in_another_file() -> None:
    a, b = KeyFile("00" * 32), KeyFile("01" * 32)
    assert a.digest("chk_x") != b.digest("chk_x")


def test_each_key_is_its_owners_and_any_other_is_refused(file: Path) -> None:
    first, second = add_key(file, "first"), add_key(file, "second")
    security = gate(file)
    assert security.check({"authorization": f"Bearer {first}"}) == Caller("first")
    assert security.check({"authorization": f"bearer  {second} "}) == Caller("second")
    assert security.check({"x-api-key": second}) == Caller("second")
    wrong = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {first}"},
        {"authorization": first},
        {"x-api-key": first[:-1]},
        {"x-api-key": first + "A"},
        {"x-api-key": first.swapcase()},
        {"x-api-key": "chk_" + "A" * 43},
        {"x-api-key": KeyFile.read(file).keys[0].hash},
        {"x-api-key": "\udcff" * 47},
        {"x-api-key": "x" * 100_000},
        {"cookie": f"x-api-key={first}"},
    ]
    for headers in wrong:
        with pytest.raises(Unauthorized) as refusal:
            security.check(headers)
        assert first not in str(refusal.value)


def test_without_a_file_nobody_is_asked_for_a_key() -> None:
    security = Security.from_config(ServingConfig())
    assert not security.wants_key
    assert security.check({"x-api-key": "anything"}) == Caller(None)


def test_all_keys_are_compared_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever key is right, or none: as many comparisons, all of them by `compare_digest`."""
    import hmac

    keys = [add_key(file, f"n{number}") for number in range(5)]
    counted: list[int] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: counted.append(1) or real(a, b))
    held = KeyFile.read(file)
    for key in [*keys, "chk_wrong"]:
        counted.clear()
        held.find(key)
        assert len(counted) == 5


def test_an_expired_key_is_refused(file: Path) -> None:
    old = add_key(file, "old", expires=datetime.now(UTC) - timedelta(seconds=1))
    new = add_key(file, "new", expires=datetime.now(UTC) + timedelta(days=1))
    security = gate(file)
    with pytest.raises(Unauthorized):
        security.check({"x-api-key": old})
    assert security.check({"x-api-key": new}).name == "new"


def test_a_running_service_follows_the_file(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    first = add_key(file, "first")
    security = gate(file, clock)
    second = add_key(file, "second")
    clock.now += 1.1
    assert security.check({"x-api-key": second}).name == "second"
    remove_key(file, "first")
    clock.now += 1.1
    with pytest.raises(Unauthorized):
        security.check({"x-api-key": first})

    file.write_text("{")  # not by us: the keys stay as they were, and somebody is told
    clock.now += 1.1
    with caplog.at_level(logging.ERROR):
        assert security.check({"x-api-key": second}).name == "second"
    assert "stay as they were" in caplog.text

    file.unlink()
    clock.now += 1.1
    with pytest.raises(Unauthorized):
        security.check({"x-api-key": second})
    assert first not in caplog.text
    assert second not in caplog.text


def test_the_file_is_looked_at_once_a_second_at_most(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = Clock(), []
    key = add_key(file, "first")
    security = gate(file, clock)
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: looks.append(a) or real(*a, **k))
    for _ in range(100):
        security.check({"x-api-key": key})
    assert not looks


def test_a_bucket_lets_its_rate_through() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 3.0, clock)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take() == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.take() == 0.0
    assert bucket.take() > 0
    clock.now += 1000
    assert [bucket.take() > 0 for _ in range(4)] == [False, False, False, True]


def test_a_key_has_its_own_rate(file: Path) -> None:
    slow, fast = add_key(file, "slow", rate=0.001, burst=2), add_key(file, "fast")
    security = gate(file)
    for _ in range(2):
        security.check({"x-api-key": slow})
    with pytest.raises(TooManyRequests) as refusal:
        security.check({"x-api-key": slow})
    assert refusal.value.retry_after == pytest.approx(1000, rel=0.01)
    for _ in range(50):
        security.check({"x-api-key": fast})


def test_workers_share_a_keys_rate(file: Path) -> None:
    key = add_key(file, "shared", rate=0.004, burst=8)
    security = gate(file, workers=4)
    for _ in range(2):
        security.check({"x-api-key": key})
    with pytest.raises(TooManyRequests):
        security.check({"x-api-key": key})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 2, "salt": "", "keys": []}',
        '{"format": 1, "salt": "zz", "keys": []}',
        '{"format": 1, "salt": "00", "keys": []}',
        '{"format": 1, "keys": []}',
        '{"format": 1, "salt": "%s", "keys": [{"name": "a"}]}' % ("00" * 32),
        '{"format": 1, "salt": "%s", "keys": [{"name": "a", "hash": "x", "created": "y"}]}' % ("00" * 32),
        '{"format": 1, "salt": "00000000000000000000000000000000", "keys": [{"name": "a", "created": "y", "rate": -1, '
        '"hash": "0000000000000000000000000000000000000000000000000000000000000000"}]}',
    ],
)
def test_a_file_that_is_none_is_refused_at_start(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        Security.from_config(ServingConfig(security={"keys_file": str(file)}))


def test_a_missing_file_is_refused_at_start(file: Path) -> None:
    with pytest.raises(ConfigError, match="clip-har keys add"):
        Security.from_config(ServingConfig(security={"keys_file": str(file)}))


def test_the_command(file: Path, capsys: pytest.CaptureFixture) -> None:
    where = ["--file", str(file)]
    assert main(["keys", "add", "camera", "--rate", "5", "--burst", "10", "--days", "30", *where]) == 0
    said = capsys.readouterr()
    key = said.out.strip()
    assert PATTERN.fullmatch(key)
    assert "keys_file" in said.err
    assert gate(file).check({"x-api-key": key}).name == "camera"
    assert main(["keys", "add", "camera", *where]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["keys", "list", *where]) == 0
    listed = capsys.readouterr().out
    assert "camera" in listed
    assert "5/s, burst 10" in listed
    assert "expires" in listed
    assert key not in listed
    assert json.loads(file.read_text())["keys"][0]["hash"] not in listed
    assert main(["keys", "remove", "kamera", *where]) == 2
    assert "Did you mean" not in capsys.readouterr().out
    assert main(["keys", "remove", "camera", *where]) == 0
    assert KeyFile.read(file).keys == ()


@pytest.mark.parametrize(
    "wrong", [["a b"], ["x", "--rate", "0"], ["x", "--rate", "nan"], ["x", "--days", "-1"], ["x", "--burst", "2"]]
)
def test_the_command_refuses(file: Path, wrong: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(["keys", "add", *wrong, "--file", str(file)]) == 2
    assert capsys.readouterr().err.startswith("error:")
    assert not file.exists()


def test_keys_made_at_once_are_all_there(file: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: add_key(file, f"n{number}"), range(16)))
    assert len(KeyFile.read(file).keys) == 16
