"""A process that records, to be killed: `python -m tests.tracking.recording_process WORKSPACE TRACKER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clip_har.tracking import DeliveryConfig, Outbox, RunIdentity, trackers_of

STEPS = 60
RUN = RunIdentity(id="killed", name="killed")


def main(workspace: Path, flavor: str) -> None:
    settings = {"tracking_uri": f"sqlite:///{workspace / 'mlflow.db'}", "folder": str(workspace / "wandb")}
    make = trackers_of(flavor, settings)
    patience = DeliveryConfig(interval=0.1, system_seconds=0.0)
    box = Outbox(workspace / "tracking", RUN, make, patience)
    box.params({"seed": 3})
    for step in range(STEPS):
        box.metrics({"lora/loss": 1.0 / (step + 1)}, step)
        if step == STEPS // 2:
            box.flush(60)
    box.figure("curves", (workspace / "figure.png").read_bytes())
    box.artifact(workspace / "report.html")
    print("recorded", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
