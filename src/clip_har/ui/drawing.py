"""What pages draw by themselves: bars of probabilities, pictures with heat maps."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from clip_har.ui.wording import percent, words


def bars(
    scored: Sequence[tuple[str, float]], chosen: Sequence[str] | None = None, *, title: str = "Probabilities"
) -> None:
    """Labels with their probabilities as bars.

    Args:
        scored: label and probability in [0, 1], in the order to show.
        chosen: labels to stand out; the first if not given.
        title: what a screen reader calls the list.
    """
    stand_out = set(scored[0][:1] if chosen is None and scored else chosen or ())
    rows = "".join(_bar(label, score, label in stand_out) for label, score in scored)
    st.html(f'<ol class="ch-bars" aria-label="{html.escape(title)}">{rows}</ol>')


def figures(named: Sequence[tuple[str, str]]) -> None:
    """A row of figures with their names, which wraps on narrow screens."""
    with st.container(horizontal=True, gap="medium"):
        for name, value in named:
            st.metric(name, value, width=150)


def _bar(label: str, score: float, chosen: bool) -> str:
    name = html.escape(words(label))
    return (
        f'<li class="{"ch-in" if chosen else "ch-out"}"><span class="ch-row"><span>{f"<b>{name}</b>" if chosen else name}</span>'
        f'<span class="ch-number">{percent(score, 1)}</span></span>'
        f'<span class="ch-track" aria-hidden="true"><i style="width:{100 * min(max(score, 0.0), 1.0):.2f}%"></i></span></li>'
    )
