"""What belongs to each kind of place."""

from __future__ import annotations

from random import Random


def slots(rng: Random, count: int, spacing: float = 1.25) -> list[float]:
    """Places along a wall or a horizon, spread to both sides of the middle."""
    start = rng.uniform(-0.5, 0.5) - spacing * (count - 1) / 2
    return [start + spacing * i + rng.uniform(-0.18, 0.18) * spacing for i in range(count)]
