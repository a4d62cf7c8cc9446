"""`python -m clip_har`: the same as the command `clip-har`."""

from __future__ import annotations

import sys

from clip_har.cli import main

if __name__ == "__main__":
    sys.exit(main())
