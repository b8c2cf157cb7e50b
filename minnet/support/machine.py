"""What does this machine have to give? Memory, and threads for products of matrices."""

import contextlib
import math
import os
import re
from pathlib import Path
from typing import Any

from minnet.support.fit import slots

THREADED = 2**22  # multiplications of a product of matrices from which threads pay
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")  # a user's own


def free_memory() -> float:
    """Return how many bytes of memory are free, or can be freed at once; inf where the system does not say."""
    said = None
    with contextlib.suppress(OSError):
        said = re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    return 1024.0 * int(said[1]) if said else math.inf


def check_memory(what: str, size: int) -> None:
    """Raise ValueError if less than so many bytes are free."""
    if size > free_memory():
        raise ValueError(f"{what} would take {size / 1e9:.3g} GB of memory, more than is free")


def threads_for(network: Any, batch_size: int) -> Any:
    """Give BLAS a single thread, while something is done here, if a network's products are too small for more.

    A user's own limit, in the environment, stands.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    small = batch_size * max(math.prod(slot.shape) for slot in slots(network.layers)) < THREADED
    limit = 1 if small and os.environ.keys().isdisjoint(LIMITS) else None
    return threadpool_limits(limit, user_api="blas")


def blas_threads() -> int:
    """Return how many threads BLAS has now, on which the last digits of products may depend."""
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
