"""Photographs whose labels may be wrong, as the newest training run listed them."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import streamlit as st

from clip_har.ui.measured.runs import Run, read_csv
from clip_har.ui.pictures import small
from clip_har.ui.wording import percent, plain, words

_FILE = "likely_label_errors.csv"
_SHOWN = 48


def show_suspects(runs: list[Run], workspace: Path) -> None:
    """The list with its pictures.

    Args:
        runs: the newest first.
        workspace: whose `versions/` hold the pictures.
    """
    run = next((one for one in runs if (one.folder / _FILE).is_file()), None)
    if run is None:
        st.info("No labels were reviewed yet. A training run does: `make train`.", icon=":material/info:")
        return
    rows = read_csv(run.folder / _FILE)
    st.caption(
        f"From the run {plain(run.folder.name)}. A probe that has seen the other photographs says something else of these."
    )
    if not rows:
        st.success("No label looks wrong.", icon=":material/check:")
        return
    pairs = sorted({(row.get("label", ""), row.get("suggested", "")) for row in rows})
    pair = st.selectbox(
        "Listed as, and what it looks like",
        [None, *pairs],
        format_func=lambda one: f"all ({len(rows)})" if one is None else f"{words(one[0])} → {words(one[1])}",
        key="suspects_pair",
    )
    chosen = [row for row in rows if pair in (None, (row.get("label", ""), row.get("suggested", "")))]
    st.html(f'<div class="ch-grid">{"".join(_figure(row, workspace) for row in chosen[:_SHOWN])}</div>')
    if len(chosen) > _SHOWN:
        st.caption(f"The {_SHOWN} most suspicious of {len(chosen):,}. The file has all.")
    st.download_button(
        "Download the list", (run.folder / _FILE).read_bytes(), _FILE, "text/csv", icon=":material/download:"
    )
    st.caption("Mend a label where the pictures are listed, and run the data pipeline again.")


def _figure(row: dict[str, str], workspace: Path) -> str:
    uri = row.get("uri", "")
    data = _bytes(workspace, uri)
    shown = small(data, 240) if data else None
    if shown is None:
        picture = '<div class="ch-none ch-quiet" role="img" aria-label="no preview">not here any more</div>'
    else:
        picture = f'<img src="data:image/jpeg;base64,{base64.b64encode(shown).decode()}" alt="{html.escape(uri)}" loading="lazy">'
    try:
        sure = f" {percent(float(row.get('confidence') or 0))}"
    except ValueError:
        sure = ""
    return (
        f"<figure>{picture}<figcaption><span>listed as <b>{html.escape(words(row.get('label', '')))}</b></span>"
        f"<span>looks like <b>{html.escape(words(row.get('suggested', '')))}</b>{sure}</span>"
        f'<span class="ch-quiet">{html.escape(uri)}</span></figcaption></figure>'
    )


def _bytes(workspace: Path, uri: str) -> bytes | None:
    """The picture, from the newest version of the data that has it."""
    folders = sorted(workspace.glob("versions/*/images"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders:
        place = folder / uri
        try:
            if uri and place.resolve().is_relative_to(folder.resolve()) and place.is_file():
                return place.read_bytes()
        except (OSError, ValueError):
            continue
    return None
