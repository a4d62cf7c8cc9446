"""benchmarks/serving.py against the real service: its requests are what is answered, and nothing is left running."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_benchmark_measures_the_real_service(
    served_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from bundles import photographs
    from load.processes import json_process
    from load.service import HERE, RUNTIME, Load, MemoryWatch, Payloads, service

    payloads = Payloads(tmp_path / "payloads", photographs(4))
    (tmp_path / "service").mkdir()
    others = set(psutil.Process().children(recursive=True))  # of earlier cases: what they share lives on
    predictor = [str(HERE / "predictor_process.py"), str(served_bundle), RUNTIME, str(payloads.photographs)]
    with (
        json_process([str(HERE / "generator.py")], tmp_path / "generator.log") as generator,
        json_process(predictor, tmp_path / "predictor.log") as process,
        service(served_bundle, tmp_path / "service") as server,
    ):
        children = set(psutil.Process().children(recursive=True)) - others
        assert len(children) >= 3
        before = server.cpu_seconds()
        with MemoryWatch(server) as memory:
            for surface, target in (("rest", server.target), ("grpc", server.grpc_target)):
                load = Load(generator, surface, target, getattr(payloads, surface))
                assert load.closed(4, 1.0).rate > 1  # it raises if not all were answered well
                (outcome,) = load.open((5.0, 0.5))
                assert set(outcome.counts) <= {200}
        assert server.cpu_seconds() > before
        assert min(megabytes for _, megabytes in memory.seen) > 50
        assert process.ask({"seconds": 0.2})["rate"] > 1
        assert 0 < server.last_started_after() < server.ready_seconds
    assert (tmp_path / "service" / "capture").is_dir()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
