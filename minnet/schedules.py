"""How should the learning rate change while training? Factors for it, by the step or by what the history shows.

A schedule is a pure function of where training is and what it has seen: nothing needs to be saved, and a run
that was interrupted goes on with the very same rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from minnet.support import expect
from minnet.support.stack import Array

Losses = Sequence[Any]


class Schedule(Protocol):
    """What training asks of a schedule."""

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Losses) -> Array:
        """Give what the optimizer's learning rate is multiplied by, for each step of the coming epoch.

        Parameters
        ----------
        epoch : int
            How many epochs are over.
        steps, epochs : int
            How many steps an epoch has, and how many epochs there are at most.
        validation_losses : sequence of float, or of arrays of shape (S,)
            One for each epoch that is over; of one training always the same list, which grows.

        Returns
        -------
        array of shape (steps,), or (steps, S) if each network of a stack has its own
        """


@dataclass(eq=False)
class StepDecay:
    """Multiply the rate by gamma after every so many epochs (eq. 14g).

    Parameters
    ----------
    every : int
        Epochs, at least 1.
    gamma : float, default 0.1
        Above 0 and at most 1.
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        expect.integer("StepDecay every", self.every)
        expect.number("StepDecay gamma", self.gamma, above=0, most=1)

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Losses) -> Array:
        """q^⌊E/every⌋ after E epochs, with q = gamma (eq. 14g)."""
        return np.full(steps, self.gamma ** (epoch // self.every))


@dataclass(eq=False)
class CosineDecay:
    """Rise along a line, then fall to 0 along half a cosine, step by step (Loshchilov and Hutter 2017; eq. 14h).

    Parameters
    ----------
    warmup : int, default 0
        Epochs of the rise, at least 0.
    """

    warmup: int = 0

    def __post_init__(self) -> None:
        expect.integer("CosineDecay warmup", self.warmup, least=0)

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Losses) -> Array:
        """τ/τ₀ in the τ₀ steps of the warm-up, then ½ (1 + cos π (τ − 1 − τ₀)/(τ₁ − τ₀)), of τ₁ in all (eq. 14h)."""
        i = np.arange(epoch * steps, (epoch + 1) * steps)
        warm, total = self.warmup * steps, epochs * steps
        fall = 0.5 * (1 + np.cos(np.pi * (i - warm) / max(total - warm, 1)))
        return np.where(i < warm, (i + 1) / max(warm, 1), fall)


@dataclass(eq=False)
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

    patience: int = 5
    gamma: float = 0.1
    _known: Any = field(default=None, init=False, repr=False)  # the losses looked at, how many, what they showed

    def __post_init__(self) -> None:
        expect.integer("ReduceOnPlateau patience", self.patience)
        expect.number("ReduceOnPlateau gamma", self.gamma, above=0, most=1)

    def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Losses) -> Array:
        """q^R with q = gamma, R being how often ``patience`` epochs in a row brought no new lowest loss (eq. 14i)."""
        r = self.reductions(validation_losses)
        return np.full((steps, *np.shape(r)), self.gamma**r)

    def reductions(self, losses: Losses) -> Any:
        """Give r; of a list that has grown since the last time, only what is new is looked at."""
        seen, (lowest, waited, r) = 0, (np.inf, 0, 0)
        if self._known is not None and self._known[0] is losses:
            _, seen, (lowest, waited, r) = self._known
        for loss in losses[seen:]:
            waited = (waited + 1) * (1 - (loss < lowest))  # 0 after a new lowest
            lowest = np.fmin(lowest, loss)
            r = r + (waited == self.patience)
            waited = waited % self.patience
        self._known = losses, len(losses), (lowest, waited, r)
        return r
