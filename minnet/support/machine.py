"""What does this machine have to give? Memory, and threads for products of matrices."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minnet.support.fit import slots

THREADED = 2**22  # multiplications of a product of matrices from which threads pay
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")  # a user's own


def free_memory() -> float:
    """Return how many bytes of memory are free, or can be freed at once; inf where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def threads_that_pay(network: Any, batch_size: int) -> int | None:
    """Return 1 if the products of a training step are too small for threads; None, no limit, if they are not.

    A user's own limit, in the environment, stands: None.
    """
    largest = max(math.prod(slot.shape) for slot in slots(network.layers))
    small = batch_size * largest < THREADED
    return 1 if small and not any(name in os.environ for name in LIMITS) else None


@contextlib.contextmanager
def threads_for(network: Any, batch_size: int) -> Iterator[None]:
    """Give BLAS as many threads as pay for a network's products of matrices, while something is done here."""
    limit = threads_that_pay(network, batch_size)
    try:
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError:
        limit = None
    if limit is None:
        yield
        return
    with threadpool_limits(limit, user_api="blas"):
        yield


def blas_threads() -> int:
    """Return how many threads BLAS has now, on which the last digits of products may depend."""
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
