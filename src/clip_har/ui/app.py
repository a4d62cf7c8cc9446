"""The app's shell: navigation, which service is asked, and the page."""

from __future__ import annotations

import streamlit as st

from clip_har.ui import connection, failures
from clip_har.ui.pages import PAGES
from clip_har.ui.sidebar import service_box
from clip_har.ui.theme import STYLE, icon


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_icon=icon(), layout="wide")
    st.html(STYLE)
    page = st.navigation(
        [
            st.Page(entry.run, title=entry.title, icon=entry.icon, url_path=entry.path, default=number == 0)
            for number, entry in enumerate(PAGES)
        ]
    )
    connection.look()
    service_box()
    try:
        page.run()
    except Exception as error:
        failures.show(error)
        if st.button("Try again", icon=":material/refresh:"):
            connection.again()
            st.rerun()
