"""What a run's record says of the machine: facts, and the code's revision."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version

import pytest

from clip_har import environment
from clip_har.environment import cpu_flags, describe_environment, git_revision


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
    assert described["cpu_flags"] == cpu_flags()


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        (
            "model name: X\nflags\t\t: fpu avx2 amx_int8 avx512_vnni sse\n\nflags\t\t: fpu\n",
            ["avx2", "avx512_vnni", "amx_int8"],
        ),
        ("Features\t: fp asimd i8mm bf16\n", ["asimd", "i8mm", "bf16"]),
        ("model name: avx2\n", []),
    ],
)
def test_flags_of_the_processor_that_matter(cpuinfo, flags, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "cpuinfo")
    assert cpu_flags() == flags


def test_without_linux_there_are_no_flags(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "nothing")
    assert cpu_flags() == []
