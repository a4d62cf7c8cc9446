"""The Predictor in a process of its own: a line of JSON with `seconds` on stdin, its rate over them, and its processor time for a picture, on stdout."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Load the bundle and the photographs (arguments: bundle, runtime, folder), then answer until stdin ends."""
    from clip_har.inference.predictor import Predictor

    bundle, runtime, folder = sys.argv[1:]
    predictor = Predictor.load(bundle, runtime, device="cpu")
    photographs = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    following = itertools.cycle(photographs)

    def until(end: float) -> Iterator[bytes]:
        while time.perf_counter() < end:
            yield next(following)

    predictor.predict(photographs)
    for line in sys.stdin:
        cpu, started = time.process_time(), time.perf_counter()
        # One call, so that all cores have work from its first picture to its last.
        answers = predictor.predict(until(started + json.loads(line)["seconds"]))
        assert all(answer.error is None for answer in answers)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        print(json.dumps({"rate": len(answers) / seconds, "cpu_ms": 1000 * cpu_seconds / len(answers)}), flush=True)


if __name__ == "__main__":
    main()
