"""Benchmarks are scripts: their folder is on the path when one runs, and here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
