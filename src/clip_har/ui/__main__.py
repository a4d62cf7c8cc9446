"""`python -m clip_har.ui`: serve the app until a signal ends it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from clip_har.errors import ClipHarError
from clip_har.ui.settings import VARIABLES, AppSettings
from clip_har.ui.theme import options


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for a user's mistake."""
    given = _parse(arguments)
    for name, variable in VARIABLES.items():
        value = getattr(given, name, None)
        if value is not None:
            os.environ[variable] = str(value.absolute() if isinstance(value, Path) else value)
    try:
        AppSettings.of()
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from streamlit.web import bootstrap

    chosen = options(given.host, given.port, given.max_upload)
    script = str(Path(__file__).with_name("shell") / "script.py")
    bootstrap.load_config_options(flag_options=chosen)
    bootstrap.run(script, False, [], chosen)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clip_har.ui", description="The web app (docs/app.md).")
    parser.add_argument("--url", help="service to ask; without it the app starts one of its own")
    parser.add_argument("--workspace", type=Path, metavar="FOLDER", help="workspace beside the app: workspace")
    parser.add_argument("--outputs", type=Path, metavar="FOLDER", help="published runs: outputs, beside the workspace")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="bundle that a service of the app's own serves")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve the app on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="its port (default: %(default)s)")
    parser.add_argument(
        "--max-upload", type=int, default=500, metavar="MB", help="largest file that it takes (default: %(default)s)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
