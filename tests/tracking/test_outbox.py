"""Recording neither raises nor waits; trackers may fail, hang and run out of disk; what they miss is kept."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from clip_har.tracking import DeliveryConfig, Outbox, RunIdentity
from clip_har.tracking.journal import Journal
from clip_har.tracking.replay import journals, replay
from tests.tracking.memory_tracker import Server

RUN = RunIdentity(id="run-1", name="run 1", tags={"method": "lora"})
QUICK = DeliveryConfig(first_wait=0.01, interval=0.0, call_seconds=5.0, finish_seconds=20.0, system_seconds=0.0)
PNG = b"\x89PNG not really"


def outbox(folder: Path, **servers: Server) -> Outbox:
    return Outbox(folder / "tracking", RUN, {name: server.tracker for name, server in servers.items()}, QUICK)


def record(box: Outbox, folder: Path) -> None:
    """A whole run."""
    (folder / "bundle").mkdir(exist_ok=True)
    (folder / "bundle" / "config.json").write_text("{}")
    (folder / "report.html").write_text("<p>é</p>")
    box.params({"model": {"name": "b"}, "seed": 3})
    for step in range(5):
        box.metrics({"lora/loss": 1.0 / (step + 1), "lora/it's": step}, step)
    box.figure("lora/curves", PNG)
    box.table("leaderboard", ["name", "accuracy"], [["lora", 0.5], ["zero_shot", float("nan")]])
    box.artifact(folder / "report.html")
    (folder / "report.html").unlink()  # it was kept
    box.artifact(folder / "bundle", "folders")
    box.model(folder / "bundle", "champion")
    box.tags({"data": "v1"})


def holds_everything(server: Server, status: str = "finished") -> None:
    run = server.runs["run-1"]
    assert run["status"] == status
    assert run["params"] == {"model.name": "b", "seed": 3}
    points = {(key, step): value for (key, step, _), value in run["metrics"].items()}
    expected = {("lora/loss", step): 1.0 / (step + 1) for step in range(5)}
    assert points == expected | {("lora/it_s", step): step for step in range(5)}
    assert run["tables"] == {"leaderboard": (["name", "accuracy"], [["lora", 0.5], ["zero_shot", None]])}
    assert run["files"] == {
        "figures/lora/curves.png": PNG,
        "report.html": "<p>é</p>".encode(),
        "folders/bundle/config.json": b"{}",
        "models/champion/config.json": b"{}",
    }
    assert run["tags"] == {"method": "lora", "data": "v1"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING]


def test_every_tracker_is_told_everything_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Server(), Server()
    box = outbox(tmp_path, first=first, second=second)
    record(box, tmp_path)
    box.finish()
    for server in (first, second):
        holds_everything(server)
        assert server.names() == (
            ["start", "tags", "params", "metrics", "figure", "table", "artifact", "model", "tags", "finish"]
        )
    assert first.runs["run-1"]["metrics"] == second.runs["run-1"]["metrics"]  # the times too
    assert not warnings(caplog)
    assert list((tmp_path / "tracking").iterdir()) == []
    box.metrics({"late": 1.0})
    box.finish()  # nothing more is recorded, and nothing fails


def test_recording_waits_for_no_tracker(tmp_path: Path) -> None:
    go_on = threading.Event()
    server = Server(lambda name, number: go_on.wait(20) and None)
    box = outbox(tmp_path, slow=server)
    started = time.monotonic()
    record(box, tmp_path)
    assert not box.flush(0.05)
    assert time.monotonic() - started < 2
    assert box.seconds_spent < 2
    assert server.runs == {}
    go_on.set()
    assert box.flush(20)
    box.finish()
    holds_everything(server)


def fails_at(method: str, times: int = 10**9):
    """A tracker's server that refuses one method, so often."""
    left = [times]

    def fail(name: str, number: int) -> None:
        if name == method and left[0] > 0:
            left[0] -= 1
            raise ConnectionError("the server\nis gone")

    return fail


