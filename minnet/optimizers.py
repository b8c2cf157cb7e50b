"""How does a step down the gradient look? Updates of the whole parameter vector theta, in place, from dtheta.

A hyperparameter is a number, or for a stack of networks an array with one number for each of them. Each optimizer has
the five members of `Optimizer`; what it remembers from step to step is in ``memory``, by name, so that it can be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from minnet.network import Network

Array = npt.NDArray[Any]


class Optimizer(Protocol):
    """What training asks of an optimizer.

    Attributes
    ----------
    lr : float or array of shape (S,)
        The learning rate, which a schedule changes between steps.
    memory : dict of str to array
        What it remembers from step to step: arrays of the shape of theta, or of no axes. Empty before the first step.
    """

    lr: Any
    memory: dict[str, Array]

    def step(self, network: Network) -> None:
        """Move ``network.theta`` by one step, in place."""

    def part(self, start: int, stop: int) -> Self:
        """Make one with the same settings for networks start … stop − 1 of a stack, without memory."""

    def penalty(self, network: Network) -> Any:
        """½ λ Σ W², of shape (S,) for a stack."""


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
    memory : dict of str to array
        "velocity": v, of the shape of theta.

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
        self.lr = above_zero("SGD", "lr", lr)
        self.momentum = below_one("SGD", "momentum", momentum)
        self.weight_decay = at_least_zero("SGD", "weight_decay", weight_decay)
        self.nesterov = nesterov
        if nesterov and not np.all(self.momentum):
            raise ValueError("SGD expected momentum above 0 with nesterov=True: it looks ahead along the velocity")
        self.memory: dict[str, Array] = {}
        self._scratch: Array | None = None

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
        v = remember(self, "velocity", theta)
        if self._scratch is None:
            self._scratch = np.empty_like(theta)
        lr, m, decay = (cast(column(value, theta), theta) for value in (self.lr, self.momentum, self.weight_decay))
        g = dtheta
        if not isinstance(decay, float) or decay > 0:
            g = dtheta + decay * (network.decays * theta)
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
        """Make one with the same settings for networks start … stop − 1 of a stack, without velocity."""
        lr, momentum, decay = members((self.lr, self.momentum, self.weight_decay), start, stop)
        return SGD(lr, momentum, self.nesterov, decay)

    def penalty(self, network: Network) -> Any:
        """½ λ Σ W², of shape (S,) for a stack: the penalty whose gradient weight decay adds to each step (eq. 14d)."""
        return half_square(self.weight_decay, network)


class Adam:
    """Adam: steps of about lr in each entry, whatever the size of its gradient (Kingma and Ba 2015, algorithm 1).

    Parameters
    ----------
    lr : float or array of shape (S,), default 0.001
        The learning rate, above 0. It may be changed between steps.
    beta1, beta2 : float or array of shape (S,), default 0.9 and 0.999
        How much of the averages of g and of g² each step keeps, at least 0 and below 1.
    epsilon : float or array of shape (S,), default 1e-8
        Added to the root of the average of g², above 0.
    weight_decay : float or array of shape (S,), default 0
        As for `SGD`: λW is added to the gradient.

    Attributes
    ----------
    memory : dict of str to array
        "m" and "v", the two averages, of the shape of theta; "k", the number of steps.

    Raises
    ------
    ValueError
        If a hyperparameter is outside its range, or neither a number nor a list of them.
    """

    def __init__(
        self,
        lr: npt.ArrayLike = 0.001,
        beta1: npt.ArrayLike = 0.9,
        beta2: npt.ArrayLike = 0.999,
        epsilon: npt.ArrayLike = 1e-8,
        weight_decay: npt.ArrayLike = 0.0,
    ) -> None:
        self.lr = above_zero("Adam", "lr", lr)
        self.beta1, self.beta2 = below_one("Adam", "beta1", beta1), below_one("Adam", "beta2", beta2)
        self.epsilon = above_zero("Adam", "epsilon", epsilon)
        self.weight_decay = at_least_zero("Adam", "weight_decay", weight_decay)
        self.memory: dict[str, Array] = {}

    def __repr__(self) -> str:
        settings = f"lr={self.lr}, beta1={self.beta1}, beta2={self.beta2}, epsilon={self.epsilon}"
        return f"Adam({settings}, weight_decay={self.weight_decay})"

    def step(self, network: Network) -> None:
        """Move ``network.theta`` by one step, in place; ``network.dtheta`` is read, not changed.

        m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ − lr · m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵏ) and v̂ = v/(1 − β₂ᵏ)
        in step k (eq. 14e), g = ∇C + λW (eq. 14d).

        Raises
        ------
        ValueError
            If an earlier step was for a network with another number of parameters.
        """
        theta, g = network.theta, network.dtheta
        m, v = remember(self, "m", theta), remember(self, "v", theta)
        k = self.memory["k"] = self.memory.get("k", np.array(0)) + 1
        settings = (self.lr, self.beta1, self.beta2, self.epsilon, self.weight_decay)
        lr, beta1, beta2, epsilon, decay = (column(value, theta) for value in settings)
        if not isinstance(decay, float) or decay > 0:
            g = g + cast(decay, theta) * (network.decays * theta)
        m *= cast(beta1, theta)
        m += cast(1 - beta1, theta) * g
        v *= cast(beta2, theta)
        v += cast(1 - beta2, theta) * (g * g)
        root = np.sqrt(v)
        root *= cast(power(1 - power(beta2, int(k)), -0.5), theta)
        root += cast(epsilon, theta)
        np.divide(m, root, out=root)
        root *= cast(lr / (1 - power(beta1, int(k))), theta)
        theta -= root

    def part(self, start: int, stop: int) -> Adam:
        """Make one with the same settings for networks start … stop − 1 of a stack, without averages."""
        return Adam(*members((self.lr, self.beta1, self.beta2, self.epsilon, self.weight_decay), start, stop))

    def penalty(self, network: Network) -> Any:
        """½ λ Σ W², of shape (S,) for a stack: the penalty whose gradient weight decay adds to each step (eq. 14d)."""
        return half_square(self.weight_decay, network)


def half_square(decay: Any, network: Network) -> Any:
    """½ λ Σ W² (eq. 14d)."""
    W = network.theta[..., network.decays]
    return 0.5 * decay * np.sum(W * W, axis=-1, dtype=np.float64)


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
    factor = np.where(norm > limit, limit / np.maximum(norm, limit), 1.0)
    if (factor < 1).any():
        network.dtheta *= factor[..., np.newaxis].astype(network.dtheta.dtype)


def remember(optimizer: Optimizer, name: str, theta: Array) -> Array:
    """Return an array of an optimizer's memory, zeros like theta at first, or raise ValueError if it does not fit."""
    memory = optimizer.memory.get(name)
    if memory is None:
        memory = optimizer.memory[name] = np.zeros_like(theta)
    if (memory.shape, memory.dtype) != (theta.shape, theta.dtype):
        kind = type(optimizer).__name__
        raise ValueError(
            f"this {kind} has the {name} of a network with theta of shape {memory.shape}, {memory.dtype}, "
            f"got one with {theta.shape}, {theta.dtype}; make a new {kind} for each network"
        )
    return memory


