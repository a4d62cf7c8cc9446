"""Pictures on pages: small ones for the eye, and drawn ones for those who have none at hand."""

from __future__ import annotations

import io

import streamlit as st

from clip_har.errors import ImageError
from clip_har.ui.asking import Picture
from clip_har.ui.wording import plain

KINDS = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"]
"""Endings of files that are taken."""
_DRAWN_SIZE = (720, 480)


@st.cache_data(show_spinner=False, max_entries=300)
def small(data: bytes, side: int = 720) -> bytes | None:
    """An upright JPEG for the eye, at most `side` pixels wide and high; None if the file cannot be decoded here."""
    from clip_har.data.image import ImageLimits, decode_image

    try:
        image = decode_image(data, ImageLimits(), reduce_above=side).image.copy()
    except ImageError:
        return None
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def show(picture: Picture, caption: str | None = None, side: int = 720) -> None:
    """A picture, or its name where it cannot be shown."""
    shown = small(picture.data, side)
    if shown is None:
        st.caption(f":material/broken_image: {plain(picture.name)}: no picture that can be shown.")
    else:
        st.image(shown, caption=None if caption is None else plain(caption), alt=picture.name, width="stretch")


@st.cache_data(show_spinner=False, max_entries=60)
def drawn(action: str, seed: int) -> bytes:
    """A picture of the drawn world, as a JPEG."""
    from clip_har.samples import describe_scene, encode_scene

    return encode_scene(describe_scene(action, seed), *_DRAWN_SIZE)