@pytest.mark.parametrize("method", ["start", "params", "metrics", "figure", "artifact", "model", "finish"])
def test_a_dead_tracker_is_reported_once_and_dropped_and_replay_fills_the_gap(
    tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    dead, well = Server(fails_at(method)), Server()
    box = outbox(tmp_path, dead=dead, well=well)
    record(box, tmp_path)
    box.finish()
    holds_everything(well)
    (warning,) = warnings(caplog)
    assert warning.startswith("The experiment tracker dead failed and is dropped for this run (ConnectionError: the ")
    assert warning.endswith(f"clip-har tracking replay --workspace {tmp_path} run-1")
    (state,) = journals(tmp_path / "tracking")
    assert state.delivered["well"] == state.events > state.delivered["dead"]
    assert "the server is gone" in state.failures["dead"]

    dead.fails = lambda name, number: None
    before = len(well.calls)
    makers = {"dead": dead.tracker, "well": well.tracker}
    assert replay(tmp_path / "tracking", "run-1", make=makers, patience=QUICK) == {"dead": None, "well": None}
    holds_everything(dead)
    assert len(well.calls) == before  # it had finished
    assert not list((tmp_path / "tracking").iterdir())


def test_a_short_failure_is_got_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(fails_at("metrics", times=2))
    box = outbox(tmp_path, moody=server)
    record(box, tmp_path)
    box.finish()
    holds_everything(server)
    assert not warnings(caplog)


def test_a_tracker_that_cannot_be_made_is_reported_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make() -> None:
        raise ImportError("no module named 'wandb'")

    box = Outbox(tmp_path / "tracking", RUN, {"wandb": make}, QUICK)
    box.metrics({"loss": 1.0})
    box.finish()
    (warning,) = warnings(caplog)
    assert "wandb failed and is dropped for this run (ImportError: no module named 'wandb')" in warning


def test_a_client_that_ends_the_process_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def leave(name: str, number: int) -> None:
        raise SystemExit(1)

    box = outbox(tmp_path, rude=Server(leave))
    record(box, tmp_path)
    box.finish()
    assert "SystemExit" in warnings(caplog)[0]


def test_a_tracker_that_hangs_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for_ever = threading.Event()

    def hang(name: str, number: int) -> None:
        if name == "metrics":
            for_ever.wait(60)

    server, well = Server(hang), Server()
    patience = QUICK.model_copy(update={"call_seconds": 0.1})
    box = Outbox(tmp_path / "tracking", RUN, {"hangs": server.tracker, "well": well.tracker}, patience)
    record(box, tmp_path)
    started = time.monotonic()
    box.finish()
    assert time.monotonic() - started < 5
    for_ever.set()
    holds_everything(well)
    (warning,) = warnings(caplog)
    assert "hangs failed and is dropped for this run (no answer for 0.1 s)" in warning
    assert server.made == 3  # each try with a fresh one: the old one may still be at it


def test_a_tracker_that_is_slow_at_the_end_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    server = Server(lambda name, number: name == "finish" and go_on.wait(30) and None)
    box = Outbox(
        tmp_path / "tracking",
        RUN,
        {"slow": server.tracker},
        QUICK.model_copy(update={"finish_seconds": 0.2, "call_seconds": 30}),
    )
    record(box, tmp_path)
    box.finish()
    go_on.set()
    (warning,) = warnings(caplog)
    assert "slow has not taken everything in time" in warning
    assert "clip-har tracking replay" in warning
    assert replay(tmp_path / "tracking", "run-1", make={"slow": Server().tracker}, patience=QUICK) == {"slow": None}


def test_nothing_is_recorded_by_another_rank_or_without_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(outbox(tmp_path), tmp_path)
    monkeypatch.setenv("RANK", "1")
    server = Server()
    box = outbox(tmp_path, one=server)
    record(box, tmp_path)
    box.nested(RUN.inner("trial")).metrics({"a": 1.0})
    box.finish()
    assert server.made == 0
    assert not (tmp_path / "tracking").exists()


def test_what_cannot_be_recorded_is_reported_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    box = outbox(tmp_path, one=server)
    box.metrics({"loss": "much"})
    box.artifact(tmp_path / "nowhere")
    box.metrics({"loss": 1.0, "none": None}, 1)
    box.model(tmp_path / "gone", "m")
    box.finish()
    assert len(warnings(caplog)) == 3
    assert [key for key, *_ in server.runs["run-1"]["metrics"]] == ["loss"]
    assert server.runs["run-1"]["status"] == "finished"


def test_numbers_that_are_not_finite_are_passed_on(tmp_path: Path) -> None:
    server = Server()
    box = outbox(tmp_path, one=server)
    box.metrics({"a": float("nan"), "b": float("inf")})
    box.finish()
    values = dict(zip("ab", server.runs["run-1"]["metrics"].values(), strict=True))
    assert values["a"] != values["a"]
    assert values["b"] == float("inf")


def test_runs_inside_are_delivered_with_theirs(tmp_path: Path) -> None:
    server = Server()
    box = outbox(tmp_path, one=server)
    for number in range(3):
        trial = box.nested(RUN.inner(f"trial {number}"))
        trial.params({"rank": number})
        trial.metrics({"accuracy": number / 2})
        trial.finish(number != 1)
    box.finish()
    assert [server.runs[f"run-1-trial-{number}"]["status"] for number in range(3)] == ["finished", "failed", "finished"]
    assert server.runs["run-1-trial-2"]["params"] == {"rank": 2}
    assert server.runs["run-1-trial-2"]["identity"].parent == "run-1"
    assert server.runs["run-1"]["metrics"] == {}


def test_another_process_goes_on_with_the_run(tmp_path: Path) -> None:
    server = Server()
    first = outbox(tmp_path, one=server)
    first.metrics({"a": 1.0})
    first.leave()
    assert server.runs["run-1"]["status"] == "running"
    assert not list((tmp_path / "tracking").iterdir())
    second = outbox(tmp_path, one=server)
    second.metrics({"b": 1.0})
    second.finish()
    assert [key for key, *_ in server.runs["run-1"]["metrics"]] == ["a", "b"]
    assert server.runs["run-1"]["status"] == "finished"


def test_two_at_a_time_have_a_journal_each(tmp_path: Path) -> None:
    server = Server()
    first, second = outbox(tmp_path, one=server), outbox(tmp_path, one=server)
    first.metrics({"a": 1.0})
    second.metrics({"b": 1.0})
    assert sorted(path.name for path in (tmp_path / "tracking").iterdir()) == ["run-1", "run-1.2"]
    second.leave()
    first.finish()
    assert {key for key, *_ in server.runs["run-1"]["metrics"]} == {"a", "b"}


def full(*arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_neither_the_run_nor_the_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    box = outbox(tmp_path, one=server)
    box.params({"model": {"name": "b"}, "seed": 3})
    monkeypatch.setattr("clip_har.tracking.journal.os.write", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("clip_har.tracking.journal._link_or_copy", full)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "config.json").write_text("{}")
    (tmp_path / "report.html").write_text("<p>é</p>")
    for step in range(5):
        box.metrics({"lora/loss": 1.0 / (step + 1), "lora/it's": step}, step)
    box.figure("lora/curves", PNG)
    box.table("leaderboard", ["name", "accuracy"], [["lora", 0.5], ["zero_shot", None]])
    box.artifact(tmp_path / "report.html")
    box.artifact(tmp_path / "bundle", "folders")
    box.model(tmp_path / "bundle", "champion")
    box.tags({"data": "v1"})
    box.finish()
    holds_everything(server)
    (warning,) = warnings(caplog)
    assert "cannot be written" in warning
    assert "No space left on device" in warning


def test_a_line_that_half_fits_on_the_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda name, number: time.sleep(0.01))
    box = outbox(tmp_path, one=server)
    box.metrics({"a": 1.0})
    real = os.write

    def nearly_full(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) - 20])

    monkeypatch.setattr("clip_har.tracking.journal.os.write", nearly_full)
    box.metrics({"b": 2.0})
    monkeypatch.undo()
    text = (tmp_path / "tracking" / "run-1" / "events.jsonl").read_text()
    assert [json.loads(line)["kind"] for line in text.splitlines()] == ["start", "tags", "metrics"]
    box.metrics({"c": 3.0})
    box.finish()
    assert [key for key, *_ in server.runs["run-1"]["metrics"]] == ["a", "b", "c"]


