"""ZenML's database in a workspace: made whole, or made anew after a kill; one with runs is never touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from stacks.store import FOLDER, prepared_store


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ZenML would make it; empty yet."""
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path / FOLDER))
    place = tmp_path / FOLDER / "local_stores" / "default_zen_store" / "zenml.db"
    place.parent.mkdir(parents=True)
    return place


def make(database: Path, *, runs: int | None) -> None:
    """A database with so many runs; None: killed before the tables were there."""
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE flavor (name)")
        if runs is not None:
            connection.execute("CREATE TABLE pipeline_run (name)")
            connection.executemany("INSERT INTO pipeline_run VALUES (?)", [(str(number),) for number in range(runs)])


@pytest.mark.parametrize("runs", [None, 0])
def test_one_that_was_cut_off_is_thrown_away(database: Path, tmp_path: Path, runs: int | None) -> None:
    make(database, runs=runs)
    with prepared_store(tmp_path):
        assert not database.exists()
        database.parent.mkdir(parents=True)
        make(database, runs=0)
    with prepared_store(tmp_path):
        assert database.exists()  # whole, though nothing has run yet


def test_what_is_cut_off_again_is_not_taken_for_whole(database: Path, tmp_path: Path) -> None:
    def cut_off() -> None:
        with prepared_store(tmp_path):
            database.parent.mkdir(parents=True)
            make(database, runs=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    with prepared_store(tmp_path):
        assert not database.exists()


def test_one_with_runs_stays(database: Path, tmp_path: Path) -> None:
    """Also of a workspace from before there was a mark."""
    make(database, runs=1)
    with prepared_store(tmp_path):
        assert database.exists()
    assert database.exists()


def test_one_that_cannot_be_read_stays(database: Path, tmp_path: Path) -> None:
    database.write_bytes(b"no database, and not ours to judge" * 40)
    with prepared_store(tmp_path):
        assert database.exists()


def test_a_place_of_the_users_own_stays(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(database, runs=None)
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path / "mine"))
    with prepared_store(tmp_path):
        assert database.exists()
