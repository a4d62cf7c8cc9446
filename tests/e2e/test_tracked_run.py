"""A run seen by its trackers: the same in both, curves that are whole, and none that stops or changes what is trained."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.command import PROJECT, Finished, Workplace
from tests.e2e.conftest import TRAIN
from tests.tracking.recorded import Recorded, in_mlflow, in_wandb

pytestmark = pytest.mark.slow

CONFIG = {
    "seed": 3,
    "data": {"source": "samples", "per_class": 10},
    "model": {"backbone": "tiny-clip"},
    "compute": {"threads": 1},
    "adaptation": {
        "methods": ["linear_probe", "lora"],
        "lora": {
            "rank": 2,
            "alpha": 2,
            "training": {"epochs": 3, "max_steps": 9, "batch_size": 32, "evaluate_every": 3},
        },
    },
    "label_review": {"enabled": False},
    "evaluation": {"resamples": 100, "examples": 2},
}
# What the tests' own environment must not decide.
QUIET = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "WANDB_API_KEY",
    "WANDB_ENTITY",
    "WANDB_MODE",
    "WANDB_PROJECT",
)


@pytest.fixture(scope="module", autouse=True)
def no_tracker_of_the_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in QUIET:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module", params=["drawn", pytest.param("real", marks=pytest.mark.thorough)])
def dual(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Finished]:
    """(workplace, what the command printed) of one `train` with both trackers, on drawn and on real photographs."""
    place = Workplace(tmp_path_factory.mktemp(request.param))
    config = CONFIG
    if request.param == "real":
        photographs = request.getfixturevalue("few_har_photographs")
        backbone = request.getfixturevalue("har_dual_encoder")
        config = CONFIG | {
            "data": {"source": "csv", "path": str(photographs)},
            "model": {"backbone": str(backbone)},
        }
    (place.folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = place.run("train", *TRAIN, "--stack", "dual")
    assert done.code == 0, done.err
    return place, done


def runs_of(place: Workplace) -> tuple[dict[str, Recorded], dict[str, Recorded]]:
    """What MLflow and what W&B have."""
    return in_mlflow(f"sqlite:///{place.workspace / 'mlflow.db'}"), in_wandb(place.workspace / "wandb")


def test_both_trackers_hold_the_same(dual: tuple[Workplace, Finished]) -> None:
    place, _ = dual
    ours, theirs = runs_of(place)
    assert {name.split("_")[2] for name in ours} == {"data", "train"}
    assert ours.keys() == theirs.keys()
    for name, run in ours.items():
        assert run.succeeded, name
        assert run == theirs[name], name
    assert list((place.workspace / "tracking").iterdir()) == [], "nothing is left to be delivered"


def test_everything_of_the_run_is_there(dual: tuple[Workplace, Finished]) -> None:
    place, _ = dual
    record, metrics = place.record(), place.metrics()
    run = runs_of(place)[0][record["name"]]
    assert run.params["adaptation.lora.rank"] == "2"
    assert (run.params["seed"], run.params["git_revision"]) == (
        "3",
        str(record["environment"]["git_revision"] or "not in Git"),
    )
    about = json.loads((place.latest / "bundle" / "clip_har" / "bundle.json").read_text())
    assert run.params["data_version"] == about["data_revision"]
    assert run.params["environment.packages.torch"] == record["environment"]["packages"]["torch"]
    assert run.params["environment.cpu_flags"] == " ".join(record["environment"]["cpu_flags"])
    assert run.params["environment.gpu"] == str(record["environment"]["gpu"])
    assert (run.tags["model_id"], run.tags["stack"], run.tags["pipeline"]) == (record["model_id"], "dual", "train")
    assert [value for _, value, _ in run.metrics["test/accuracy"]] == [repr(metrics["test"]["accuracy"]["value"])]
    assert {"validation/lora/accuracy", "data/found"} <= run.metrics.keys()
    assert [step for step, _ in run.curves("lora")["lora/accuracy"]] == [0, 3, 6, 9]
    for name in ("report.html", "metrics.json", "run.json"):
        assert run.files[name] == (place.latest / name).read_bytes()
    for name in ("confusion", "leaderboard", "reliability", "lora/curves"):
        assert run.files[f"figures/{name}.png"].startswith(b"\x89PNG"), name
    board = json.loads(run.files["tables/leaderboard.json"])
    assert {row[board["columns"].index("name")] for row in board["data"]} == {"linear_probe", "lora"}
    assert len(json.loads(run.files["tables/per_class.json"])["data"]) == 15
    bundle = place.latest / "bundle"
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    kept = {
        path.removeprefix("models/bundle/"): run.files[path] for path in run.files if path.startswith("models/bundle/")
    }
    assert kept == files


def test_curves_were_recorded_while_the_run_went_on(dual: tuple[Workplace, Finished]) -> None:
    """Each point at its own time, and before those that publishing recorded."""
    place, _ = dual
    run = runs_of(place)[0][place.record()["name"]]
    times = [time for _, _, time in run.metrics["lora/accuracy"]]
    published = run.metrics["test/accuracy"][0][2]
    assert times == sorted(times)
    assert times[0] < times[-1] < published


def test_the_command_says_where_the_run_is_seen(dual: tuple[Workplace, Finished]) -> None:
    place, done = dual
    assert f"Recorded as {place.record()['name']}" in done.out
    assert "mlflow" in done.out
    assert "wandb sync" in done.out
    assert "evaluate --config config.yaml --stack dual" in done.out, "what to type next is on the same stack"


@pytest.fixture
def drawn(dual: tuple[Workplace, Finished]) -> Workplace:
    """The drawn run's place; what follows is not run again on real photographs."""
    place, _ = dual
    if "drawn" not in place.folder.name:
        pytest.skip("shown on drawn photographs")
    return place


