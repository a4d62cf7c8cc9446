"""The sidebar: which service is asked, and how to ask another."""

from __future__ import annotations

import streamlit as st

from clip_har.ui import connection
from clip_har.ui.beside import at_this_machine
from clip_har.ui.wording import plain, short_id

_ROLES = {"champion": "the champion", "newest": "the newest bundle", "packaged": "the packed bundle"}


def service_box() -> None:
    """What answers, and where; below it the choice of another."""
    with st.sidebar:
        st.subheader("Service", divider="gray")
        try:
            found = connection.service()
        except Exception:  # the page says why
            st.markdown(":material/cloud_off: No service answers.")
        else:
            model = found.model
            st.markdown(
                f":material/check_circle: `{short_id(model.model_id)}`, {_ROLES.get(model.role, plain(model.role))}  \n"
                f"{plain(model.method.replace('_', ' '))}, {len(model.labels)} actions, {plain(model.runtime)}"
            )
            started = "started by this app, and stopped with it" if found.local else "not started by this app"
            st.caption(f"`{found.url}`, {started}")
        if at_this_machine():  # to others the app would open addresses that only its own machine reaches
            _choice()


def _choice() -> None:
    url, key = connection.wanted()
    with st.expander("Ask another service"), st.form("service", border=False):
        typed = st.text_input("Address", value=url or "", placeholder="http://127.0.0.1:3000")
        secret = st.text_input("API key, if it wants one", value=key or "", type="password")
        st.caption("Without an address the app starts a service of its own.")
        if st.form_submit_button("Use it", width="stretch"):
            connection.choose(typed.strip() or None, secret.strip() or None)
            st.rerun()
