"""Run every benchmark, and renew docs/benchmarks.md with what they print last."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

from measuring import PROJECT, parser, real_data

sys.path.insert(0, str(PROJECT))

# All need the real photographs and backbone; adaptation takes an hour the first time.
BENCHMARKS = (
    "allocator",
    "main_job",
    "data",
    "training",
    "tracking",
    "adaptation",
    "inference",
    "batch",
    "live",
    "monitoring",
)


def main() -> None:
    """Measure, and write the document."""
    options = parser(__doc__).parse_args()
    if not real_data():
        print("error: the benchmarks need ../shared/data/har and ../shared/models/har_dual_encoder.", file=sys.stderr)
        sys.exit(2)
    from clip_har.environment import describe_environment
    from clip_har.storage import write_atomic

    machine = describe_environment(PROJECT)
    parts = [
        "# Benchmarks",
        "Made by `make bench`; each figure is the last line of `python benchmarks/NAME.py`.",
        f"{date.today().isoformat()}, {machine['processor']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}.",
    ]
    for name in BENCHMARKS:
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        print(done.stdout)
        figures = json.loads(done.stdout.splitlines()[-1])
        rows = "\n".join(f"| {key} | {value} |" for key, value in figures.items() if key != "benchmark")
        parts.append(f"## {name}\n\n| figure | value |\n|---|---|\n{rows}")
    text = "\n\n".join(parts) + "\n"
    if options.quick:
        print("--quick: docs/benchmarks.md is left as it is.")
    else:
        write_atomic(PROJECT / "docs" / "benchmarks.md", text)


if __name__ == "__main__":
    main()
