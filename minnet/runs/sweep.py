"""How are many runs trained? A list of configurations is grouped into stacks that fit the memory, through a ``map``."""

import bisect
import contextlib
import functools
import itertools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.history import History
from minnet.network import Network
from minnet.runs.build import first_width, make_network, make_training
from minnet.runs.checkpoints import SHARED, Interrupt, stopping_signals
from minnet.runs.config import VARIED, Config
from minnet.runs.folds import distinct, widen
from minnet.support import expect
from minnet.support.fit import slots
from minnet.support.machine import free_memory, threads_for
from minnet.support.stack import Array
from minnet.training import EVALUATION_ROWS, Ending, Training

MOST = 100_000  # networks of a grid
BASELINE = "baseline"  # the name of the group that others are compared with
OnEpoch = Callable[[History], object]


def grid(base: Config, **values: Sequence[Any]) -> list[Config]:
    """Combine values of settings: a configuration for each combination, the last setting changing fastest.

    Where seeds differ, the split is that of the base's seed, so that all learn from the same samples.

    Raises
    ------
    ValueError
        If a stack cannot vary a setting, a value is not what it should be, or there is no network, or more than can be.
    """
    for name in values:
        expect.one_of("grid", name, VARIED)
    if "fold" in values and base.folds is None:
        raise ValueError("--fold goes with --folds")
    expect.integer("networks of a grid", math.prod(map(len, values.values())), 1, MOST)
    if "seed" in values and base.split_seed is None:
        base = replace(base, split_seed=base.seed)
    return [replace(base, **dict(zip(values, each, strict=True))) for each in itertools.product(*values.values())]


def folds_of(config: Config) -> dict[str, Sequence[int]]:
    """Give the values of ``fold`` for a grid over all folds of a configuration; none if it has none, or is one."""
    if config.folds is None or config.fold is not None:
        return {}
    return {"fold": range(1, config.folds * config.repeats + 1)}


