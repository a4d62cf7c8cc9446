"""The C allocator's treatment of large blocks, which decides how fast a CPU runs a model."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# <malloc.h>; mallopt's values are C ints
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {_M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26, _M_MMAP_THRESHOLD: 2**30}


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks of up to 1 GiB instead of giving them back to the kernel; whether that was done.

    Torch allocates each layer's output anew. By default glibc maps every block above 32 MiB from the kernel and unmaps it
    when freed, so that each layer of a batch pays a page fault for every 4 KiB (`benchmarks/allocator.py`: encoding a
    batch takes several times as long on a virtual machine). A user's own MALLOC_… environment is left alone.
    """
    if not sys.platform.startswith("linux") or any(
        name.startswith("MALLOC_") and name.endswith("_") for name in os.environ
    ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return False
    return all(mallopt(option, value) for option, value in _SETTINGS.items())
