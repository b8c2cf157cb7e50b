"""How does a network learn? Epochs of batches, each a forward pass, a backward pass and a step; a history of it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset
from minnet.network import Network, check_seed, random_streams
from minnet.optimizers import SGD
from minnet.output import target_rows

Array = npt.NDArray[Any]

EVALUATION_ROWS = 512  # evaluated at a time, so that memory does not grow with the data set


@dataclass
class History:
    """What happened in a training run: a list with an entry an epoch each, and one with an entry a step.

    For a single network the entries are numbers; for a stack of S networks they are arrays of shape (S,), so that
    ``np.array(history.train_loss)`` has shape (epochs, S).

    Attributes
    ----------
    epoch : list of int
        1, 2, …
    train_loss, validation_loss : lists
        Mean cross-entropy in nats, of the network as it was at the end of the epoch.
    train_accuracy, validation_accuracy : lists
        Share of samples whose most probable class is the right one, likewise.
    penalty : list
        The weight decay's ½ λ Σ W², which is no part of the losses.
    gradient_norm : list
        Mean over the epoch's steps of the Euclidean norm of the batch's gradient.
    lr : list
        The learning rate of the epoch.
    seconds : list of float
        How long the epoch took, its evaluation included.
    batch_loss : list
        By step: the batch's mean cross-entropy before the step.
    """

    epoch: list[int] = field(default_factory=list)
    train_loss: list[Any] = field(default_factory=list)
    validation_loss: list[Any] = field(default_factory=list)
    train_accuracy: list[Any] = field(default_factory=list)
    validation_accuracy: list[Any] = field(default_factory=list)
    penalty: list[Any] = field(default_factory=list)
    gradient_norm: list[Any] = field(default_factory=list)
    lr: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    batch_loss: list[Any] = field(default_factory=list)

    def by_epoch(self) -> dict[str, list[Any]]:
        """Return the columns that have an entry an epoch, by name, in the order above."""
        return {name: column for name, column in vars(self).items() if name != "batch_loss"}

    def member(self, s: int) -> History:
        """Return the history of network s of a stack."""
        pick = {name: [v[s] if np.ndim(v) else v for v in column] for name, column in vars(self).items()}
        return History(**pick)

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """Join the histories of the slices of a stack into one of the whole."""
        together = cls()
        for name, columns in vars(together).items():
            for entries in zip(*(getattr(part, name) for part in parts), strict=True):
                columns.append(sum(entries) if name == "seconds" else joined(entries))
        return together

    def diverged(self) -> Any:
        """Tell which networks diverged, by a loss that is not finite: a bool, or an array of S of them."""
        return ~np.isfinite(np.array([*self.train_loss, *self.validation_loss, *self.batch_loss])).all(axis=0)

    def best_epoch(self) -> Any:
        """Return the epoch with the lowest validation loss, of each network of a stack; 0 for one without any."""
        losses = np.array(self.validation_loss)
        finite = np.isfinite(losses)
        return np.where(finite.any(axis=0), np.where(finite, losses, np.inf).argmin(axis=0) + 1, 0)[()]

    def best(self) -> int:
        """Return the number of the network with the lowest validation loss at the end, of those that did not diverge.

        Raises
        ------
        ValueError
            If this is not the history of a stack, or all of it diverged.
        """
        last = np.where(self.diverged(), np.inf, self.validation_loss[-1])
        if last.ndim == 0 or not np.isfinite(last).any():
            raise ValueError("expected the history of a stack with a network that did not diverge")
        return int(last.argmin())


def train(
    network: Network,
    optimizer: SGD,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    seed: int | Sequence[int] | None = None,
    on_epoch: Callable[[History], object] | None = None,
    keep_best: bool = False,
) -> History:
    """Train a network, or each network of a stack, in place.

    Parameters
    ----------
    network : Network
        Its D and K must be the data set's. Each network of a stack goes its own way through the same samples, and
        ends where a single one of its seed would have.
    optimizer : SGD
        Keeps its velocity, so that a second call goes on where the first one ended.
    dataset : Dataset
        Its training part is learned, its validation part evaluated after each epoch; its test part is not touched.
    epochs : int
        How often to go through the training part, at least 1.
    batch_size : int, default 32
        Samples a step, at least 1. The last batch of an epoch may be shorter, and its loss is the mean over its own
        samples; a size beyond the training part makes one batch of all of it.
    seed : int or sequence of int, optional
        Determines the order of samples; by default the network's. A stack needs one for each of its networks.
    on_epoch : callable, optional
        Called with the history after each epoch.
    keep_best : bool, default False
        Whether to give each network the weights of its epoch of lowest validation loss back at the end.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If ``epochs`` or ``batch_size`` is below 1, the data set does not fit the network, or seeds and networks are
        not equally many.
    FloatingPointError
        If training a single network diverged: a loss is no longer finite, and the network of no use. In a stack the
        networks that diverge are left behind, which `History.diverged` tells.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"train expected {name} to be an integer of at least 1, got {value!r}")
    if (dataset.D, dataset.K) != (network.D, network.K):
        raise ValueError(
            f"data set {dataset.name!r} has {dataset.D} features and {dataset.K} classes, "
            f"but the network takes {network.D} and gives {network.K}"
        )
    seeds = check_seed(network.seed if seed is None else seed)
    stack = network.theta.shape[:-1]
    if stack != (() if isinstance(seeds, int) else (len(seeds),)):
        raise ValueError(f"train expected one seed for each network, got {seeds} for networks of shape {stack}")
    orders = [random_streams(each).order for each in ((seeds,) if isinstance(seeds, int) else seeds)]
    x = network.check_features(dataset.train.x)
    t = target_rows(dataset.train.t, network.K, network.theta.dtype)

    history = History()
    lowest, best_theta = np.full(stack, np.inf), network.theta.copy() if keep_best else network.theta
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # overflow shows in the losses, which are checked below
            batch_losses, gradient_norm = train_epoch(network, optimizer, x, t, batch_size, orders)
            train_loss, train_accuracy = evaluate(network, x, t)
            validation_loss, validation_accuracy = evaluate(network, *dataset.validation)
            penalty = optimizer.penalty(network)
        history.epoch.append(epoch)
        history.train_loss.append(train_loss)
        history.validation_loss.append(validation_loss)
        history.train_accuracy.append(train_accuracy)
        history.validation_accuracy.append(validation_accuracy)
        history.penalty.append(penalty)
        history.gradient_norm.append(gradient_norm)
        history.lr.append(optimizer.lr)
        history.batch_loss += batch_losses
        history.seconds.append(time.perf_counter() - started)
        if not stack and not np.isfinite([*batch_losses, train_loss, validation_loss]).all():
            raise FloatingPointError(
                f"training diverged in epoch {epoch}: the loss is no longer finite; "
                f"lower the learning rate, which is {optimizer.lr}"
            )
        if keep_best:
            better = validation_loss < lowest
            lowest = np.where(better, validation_loss, lowest)
            np.copyto(best_theta, network.theta, where=np.expand_dims(better, -1))
        if on_epoch is not None:
            on_epoch(history)
    if keep_best:
        network.theta[...] = best_theta
    return history