def stacks(
    configs: Sequence[Config], datasets: Sequence[Dataset], memory_limit: float | None = None, jobs: int = 1
) -> list[int]:
    """Group configurations, in their order, into stacks that fit the memory; return how many each stack has.

    Those whose training splits have different sizes cannot take steps together, and are in different stacks.

    Parameters
    ----------
    configs : sequence of Config
        They differ only in what a stack can vary.
    datasets : sequence of Dataset
        What each of them trains on.
    memory_limit : float, optional
        How many bytes training may use beside the data sets, in all jobs; by default a quarter of what is free.
    jobs : int, default 1
        How many stacks are trained at a time; there are as many at least, if there are as many networks.

    Raises
    ------
    ValueError
        If not even one network fits into the memory.
    """
    limit = (free_memory() / 4 if memory_limit is None else memory_limit) / jobs
    widest = max(datasets, key=lambda dataset: dataset.D)
    shared, each = bytes_of_training(make_network(configs[0], widest), configs[0].batch_size, datasets[0])
    sizes, most_of_jobs = [], -(-len(configs) // jobs)
    for _, alike in itertools.groupby(datasets, key=lambda dataset: len(dataset.train.x)):
        _, of = distinct(list(alike))
        S, per_fold = len(of), int(np.bincount(of).max())

        def size(networks: int) -> float:
            folds = min(int(of.max()) + 1, 1 + -(-(networks - 1) // per_fold))  # noqa: B023 - called here only
            return shared + networks * each + (folds > 1) * folds * bytes_of_split(datasets[0])

        most = bisect.bisect_right(range(1, min(S, most_of_jobs) + 1), limit, key=size)
        if most < 1:
            raise ValueError(
                f"training even one of these networks takes about {size(1) / 2**20:.1f} MiB, "
                f"but only {limit / 2**20:.1f} MiB are allowed"
            )
        sizes += [min(most, S - start) for start in range(0, S, most)]
    return sizes


def bytes_of_training(network: Network, batch_size: int, dataset: Dataset) -> tuple[int, int]:
    """Estimate the memory that training takes: once for any number of networks, and for each network of a stack."""
    n, itemsize, N = network.theta.shape[-1], network.theta.itemsize, len(dataset.train.x)
    widths = sum(slot.shape[-1] for slot in slots(network.layers) if slot.name in ("W", "gamma"))
    shared = EVALUATION_ROWS * (network.D + network.K)  # the samples evaluated
    each = 9 * n  # dtheta, the optimizer's state and scratch, the weights kept, temporaries
    each += min(batch_size, N) * (network.D + network.K + 6 * widths)  # a batch; each layer's z, a, dz, da, temporaries
    each += EVALUATION_ROWS * 5 * widths + 5 * N * network.K  # logits, log y and what the loss needs
    return itemsize * shared, itemsize * each + 8 * N  # and an order of samples


def bytes_of_split(dataset: Dataset) -> int:
    """Estimate what a data set takes once more where it lies below others: samples, targets, weights."""
    numbers = (dataset.D + dataset.K + 1) * (len(dataset.train.x) + len(dataset.validation.x))
    return 2 * numbers * dataset.train.x.itemsize  # for a moment there are two of it


class Result(NamedTuple):
    """What came of a group: the weights kept, its history, why it ended.

    And of a single network where it diverged; and how well the gradient agreed with the loss before the first step.
    """

    theta: Array
    history: History
    ended: Ending
    found: dict[str, Any] | None = None
    proof: dict[str, Any] | None = None


class Group(NamedTuple):
    """Configurations that are trained together, the data set of each, and the group's name where there are several.

    A group that is ``stacked`` is a stack, even if it is of one network; D is the most features of any group's data.
    """

    configs: Sequence[Config]
    datasets: Sequence[Dataset]
    stacked: bool
    name: str
    D: int

    def widened(self, result: "Result") -> "Result":
        """Give the networks as many features as those of other groups have."""
        widest = max(self.datasets, key=lambda dataset: dataset.D)
        H = first_width(self.configs[0], widest)
        return result._replace(theta=widen(result.theta, H, widest.D, self.D))

    def training(self) -> Training:
        """Make its training."""
        return make_training(self.configs, self.datasets, self.stacked)


def groups(
    configs: Sequence[Config], datasets: Sequence[Dataset], sizes: Sequence[int], stacked: bool = True
) -> list[Group]:
    """Make groups of so many configurations each."""
    made, start, D = [], 0, max(dataset.D for dataset in datasets)
    for k, size in enumerate(sizes, 1):
        name, members = f"stack-{k}" if len(sizes) > 1 else "", slice(start, start + size)
        made.append(Group(configs[members], datasets[members], stacked, name, D))
        start += size
    return made


def train_group(group: Group, on_epoch: OnEpoch | None) -> Result:
    """Train a group from its beginning to its end."""
    return group.widened(run(group.training(), on_epoch))


def run(training: Training, on_epoch: OnEpoch | None) -> Result:
    """Train from where a training stands until it ends."""
    with threads_for(training.network, training.batch_size):
        training.run(on_epoch)
    return Result(training.kept_theta, training.history, training.ended, proof=training.proof)


def join(results: Sequence[Result]) -> Result:
    """Join what came of several groups into what would have come of one stack of all of them.

    A group all of whose networks stopped early, before others did, is taken to stay as it was then. As long as a group
    has no epoch, all of them together have none.
    """
    if len(results) == 1:
        return results[0]
    histories, history = [result.history for result in results], History()
    if all(each.epoch for each in histories):
        history.epoch = max((each.epoch for each in histories), key=len)
        history.seconds = list(map(sum, itertools.zip_longest(*(each.seconds for each in histories), fillvalue=0.0)))
        for name in vars(history).keys() - SHARED:
            columns = [getattr(each, name) for each in histories]
            for k in range(max(map(len, columns))):  # in steps, groups of the same epochs may differ
                together = [column[min(k, len(column) - 1)] for column in columns]
                getattr(history, name).append(np.concatenate(together))
    order = ("interrupted", "epochs", "early stopping", "diverged")  # one that was interrupted is not over, and so on
    ended = min((result.ended for result in results), key=lambda each: order.index(each.reason))
    if ended.reason != "interrupted":
        ended = ended._replace(epoch=len(history.epoch))
    return Result(np.concatenate([result.theta for result in results]), history, ended, proof=results[0].proof)


def sweep(
    configs: Sequence[Config],
    datasets: Dataset | Sequence[Dataset],
    memory_limit: float | None = None,
    map: Callable[..., Any] = map,
    on_epoch: OnEpoch | None = None,
    jobs: int = 1,
) -> Result:
    """Train networks of many configurations, that differ only in what a stack can vary, and join what came of them.

    Parameters
    ----------
    configs : sequence of Config
        Of the same layers; see `grid`.
    datasets : Dataset, or sequence of Dataset
        What they train on, all of them or each.
    memory_limit : float, optional
        How many bytes training may use beside the data sets; by default a quarter of what is free.
    map : callable
        What applies a function to each group: the built-in one by default, or that of a pool or a cluster.
    on_epoch : callable, optional
        Called with a group's history after each of its epochs; by the built-in map only.
    jobs : int, default 1
        How many groups ``map`` trains at a time: there are as many at least, and the memory is for all of them.

    Returns
    -------
    Result
        Of a stack of all networks, in the order of the configurations.
    """
    one = functools.partial(train_group, on_epoch=on_epoch)
    each = [datasets] * len(configs) if isinstance(datasets, Dataset) else datasets
    return join(list(map(one, groups(configs, each, stacks(configs, each, memory_limit, jobs)))))


class Setting(NamedTuple):
    """What several networks have in common but for their seeds, and how they fared.

    Attributes
    ----------
    values : dict of str to float
        The settings that vary, by name.
    networks : array of int
        Which networks of the stack had it.
    loss, deviation : float
        Mean and standard deviation, over its networks, of the validation loss of the weights kept; inf if one diverged.
    accuracy : float
        Mean validation accuracy, likewise.
    diverged : int
        How many of its networks diverged.
    losses : array of float
        The validation loss of each of its networks, in their order; inf of those that diverged.
    """

    values: dict[str, Any]
    networks: Array
    loss: float
    deviation: float
    accuracy: float
    diverged: int
    losses: Array

    @property
    def name(self) -> str:
        """Say which it is."""
        return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.values.items())


def rank(configs: Sequence[Config], history: History, varied: Sequence[str]) -> list[Setting]:
    """Rank settings by the mean validation loss of their networks' weights kept; those that diverged come last."""
    losses, accuracies = history.final("validation_loss"), history.final("validation_accuracy")
    diverged = history.diverged()
    losses = np.where(diverged, math.inf, losses)
    members: dict[tuple[Any, ...], list[int]] = {}
    for s, config in enumerate(configs):
        settings = vars(config) | {"lr": config.learning_rate}
        members.setdefault(tuple(settings[name] for name in varied), []).append(s)
    ranking = []
    for values, who in members.items():
        lost = int(diverged[who].sum())
        mean, deviation = (math.inf, math.inf) if lost else (float(losses[who].mean()), float(losses[who].std()))
        named, accuracy = dict(zip(varied, values, strict=True)), float(accuracies[who].mean())
        ranking.append(Setting(named, np.array(who), mean, deviation, accuracy, lost, losses[who]))
    return sorted(ranking, key=lambda setting: (setting.loss, setting.diverged))


def by_name(ranking: Sequence[Setting]) -> dict[str, Array] | None:
    """Give the networks of each setting by its name, for a picture; None if there is but one."""
    settings = sorted(ranking, key=lambda setting: [*setting.values.values()])
    return {setting.name: setting.networks for setting in settings} if len(settings) > 1 else None


worker_interrupt = Interrupt()  # of a process that trains groups for another


def begin_worker() -> None:
    """Prepare a process that trains groups: it is asked to stop by SIGTERM, and ends when the one that made it ends."""
    signal.signal(signal.SIGTERM, worker_interrupt.request)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the terminal sends to all: who made it passes it on
    if hasattr(signal, "pthread_sigmask"):  # SIGHUP stays held back, for the same reason
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent: Any = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def in_processes(
    one: Callable[[Group], Result],
    several: Sequence[Group],
    jobs: int,
    interrupt: Interrupt,
    done: Callable[[int, int], object],
) -> list[Result]:
    """Train groups, so many at a time, each in a process of its own, which are asked to stop if this one is.

    How many are done, and of how many, is told each time that there is one more.
    """
    with signals_held():  # this starts a process that watches over semaphores, after which Python lets signals through
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), begin_worker)
    with signals_held():  # all others are started here
        results = [pool.submit(one, group) for group in several]
    with pool:
        if interrupt.requested:  # perhaps before there was a process to hear it
            interrupt.request()
        done(0, len(several))
        for k, result in enumerate(as_completed(results), 1):
            result.result()  # or what it raised
            done(k, len(several))
        return [result.result() for result in results]


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back signals that ask to stop, here and in processes that are started meanwhile and could not take them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
