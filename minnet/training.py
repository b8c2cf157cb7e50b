"""How does a network learn? Epochs of batches, each a forward pass, a backward pass and a step; a history of it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset
from minnet.network import Network, random_streams
from minnet.optimizers import SGD
from minnet.output import target_rows

Array = npt.NDArray[Any]

EVALUATION_ROWS = 4096  # rows evaluated at a time, so that memory does not grow with the data set


@dataclass
class History:
    """What happened in a training run: a list with an entry an epoch each, and one with an entry a step.

    Attributes
    ----------
    epoch : list of int
        1, 2, …
    train_loss, validation_loss : lists of float
        Mean cross-entropy in nats, of the network as it was at the end of the epoch.
    train_accuracy, validation_accuracy : lists of float
        Share of samples whose most probable class is the right one, likewise.
    penalty : list of float
        The weight decay's ½ λ Σ W², which is no part of the losses.
    gradient_norm : list of float
        Mean over the epoch's steps of the Euclidean norm of the batch's gradient.
    lr : list of float
        The learning rate of the epoch.
    seconds : list of float
        How long the epoch took, its evaluation included.
    batch_loss : list of float
        By step: the batch's mean cross-entropy before the step.
    """

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    batch_loss: list[float] = field(default_factory=list)

    def by_epoch(self) -> dict[str, list[Any]]:
        """Return the columns that have an entry an epoch, by name, in the order above."""
        return {name: column for name, column in vars(self).items() if name != "batch_loss"}


def train(
    network: Network,
    optimizer: SGD,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    seed: int | None = None,
    on_epoch: Callable[[History], object] | None = None,
) -> History:
    """Train a network in place.

    Parameters
    ----------
    network : Network
        Its D and K must be the data set's.
    optimizer : SGD
        Keeps its velocity, so that a second call goes on where the first one ended.
    dataset : Dataset
        Its training part is learned, its validation part evaluated after each epoch; its test part is not touched.
    epochs : int
        How often to go through the training part, at least 1.
    batch_size : int, default 32
        Samples a step, at least 1. The last batch of an epoch may be shorter, and its loss is the mean over its own
        samples; a size beyond the training part makes one batch of all of it.
    seed : int, optional
        Determines the order of samples; by default the network's seed.
    on_epoch : callable, optional
        Called with the history after each epoch.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If ``epochs`` or ``batch_size`` is below 1, or the data set does not fit the network.
    FloatingPointError
        If training diverged: a loss is no longer finite. The network is then of no use.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"train expected {name} to be an integer of at least 1, got {value!r}")
    if (dataset.D, dataset.K) != (network.D, network.K):
        raise ValueError(
            f"data set {dataset.name!r} has {dataset.D} features and {dataset.K} classes, "
            f"but the network takes {network.D} and gives {network.K}"
        )
    x = network.check_features(dataset.train.x)
    t = target_rows(dataset.train.t, network.K, network.theta.dtype)
    order = random_streams(network.seed if seed is None else seed).order

    history = History()
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # overflow shows in the losses, which are checked below
            batch_losses, gradient_norm = train_epoch(network, optimizer, x, t, batch_size, order)
            train_loss, train_accuracy = evaluate(network, x, t)
            validation_loss, validation_accuracy = evaluate(network, *dataset.validation)
        if not all(map(math.isfinite, [*batch_losses, train_loss, validation_loss])):
            raise FloatingPointError(
                f"training diverged in epoch {epoch}: the loss is no longer finite; "
                f"lower the learning rate, which is {optimizer.lr}"
            )
        history.epoch.append(epoch)
        history.train_loss.append(train_loss)
        history.validation_loss.append(validation_loss)
        history.train_accuracy.append(train_accuracy)
        history.validation_accuracy.append(validation_accuracy)
        history.penalty.append(optimizer.penalty(network))
        history.gradient_norm.append(gradient_norm)
        history.lr.append(optimizer.lr)
        history.batch_loss += batch_losses
        history.seconds.append(time.perf_counter() - started)
        if on_epoch is not None:
            on_epoch(history)
    return history


def train_epoch(
    network: Network, optimizer: SGD, x: Array, t: Array, batch_size: int, order: np.random.Generator
) -> tuple[list[float], float]:
    """Go through all samples once, in a new random order, and step after each batch.

    Parameters
    ----------
    x, t : arrays of shape (N, D) and (N, K)
        Samples and target rows, checked and in the network's dtype.
    order : numpy.random.Generator
        Draws the order of samples.

    Returns
    -------
    batch_losses : list of float
        Each batch's loss before its step.
    gradient_norm : float
        The mean of the batch gradients' Euclidean norms.
    """
    shuffled = order.permutation(len(x))
    losses, squared_norms = [], []
    for start in range(0, len(x), batch_size):
        rows = shuffled[start : start + batch_size]
        losses.append(float(network.forward(x[rows], t[rows], check=False)))
        network.backward()
        squared_norms.append(float(network.dtheta @ network.dtheta))
        optimizer.step(network)
    return losses, float(np.sqrt(squared_norms).mean())


def evaluate(network: Network, x: Array, t: Array) -> tuple[float, float]:
    """Compute the mean loss and the accuracy of a network on samples, a few thousand at a time.

    Parameters
    ----------
    x : array of shape (N, D)
        The samples.
    t : array of shape (N,) or (N, K)
        The targets: class numbers, or rows that sum to 1.

    Returns
    -------
    loss : float
        The mean cross-entropy, in nats.
    accuracy : float
        The share of samples whose most probable class is the target's largest.

    Raises
    ------
    TypeError, ValueError
        As `Network.check_features` and `minnet.output.target_rows` say.
    """
    t = target_rows(t, network.K, network.theta.dtype)
    if len(x) != len(t):
        raise ValueError(f"expected as many targets as samples, got {len(t)} targets for {len(x)} samples")
    summed_loss, right = 0.0, 0
    for start in range(0, len(x), EVALUATION_ROWS):
        x_part, t_part = x[start : start + EVALUATION_ROWS], t[start : start + EVALUATION_ROWS]
        z = network.logits(x_part)
        summed_loss += float(network.output.forward(z, t_part)) * len(x_part)
        right += int((z.argmax(axis=-1) == t_part.argmax(axis=-1)).sum())
    return summed_loss / len(x), right / len(x)
