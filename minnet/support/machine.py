"""What does this machine have to give? Memory, and threads for products of matrices."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def free_memory() -> float:
    """Return how many bytes of memory are free, or can be freed at once; inf where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
