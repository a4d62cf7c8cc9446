"""The gallery of a batch: pictures by predicted action, as responsive grids."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import streamlit as st

from clip_har.ui.batch.rows import Row
from clip_har.ui.wording import percent, plain, words

_SHOWN = 48
FAILED, UNSURE = "could not be read", "not sure"


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by predicted action, the largest group first, the surest picture first; abstentions and errors at the end."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = FAILED if row.failed else UNSURE if row.values["abstained"] else str(row.label)
        found.setdefault(name, []).append(row)
    for members in found.values():
        members.sort(key=lambda row: -row.confidence)
    return dict(sorted(found.items(), key=lambda item: (item[0] == FAILED, item[0] == UNSURE, -len(item[1]), item[0])))


def show_gallery(rows: Sequence[Row]) -> None:
    """All groups, each with its first pictures and a button for the rest."""
    for name, members in groups(rows).items():
        st.markdown(f"## {plain(words(name))} ({len(members):,})")
        key = f"all-{name}"
        shown = members if st.session_state.get(key) else members[:_SHOWN]
        st.html(f'<div class="ch-grid">{"".join(map(_figure, shown))}</div>')
        if len(shown) < len(members):
            st.button(
                f"Show all {len(members):,}", key=f"show-{key}", on_click=st.session_state.__setitem__, args=(key, True)
            )


def _figure(row: Row) -> str:
    name = html.escape(row.values["path"])
    if row.thumbnail is None:
        picture = '<div class="ch-none ch-quiet" role="img" aria-label="no preview">no preview</div>'
    else:
        data = base64.b64encode(row.thumbnail).decode()
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{name}" loading="lazy">'
    if row.failed:
        said = html.escape(row.values["error"])
    else:
        said = f"<b>{html.escape(words(str(row.label)))}</b> {percent(row.confidence)}"
    return f'<figure>{picture}<figcaption><span>{said}</span><span class="ch-quiet">{name}</span></figcaption></figure>'
