"""How does a step down the gradient look? Updates of the whole parameter vector theta, in place, from dtheta."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.network import Network

Array = npt.NDArray[Any]


class SGD:
    """Stochastic gradient descent: v ← m·v + g, θ ← θ − lr·v, where g = ∇C(θ) + weight_decay·W.

    Parameters
    ----------
    lr : float
        The learning rate, above 0. It may be changed between steps.
    momentum : float, default 0
        m, at least 0 and below 1.
    nesterov : bool, default False
        Look ahead along the velocity: θ ← θ − lr·(g + m·v) (Sutskever et al. 2013, in the form in which the gradient
        is taken at θ itself). Needs momentum.
    weight_decay : float, default 0
        λ, at least 0, the weight of the penalty ½ λ Σ W². Biases are not decayed, and the penalty is no part of any
        loss reported.

    Attributes
    ----------
    velocity : array of the shape of theta
        v, zero before the first step.

    Raises
    ------
    ValueError
        If a hyperparameter is outside its range.
    """

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"SGD expected lr to be a finite number above 0, got {lr}")
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD expected momentum to be at least 0 and below 1, got {momentum}")
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise ValueError(f"SGD expected weight_decay to be a finite number of at least 0, got {weight_decay}")
        if nesterov and momentum == 0:
            raise ValueError("SGD expected momentum above 0 with nesterov=True: it looks ahead along the velocity")
        self.lr, self.momentum, self.nesterov, self.weight_decay = lr, momentum, nesterov, weight_decay
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
        v, g = self.velocity, dtheta
        if self.weight_decay:
            g = dtheta + self.weight_decay * network.decays * theta
        v *= self.momentum
        v += g
        if self.nesterov:
            v_ahead = np.multiply(v, self.momentum, out=self._scratch)
            v_ahead += g
            v_ahead *= self.lr
            theta -= v_ahead
        else:
            theta -= np.multiply(v, self.lr, out=self._scratch)

    def penalty(self, network: Network) -> float:
        """½ λ Σ W², the penalty whose gradient weight decay adds to each step (eq. 14d)."""
        return 0.5 * self.weight_decay * float(np.sum(network.theta[network.decays] ** 2, dtype=np.float64))
