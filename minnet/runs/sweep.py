"""Which settings are worth a long run? Many networks at once, over learning rates, momenta and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset
from minnet.network import Network
from minnet.optimizers import SGD
from minnet.training import History, train

Array = npt.NDArray[Any]

RATES = tuple(float(f"{lr:.2g}") for lr in np.geomspace(0.001, 3, 12))
MOMENTA = (0.0, 0.9)


class Setting(NamedTuple):
    """One learning rate and momentum, and how its networks fared.

    Attributes
    ----------
    lr, momentum : float
        The setting.
    networks : array of int
        Which networks of the stack had it.
    loss, deviation : float
        Mean and standard deviation, over its networks, of the validation loss at the end; inf if one diverged.
    accuracy : float
        Mean validation accuracy at the end.
    diverged : int
        How many of its networks diverged.
    """

    lr: float
    momentum: float
    networks: Array
    loss: float
    deviation: float
    accuracy: float
    diverged: int


def train_grid(
    make_network: Callable[[Sequence[int]], Network],
    dataset: Dataset,
    rates: Sequence[float],
    momenta: Sequence[float],
    seeds: Sequence[int],
    epochs: int,
    batch_size: int,
    memory: float,
    on_epoch: Callable[[History], object] | None = None,
) -> tuple[Network, History, list[Setting]]:
    """Train a network for each learning rate, momentum and seed, all in one stack, and rank the settings.

    Parameters
    ----------
    make_network : callable
        Makes a stack of networks from its seeds.
    dataset : Dataset
        What to train on.
    rates, momenta, seeds : sequences
        What to combine.
    epochs, batch_size, memory, on_epoch
        As `minnet.train` takes them.

    Returns
    -------
    network : Network
        The stack, in the order of ``itertools.product(rates, momenta, seeds)``.
    history : History
        Its history.
    settings : list of Setting
        The best first; those with networks that diverged last.
    """
    grid = list(itertools.product(rates, momenta, seeds))
    network = make_network([seed for _, _, seed in grid])
    optimizer = SGD([lr for lr, _, _ in grid], [momentum for _, momentum, _ in grid])
    history = train(network, optimizer, dataset, epochs, batch_size, on_epoch=on_epoch, memory=memory)
    ended = history.diverged(), history.validation_loss[-1], history.validation_accuracy[-1]
    return network, history, rank(list(itertools.product(rates, momenta)), len(seeds), *ended)


def rank(
    settings: Sequence[tuple[float, float]], S: int, diverged: Array, loss: Array, accuracy: Array
) -> list[Setting]:
    """Rank pairs of learning rate and momentum, each of which S networks in a row had, by their networks' ends."""
    ranking = []
    for k, (lr, momentum) in enumerate(settings):
        who = np.arange(k * S, (k + 1) * S)
        lost = int(diverged[who].sum())
        mean = float("inf") if lost else float(loss[who].mean())
        deviation = float("inf") if lost else float(loss[who].std())
        ranking.append(Setting(lr, momentum, who, mean, deviation, float(accuracy[who].mean()), lost))
    return sorted(ranking, key=lambda setting: (setting.loss, setting.diverged))
