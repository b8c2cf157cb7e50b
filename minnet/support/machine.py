"""What does this machine have to give? Memory, and threads for products of matrices."""

import contextlib
import functools
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


@functools.cache
def blas() -> Any:
    """Find the libraries of BLAS that are loaded, which takes 2 ms, as long as 10 epochs of a small network."""
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController().select(user_api="blas")


def threads_for(network: Any, batch_size: int) -> Any:
    """Give BLAS a single thread, while something is done here, if a network's products are too small for more.

    A user's own limit, in the environment, stands.
    """
    small = batch_size * max(math.prod(slot.shape) for slot in slots(network.layers)) < THREADED
    return blas().limit(limits=1 if small and os.environ.keys().isdisjoint(LIMITS) else None)


def blas_threads() -> int:
    """Return how many threads BLAS has now, on which the last digits of products may depend."""
    return max((library.num_threads for library in blas().lib_controllers), default=1)
