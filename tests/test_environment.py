"""What a run's record says of the machine: facts, and the code's revision."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version

from clip_har.environment import describe_environment, git_revision


def _git(folder, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_says_when_files_differ_from_it(tmp_path):
    assert git_revision(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert git_revision(tmp_path) is None  # nothing committed yet
    (tmp_path / "a.txt").write_text("a")
    _git(tmp_path, "add", "a.txt")
    _git(tmp_path, "commit", "-q", "-m", "a")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(tmp_path) == commit
    (tmp_path / "b.txt").write_text("not tracked")
    assert git_revision(tmp_path) == commit
    (tmp_path / "a.txt").write_text("b")
    assert git_revision(tmp_path) == f"{commit}+changes"


def test_the_description_is_json_with_versions(tmp_path):
    described = describe_environment(tmp_path)
    assert json.loads(json.dumps(described)) == described
    assert described["python"] == platform.python_version()
    assert described["packages"]["numpy"] == version("numpy")
    assert described["cores"] >= 1
    assert described["git_revision"] is None
