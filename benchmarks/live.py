"""The page Live, in a real Chromium whose camera is a recorded video: frames per second and glass-to-glass latency.

Chromium, the app and the service share this machine. The recording's frames carry their number: a frame's way begins when the
browser has it from the camera, and ends when it has it back from the app, decoded, with the label on it. Camera and screen
themselves are not in it, of which a headless browser has none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bundles import make_bundle
from load.processes import free_port, last_lines, started
from load.service import service
from measuring import PROJECT, finish, parser, show

sys.path.insert(0, str(PROJECT))

DRIVER = PROJECT / "tests" / "ui" / "browser" / "live.mjs"
MODULES = "CLIP_HAR_NODE_MODULES"
_ACTIONS = ("cycling", "calling", "running", "using_laptop")


def missing() -> str | None:
    """What this needs and is not here."""
    if shutil.which("node") is None:
        return "node is not installed"
    if shutil.which("chromium") is None:
        return "chromium is not installed"
    if not (Path(os.environ.get(MODULES, ".")) / "node_modules" / "playwright-core").is_dir():
        return f"playwright-core is not installed in {MODULES} (npm install playwright-core)"
    return None


def watched(url: str, camera: Path, seconds: float, log: Path) -> dict[str, Any]:
    """What Chromium saw of an app that asks the service at `url`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with started([sys.executable, "-m", "clip_har.ui", "--url", url, "--port", str(port)], log, cwd=log.parent):
        until = time.monotonic() + 60
        while not _answers(f"{address}/_stcore/health"):
            if time.monotonic() > until:
                raise RuntimeError(f"The app is not ready:\n{last_lines(log)}")
            time.sleep(0.1)
        asked = {"url": address, "camera": str(camera), "seconds": seconds, "numbered": True}
        asked["chromium"] = shutil.which("chromium")
        done = subprocess.run(
            ["node", str(DRIVER), json.dumps(asked)], capture_output=True, text=True, timeout=240, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"Chromium saw no stream:\n{done.stderr[-3000:]}\n{last_lines(log)}")
    return json.loads(done.stdout.splitlines()[-1])


def figures(seen: dict[str, Any], seconds: float) -> dict[str, float]:
    """Frames a second and milliseconds."""
    after = sorted(seen["after"])
    words = re.search(r"(\d+) frames a second · (\d+) answers a second(?: · ([\d.]+)\s*(ms|s))?", seen["pace"])
    answered = float(words[3]) * (1 if words[4] == "ms" else 1000) if words[3] else float("nan")
    return {
        "frames_per_second": seen["shown"] / seconds,
        "answers_per_second": float(words[2]),
        "glass_to_glass_ms": statistics.median(after),
        "glass_to_glass_p95_ms": after[int(0.95 * (len(after) - 1))],
        "frame_to_answer_ms": answered,
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def main() -> None:
    """Measure."""
    options = parser(__doc__).parse_args()
    lacking = missing()
    if lacking is not None:
        print(f"Not measured: {lacking}.")
        finish({"benchmark": "live", "not_measured": lacking})
        return
    from tests.ui.browser.live_camera import FRAMES_A_SECOND, write_camera

    models = ("tiny-clip",) if options.quick else ("tiny-clip", "ViT-B/32")
    seconds = 10.0 if options.quick else 30.0
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        camera = write_camera(place / "camera.mjpeg", _ACTIONS, 4.0, numbered=True)
        for model in models:
            folder = place / model.replace("/", "-")
            folder.mkdir()
            bundle, _ = make_bundle(model, folder)
            with service(bundle.path, folder) as server:
                seen = watched(f"http://{server.target}", camera, seconds, folder / "app.log")
            found[model] = figures(seen, seconds)
    rows = [(name, *(f"{found[model][name]:.1f}" for model in models)) for name in found[models[0]]]
    show(f"A camera of {FRAMES_A_SECOND} frames a second, 640 × 480, for {seconds:.0f} s", rows, ("", *models))
    finish(
        {
            "benchmark": "live",
            **found[models[0]],
            **{f"{models[-1]} {k}": v for k, v in found[models[-1]].items() if len(models) > 1},
        }
    )


if __name__ == "__main__":
    main()