def above_zero(owner: str, name: str, value: npt.ArrayLike) -> Any:
    """Return a hyperparameter that is above 0."""
    return hyperparameter(owner, name, value, "a finite number above 0", lambda v: v > 0)


def at_least_zero(owner: str, name: str, value: npt.ArrayLike) -> Any:
    """Return a hyperparameter that is at least 0."""
    return hyperparameter(owner, name, value, "a finite number of at least 0", lambda v: v >= 0)


def below_one(owner: str, name: str, value: npt.ArrayLike) -> Any:
    """Return a hyperparameter from 0 to below 1."""
    return hyperparameter(owner, name, value, "at least 0 and below 1", lambda v: (v >= 0) & (v < 1))


def hyperparameter(owner: str, name: str, value: npt.ArrayLike, expected: str, holds: Callable[[Array], Array]) -> Any:
    """Return a hyperparameter as a float or a 1-D array of float64, or raise ValueError."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{owner} expected {name} to be {expected}, got {value!r}") from None
    if array.ndim > 1 or array.size == 0 or not (np.isfinite(array) & holds(array)).all():
        raise ValueError(f"{owner} expected {name} to be {expected}, got {value!r}")
    return float(array) if array.ndim == 0 else array


def members(settings: tuple[Any, ...], start: int, stop: int) -> list[Any]:
    """Give the hyperparameters of networks start … stop − 1 of a stack."""
    return [value if isinstance(value, float) else value[start:stop] for value in settings]


def column(value: Any, theta: Array) -> Any:
    """Give a hyperparameter the shape in which it multiplies theta: (S, 1), float64, if there is one for each network.

    Raises
    ------
    ValueError
        If there are not as many as networks.
    """
    if isinstance(value, float):
        return value
    if theta.ndim != 2 or len(value) != len(theta):
        stack = f"a stack of {len(theta)} networks" if theta.ndim == 2 else "a single network"
        raise ValueError(f"this optimizer has hyperparameters for a stack of {len(value)} networks, but steps {stack}")
    return value[:, np.newaxis]


def cast(factor: Any, theta: Array) -> Any:
    """Round a factor to theta's dtype, as NumPy rounds a float: a stack's networks get what single ones get."""
    return factor if isinstance(factor, float) else factor.astype(theta.dtype)


def power(base: Any, k: float) -> Any:
    """Raise to a power, for each network of a stack exactly as for a single one, which NumPy's array power is not."""
    return base**k if isinstance(base, float) else np.array([[b**k] for b in base[:, 0].tolist()])
