"""Cores: what affinity and control groups leave of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from clip_har.inference.machine import available_cores, check_device, host_facts


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


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices(device: str) -> None:
    assert check_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU", "cuda:one", ""])
def test_no_device(device: str) -> None:
    with pytest.raises(ConfigError, match="wanted: auto, cpu, cuda or cuda:N"):
        check_device(device)
