"""Drawings for the drift page, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from clip_har.monitoring.report import Distribution, Moment

_WIDTH, _HEIGHT = 150.0, 38.0
_CHART = (460.0, 165.0)
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 24.0


def distribution(found: Distribution, title: str) -> str:
    """Reference as a filled area, window as a line; labels as pairs of bars."""
    most = max((*found.reference, *found.current, 1e-9))
    name = escape(f"{title}: reference beside window{f', {found.unit}' if found.unit else ''}")
    draw = _bars if found.labels else _areas
    return (
        f'<svg class="small" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{draw(found, most)}"
        f'<line x1="0" x2="{_WIDTH:.0f}" y1="{_HEIGHT - 0.5}" y2="{_HEIGHT - 0.5}" stroke="var(--line)"/></svg>'
    )


def _areas(found: Distribution, most: float) -> str:
    width = _WIDTH / len(found.reference)

    def steps(shares: Sequence[float]) -> list[str]:
        points = []
        for place, share in enumerate(shares):
            y = _HEIGHT - 1 - (_HEIGHT - 4) * share / most
            points += [f"{place * width:.1f},{y:.1f}", f"{(place + 1) * width:.1f},{y:.1f}"]
        return points

    base = f"{_HEIGHT - 1:.1f}"
    area = " ".join([f"0,{base}", *steps(found.reference), f"{_WIDTH:.1f},{base}"])
    return (
        f'<polygon points="{area}" fill="var(--muted)" fill-opacity=".32"/>'
        f'<polyline points="{" ".join(steps(found.current))}" fill="none" stroke="var(--accent)" stroke-width="1.6"/>'
    )


def _bars(found: Distribution, most: float) -> str:
    width = _WIDTH / len(found.labels)
    drawn = []
    for place, name in enumerate(found.labels):
        shares = ((found.reference[place], "var(--muted)", 0.08), (found.current[place], "var(--accent)", 0.5))
        said = f"{name.replace('_', ' ')}: {100 * shares[0][0]:.1f} % → {100 * shares[1][0]:.1f} %"
        for share, colour, offset in shares:
            height = max((_HEIGHT - 4) * share / most, 0.8)
            drawn.append(
                f'<rect x="{(place + offset) * width:.2f}" y="{_HEIGHT - 1 - height:.2f}" width="{0.4 * width:.2f}" '
                f'height="{height:.2f}" fill="{colour}"><title>{escape(said)}</title></rect>'
            )
    return "".join(drawn)


def timeline(
    moments: Sequence[Moment], name: str, title: str, *, reference: float | None, since: str | None, text: Any
) -> str | None:
    """A check's values over the window, the reference's as a dashed line, and where the change began; None if there are no two.

    Args:
        name: of the check.
        since: when the change began, ISO 8601; not marked if it is not known.
        text: gives a value in words.
    """
    points = [
        (_seconds(one.start), _seconds(one.end), one.values[name], one.pictures)
        for one in moments
        if math.isfinite(one.values.get(name, math.nan))
    ]
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][1]
    values = [value for _, _, value, _ in points] + ([] if reference is None else [reference])
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or 0.1 * max(abs(high), 1e-6)
    low, high = low - room, high + room
    width, height = _CHART

    def x(time: float) -> float:
        return _LEFT + (width - _LEFT - _RIGHT) * (time - first) / max(last - first, 1e-9)

    def y(value: float) -> float:
        return _TOP + (height - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = []
    for value in (low + room, high - room):
        parts.append(_line(_LEFT, width - _RIGHT, y(value), y(value), "var(--line)"))
        parts.append(_text(_LEFT - 8, y(value) + 4, text(value), "end"))
    if reference is not None:
        parts.append(_line(_LEFT, width - _RIGHT, y(reference), y(reference), "var(--muted)", dashed=True))
        parts.append(_text(width - _RIGHT, y(reference) - 5, "reference", "end"))
    if since is not None and first <= _seconds(since) <= last:
        at = x(_seconds(since))
        parts.append(
            f'<rect x="{at:.1f}" y="{_TOP}" width="{width - _RIGHT - at:.1f}" height="{height - _TOP - _BOTTOM:.1f}" '
            'fill="var(--warm)" fill-opacity=".1"/>'
        )
        parts.append(_line(at, at, _TOP - 4, height - _BOTTOM, "var(--warm)"))
        side = "start" if at < width / 2 else "end"
        parts.append(_text(at + (6 if side == "start" else -6), _TOP + 6, "change begins", side, "var(--warm)"))
    middles = [(x((start + end) / 2), y(value)) for start, end, value, _ in points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in middles)
    parts.append(
        f'<polyline points="{path}" fill="none" stroke="var(--accent)" stroke-width="2" stroke-linejoin="round"/>'
    )
    for (a, b), (start, _, value, count) in zip(middles, points, strict=True):
        said = escape(f"from {_clock(start, True)}: {text(value)} ({count} pictures)")
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="var(--accent)"><title>{said}</title></circle>')
    dated = last - first > 20 * 3600
    parts.append(_text(_LEFT, height - 6, _clock(first, True), "start"))
    parts.append(_text(width - _RIGHT, height - 6, _clock(last, dated), "end"))
    label = escape(f"{title} over the window")
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _clock(seconds: float, dated: bool) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time.day} {time:%b, %H:%M}" if dated else f"{time:%H:%M}"


def _line(x1: float, x2: float, y1: float, y2: float, colour: str, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "var(--muted)") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11.5" style="fill:{colour}">{escape(words)}</text>'
