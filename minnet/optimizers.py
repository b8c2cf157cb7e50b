"""How does a step down the gradient look? Updates of the whole parameter vector theta, in place, from dtheta.

A hyperparameter is a number, or for a stack of networks an array with one number for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.network import Network

Array = npt.NDArray[Any]


class SGD:
    """Stochastic gradient descent: v ← m·v + g, θ ← θ − lr·v, where g = ∇C(θ) + weight_decay·W.

    Parameters
    ----------
    lr : float or array of shape (S,)
        The learning rate, above 0. It may be changed between steps.
    momentum : float or array of shape (S,), default 0
        m, at least 0 and below 1.
    nesterov : bool, default False
        Look ahead along the velocity: θ ← θ − lr·(g + m·v) (Sutskever et al. 2013, in the form in which the gradient
        is taken at θ itself). Needs momentum.
    weight_decay : float or array of shape (S,), default 0
        λ, at least 0, the weight of the penalty ½ λ Σ W². Biases are not decayed, and the penalty is no part of any
        loss reported.

    Attributes
    ----------
    velocity : array of the shape of theta
        v; None before the first step.

    Raises
    ------
    ValueError
        If a hyperparameter is outside its range, or neither a number nor a list of them.
    """

    def __init__(
        self,
        lr: npt.ArrayLike,
        momentum: npt.ArrayLike = 0.0,
        nesterov: bool = False,
        weight_decay: npt.ArrayLike = 0.0,
    ) -> None:
        self.lr = hyperparameter("lr", lr, "a finite number above 0", lambda v: v > 0)
        self.momentum = hyperparameter("momentum", momentum, "at least 0 and below 1", lambda v: (v >= 0) & (v < 1))
        self.weight_decay = hyperparameter(
            "weight_decay", weight_decay, "a finite number of at least 0", lambda v: v >= 0
        )
        self.nesterov = nesterov
        if nesterov and not np.all(self.momentum):
            raise ValueError("SGD expected momentum above 0 with nesterov=True: it looks ahead along the velocity")
        self.velocity: Array | None = None

    def __repr__(self) -> str:
        return (
            f"SGD(lr={self.lr}, momentum={self.momentum}, nesterov={self.nesterov}, weight_decay={self.weight_decay})"
        )

    def step(self, network: Network) -> None:
        """Move ``network.theta`` by one step, in place; ``network.dtheta`` is read, not changed.

        θ ← θ − lr·v with v ← m·v + g (eqs. 14a, 14b), or θ ← θ − lr·(g + m·v) (eq. 14c), g = ∇C + λW (eq. 14d).

        Raises
        ------
        ValueError
            If an earlier step was for a network with another number of parameters.
        """
        theta, dtheta = network.theta, network.dtheta
        if self.velocity is None:
            self.velocity, self._scratch = np.zeros_like(theta), np.empty_like(theta)
        if self.velocity.shape != theta.shape:
            raise ValueError(
                f"this SGD has the velocity of a network with theta of shape {self.velocity.shape}, "
                f"got one with {theta.shape}; make a new SGD for each network"
            )
        lr, m, decay = (column(value, theta) for value in (self.lr, self.momentum, self.weight_decay))
        v, g = self.velocity, dtheta
        if not isinstance(decay, float) or decay > 0:
            g = dtheta + decay * network.decays * theta
        v *= m
        v += g
        if self.nesterov:
            v_ahead = np.multiply(v, m, out=self._scratch)
            v_ahead += g
            v_ahead *= lr
            theta -= v_ahead
        else:
            theta -= np.multiply(v, lr, out=self._scratch)

    def part(self, start: int, stop: int) -> SGD:
        """Make an optimizer with the same settings for networks start … stop − 1 of a stack, without velocity."""
        settings = (self.lr, self.momentum, self.weight_decay)
        lr, momentum, decay = (value if isinstance(value, float) else value[start:stop] for value in settings)
        return SGD(lr, momentum, self.nesterov, decay)

    def penalty(self, network: Network) -> Any:
        """½ λ Σ W², of shape (S,) for a stack: the penalty whose gradient weight decay adds to each step (eq. 14d)."""
        W = network.theta[..., network.decays]
        return 0.5 * self.weight_decay * np.sum(W * W, axis=-1, dtype=np.float64)


def hyperparameter(name: str, value: npt.ArrayLike, expected: str, holds: Callable[[Array], Array]) -> Any:
    """Return a hyperparameter as a float or a 1-D array of float64, or raise ValueError."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"SGD expected {name} to be {expected}, got {value!r}") from None
    if array.ndim > 1 or array.size == 0 or not (np.isfinite(array) & holds(array)).all():
        raise ValueError(f"SGD expected {name} to be {expected}, got {value!r}")
    return float(array) if array.ndim == 0 else array


def column(value: Any, theta: Array) -> Any:
    """Give a hyperparameter the shape in which it multiplies theta: (S, 1) if there is one for each network.

    Raises
    ------
    ValueError
        If there are not as many as networks.
    """
    if isinstance(value, float):
        return value
    if theta.ndim != 2 or len(value) != len(theta):
        stack = f"a stack of {len(theta)} networks" if theta.ndim == 2 else "a single network"
        raise ValueError(f"this SGD has hyperparameters for a stack of {len(value)} networks, but steps {stack}")
    return value[:, np.newaxis].astype(theta.dtype)
