"""How should the learning rate change while training? Factors for it, by the step or by what the history shows.

A schedule is a pure function of where training is and what it has seen: nothing needs to be remembered, and a run
that was interrupted goes on with the very same rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Schedule(Protocol):
    """What training asks of a schedule."""

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Sequence[Any]) -> Array:
        """Give what the optimizer's learning rate is multiplied by, for each step of the coming epoch.

        Parameters
        ----------
        epoch : int
            How many epochs are over.
        steps, epochs : int
            How many steps an epoch has, and how many epochs there are at most.
        validation_losses : sequence of float, or of arrays of shape (S,)
            One for each epoch that is over.

        Returns
        -------
        array of shape (steps,), or (steps, S) if each network of a stack has its own
        """


class StepDecay:
    """Multiply the rate by gamma after every so many epochs (eq. 14g).

    Parameters
    ----------
    every : int
        Epochs, at least 1.
    gamma : float, default 0.1
        Above 0 and at most 1.
    """

    def __init__(self, every: int, gamma: float = 0.1) -> None:
        self.every, self.gamma = at_least("StepDecay", "every", every, 1), fraction("StepDecay", "gamma", gamma)

    def __repr__(self) -> str:
        return f"StepDecay(every={self.every}, gamma={self.gamma})"

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Sequence[Any]) -> Array:
        """γ^⌊e/every⌋, after e epochs (eq. 14g)."""
        return np.full(steps, self.gamma ** (epoch // self.every))


class CosineDecay:
    """Rise along a line, then fall to 0 along half a cosine, step by step (Loshchilov and Hutter 2017; eq. 14h).

    Parameters
    ----------
    warmup : int, default 0
        Epochs of the rise, at least 0.
    """

    def __init__(self, warmup: int = 0) -> None:
        self.warmup = at_least("CosineDecay", "warmup", warmup, 0)

    def __repr__(self) -> str:
        return f"CosineDecay(warmup={self.warmup})"

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Sequence[Any]) -> Array:
        """(i + 1)/w for the first w steps i, then ½ (1 + cos π (i − w)/(T − w)), T being all steps (eq. 14h)."""
        i, w, T = np.arange(epoch * steps, (epoch + 1) * steps), self.warmup * steps, epochs * steps
        fall = 0.5 * (1 + np.cos(np.pi * (i - w) / max(T - w, 1)))
        return np.where(i < w, (i + 1) / max(w, 1), fall)


class ReduceOnPlateau:
    """Multiply the rate by gamma whenever the validation loss has not improved for so many epochs (eq. 14i).

    Each network of a stack is judged by its own loss.

    Parameters
    ----------
    patience : int, default 5
        Epochs, at least 1.
    gamma : float, default 0.1
        Above 0 and at most 1.
    """

    def __init__(self, patience: int = 5, gamma: float = 0.1) -> None:
        self.patience = at_least("ReduceOnPlateau", "patience", patience, 1)
        self.gamma = fraction("ReduceOnPlateau", "gamma", gamma)

    def __repr__(self) -> str:
        return f"ReduceOnPlateau(patience={self.patience}, gamma={self.gamma})"

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Sequence[Any]) -> Array:
        """γ^r, where r is how often ``patience`` epochs in a row brought no new lowest loss (eq. 14i)."""
        losses = np.asarray(validation_losses, dtype=np.float64)
        lowest = np.full(losses.shape[1:], np.inf)
        waited, r = np.zeros((2, *losses.shape[1:]), dtype=int)
        for loss in losses:
            waited = np.where(loss < lowest, 0, waited + 1)
            lowest = np.fmin(lowest, loss)
            r = r + (waited == self.patience)
            waited = waited % self.patience
        return np.broadcast_to(self.gamma ** np.asarray(r), (steps, *losses.shape[1:]))


def at_least(owner: str, name: str, value: object, least: int) -> int:
    """Return an integer of at least ``least``, or raise ValueError."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner} expected {name} to be an integer of at least {least}, got {value!r}")
    return int(value)


def fraction(owner: str, name: str, value: object) -> float:
    """Return a number above 0 and at most 1, or raise ValueError."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 < float(value) <= 1:
        raise ValueError(f"{owner} expected {name} to be above 0 and at most 1, got {value!r}")
    return float(value)
