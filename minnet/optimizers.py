"""How does a step down the gradient look? Updates of the whole parameter vector theta, in place, from dtheta.

A hyperparameter is a number, or for a stack of networks an array with one number for each of them; `columns` gives it
the shape in which it multiplies theta, so that an equation need not know.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from minnet.layers import Array
from minnet.network import Network
from minnet.support import expect
from minnet.support.stack import columns, power


class Optimizer(Protocol):
    """What training asks of an optimizer: ``lr``, ``state`` and ``step``; one that inherits from this has the penalty.

    Attributes
    ----------
    lr : float or array of shape (S,)
        The learning rate, which a schedule changes between steps.
    state : dict of str to array
        What it remembers from step to step: arrays of the shape of theta, or of no axes. Empty before the first step.
    weight_decay : float or array of shape (S,)
        λ, at least 0, the weight of the penalty ½ λ Σ W². Biases are not decayed, and the penalty is no part of any
        loss reported.
    """

    lr: Any
    state: dict[str, Array]
    weight_decay: Any = 0.0

    def step(self, network: Network) -> None:
        """Move ``network.theta`` by one step, in place; ``network.dtheta`` is read, not changed."""

    def penalty(self, network: Network) -> Any:
        """½ λ Σ W², of shape (S,) for a stack: the penalty whose gradient weight decay adds to each step (eq. 14d)."""
        W = network.theta[..., network.decays]
        return 0.5 * self.weight_decay * np.sum(W * W, axis=-1, dtype=np.float64)


@dataclass(eq=False)
class SGD(Optimizer):
    """Stochastic gradient descent: u ← μ·u + g, θ ← θ − lr·u, where g = ∇C(θ) + weight_decay·W.

    Parameters
    ----------
    lr : float or array of shape (S,)
        The learning rate, above 0. It may be changed between steps.
    momentum : float or array of shape (S,), default 0
        μ, at least 0 and below 1.
    nesterov : bool, default False
        Look ahead along the velocity: θ ← θ − lr·(g + μ·u) (Sutskever et al. 2013, in the form in which the gradient
        is taken at θ itself). Needs momentum.
    weight_decay : float or array of shape (S,), default 0
        λ, at least 0; see `Optimizer`.

    Attributes
    ----------
    state : dict of str to array
        "velocity": u, of the shape of theta.

    Raises
    ------
    ValueError
        If a hyperparameter is outside its range, or neither a number nor a list of them.
    """

    lr: Any
    momentum: Any = 0.0
    nesterov: bool = False
    weight_decay: Any = 0.0
    state: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        expect.hyperparameters(self)
        if self.nesterov and not np.all(self.momentum):
            raise ValueError("SGD momentum: expected one above 0 with nesterov=True, to look ahead along the velocity")

    def step(self, network: Network) -> None:
        """θ ← θ − lr·u with u ← μ·u + g (eqs. 14a, 14b), or θ ← θ − lr·(g + μ·u) (eq. 14c), g = ∇C + λW (eq. 14d).

        Raises
        ------
        ValueError
            If an earlier step was for a network with another number of parameters.
        """
        theta = network.theta
        lr, mu, decay = columns(theta, self.lr, self.momentum, self.weight_decay)
        g, u = gradient(network, decay), expect.state(self, "velocity", theta)
        u *= mu
        u += g
        theta -= lr * (g + mu * u) if self.nesterov else lr * u


@dataclass(eq=False)
class Adam(Optimizer):
    """Adam: steps of about lr in each entry, unless its gradient is as tiny as ε (Kingma and Ba 2015, algorithm 1).

    Parameters
    ----------
    lr : float or array of shape (S,), default 0.001
        The learning rate, above 0. It may be changed between steps.
    beta1, beta2 : float or array of shape (S,), default 0.9 and 0.999
        How much of the averages of g and of g² each step keeps, at least 0 and below 1.
    epsilon : float or array of shape (S,), default 1e-8
        Added to the root of the average of g², above 0.
    weight_decay : float or array of shape (S,), default 0
        λ, at least 0; see `Optimizer`. λW is added to the gradient.

    Attributes
    ----------
    state : dict of str to array
        "m" and "v", the two averages, of the shape of theta; "k", the number of steps.

    Raises
    ------
    ValueError
        If a hyperparameter is outside its range, or neither a number nor a list of them.
    """

    lr: Any = 0.001
    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8
    weight_decay: Any = 0.0
    state: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        expect.hyperparameters(self)

    def step(self, network: Network) -> None:
        """θ ← θ − lr · m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵏ) and v̂ = v/(1 − β₂ᵏ) in step k (eq. 14e), g = ∇C + λW (eq. 14d).

        m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g².

        Raises
        ------
        ValueError
            If an earlier step was for a network with another number of parameters.
        """
        theta = network.theta
        beta1, beta2, k = self.beta1, self.beta2, int(self.state.get("k", 0)) + 1
        kept, taken = (beta1, beta2), (1 - beta1, 1 - beta2)
        whole = 1 - power(beta1, k), 1 - power(beta2, k)
        rates = columns(theta, self.lr, self.epsilon, self.weight_decay, *kept, *taken, *whole)
        lr, epsilon, decay, keep_m, keep_v, take_m, take_v, whole_m, whole_v = rates
        g, m, v = gradient(network, decay), expect.state(self, "m", theta), expect.state(self, "v", theta)
        m *= keep_m
        m += take_m * g
        v *= keep_v
        v += take_v * (g * g)
        m_hat, v_hat = m / whole_m, v / whole_v
        root = np.sqrt(v_hat, out=v_hat)
        root += epsilon
        m_hat *= lr
        theta -= np.divide(m_hat, root, out=root)
        self.state["k"] = np.array(k)


def gradient(network: Network, decay: Any) -> Array:
    """g = ∇C + λW (eq. 14d)."""
    g: Array = network.dtheta
    return g if isinstance(decay, float) and decay == 0 else g + decay * (network.decays * network.theta)


def clip_gradient(network: Network, squared_norm: Any, limit: float) -> None:
    """Shorten ``dtheta`` to a norm of at most ``limit``, that of each network of a stack by itself (eq. 14f).

    Parameters
    ----------
    network : Network
        Its ``dtheta`` is changed in place; one that is short enough, or not finite, is left as it is.
    squared_norm : number or array of shape (S,)
        The square of each gradient's Euclidean norm.
    limit : float
        Above 0.
    """
    norm = np.sqrt(squared_norm, dtype=np.float64)
    long = (norm > limit) & np.isfinite(norm)
    if long.any():
        factor = np.where(long, limit / np.where(long, norm, 1), 1)
        network.dtheta *= factor[..., np.newaxis].astype(network.dtheta.dtype)
