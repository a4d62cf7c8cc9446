"""The service under load: its real process, requests to it as prebuilt bytes, and the generator that sends them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load.http_calls import multipart_request
from load.outcome import Outcome
from load.processes import JsonProcess, Server, free_port, served

HERE = Path(__file__).parent
READY = "/v2/health/ready"
PREDICT = "/v1/predict"
GRPC_PREDICT = "/clip_har.v1.ActionRecognition/Predict"
RUNTIME = "onnx-int8"


class Payloads:
    """Folders of requests, one file each, made once for all processes.

    Args:
        folder: made if it is not there.
        photographs: JPEGs.
    """

    def __init__(self, folder: Path, photographs: Sequence[bytes]) -> None:
        from clip_har.serving.schemas.rpc.action_recognition_pb2 import PredictRequest

        self.photographs = self._write(folder / "photographs", photographs)
        self.rest = self._write(folder / "rest", [multipart_request(PREDICT, "images", each) for each in photographs])
        self.plain = self._write(
            folder / "plain", [multipart_request("/predict", "file", each) for each in photographs]
        )
        messages = [PredictRequest(images=[{"content": each}]).SerializeToString() for each in photographs]
        self.grpc = self._write(folder / "grpc", messages)
        self.largest = max(path.stat().st_size for path in self.rest.iterdir())

    @staticmethod
    def _write(folder: Path, files: Sequence[bytes]) -> Path:
        folder.mkdir(parents=True)
        for number, data in enumerate(files):
            (folder / f"{number:04}").write_bytes(data)
        return folder


class Load:
    """Asks the generator's process for load on one surface of one server.

    Args:
        generator: the process.
        surface: rest or grpc.
        target: host:port.
        payloads: folder of requests.
    """

    def __init__(self, generator: JsonProcess, surface: str, target: str, payloads: Path) -> None:
        self._generator = generator
        self._job = {"surface": surface, "target": target, "payloads": str(payloads), "method": GRPC_PREDICT}

    def closed(self, connections: int, seconds: float) -> Outcome:
        """So many connections, each with its next request as soon as it has an answer.

        Raises:
            RuntimeError: if anything was answered but with success: there is room for all of them.
        """
        outcome = self.warm_up(connections, seconds)
        if set(outcome.counts) - {200}:
            raise RuntimeError(f"{self._job['surface']}: not all were answered in a closed loop: {outcome.counts}")
        return outcome

    def warm_up(self, connections: int, seconds: float) -> Outcome:
        """The same, whatever comes of it."""
        (outcome,) = self._ask(connections=connections, seconds=seconds)
        return outcome

    def open(self, *stages: tuple[float, float]) -> list[Outcome]:
        """Poisson arrivals: stages of arrivals a second and seconds."""
        return self._ask(stages=stages)

    def _ask(self, **job: object) -> list[Outcome]:
        return [Outcome.of(told) for told in self._generator.ask(self._job | job)]


@contextmanager
def service(bundle: Path, folder: Path, *, runtime: str = RUNTIME) -> Iterator[Server]:
    """`python -m clip_har.serving`, as a user starts it: capture and access log are on.

    Args:
        folder: of its log, its captures and its cache.
    """
    port, grpc_port = free_port(), free_port()
    capture = folder / "capture"
    settings = (f"serving.grpc.port={grpc_port}", f"serving.runtime={runtime}", f"serving.capture.folder={capture}")
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["-m", "clip_har.serving", "--bundle", str(bundle), "--port", str(port), *words]
    environment = {"XDG_CACHE_HOME": str(folder / "cache"), "BENTOML_HOME": str(folder / "bentoml")}
    log = folder / "service.log"
    with served(command, log, ready=READY, port=port, grpc_port=grpc_port, environment=environment) as server:
        yield server


@contextmanager
def plain_service(bundle: Path, variant: str, labels: Sequence[str], template: str, log: Path) -> Iterator[Server]:
    """The plain FastAPI service, of one variant."""
    port = free_port()
    words = json.dumps([label.replace("_", " ") for label in labels])
    command = [str(HERE / "plain_fastapi.py"), "--bundle", str(bundle), "--variant", variant, "--port", str(port)]
    command += ["--labels", words, "--template", template]
    with served(command, log, ready="/health", port=port) as server:
        yield server


class MemoryWatch:
    """A server's memory, looked at every half second while the block lasts.

    Attributes:
        seen: (seconds from the start, megabytes).
    """

    def __init__(self, server: Server) -> None:
        self._server, self.seen = server, list[tuple[float, float]]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[float]:
        """Megabytes seen in a stretch, in seconds from the start."""
        return [megabytes for seconds, megabytes in self.seen if start <= seconds <= end]

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            self.seen.append((time.perf_counter() - self._began, self._server.megabytes()))


def import_seconds(*statements: str) -> list[float]:
    """Seconds of a fresh interpreter until each statement has run, one after the other, from its start."""
    code = "import time, json\nwall = []\n" + "".join(f"{line}\nwall.append(time.time())\n" for line in statements)
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code + "print(json.dumps(wall))"], check=True, capture_output=True, text=True
    )
    return [reached - started for reached in json.loads(done.stdout.splitlines()[-1])]
