"""How does a network learn? Epochs of batches, each a forward pass, a backward pass and a step; a history of it all.

`Training.run` is the loop, and `Training.step` what textbooks show. It can stop after any step and go on from there as
if it had not: where it stands follows from its history, and the order of samples from seed and epoch.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.history import EarlyStopping, History
from minnet.layers import Array
from minnet.network import ORDER, Network, Seed, random_numbers
from minnet.optimizers import Optimizer, clip_gradient
from minnet.output import OutputLayer, mean_loss
from minnet.schedules import Schedule
from minnet.support import expect, fit, machine
from minnet.support.finite import Overflows
from minnet.support.scores import MONITORS, class_scores
from minnet.support.stack import plain

EVALUATION_ROWS = 512  # for which the layers' outputs are in memory at a time


class Ending(NamedTuple):
    """Why and where a training ended.

    Attributes
    ----------
    reason : {"epochs", "early stopping", "diverged", "interrupted"}
        Why.
    epoch, step : int
        After which step of which epoch, both counted from 1; before it, if it was that of a number that is not finite.
    split : str or None
        In which split such a number came up.
    rows : array of int or None
        The batch in which it did; None where the whole split was evaluated.
    """

    reason: str
    epoch: int
    step: int
    split: str | None = None
    rows: Array | None = None


def train(
    network: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    seed: Seed | None = None,
    on_epoch: Callable[[History], object] | None = None,
    **settings: Any,
) -> History:
    """Train a network, or each network of a stack, in place.

    Parameters
    ----------
    network, optimizer, dataset, epochs, batch_size, seed, settings
        As `Training` takes them: ``schedule``, ``clip_norm``, ``patience``, ``monitor`` and ``prove`` by name.
    on_epoch : callable, optional
        Called with the history after each epoch.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        As `Training` says.
    FloatingPointError
        If training a single network diverged; the message tells where the first number that is not finite came up,
        and the network gets the weights that were kept back. In a stack the networks that diverge are left
        behind, which `History.diverged` tells.
    """
    training = Training(network, optimizer, dataset, epochs, batch_size, seed, **settings)
    with machine.threads_for(network, training.batch_size):
        training.run(on_epoch)
    try:
        if training.ended and training.ended.reason == "diverged" and not training.stack:
            from minnet.lab.trace import divergence  # only now: the loop itself knows nothing of the lab

            raise FloatingPointError(divergence(training)["text"])
    finally:
        training.keep()
    return training.history


@dataclass(eq=False, repr=False)
class Training:
    """A training run that can stop after any step, and go on from there as if it had not.

    Parameters
    ----------
    network : Network
        Its D and K must be the data set's. Each network of a stack goes its own way through the same samples, and
        ends where a single one of its seed would have.
    optimizer : Optimizer
        `SGD` or `Adam`. Keeps its state, so that a second training goes on with it; the orders of samples are then
        those of the first one again, unless it gets another ``seed``.
    dataset : Dataset
        Its training split is learned, its validation split evaluated after each epoch; its test split is not touched.
    epochs : int
        How often to go through the training split, at least 1; with ``patience``, at most so often.
    batch_size : int, default 32
        Samples a step, at least 1. The last batch of an epoch may be shorter, and its loss is the mean over its own
        samples; a size beyond the training split makes one batch of all of it.
    seed : int or sequence of int, optional
        Determines the order of samples; by default the network's. A stack needs one for each of its networks.
    schedule : Schedule, optional
        What the optimizer's learning rate is multiplied by while training; see minnet/schedules.py.
    clip_norm : float, optional
        A longer gradient is shortened to this Euclidean norm (eq. 14f).
    patience, monitor
        As `EarlyStopping` takes them; without patience all epochs are done, and the last one's weights kept. A network
        of a stack that would have stopped keeps its best weights, whatever comes after.
    prove : bool, default True
        Whether to hold the network's gradient against complex steps before the first step (`minnet.lab.proof`).

    Attributes
    ----------
    history : History
        What happened so far; where training stands follows from its length.
    ended : Ending or None
        Why training ended, once it has.
    interrupted : bool
        Set it, from a signal handler say, and `run` returns after the step that is being taken.
    proof : dict or None
        How well the gradient agreed with the slope of the loss, as `minnet.lab.proof.prove` says; None if nothing was
        compared.
    kept_theta : array of the shape of theta
        The weights of the epoch that is kept, which `keep` gives the network.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, the data set does not fit the network, or seeds and networks are not equally
        many.
    """

    must_be_finite: ClassVar[bool] = True  # whether a single network's first number that is not finite ends it

    network: Network
    optimizer: Optimizer
    dataset: Dataset
    epochs: int
    batch_size: int = 32
    seed: Seed | None = None
    _: KW_ONLY
    schedule: Schedule | None = None
    clip_norm: float | None = None
    patience: int | None = None
    monitor: str = "loss"
    prove: bool = True

    def __post_init__(self) -> None:
        fit.check_settings(self)
        network, weights = self.network, self.dataset.sample_weight
        self.seeds = expect.seeds_for(network, self.seed)
        self.stack = network.theta.shape[:-1]
        self.train = network.check(*self.dataset.train, weights.get("train"))
        self.validation = network.check(*self.dataset.validation, weights.get("validation"))
        self.N = len(self.train[0])
        self.first_row: Any = 0  # or of each network its own, (S, 1)
        self.steps = -(-self.N // self.batch_size)  # an epoch
        self.early_stopping = None if self.patience is None else EarlyStopping(self.patience, self.monitor)
        self.lr = self.optimizer.lr
        self.history = History()
        self.kept_theta = network.theta.copy()
        self.ended: Any = None
        self.proof: dict[str, Any] | None = None
        self.interrupted = False
        self.overflows = Overflows(network, self.optimizer)
        self.seconds = 0.0  # that an interrupted epoch has taken

    def run(self, on_epoch: Callable[[History], object] | None = None) -> None:
        """Train until the epochs are done, or something ends it before; ``ended`` then tells what.

        Raises
        ------
        ValueError
            Before the first step if the network's gradient is wrong; after an epoch if a layer's W or dW is no longer
            the network's.
        """
        self.ended = self.over()
        self.network.check_views()
        if self.prove and self.place == (0, 0):
            from minnet.lab.proof import prove  # only now: the loop itself knows nothing of the lab

            self.proof = prove(self)
        with self.overflows.watched():
            while not self.ended:
                for rows in self.rest_of_epoch():  # where a checkpoint left it
                    self.step(rows)
                    if self.ended:  # interrupted, or the first number that is not finite
                        return
                self.close_epoch()
                if on_epoch is not None:
                    on_epoch(self.history)
                    self.network.check_views()

    @property
    def place(self) -> tuple[int, int]:
        """How many epochs are over, and how many steps of the one after them."""
        epochs_over = len(self.history.epoch)
        return epochs_over, len(self.history.batch_loss) - epochs_over * self.steps

    def rest_of_epoch(self) -> Iterator[Array]:
        """Give the rows of each batch that is left of the epoch, (B,) or (S, B), having set its learning rate."""
        epoch, taken = self.place
        self.started = time.perf_counter()
        order = self.order(epoch)
        losses = self.history.validation_loss
        factors = fit.factors_of(self.schedule, epoch, self.steps, self.epochs, losses)
        for step in range(self.steps):
            if factors is not None:  # after the last step as well, since the history gets its rate
                self.optimizer.lr = plain(self.lr * factors[step])
            if step >= taken:
                yield order[..., step * self.batch_size : (step + 1) * self.batch_size]

    def order(self, epoch: int) -> Array:
        """Shuffle the rows for an epoch: (N,), or (S, N), of each network its own."""
        orders = [random_numbers(seed, ORDER, epoch).permutation(self.N) for seed in self.seeds]
        return np.stack(orders) + self.first_row if self.stack else orders[0]

    def batch(self, rows: Array) -> tuple[Array, Array, Array | None]:
        """Gather the samples, targets and weights of some rows."""
        x, t, w = self.train
        return x.take(rows, axis=0), t.take(rows, axis=0), None if w is None else w.take(rows)

    def step(self, rows: Array) -> None:
        """Take a step down the gradient of the loss of one batch."""
        network = self.network
        x, t, w = self.batch(rows)
        loss = network.forward(x, t, False, w)
        network.backward()
        squared_norm = np.vecdot(network.dtheta, network.dtheta)
        if self.must_be_finite and not self.overflows.harmless(loss, squared_norm, x):
            self.end("diverged", "train", rows)
            return
        self.history.batch_loss.append(plain(loss))
        self.history.batch_norm.append(plain(squared_norm) ** 0.5)
        if self.clip_norm is not None:
            clip_gradient(network, squared_norm, self.clip_norm)
        self.optimizer.step(network)
        if self.interrupted:
            self.seconds += time.perf_counter() - self.started
            self.end("interrupted")

    def close_epoch(self) -> None:
        """Evaluate, append to the history, and keep the weights if they are to be kept."""
        network, history = self.network, self.history
        network.check_views()
        figures = {"train": self.evaluate("train"), "validation": self.evaluate("validation")}
        for split, (loss, *_) in figures.items():
            if self.must_be_finite and not self.overflows.harmless(loss):
                self.end("diverged", split)
                return
        for split, values in figures.items():  # only now: all columns stay of one length
            for name, value in zip(MONITORS, values, strict=False):
                getattr(history, f"{split}_{name}").append(value)
        norms = history.batch_norm[-self.steps :]
        history.gradient_norm.append(sum(norms) / self.steps)
        history.lr.append(plain(np.broadcast_to(self.optimizer.lr, self.stack)))
        history.penalty.append(plain(self.optimizer.penalty(network)))
        history.seconds.append(self.seconds + time.perf_counter() - self.started)
        history.epoch.append(len(history.epoch) + 1)
        self.seconds = 0.0
        kept = now = np.full(self.stack, len(history.epoch))
        if self.early_stopping is not None:
            kept = self.early_stopping.kept(history, self.steps)
        history.kept.append(kept)
        np.copyto(self.kept_theta, network.theta, where=np.expand_dims(kept == now, -1))
        self.ended = self.over()

    def evaluate(self, split: str) -> tuple[Any, ...]:
        """Compute mean loss and accuracy on a split, and on the validation split balanced accuracy and F1, too."""
        x, t, sample_weight = getattr(self, split)
        return measured(self.network, x, t, sample_weight, more=split == "validation")

    def over(self) -> Ending | None:
        """Tell why there is no epoch to come, if there is none."""
        history, epoch = self.history, len(self.history.epoch)
        if self.stack and epoch and not np.isfinite(history.train_loss[-1] + history.validation_loss[-1]).any():
            return Ending("diverged", epoch, self.steps)
        if self.early_stopping is not None and self.early_stopping.stopped(history).all():
            return Ending("early stopping", epoch, self.steps)
        return Ending("epochs", epoch, self.steps) if epoch >= self.epochs else None

    def keep(self) -> None:
        """Give the network the weights that are kept: of the best epoch, or of the last one that is over."""
        self.network.theta[...] = self.kept_theta

    def end(self, reason: str, split: str | None = None, rows: Array | None = None) -> None:
        """End here, before the step in which a number is not finite, or after the one that was interrupted."""
        epoch, taken = self.place
        step = taken + (reason == "diverged" and rows is not None)
        self.ended = Ending(reason, epoch + 1, step, split, rows)


def evaluate(network: Network, x: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, ...]:
    """Compute the mean loss and the accuracy of a network, or of each network of a stack.

    Parameters
    ----------
    x : array of shape (N, D)
        The samples.
    t : array of shape (N,) or (N, K)
        The targets: class numbers, or rows that sum to 1.
    sample_weight : array of shape (N,), optional
        How much each sample's loss counts; all the same by default (eq. 10a).

    Returns
    -------
    loss : float or array of shape (S,)
        The mean of the output layer's loss, in nats.
    accuracy : float or array of shape (S,)
        The share of samples whose most probable class is the target's largest.

    Raises
    ------
    TypeError, ValueError
        As `Network.check` says.
    """
    return measured(network, *network.check(x, t, sample_weight))


def measured(network: Network, x: Array, t: Array, sample_weight: Array | None, more: bool = False) -> tuple[Any, ...]:
    """Compute the `score` of samples that were checked."""
    return score(network.output, logits(network, x), t, sample_weight, more)


def logits(network: Network, x: Array) -> Array:
    """Compute the logits of samples that were checked; the layers hold a few rows at a time, the logits all."""
    starts = range(0, len(x), EVALUATION_ROWS)
    return np.concatenate([network.logits(x[i : i + EVALUATION_ROWS], check=False) for i in starts], axis=-2)


def score(
    output: OutputLayer, z: Array, t: Array, sample_weight: Array | None = None, more: bool = False
) -> tuple[Any, ...]:
    """Compute mean loss and accuracy of logits z of shape (N, K) or (S, N, K), for targets t of shape (N, K).

    If there are to be ``more``, also balanced accuracy and F1, in which each class counts the same: see `class_scores`.
    """
    predicted, classes = z.argmax(axis=-1), t.argmax(axis=-1)
    figures = [mean_loss(copy.copy(output), z, t, sample_weight), (predicted == classes).mean(axis=-1)]
    if more:
        figures += class_scores(predicted, classes, z.shape[-1])
    return tuple(map(plain, figures))
