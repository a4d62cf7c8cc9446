"""What is committed of DVC. That the stages run when they should is shown by tests/e2e/test_dvc.py."""

from __future__ import annotations

from tests.conftest import PROJECT


def test_what_is_committed_names_no_machine_and_sends_nothing() -> None:
    config = (PROJECT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "autostage = false" in config
    assert "remote" not in config
    assert "/" not in config
