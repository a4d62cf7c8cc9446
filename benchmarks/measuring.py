"""What all benchmarks share: interleaved pairs, medians, a table, and one flat JSON object as the last line."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"
HAR = SHARED / "data" / "har"
HAR_DUAL_ENCODER = SHARED / "models" / "har_dual_encoder"


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with `--quick`."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="under a minute, with smaller sizes")
    return made


def real_data() -> bool:
    """Whether the real photographs and backbone are on this machine."""
    return HAR.is_dir() and HAR_DUAL_ENCODER.is_dir()


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def pairs(first: Callable[[], float], second: Callable[[], float], count: int) -> tuple[list[float], list[float]]:
    """Measure two things in turn, the order changing from pair to pair.

    Args:
        first, second: each does its work once and gives its figure.
        count: pairs; at least seven for a figure that is quoted.
    """
    left, right = [], []
    for number in range(count):
        for call, figures in ((first, left), (second, right)) if number % 2 == 0 else ((second, right), (first, left)):
            figures.append(call())
    return left, right


def ratio(left: Sequence[float], right: Sequence[float]) -> float:
    """Median over the pairs of left / right."""
    return statistics.median(a / b for a, b in zip(left, right, strict=True))


def show(title: str, rows: Sequence[Sequence[Any]], header: Sequence[str]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(header):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    Console(width=110).print(table)


def finish(figures: dict[str, Any]) -> None:
    """Print the last line: one flat JSON object."""
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}))
    sys.stdout.flush()
