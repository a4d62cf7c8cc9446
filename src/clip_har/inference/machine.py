"""What this machine gives to a process: cores, and the facts that measurements made on it depend on."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from clip_har.errors import ConfigError

_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "tensorrt", "tensorrt-rtx")


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the quota of its control groups (of a container, say).

    Args:
        root: where `proc` and `sys` are.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    quota = _quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def _quota(root: Path) -> float | None:
    """The smallest CPU quota on the way to this process's control group, in cores; None if there is no bound."""
    groups = _read(root / "proc/self/cgroup") or ""
    found = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("" if not controllers else "cpu")
        parts = Path(path).parts[1:]
        for depth in range(len(parts) + 1):
            folder = base.joinpath(*parts[:depth])
            if not controllers:
                quota, _, period = (_read(folder / "cpu.max") or "max 1").partition(" ")
            else:
                quota, period = _read(folder / "cpu.cfs_quota_us") or "-1", _read(folder / "cpu.cfs_period_us") or "1"
            if quota.strip() not in ("max", "-1"):
                found.append(int(quota) / int(period))
    return min(found, default=None)


def check_device(device: str) -> str:
    """The word for a device, if it is one.

    Raises:
        ConfigError: if it is not auto, cpu, cuda or cuda:N.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(f"There is no device {device!r}; wanted: auto, cpu, cuda or cuda:N.")
    return device


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is there (no CUDA library is loaded to find out)."""
    return Path("/dev/nvidiactl").exists()


def host_facts() -> dict[str, str | int | list[str]]:
    """What a measured speed depends on: processor, cores, GPUs, and the versions of what runs models."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "gpus": [next((s for s in (_read(c) or "").splitlines() if s.startswith("Model")), "") for c in cards],
        **{package: _version(package) for package in _PACKAGES},
    }


def multiplies_bytes_exactly(root: Path = Path("/")) -> bool:
    """Whether products of 8-bit numbers are summed in 32 bits here: x86 does so with VNNI or AMX, others always.

    Args:
        root: where `proc` is.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return True
    return any("vnni" in flag or flag == "amx_int8" for flag in _processor_lines(root)["flags"].split())


def _processor() -> str:
    lines = _processor_lines(Path("/"))
    # Instruction sets too: the same name is given to machines whose hypervisors offer different ones.
    kinds = [flag for flag in lines["flags"].split() if flag.startswith(("avx", "amx"))]
    return " ".join([lines["model name"] or platform.processor() or platform.machine(), *kinds])


def _processor_lines(root: Path) -> dict[str, str]:
    """Model name and instruction sets of the first core, empty where Linux does not tell."""
    wanted = {"model name": "", "flags": ""}
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if wanted.get(key.strip()) == "":
            wanted[key.strip()] = value.strip()
    return wanted


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
