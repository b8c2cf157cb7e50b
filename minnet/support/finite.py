"""Is every number finite, and if one overflowed, did it matter?"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minnet.support import expect
from minnet.support.stack import Array


class Overflows:
    """Overflows of a training, which NumPy calls on: that costs nothing, and finds what shows in no loss.

    Parameters
    ----------
    network, optimizer : Network, Optimizer
        A single network, or a stack, whose networks are never stopped.
    """

    def __init__(self, network: Any, optimizer: Any) -> None:
        self.network, self.optimizer = network, optimizer
        self.noticed = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Notice overflows in what is done here, after which the optimizer has its learning rate again."""
        lr = self.optimizer.lr

        def notice(*_: object) -> None:
            self.noticed = True

        try:
            with np.errstate(over="call", invalid="call", call=notice):
                yield
        finally:
            self.optimizer.lr = lr

    def harmless(self, loss: Any, squared_norm: Any = 0.0, x: Any = None) -> bool:
        """Tell whether a single network may go on: its loss and gradient are finite, and so is all that made them."""
        if self.network.theta.ndim > 1:
            return True
        if not (math.isfinite(loss) and math.isfinite(squared_norm)):  # quicker than NumPy
            return False
        noticed, self.noticed = self.noticed, False
        if x is None or not noticed:
            return True
        # Forward once more, with a look at each output: an infinity that tanh makes 1 of shows nowhere else.
        for layer in self.network.at(self.network.theta.copy()).layers:
            if hasattr(layer, "random"):
                layer.random = None  # what dropout dropped is dropped again
            x = layer.forward(x)
            if not np.isfinite(x).all():
                return False
        return all(np.isfinite(array).all() for array in self.optimizer.state.values())


def answers(y: Array, average: bool) -> Array:
    """Return probabilities (N, K) of a network, or of a stack (S, N, K), or the mean of the finite ones.

    Raises
    ------
    FloatingPointError
        If a single network's are not finite, of which sample the message says; or if none of a stack's are.
    """
    if y.ndim == 2:
        return expect.finite_rows("the network's answer", y)
    alive = np.isfinite(y).all(axis=(1, 2))
    if average and not alive.any():
        raise FloatingPointError(f"all {len(y)} networks diverged: none of them can predict")
    return np.asarray(y[alive].mean(axis=0)) if average else y