@pytest.fixture
def first(drawn: Workplace) -> Recorded:
    """The run with both trackers."""
    (run,) = [run for name, run in runs_of(drawn)[0].items() if run.tags["stack"] == "dual" and "_train_" in name]
    return run


@pytest.mark.thorough
def test_a_run_from_the_cache_has_the_same_curves_on_another_stack(drawn: Workplace, first: Recorded) -> None:
    done = drawn.run("train", *TRAIN, "--stack", "wandb")
    assert done.code == 0, done.err
    assert {"adapt_lora", "adapt_linear_probe"} <= set(drawn.statuses()) - drawn.ran()
    ours, theirs = runs_of(drawn)
    name = drawn.record()["name"]
    assert name not in ours
    assert theirs[name].curves() == first.curves()
    assert theirs[name].succeeded


@pytest.mark.thorough
def test_without_a_tracker_the_same_is_found(drawn: Workplace, first: Recorded, tmp_path: Path) -> None:
    before = drawn.latest / "metrics.json"
    recorded = (drawn.workspace / "mlflow.db").read_bytes()
    plain = yaml.safe_load((PROJECT / "stacks" / "local.yaml").read_text())
    del plain["components"]["experiment_tracker"]
    plain["components"]["artifact_store"] = {"flavor": "local", "config": {"path": str(tmp_path / "artifacts")}}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(plain | {"name": "plain"}))
    script = (
        "import sys; from pathlib import Path; from stacks import register; import run\n"
        f"register._FOLDER = Path({str(tmp_path)!r})\n"
        "sys.exit(run.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "--pipeline", "train", *TRAIN, "--stack", "plain"]
    environment = drawn.environment(PYTHONPATH=f"{PROJECT}:{PROJECT / 'src'}")
    done = subprocess.run(command, cwd=drawn.folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Recorded as" not in done.stdout
    assert {"adapt_lora", "evaluate_model"} <= drawn.ran(), "nothing is cached in an empty artifact store"
    assert drawn.latest / "metrics.json" != before
    assert (drawn.latest / "metrics.json").read_bytes() == before.read_bytes()
    assert (drawn.workspace / "mlflow.db").read_bytes() == recorded


class Gate:
    """Stands before a server, and can be shut as if the server had died."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.shut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            caller, _ = self._listening.accept()
            if self.shut.is_set():
                caller.close()
                continue
            answerer = socket.create_connection(("127.0.0.1", self._port))
            self._open += [caller, answerer]
            for pair in ((caller, answerer), (answerer, caller)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """From now on nobody is answered, and who is being answered is cut off."""
        self.shut.set()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Before an MLflow server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'server.db'}",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *store,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with open(tmp_path / "server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            assert time.monotonic() < until, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        yield Gate(port)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.thorough
def test_a_server_that_dies_half_way_changes_nothing_and_a_replay_fills_the_gap(
    drawn: Workplace, first: Recorded, gate: Gate
) -> None:
    metrics = (drawn.latest / "metrics.json").read_bytes()
    version = first.params["data_version"]  # named, so that --no-cache does not publish these data anew
    process = subprocess.Popen(
        drawn.command("train", *TRAIN, "--stack", "mlflow", "--no-cache", "--set", f"data.version={version}"),
        cwd=drawn.folder,
        env=drawn.environment(MLFLOW_TRACKING_URI=gate.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if "✓ adapt_" in line and not gate.shut.is_set():  # what came first is being delivered
            waited = time.monotonic() + 20
            while not in_mlflow(gate.url) and time.monotonic() < waited:
                time.sleep(0.2)
            gate.close()
    said = "".join([*said, *process.communicate(timeout=300)])
    assert process.returncode == 0, said
    name = drawn.record()["name"]
    assert (drawn.latest / "metrics.json").read_bytes() == metrics
    assert "Traceback" not in said
    assert said.count("is dropped for this run") == 1
    assert "clip-har tracking replay" in said

    gate.shut.clear()
    half = in_mlflow(gate.url)[name]
    assert half.succeeded is None
    assert half.params, "it had begun"
    assert half.curves() != first.curves()
    replay = [sys.executable, "-m", "clip_har", "tracking", "replay", "--workspace", str(drawn.workspace)]
    done = subprocess.run(replay, env=drawn.environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    whole = in_mlflow(gate.url)[name]
    assert whole.succeeded
    assert whole.curves() == first.curves()
    assert whole.files["metrics.json"] == metrics
    assert list((drawn.workspace / "tracking").iterdir()) == []
