"""Whether a real browser can be driven here, and how."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

DRIVE = Path(__file__).with_name("drive.mjs")
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_MODULES = "CLIP_HAR_NODE_MODULES"


def drive(script: Path = DRIVE, *, limit: float = 240, **asked: Any) -> dict[str, Any]:
    """What a script of the browser saw: its last line, as JSON.

    Skips the test where there is no Chromium, no Node.js, or no playwright-core and axe-core.
    """
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    node = shutil.which("node")
    modules = Path(os.environ.get(_MODULES, Path(__file__).parent))
    if chromium is None or node is None:
        pytest.skip("needs chromium and node (Debian: chromium, nodejs)")
    if not all((modules / "node_modules" / name).is_dir() for name in ("playwright-core", "axe-core")):
        pytest.skip(
            f"needs playwright-core and axe-core: npm i playwright-core axe-core in a folder, and {_MODULES}=folder"
        )
    done = subprocess.run(
        [node, str(script), json.dumps({"chromium": chromium, **asked})],
        env={**os.environ, _MODULES: str(modules)},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