def test_a_place_that_cannot_be_written_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tracking").write_text("a file")
    server = Server()
    box = outbox(tmp_path, one=server)
    record(box, tmp_path)
    box.finish()
    assert server.runs["run-1"]["status"] == "finished"
    assert server.runs["run-1"]["files"]["figures/lora/curves.png"] == PNG
    assert sum("cannot be written" in warning for warning in warnings(caplog)) == 1


def test_half_a_line_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append({"kind": "tags", "run": "r"})
    journal.close()
    with open(tmp_path / "j" / "events.jsonl", "ab") as file:
        file.write(b'{"kind": "met')
    journal = Journal(tmp_path / "j")
    assert len(journal) == 1
    journal.append({"kind": "params", "run": "r"})
    journal.close()
    lines = (tmp_path / "j" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["tags", "params"]


def test_links_and_the_machines_load(tmp_path: Path) -> None:
    server = Server()
    patience = QUICK.model_copy(update={"system_seconds": 0.05})
    box = Outbox(tmp_path / "tracking", RUN, {"one": server.tracker}, patience)
    until = time.monotonic() + 20
    while not (server.runs and server.runs["run-1"]["metrics"]) and time.monotonic() < until:
        time.sleep(0.02)
    assert box.links() == {"one": "http://tracker"}
    box.finish()
    assert box.links() == {"one": "http://tracker"}
    keys = {key for key, *_ in server.runs["run-1"]["metrics"]}
    assert {"system/cpu_percent", "system/memory_percent", "system/process_memory_gb"} <= keys
    assert all(key.startswith("system/") for key in keys)


def test_a_large_model_may_take_longer_to_send(tmp_path: Path) -> None:
    """As long as a slow line needs for it, and no longer."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "model.safetensors").write_bytes(bytes(2_000_000))
    server = Server(lambda name, number: time.sleep(0.5) if name == "model" else None)
    patience = QUICK.model_copy(update={"call_seconds": 0.2, "attempts": 1})
    box = Outbox(tmp_path / "tracking", RUN, {"far": server.tracker}, patience)
    box.model(bundle, "bundle")
    assert box.flush(20)
    box.finish()
    assert server.runs[RUN.id]["status"] == "finished"
