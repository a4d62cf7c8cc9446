"""Cores: what affinity and control groups leave of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from clip_har.inference.machine import available_cores, check_device, host_facts, multiplies_bytes_exactly


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "1600000 100000"}, 8),
        (
            {
                "proc/self/cgroup": "0::/pods/one",
                "sys/fs/cgroup/pods/cpu.max": "250000 100000",
                "sys/fs/cgroup/pods/one/cpu.max": "max 100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/m\n2:cpuacct,cpu:/docker/x",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        ({"proc/self/cgroup": "2:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, 8),
    ],
)
def test_cores(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert available_cores(written(tmp_path, files)) == cores


def test_this_machine_has_facts() -> None:
    facts = host_facts()
    assert facts["processor"]
    assert facts["torch"]
    assert facts == host_facts()


@pytest.mark.parametrize(
    ("machine", "flags", "exactly"),
    [
        ("x86_64", "fma avx2 avx512f", False),
        ("x86_64", "avx512f avx512_vnni", True),
        ("AMD64", "avx2 avx_vnni", True),
        ("x86_64", "amx_int8", True),
        ("x86_64", None, False),
        ("aarch64", None, True),
    ],
)
def test_8_bit_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, flags: str | None, exactly: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    files = {} if flags is None else {"proc/cpuinfo": f"processor : 0\nmodel name\t: X\nflags\t\t: {flags}"}
    assert multiplies_bytes_exactly(written(tmp_path, files)) is exactly


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices(device: str) -> None:
    assert check_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU", "cuda:one", ""])
def test_no_device(device: str) -> None:
    with pytest.raises(ConfigError, match="wanted: auto, cpu, cuda or cuda:N"):
        check_device(device)