def train_in_slices(
    network: Network,
    optimizer: SGD,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    memory: float = math.inf,
    on_epoch: Callable[[History], object] | None = None,
    keep_best: bool = False,
) -> History:
    """Train a stack of networks in slices that fit into memory, with the same results as all at once.

    Parameters
    ----------
    network : Network
        A stack.
    memory : float, default inf
        How many bytes training may use beside the data set and the stack's own theta.
    optimizer, dataset, epochs, batch_size, on_epoch, keep_best
        As `train` takes them; ``on_epoch`` is called for each slice.

    Returns
    -------
    History
        Of the whole stack.

    Raises
    ------
    ValueError
        If not even one network fits, or as `train`.
    """
    S = len(network.theta)
    shared, each = bytes_of_training(network, batch_size, len(dataset.train.x))
    fitting = S if math.isinf(memory) else min(S, int((memory - shared) // each))
    if fitting < 1:
        raise ValueError(
            f"training even one of these networks takes about {(shared + each) / 2**20:.1f} MiB, "
            f"but only {memory / 2**20:.1f} MiB are allowed"
        )
    histories = []
    for start in range(0, S, fitting):
        stop = min(start + fitting, S)
        part, optimizer_part = network.part(start, stop), optimizer.part(start, stop)
        histories.append(train(part, optimizer_part, dataset, epochs, batch_size, None, on_epoch, keep_best))
    return History.joined(histories)


def bytes_of_training(network: Network, batch_size: int, N: int) -> tuple[int, int]:
    """Estimate the memory that training takes: once for any number of networks, and for each network of a stack."""
    n, itemsize = network.theta.shape[-1], network.theta.itemsize
    widths = sum(shape[-1] for layer in network.layers for name, shape in layer.shapes.items() if name == "W")
    shared = EVALUATION_ROWS * (network.D + network.K)  # the samples evaluated
    each = 6 * n  # dtheta, velocity, scratch, the best theta so far, temporaries of weight decay
    each += min(batch_size, N) * (network.D + network.K + 6 * widths)  # a batch; each layer's z, a, dz, da, temporaries
    each += EVALUATION_ROWS * 5 * widths
    return itemsize * shared, itemsize * each + 8 * N  # and an order of samples


def train_epoch(
    network: Network, optimizer: SGD, x: Array, t: Array, batch_size: int, orders: Sequence[np.random.Generator]
) -> tuple[list[Any], Any]:
    """Go through all samples once, in a new random order, and step after each batch.

    Parameters
    ----------
    x, t : arrays of shape (N, D) and (N, K)
        Samples and target rows, checked and in the network's dtype.
    orders : sequence of numpy.random.Generator
        Draws the order of samples, one for each network.

    Returns
    -------
    batch_losses : list
        Each batch's loss before its step, a float, or for a stack an array of shape (S,).
    gradient_norm : float or array of shape (S,)
        The mean of the batch gradients' Euclidean norms.
    """
    N, stack = len(x), network.theta.shape[:-1]
    shuffled = np.stack([order.permutation(N) for order in orders]).reshape(*stack, N)
    losses, squared_norms = [], []
    for start in range(0, N, batch_size):
        rows = shuffled[..., start : start + batch_size]
        losses.append(network.forward(x.take(rows, axis=0), t.take(rows, axis=0), check=False))
        network.backward()
        squared_norms.append(np.vecdot(network.dtheta, network.dtheta))
        optimizer.step(network)
    if not stack:
        losses = [float(loss) for loss in losses]
    return losses, plain(np.sqrt(squared_norms).mean(axis=0))


def joined(entries: Sequence[Any]) -> Any:
    """Join what the slices of a stack have, each a number for all of its networks or an array of one for each."""
    return np.concatenate(entries) if np.ndim(entries[0]) else entries[0]


def plain(value: Any) -> Any:
    """Return a number for a single network, an array for a stack."""
    return float(value) if np.ndim(value) == 0 else value


def evaluate(network: Network, x: Array, t: Array) -> tuple[Any, Any]:
    """Compute the mean loss and the accuracy of a network, or of each network of a stack, a few samples at a time.

    Parameters
    ----------
    x : array of shape (N, D)
        The samples.
    t : array of shape (N,) or (N, K)
        The targets: class numbers, or rows that sum to 1.

    Returns
    -------
    loss : float or array of shape (S,)
        The mean cross-entropy, in nats.
    accuracy : float or array of shape (S,)
        The share of samples whose most probable class is the target's largest.

    Raises
    ------
    TypeError, ValueError
        As `Network.check_features` and `minnet.output.target_rows` say.
    """
    x = network.check_features(x)
    t = target_rows(t, network.K, network.theta.dtype)
    if len(x) != len(t):
        raise ValueError(f"expected as many targets as samples, got {len(t)} targets for {len(x)} samples")
    summed_loss, right = np.zeros(network.theta.shape[:-1]), np.zeros(network.theta.shape[:-1], dtype=int)
    for start in range(0, len(x), EVALUATION_ROWS):
        x_part, t_part = x[start : start + EVALUATION_ROWS], t[start : start + EVALUATION_ROWS]
        z = network.logits(x_part, check=False)
        summed_loss += network.output.forward(z, t_part).astype(np.float64) * len(x_part)
        right += (z.argmax(axis=-1) == t_part.argmax(axis=-1)).sum(axis=-1)
    return plain(summed_loss / len(x)), plain(right / len(x))
