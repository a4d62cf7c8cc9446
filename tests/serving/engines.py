"""Engines and whole services over a tiny trained model, for the tests of the core, REST, gRPC and security."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from clip_har.component import validated
from clip_har.inference.self_test import write_self_test
from clip_har.models.bundle import ModelBundle
from clip_har.serving.config import ServingConfig
from clip_har.serving.engine import Engine
from clip_har.serving.settings import Source

PROJECT = Path(__file__).parents[2]


def make_served_bundle(folder: Path) -> ModelBundle:
    """A tiny CLIP with a linear probe, its encoders as ONNX in fp32 and int8, and a self-test. Takes some 15 s."""
    from tests.adaptation.tiny_study import tiny_study
    from tests.inference.exported_bundle import exported_bundle

    bundle = exported_bundle(tiny_study(folder / "study"), folder, ("onnx", "onnx-int8"))
    write_self_test(bundle)
    return bundle


@asynccontextmanager
async def running_engine(bundle: Path, *, workspace: Path | None = None, **overrides: Any) -> AsyncIterator[Engine]:
    """An engine over a bundle's folder, ready; stopped at the end.

    Args:
        workspace: where its capture goes; nothing is captured without one.
        overrides: fields of `ServingConfig`; nested ones as mappings (`queue={"max_waiting": 4}`).
    """
    values = {"runtime": "onnx", "threads": 2, **overrides}
    engine = Engine(validated(ServingConfig, values), Source(bundle=Path(bundle), workspace=workspace))
    await engine.start()
    try:
        assert await engine.until_ready(60), engine.why_not_ready()
        yield engine
    finally:
        await engine.stop()


def free_port() -> int:
    """A port of the loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served(NamedTuple):
    """A running service.

    Attributes:
        rest_url: "http://127.0.0.1:PORT", without a slash at the end.
        grpc_target: "127.0.0.1:PORT".
        process: its parent process, the leader of its process group.
        log: what it has written.
    """

    rest_url: str
    grpc_target: str
    process: subprocess.Popen
    log: Path


@contextmanager
def serving_process(
    bundle: Path | None, tmp_path: Path, *sets: str, workspace: Path | None = None, ready: bool = True, wait: float = 90
) -> Iterator[Served]:
    """The real service in a process group of its own, on free ports.

    Args:
        bundle: what it serves; None for the champion of `workspace`.
        tmp_path: where its log, cache and (without `workspace`) capture go.
        sets: settings, like "serving.queue.max_waiting=4".
        ready: wait until it is ready; otherwise until it is live.
    """
    port, grpc_port = free_port(), free_port()
    tmp_path.mkdir(parents=True, exist_ok=True)
    chosen = ["serving.runtime=onnx", f"serving.grpc.port={grpc_port}", *sets]
    source = ["--bundle", str(bundle)] if bundle is not None else ["--workspace", str(workspace)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLIP_HAR_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    environment |= {"CLIP_HAR_WORKSPACE": str(workspace or tmp_path / "workspace"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "clip_har.serving", *source, "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "service.log"
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [*command, *(part for one in chosen for part in ("--set", one))],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}", process, log)
    try:
        await_answer(served, "/v2/health/ready" if ready else "/v2/health/live", wait)
        yield served
    finally:
        end_group(process)


def await_answer(served: Served, path: str, wait: float) -> None:
    """Ask until it is answered with 200; fails with the log if the process ends, or the time is over."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{served.rest_url}{path}", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if served.process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"{path} was not answered with 200. The service wrote:\n{served.log.read_text()[-4000:]}")


def end_group(process: subprocess.Popen, wait: float = 30) -> None:
    """End a service as its supervisor would, and whatever is left of its group by force."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(wait)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def run(coroutine: Any) -> Any:
    """A coroutine's result: tests are plain functions."""
    return asyncio.run(coroutine)


def variant_of(bundle: ModelBundle, folder: Path, temperature: float) -> ModelBundle:
    """Another model that answers otherwise: the same encoders and forms, another temperature."""
    import shutil

    from clip_har.inference.exported import Exports
    from clip_har.inference.self_test import write_self_test

    def save_encoder(target: Path) -> None:
        for file in bundle.path.iterdir():
            if file.is_file():
                shutil.copy2(file, target)

    made = ModelBundle.create(
        folder,
        save_encoder=save_encoder,
        info=bundle.info,
        head=bundle.head,
        class_matrix=bundle.class_matrix,
        prompts=bundle.prompts,
        calibration=bundle.calibration.model_copy(update={"temperature": temperature}),
    )
    shutil.copytree(Exports.folder(bundle), Exports.folder(made))
    Exports(model_id=made.model_id, forms=Exports.read(bundle).forms).write(made)
    write_self_test(made)
    return made
