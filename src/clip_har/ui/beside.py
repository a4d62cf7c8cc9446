"""What lies beside the app on its machine, and who may use it through the app."""

from __future__ import annotations

import streamlit as st

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def at_this_machine() -> bool:
    """Whether only people at this machine reach the app: they may read its folders, decide about its data,
    and have it ask other services."""
    return st.get_option("server.address") in _LOOPBACK
