"""How does a network learn? Epochs of batches, each a forward pass, a backward pass and a step; a history of it all.

`train_epoch` is the loop that textbooks show. `Training` is what people rely on: the same loop, which can stop after
any step and go on from there as if it had not, stops early, and says where the first number that is not finite came up.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset
from minnet.network import Network, check_seed, random_streams
from minnet.optimizers import Optimizer, clip_gradient
from minnet.output import relative_weights, target_rows
from minnet.schedules import Schedule

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
        Mean loss in nats (weighted and smoothed as the output layer's is), of the network at the end of the epoch.
    train_accuracy, validation_accuracy : lists
        Share of samples whose most probable class is the right one, likewise.
    penalty : list
        The weight decay's ½ λ Σ W², which is no part of the losses.
    gradient_norm : list
        Mean over the epoch's steps of the Euclidean norm of the batch's gradient, before it is clipped.
    lr : list
        The learning rate of the epoch's last step.
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
        """Join the histories of the slices of a stack into one of the whole.

        A slice all of whose networks stopped early, before others did, is taken to stay as it was then.
        """
        together = cls()
        for name, columns in vars(together).items():
            slices = [list(getattr(part, name)) for part in parts]
            longest = max(slices, key=len)
            for each in slices:
                each += [0.0 if name == "seconds" else each[-1]] * (len(longest) - len(each))
            if name == "epoch":
                columns += longest
                continue
            for entries in zip(*slices, strict=True):
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


MONITORS = {"loss": "validation_loss", "accuracy": "validation_accuracy"}


def train(
    network: Network,
    optimizer: Optimizer,
    dataset: Dataset,
    epochs: int,
    batch_size: int = 32,
    seed: int | Sequence[int] | None = None,
    on_epoch: Callable[[History], object] | None = None,
    keep_best: bool = False,
    *,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    memory: float = math.inf,
) -> History:
    """Train a network, or each network of a stack, in place.

    Parameters
    ----------
    network : Network
        Its D and K must be the data set's. Each network of a stack goes its own way through the same samples, and
        ends where a single one of its seed would have.
    optimizer : Optimizer
        `SGD` or `Adam`. Keeps its memory, so that a second call goes on with it (but not in slices); the orders of
        samples are then those of the first call again, unless it gets another ``seed``.
    dataset : Dataset
        Its training part is learned, its validation part evaluated after each epoch; its test part is not touched.
    epochs : int
        How often to go through the training part, at least 1; with ``patience``, at most so often.
    batch_size : int, default 32
        Samples a step, at least 1. The last batch of an epoch may be shorter, and its loss is the mean over its own
        samples; a size beyond the training part makes one batch of all of it.
    seed : int or sequence of int, optional
        Determines the order of samples; by default the network's. A stack needs one for each of its networks.
    on_epoch : callable, optional
        Called with the history after each epoch.
    keep_best : bool, default False
        Whether to give each network the weights of its best epoch back at the end.
    schedule : Schedule, optional
        What the optimizer's learning rate is multiplied by while training; see minnet/schedules.py.
    clip_norm : float, optional
        A longer gradient is shortened to this Euclidean norm (eq. 14f).
    patience : int, optional
        Stop after so many epochs in a row without a new best one, and restore its weights, always (eq. 14j). A network
        of a stack that would have stopped keeps its best weights, whatever comes after.
    monitor : {"loss", "accuracy"}, default "loss"
        What of the validation part makes an epoch the best one.
    memory : float, default inf
        How many bytes training a stack may use beside the data set and the stack's own theta. One that does not fit is
        trained in slices, with the same results; ``on_epoch`` is then called for each slice.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If a setting is out of its range, the data set does not fit the network, seeds and networks are not equally
        many, or not even one network fits into ``memory``.
    FloatingPointError
        If training a single network diverged; the message tells where the first number that is not finite came up,
        and the network gets the weights of its last good epoch back. In a stack the networks that diverge are left
        behind, which `History.diverged` tells.
    """
    settings: dict[str, Any] = {"schedule": schedule, "clip_norm": clip_norm, "patience": patience}
    settings |= {"monitor": monitor, "memory": memory, "keep_best": keep_best}
    training = Training(network, optimizer, dataset, epochs, batch_size, seed, **settings)
    training.run(on_epoch)
    if training.ended["reason"] == "diverged" and network.theta.ndim == 1:
        raise FloatingPointError(training.ended["text"])
    return training.history


class Training:
    """A training run that can stop after any step, and go on from there as if it had not.

    Parameters
    ----------
    network, optimizer, dataset, epochs, batch_size, seed, schedule, clip_norm, patience, monitor, keep_best, memory
        As `train` takes them.

    Attributes
    ----------
    interrupted : bool
        Set it, from a signal handler say, and `run` returns after the step that is being taken.
    ended : dict
        Why training ended, once it has: its "reason" ("epochs", "early stopping", "diverged" or "interrupted"), a
        "text" that tells more, and the numbers in it.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        dataset: Dataset,
        epochs: int,
        batch_size: int = 32,
        seed: int | Sequence[int] | None = None,
        *,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        patience: int | None = None,
        monitor: str = "loss",
        keep_best: bool = False,
        memory: float = math.inf,
    ) -> None:
        for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
            if name == "patience" and value is None:
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise ValueError(f"train expected {name} to be an integer of at least 1, got {value!r}")
        number = isinstance(clip_norm, int | float | np.floating) and not isinstance(clip_norm, bool)
        if clip_norm is not None and not (number and 0 < clip_norm < math.inf):
            raise ValueError(f"train expected clip_norm to be a finite number above 0, got {clip_norm!r}")
        if not isinstance(memory, int | float) or not memory > 0:
            raise ValueError(f"train expected memory to be a number of bytes above 0, got {memory!r}")
        if schedule is not None and (isinstance(schedule, type) or not hasattr(schedule, "factors")):
            raise TypeError(f"train expected a schedule such as CosineDecay(), got {schedule!r}")
        if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
            raise TypeError(f"train expected an optimizer such as SGD(0.1), got {optimizer!r}")
        if batch_size == 1 and any("running_mean" in layer.shapes for layer in network.layers):
            raise ValueError("batch normalisation learns nothing from batches of one sample: use a larger batch_size")
        if monitor not in MONITORS:
            raise ValueError(f"train expected monitor to be one of {', '.join(MONITORS)}, got {monitor!r}")
        if (dataset.D, dataset.K) != (network.D, network.K):
            raise ValueError(
                f"data set {dataset.name!r} has {dataset.D} features and {dataset.K} classes, "
                f"but the network takes {network.D} and gives {network.K}"
            )
        seeds = check_seed(network.seed if seed is None else seed)
        stack = network.theta.shape[:-1]
        if stack != (() if isinstance(seeds, int) else (len(seeds),)):
            raise ValueError(f"train expected one seed for each network, got {seeds} for networks of shape {stack}")
        self.seeds = (seeds,) if isinstance(seeds, int) else seeds
        self.network, self.optimizer, self.dataset = network, optimizer, dataset
        self.epochs, self.batch_size, self.schedule, self.clip_norm = epochs, batch_size, schedule, clip_norm
        self.patience, self.monitor, self.keep_best = patience, monitor, keep_best or patience is not None
        self.x = network.check_features(dataset.train.x)
        self.t = target_rows(dataset.train.t, network.K, network.theta.dtype)
        weights = dataset.weights.get("train")
        self.weights = None if weights is None else relative_weights(weights, len(self.x), network.theta.dtype)
        self.steps = -(-len(self.x) // batch_size)  # an epoch
        self.interrupted = self.overflowed = False
        self.ended: dict[str, Any] = {}

        self.slice_size = len(self.seeds)
        if stack and not math.isinf(memory):
            shared, each = bytes_of_training(network, batch_size, len(self.x))
            self.slice_size = min(self.slice_size, int((memory - shared) // each))
            if self.slice_size < 1:
                raise ValueError(
                    f"training even one of these networks takes about {(shared + each) / 2**20:.1f} MiB, "
                    f"but only {memory / 2**20:.1f} MiB are allowed"
                )
        self.finished: list[History] = []
        self.finished_best: list[Array] = []
        self._begin_slice()

    def _begin_slice(self) -> None:
        """Take the next networks of a stack, or all there is."""
        start = len(self.finished) * self.slice_size
        stop = min(start + self.slice_size, len(self.seeds))
        whole = stop - start == len(self.seeds)
        self.slice = self.network if whole else self.network.part(start, stop)
        self.slice_optimizer = self.optimizer if whole else self.optimizer.part(start, stop)
        self.lr = self.slice_optimizer.lr
        self.orders = [random_streams(seed).order for seed in self.seeds[start:stop]]
        self.slice_history, self.step, self.squared_norms, self.seconds = History(), 0, list[Any](), 0.0
        stack = self.slice.theta.shape[:-1]
        self.best = np.full(stack, -np.inf)
        self.best_epoch, self.stopped = np.zeros((2, *stack), dtype=int)
        self.good_theta = self.slice.theta.copy()  # of the best epoch, or if that is not wanted the last good one

    @property
    def history(self) -> History:
        """What happened so far, in all networks whose first epoch is over."""
        if not self.finished:
            return self.slice_history
        begun = [self.slice_history] if self.slice_history.epoch else []
        return History.joined([*self.finished, *begun])

    @property
    def epoch_kept(self) -> Any:
        """The epoch whose weights the network, or each network of a stack (as in ``history``), has at the end."""
        best = self.best_epoch
        if self.finished:
            begun = [best] if self.slice_history.epoch else []
            best = np.concatenate([*self.finished_best, *begun])
        over = np.full(np.shape(best), len(self.history.epoch))
        return np.where((best > 0) & self.keep_best, best, over)[()]

    def run(self, on_epoch: Callable[[History], object] | None = None) -> None:
        """Train until the epochs are done, or something ends it before; ``ended`` then tells what."""
        self.ended = {}
        try:
            self._run(on_epoch)
        finally:
            self.slice_optimizer.lr = self.lr  # not what the schedule made of it

    def _run(self, on_epoch: Callable[[History], object] | None) -> None:
        """Do what `run` says, and leave the optimizer with the learning rate of the last step."""
        while not self.ended:
            over = len(self.slice_history.epoch)
            if over == self.epochs or self.stopped.all() or (over and self._all_diverged()):
                if self.keep_best:
                    self.slice.theta[...] = self.good_theta
                if (len(self.finished) + 1) * self.slice_size >= len(self.seeds):
                    self._end()
                    break
                self.finished.append(self.slice_history)
                self.finished_best.append(np.asarray(self.best_epoch))
                self._begin_slice()
            # NumPy calls on overflow, which costs nothing: an infinity that tanh makes 1 of shows nowhere else.
            with np.errstate(over="call", invalid="call", call=self._notice):
                self._epoch()
            if not self.ended and on_epoch is not None:
                on_epoch(self.slice_history)

    def _notice(self, kind: str, flag: int) -> None:
        """Remember that something overflowed since the last step."""
        self.overflowed = True

    def _epoch(self) -> None:
        """Do one epoch, or what is left of it, and evaluate."""
        network, optimizer, history, started = self.slice, self.slice_optimizer, self.slice_history, time.perf_counter()
        over, stack = len(history.epoch), network.theta.shape[:-1]
        order_states = [order.bit_generator.state for order in self.orders]
        shuffled = shuffle(len(self.x), self.orders, stack)
        factors = None
        if self.schedule is not None:
            factors = self.schedule.factors(over, self.steps, self.epochs, history.validation_loss)
        gradients = batch_gradients(network, self.x, self.t, self.batch_size, shuffled, self.weights, self.step)
        for loss, squared_norm in gradients:
            if not stack and (self.overflowed or not (math.isfinite(loss) and math.isfinite(squared_norm))):
                self.overflowed = False
                rows = shuffled[self.step * self.batch_size : (self.step + 1) * self.batch_size]
                found = first_nonfinite(network, self.x[rows], self.t[rows])
                for name, array in optimizer.memory.items():
                    if "layer" not in found and not np.isfinite(array).all():
                        found = {"where": f"{type(optimizer).__name__}'s memory {name}", "layer": None, "array": name}
                if "layer" in found or not (math.isfinite(loss) and math.isfinite(squared_norm)):
                    self._diverge(found, rows, over + 1, self.step + 1)
                    return
            history.batch_loss.append(plain(loss))
            self.squared_norms.append(plain(squared_norm))
            if factors is not None:
                optimizer.lr = plain(self.lr * factors[self.step])
            if self.clip_norm is not None:
                clip_gradient(network, squared_norm, self.clip_norm)
            optimizer.step(network)
            self.step += 1
            if self.interrupted:
                self.seconds += time.perf_counter() - started
                for order, at_its_start in zip(self.orders, order_states, strict=True):
                    order.bit_generator.state = at_its_start  # the same order is drawn for what is left of the epoch
                self.ended = {
                    "reason": "interrupted",
                    "epoch": over + 1,
                    "step": self.step,
                    "text": f"interrupted in epoch {over + 1}, after step {self.step} of {self.steps}",
                }
                return
        train_loss, train_accuracy = evaluate(network, self.x, self.t, self.weights)
        weights = self.dataset.weights.get("validation")
        validation_loss, validation_accuracy = evaluate(network, *self.dataset.validation, weights)
        if not stack and not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            x: Array = self.x if not math.isfinite(train_loss) else network.check_features(self.dataset.validation.x)
            looked_at = np.arange(len(x)) if x is self.x else None
            self._diverge(first_nonfinite(network, x, None), looked_at, over + 1, self.steps)
            return
        history.epoch.append(over + 1)
        history.train_loss.append(train_loss)
        history.validation_loss.append(validation_loss)
        history.train_accuracy.append(train_accuracy)
        history.validation_accuracy.append(validation_accuracy)
        history.penalty.append(optimizer.penalty(network))
        history.gradient_norm.append(plain(np.sqrt(self.squared_norms).mean(axis=0)))
        # One for each network as soon as there is a schedule, which may treat them differently later.
        history.lr.append(self.lr if factors is None else plain(np.broadcast_to(self.lr * factors[-1], stack)))
        history.seconds.append(self.seconds + time.perf_counter() - started)
        self.step, self.squared_norms, self.seconds = 0, [], 0.0
        if stack and self.stopped.any():
            self._hold()
        better = self._watch(over + 1)
        if self.keep_best:
            np.copyto(self.good_theta, network.theta, where=np.expand_dims(better, -1))
        else:
            self.good_theta[...] = network.theta

    def _hold(self) -> None:
        """Let the history of networks that have stopped stay as it was, though they are still trained with the rest."""
        for column in self.slice_history.by_epoch().values():
            if np.ndim(column[-1]):
                column[-1] = np.where(self.stopped, column[-2], column[-1])
        losses = self.slice_history.batch_loss
        for k in range(len(losses) - self.steps, len(losses)):
            losses[k] = np.where(self.stopped, losses[k - 1], losses[k])

    def _watch(self, epoch: int) -> Any:
        """Judge an epoch that is over: tell which networks are better than ever before, and which stop (eq. 14j)."""
        column = self.slice_history.by_epoch()[MONITORS[self.monitor]]
        value = -column[epoch - 1] if self.monitor == "loss" else column[epoch - 1]
        better = (value > self.best) & (self.stopped == 0)
        self.best = np.where(better, value, self.best)
        self.best_epoch = np.where(better, epoch, self.best_epoch)
        if self.patience is not None:
            tired = (self.stopped == 0) & (epoch - self.best_epoch >= self.patience)
            self.stopped = np.where(tired, epoch, self.stopped)
        return better

    def _all_diverged(self) -> bool:
        """Whether nothing is left of a stack that could learn."""
        last = self.slice_history
        return bool((~np.isfinite(last.train_loss[-1]) | ~np.isfinite(last.validation_loss[-1])).all())

    def _end(self) -> None:
        """Say why training ended, all epochs or all patience being over."""
        history, (best, stopped) = self.history, (self.best_epoch, self.stopped)
        over, stack = len(history.epoch), self.network.theta.ndim == 2
        if stack and history.diverged().all():
            text = f"all networks diverged, the last of them in epoch {over}; lower the learning rate"
            self.ended = {"reason": "diverged", "epoch": over, "text": text}
        elif stack or not (self.keep_best and best):
            early = self.patience is not None and over < self.epochs
            text = "every network stopped early" if early else f"all {over} epochs done"
            text += "; each has the weights of its best epoch" if self.keep_best else ""
            self.ended = {"reason": "early stopping" if early else "epochs", "epoch": over, "text": text}
        else:
            text = f"stopped early in epoch {over}" if stopped else f"all {over} epochs done"
            what = MONITORS[self.monitor].replace("_", " ")
            text += f"; the weights are those of epoch {best}, whose {what} is the best ({abs(float(self.best)):.4f})"
            reason = "early stopping" if stopped else "epochs"
            self.ended = {"reason": reason, "epoch": over, "best_epoch": int(best), "text": text}

    def _diverge(self, found: dict[str, Any], rows: Array | None, epoch: int, step: int) -> None:
        """Say where the first number that is not finite came up, and give the network its last good weights back.

        ``rows`` tells which samples of the training part were looked at; None if those of the validation part were.
        """
        network, sample, feature = self.slice, found.pop("sample", None), ""
        if sample is not None and rows is not None:
            found["sample"] = int(rows[sample])
            origin = self.dataset.rows.get("train")
            of_data = "" if origin is None else f" (row {origin[rows[sample]] + 1} of the data)"
            found["where"] += f", of sample {rows[sample]} of the training part{of_data}"
        largest = np.unravel_index(np.abs(self.x).argmax(), self.x.shape)
        if abs(self.x[largest]) > LARGE_FEATURE:
            name, value = self.dataset.feature_names[largest[1]], self.x[largest]
            feature = f"feature {name!r} of sample {largest[0]} is {value:.3g} after standardising: scale or clip it"
        lr = self.slice_optimizer.lr
        cause = feature or f"lower the learning rate, which is {lr:g}"
        if (self.keep_best and self.best_epoch) or len(self.slice_history.epoch):
            kept = int(self.best_epoch) if self.keep_best and self.best_epoch else len(self.slice_history.epoch)
            weights = f"the network has the weights of epoch {kept} again"
        else:
            kept, weights = 0, "the network has its initial weights again"
        network.theta[...] = self.good_theta
        text = f"training diverged in epoch {epoch}, step {step}: {found['where']} is not finite; {cause}; {weights}"
        self.ended = {"reason": "diverged", "epoch": epoch, "step": step, **found, "cause": cause}
        self.ended |= {"weights_of_epoch": kept, "text": text}

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Give all that it takes to go on from here: arrays by name, and values that JSON can hold."""
        arrays = {"theta": self.network.theta, "good_theta": self.good_theta}
        arrays |= {f"memory.{name}": array for name, array in self.slice_optimizer.memory.items()}
        for k, history in enumerate([*self.finished, self.slice_history]):
            arrays |= {f"history.{k}.{name}": np.array(column, float) for name, column in vars(history).items()}
        arrays |= {f"best_epoch.{k}": best for k, best in enumerate(self.finished_best)}
        arrays["squared_norms"] = np.array(self.squared_norms, float)
        values = {
            "step": self.step,
            "seconds": self.seconds,
            "finished": len(self.finished),
            "slice_size": self.slice_size,
            "order": [order.bit_generator.state for order in self.orders],
            "random": [generator.bit_generator.state for generator in self.network.random.generators],
        }
        return arrays, values

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Go back to what `state` gave, in a training made with the same settings.

        Raises
        ------
        ValueError
            If it does not fit; the training is then as it was.
        """
        before = copy.deepcopy(self.state())
        try:
            self._restore(arrays, values)
        except Exception:
            self._restore(*before)
            raise

    def _restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Do what `restore` does; if it does not fit, what was read before that is in place."""

        def history(k: int, S: int) -> History:
            columns = {name: arrays[f"history.{k}.{name}"] for name in vars(History())}
            for name, column in columns.items():
                shapes = [(), (S,)] if name in ("lr", "penalty") else [()] if name in ("epoch", "seconds") else [(S,)]
                if self.network.theta.ndim == 1:
                    shapes = [()]
                epochs_over = len(column) if name == "batch_loss" else len(columns["epoch"])
                if len(column) != epochs_over or (len(column) and column.shape[1:] not in shapes):
                    raise ValueError(f"history.{k}.{name} has the shape {column.shape}")
            if (columns["epoch"] != np.arange(1, len(columns["epoch"]) + 1)).any():
                raise ValueError(f"history.{k}.epoch does not count from 1")
            steps = len(columns["batch_loss"]) - self.steps * len(columns["epoch"])
            if steps != (values["step"] if k == values["finished"] else 0) or len(columns["epoch"]) > self.epochs:
                raise ValueError(f"history.{k}.batch_loss has {steps} entries more than its epochs have steps")
            plain_columns = {name: [plain(entry) for entry in column] for name, column in columns.items()}
            plain_columns["epoch"] = [int(epoch) for epoch in columns["epoch"]]
            return History(**plain_columns)

        limits = {"slice_size": (1, len(self.seeds)), "step": (0, self.steps), "finished": (0, len(self.seeds))}
        for name, (least, most) in limits.items():
            if type(values[name]) is not int or not least <= values[name] <= most:
                raise ValueError(f"{name} is {values[name]!r}, expected an integer from {least} to {most}")
        self.slice_size, sizes = values["slice_size"], []
        for start in range(0, len(self.seeds), self.slice_size):
            sizes.append(min(self.slice_size, len(self.seeds) - start))
        if not 0 <= values["finished"] < len(sizes):
            raise ValueError(f"finished is {values['finished']}, of {len(sizes)} slices")
        self.finished = [history(k, sizes[k]) for k in range(values["finished"])]
        self.finished_best = [arrays[f"best_epoch.{k}"] for k in range(values["finished"])]
        for k, best in enumerate(self.finished_best):
            if best.shape != (sizes[k],) or best.dtype != int or not ((best >= 0) & (best <= self.epochs)).all():
                raise ValueError(f"best_epoch.{k} is not one epoch for each of {sizes[k]} networks")
        self._begin_slice()
        self.slice_history = history(len(self.finished), sizes[len(self.finished)])
        for name, target in (("theta", self.network.theta), ("good_theta", self.good_theta)):
            if arrays[name].shape != target.shape or arrays[name].dtype != target.dtype:
                got = f"{arrays[name].dtype} of shape {arrays[name].shape}"
                raise ValueError(f"{name} is {got}, expected {target.dtype} of shape {target.shape}")
            if target.ndim == 1 and not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} has entries that are not finite")
            target[...] = arrays[name]
        memory = {name.removeprefix("memory."): array for name, array in arrays.items() if name.startswith("memory.")}
        for name, array in memory.items():
            if array.shape not in ((), self.slice.theta.shape):
                raise ValueError(f"memory.{name} has the shape {array.shape}, expected {self.slice.theta.shape}")
            if array.ndim and array.dtype != self.slice.theta.dtype:
                raise ValueError(f"memory.{name} is {array.dtype}, expected {self.slice.theta.dtype}")
            if not array.ndim and not 0 <= array < math.inf:  # a count, of steps say
                raise ValueError(f"memory.{name} is {array}, expected a finite number of at least 0")
        self.slice_optimizer.memory.clear()
        self.slice_optimizer.memory.update(memory)
        self.step, self.seconds = values["step"], float(values["seconds"])
        norms, stack = arrays["squared_norms"], self.slice.theta.shape[:-1]
        if norms.shape != ((self.step, *stack) if self.step else (0,)):
            raise ValueError(f"squared_norms has the shape {norms.shape}, expected {self.step} entries")
        self.squared_norms = [plain(entry) for entry in norms]
        for key, generators in (("order", self.orders), ("random", self.network.random.generators)):
            for generator, state in zip(generators, values[key], strict=True):
                generator.bit_generator.state = state
        for epoch in self.slice_history.epoch:
            self._watch(epoch)


LARGE_FEATURE = 1e3  # a standardised feature beyond it is no longer harmless


def first_nonfinite(network: Network, x: Array, t: Array | None) -> dict[str, Any]:
    """Find the first array of a forward and a backward pass that is not finite, the passes being done once more.

    Parameters
    ----------
    network : Network
        It is not changed. What dropout dropped last is dropped again.
    x, t : arrays of shape (N, D) and (N, K)
        A batch, or without ``t`` samples that were evaluated.

    Returns
    -------
    dict
        "where", to read; "layer", its place; "array"; and "sample", its place in the batch, where there is one.
    """
    replay = network.at(network.theta.copy())
    for layer in replay.layers:
        if hasattr(layer, "random"):
            layer.random = None

    def found(array: Array, what: str, place: int, name: str, by_sample: bool = True) -> dict[str, Any]:
        where = f"{what} of layer {place}, {replay.layers[place]!r}"
        sample = {"sample": int(np.argwhere(~np.isfinite(array))[0][-2])} if by_sample else {}
        return {"where": where, "layer": place, "array": name, **sample}

    last = len(replay.layers) - 1
    for place, layer in enumerate(replay.layers):
        for name in layer.shapes:
            if not np.isfinite(getattr(layer, name)).all():
                return found(x, f"the parameter {name}", place, name, by_sample=False)
        x = (layer.forward if t is not None else getattr(layer, "infer", layer.forward))(x)
        if not np.isfinite(x).all():
            what = (
                ("the logits, the output", "logits") if place == last else ("the activation, the output", "activation")
            )
            return found(x, what[0], place, what[1])
    if t is not None:
        log_y = replay.output.probabilities(x)
        loss = replay.output.forward(x, t)
        if not np.isfinite(loss):
            sample = int((np.where(np.isfinite(log_y), log_y, 1) * t).sum(axis=-1).argmin())
            return {"where": "the loss", "layer": last, "array": "loss", "sample": sample}
        doutput: Any = replay.output.backward()
        for place in range(last, -1, -1):
            layer = replay.layers[place]
            doutput = layer.backward(doutput)
            for name in layer.shapes:
                if not np.isfinite(getattr(layer, "d" + name)).all():
                    return found(x, f"the gradient d{name}", place, "d" + name, by_sample=False)
            if doutput is not None and not np.isfinite(doutput).all():
                return found(doutput, "the gradient dx", place, "dx")
    return {"where": "the gradient's norm", "array": "gradient"}


def shuffle(N: int, orders: Sequence[np.random.Generator], stack: tuple[int, ...]) -> Array:
    """Draw a new order of N samples from each generator: of shape (N,), or (S, N) for a stack."""
    return np.stack([order.permutation(N) for order in orders]).reshape(*stack, N)


def batch_gradients(
    network: Network, x: Array, t: Array, batch_size: int, shuffled: Array, weights: Array | None = None, first: int = 0
) -> Iterator[tuple[Any, Any]]:
    """Compute the gradient of one batch after the other, for the taker to step with before asking for the next.

    Parameters
    ----------
    x, t : arrays of shape (N, D) and (N, K)
        Samples and target rows, checked and in the network's dtype.
    shuffled : array of shape (N,) or (S, N)
        The order of samples.
    weights : array of shape (N,), optional
        How much each sample counts.
    first : int, default 0
        The batch to begin with.

    Yields
    ------
    loss, squared_norm : scalars, or arrays of shape (S,)
        The batch's loss, and the square of its gradient's Euclidean norm; the gradient is in ``network.dtheta``.
    """
    for start in range(first * batch_size, len(x), batch_size):
        rows = shuffled[..., start : start + batch_size]
        w = None if weights is None else weights.take(rows)
        loss = network.forward(x.take(rows, axis=0), t.take(rows, axis=0), False, w)
        network.backward()
        yield loss, np.vecdot(network.dtheta, network.dtheta)


def train_epoch(
    network: Network, optimizer: Optimizer, x: Array, t: Array, batch_size: int, orders: Sequence[np.random.Generator]
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
    losses, squared_norms = [], []
    shuffled = shuffle(len(x), orders, network.theta.shape[:-1])
    for loss, squared_norm in batch_gradients(network, x, t, batch_size, shuffled):
        losses.append(plain(loss))
        squared_norms.append(plain(squared_norm))
        optimizer.step(network)
    return losses, plain(np.sqrt(squared_norms).mean(axis=0))


def bytes_of_training(network: Network, batch_size: int, N: int) -> tuple[int, int]:
    """Estimate the memory that training takes: once for any number of networks, and for each network of a stack."""
    n, itemsize = network.theta.shape[-1], network.theta.itemsize
    widths = sum(shape[-1] for layer in network.layers for name, shape in layer.shapes.items() if name in "W gamma")
    shared = EVALUATION_ROWS * (network.D + network.K)  # the samples evaluated
    each = 9 * n  # dtheta, the optimizer's memory and scratch, the best theta so far, temporaries
    each += min(batch_size, N) * (network.D + network.K + 6 * widths)  # a batch; each layer's z, a, dz, da, temporaries
    each += EVALUATION_ROWS * 5 * widths
    return itemsize * shared, itemsize * each + 8 * N  # and an order of samples


def joined(entries: Sequence[Any]) -> Any:
    """Join what the slices of a stack have, each a number for all of its networks or an array of one for each."""
    return np.concatenate(entries) if np.ndim(entries[0]) else entries[0]


def plain(value: Any) -> Any:
    """Return a number for a single network, an array of float64 for a stack."""
    return np.asarray(value, np.float64) if getattr(value, "ndim", 0) else float(value)


def evaluate(network: Network, x: Array, t: Array, weights: Array | None = None) -> tuple[Any, Any]:
    """Compute the mean loss and the accuracy of a network, or of each network of a stack, a few samples at a time.

    Parameters
    ----------
    x : array of shape (N, D)
        The samples.
    t : array of shape (N,) or (N, K)
        The targets: class numbers, or rows that sum to 1.
    weights : array of shape (N,), optional
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
        As `Network.check_features` and `minnet.output.target_rows` say.
    """
    x = network.check_features(x)
    t = target_rows(t, network.K, network.theta.dtype)
    if len(x) != len(t):
        raise ValueError(f"expected as many targets as samples, got {len(t)} targets for {len(x)} samples")
    if weights is not None:
        weights = relative_weights(weights, len(x), t.dtype)
    summed_loss, right = np.zeros(network.theta.shape[:-1]), np.zeros(network.theta.shape[:-1], dtype=int)
    total_weight, output = 0.0, copy.copy(network.output)
    for start in range(0, len(x), EVALUATION_ROWS):
        x_part, t_part = x[start : start + EVALUATION_ROWS], t[start : start + EVALUATION_ROWS]
        z = network.logits(x_part, check=False)
        w_part = () if weights is None else (weights[start : start + EVALUATION_ROWS],)
        loss = output.forward(z, t_part, *w_part).astype(np.float64)
        weight = float(getattr(output, "total_weight", len(x_part)))
        summed_loss, total_weight = summed_loss + loss * weight, total_weight + weight
        right += (z.argmax(axis=-1) == t_part.argmax(axis=-1)).sum(axis=-1)
    return plain(summed_loss / (total_weight or 1)), plain(right / len(x))
