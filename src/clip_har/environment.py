"""What a run ran on: packages, processor, GPU, Git revision. For records, never for decisions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("clip-har", "numpy", "pillow", "scikit-learn", "torch", "transformers", "peft", "onnxruntime", "zenml")
# Instructions that decide which kernels run, and so how fast and with which rounding: x86, then ARM.
_FLAGS = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
_CPUINFO = Path("/proc/cpuinfo")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, and Windows' own in its Linux


def describe_environment(project: Path | None = None) -> dict[str, Any]:
    """Facts as JSON: Python, platform, processor and its flags, cores, package versions, GPU, Git revision of `project`."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_flags": cpu_flags(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "git_revision": git_revision(project or Path.cwd()),
    }


def git_revision(folder: Path) -> str | None:
    """The commit that a folder is at, with "+changes" if files differ from it; None outside Git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def cpu_flags() -> list[str]:
    """The instruction sets of this processor that matter to the kernels (`avx2`, `avx512_vnni`, `amx_int8` …), as Linux says.

    Empty where there is no /proc/cpuinfo.
    """
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return []
    listed = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return [flag for flag in _FLAGS if flag in listed]


def _gpu() -> str | None:
    if "torch" not in sys.modules and not any(map(os.path.exists, _GPU_DEVICES)):
        return None  # torch takes a second or two to import, to say the same
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
