"""What does the history say: how training went, which epoch's weights are kept, and whether it is time to stop?"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from minnet.support import expect
from minnet.support.scores import MONITORS
from minnet.support.stack import at_epochs, hold, member

Column = list[Any]
BY_STEP = ("batch_loss", "batch_norm")


@dataclass
class History:
    """What happened in a training run: lists with an entry an epoch each, and two with an entry a step.

    For a single network the entries are numbers; for a stack of S networks they are arrays of shape (S,), so that
    ``np.array(history.train_loss)`` has shape (epochs, S).

    Attributes
    ----------
    epoch : list of int
        1, 2, …
    train_loss, validation_loss : lists
        Mean loss in nats (weighted and smoothed as the output layer's is), of the network at the end of the epoch.
    train_accuracy, validation_accuracy : lists
        Share of samples whose most probable class is the right one, likewise.
    validation_balanced_accuracy, validation_f1 : lists
        Recall and F1, the mean over classes: each counts the same, however few samples it has.
    penalty : list
        The weight decay's ½ λ Σ W², which is no part of the losses.
    gradient_norm : list
        Mean over the epoch's steps of the Euclidean norm of the batch's gradient, before it is clipped.
    lr : list
        The learning rate of the epoch's last step.
    kept : list
        The epoch whose weights are kept so far: this one, or with early stopping the best.
    seconds : list of float
        How long the epoch took, its evaluation included.
    batch_loss, batch_norm : lists
        By step: the batch's mean loss before the step, and the Euclidean norm of its gradient.
    """

    epoch: Column = field(default_factory=list)
    train_loss: Column = field(default_factory=list)
    validation_loss: Column = field(default_factory=list)
    train_accuracy: Column = field(default_factory=list)
    validation_accuracy: Column = field(default_factory=list)
    validation_balanced_accuracy: Column = field(default_factory=list)
    validation_f1: Column = field(default_factory=list)
    penalty: Column = field(default_factory=list)
    gradient_norm: Column = field(default_factory=list)
    lr: Column = field(default_factory=list)
    kept: Column = field(default_factory=list)
    seconds: Column = field(default_factory=list)
    batch_loss: Column = field(default_factory=list)
    batch_norm: Column = field(default_factory=list)

    def by_epoch(self) -> dict[str, Column]:
        """Return the columns that have an entry an epoch, by name."""
        return {name: column for name, column in vars(self).items() if name not in BY_STEP}

    def member(self, s: int) -> Self:
        """Return the history of network s of a stack."""
        return type(self)(**member(vars(self), s))

    def diverged(self) -> Any:
        """Tell which networks diverged, by a loss that is not finite: a bool, or an array of S of them."""
        return ~np.isfinite(np.array([*self.train_loss, *self.validation_loss, *self.batch_loss])).all(axis=0)

    def final(self, name: str) -> Any:
        """Return what a column says of the weights that are kept: a float, or an array of one for each network.

        Raises
        ------
        ValueError
            If no epoch is over.
        """
        if not self.epoch:
            raise ValueError("expected a history with at least one epoch, got an empty one")
        return at_epochs(getattr(self, name), np.asarray(self.kept[-1]))

    def best(self) -> int:
        """Return the number of the network whose weights kept have the lowest validation loss, and did not diverge.

        Raises
        ------
        ValueError
            If this is not the history of a stack, or all of it diverged.
        """
        losses = self.final("validation_loss")
        losses = np.where(self.diverged(), np.inf, losses)
        if losses.ndim == 0 or not np.isfinite(losses).any():
            raise ValueError("expected the history of a stack with a network that did not diverge")
        return int(losses.argmin())


class EarlyStopping:
    """Stop after so many epochs in a row without a new best one, and keep its weights (eq. 14j).

    Parameters
    ----------
    patience : int
        Epochs, at least 1. As many as there are epochs never stop, and keep the best weights all the same.
    monitor : {"loss", "accuracy", "balanced_accuracy", "f1"}, default "loss"
        What of the validation split makes an epoch the best one.
    """

    def __init__(self, patience: int, monitor: str = "loss") -> None:
        self.patience = expect.integer("train patience", patience)
        self.monitor = "validation_" + expect.one_of("train monitor", monitor, MONITORS)

    def stopped(self, history: History) -> Any:
        """Tell whether the epoch kept is ``patience`` epochs old, of each network of a stack."""
        age = len(history.kept) - history.kept[-1] if history.kept else 0
        return np.asarray(age >= self.patience)

    def kept(self, history: History, steps: int) -> Any:
        """Return the epoch to keep, now that there is another; 0 while none is finite (eq. 14j)."""
        stopped = self.stopped(history)
        hold(history, steps, stopped)
        column: Column = getattr(history, self.monitor)
        before = np.asarray(history.kept[-1] if history.kept else np.zeros_like(column[-1], int))
        no_better = np.greater_equal if self.monitor == "validation_loss" else np.less_equal
        improved = np.isfinite(column[-1]) & ~no_better(column[-1], at_epochs(column, before))
        return np.where(improved & ~stopped, len(column), before)
