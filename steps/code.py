"""Where the project's code lies, for fingerprints."""

from pathlib import Path

PROJECT = Path(__file__).parents[1]
PROJECT_CODE = [PROJECT / name for name in ("src", "steps", "pipelines", "materializers")]
