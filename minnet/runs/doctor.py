"""Is everything in order before a long run? A minute's check-up of a data set, a network and a learning rate.

Each check is a function of its own that measures one thing and says in a line what it found, and if that is wrong,
what to do about it. What a check takes for wrong lies far beyond what healthy data sets show, so that silence and
alarm both mean something. Nothing is drawn without a fixed seed and no clock is read: the same patient gets the same
diagnosis each time.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.data.splits import SPLITS
from minnet.data.tables import Table
from minnet.layers import ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam
from minnet.runs.data_check import Diagnosis, Finding, check_columns, check_features, diagnosis
from minnet.support.stack import Array
from minnet.training import evaluate, train

MakeNetwork = Callable[[int | Sequence[int]], Network]

SAMPLES = 10_000  # of each part, at most, for what takes long
BATCH_RATES = (0.003, 0.01, 0.03)  # Adam's, in `one_batch`
BATCH_STEPS = 1500  # at most
RATE_STEPS = 2000  # of each network in `learning_rate`, at most
RATE_WORK = 1e11  # operations on numbers there, about, in all


def examine(
    dataset: Dataset,
    make_network: MakeNetwork,
    lr: float = 0.05,
    momentum: float = 0.9,
    batch_size: int = 32,
    table: Table | None = None,
) -> list[Diagnosis]:
    """Check a data set, a network for it, and a learning rate for both.

    Parameters
    ----------
    dataset : Dataset
        What is to be trained on. It is not changed.
    make_network : callable
        Makes a fresh network from a seed, a stack of them from several.
    lr, momentum, batch_size
        What the long run is to have, with `SGD`.
    table : Table, optional
        What the data set was made of; without it the columns are what the features say.

    Returns
    -------
    list of Diagnosis
        One for each check, those of the data first. A check that cannot be made at all counts as wrong.
    """
    fewer = sample_of(dataset)
    return [
        *check_features(dataset, fewer, class_weighted(make_network)),
        *check_columns(table, dataset),
        diagnosis(initial_loss, fewer, make_network),
        diagnosis(one_batch, fewer, make_network),
        diagnosis(dead_units, fewer, make_network, lr, momentum, batch_size),
        diagnosis(learning_rate, fewer, make_network, lr, momentum, batch_size),
    ]


def initial_loss(dataset: Dataset, make_network: MakeNetwork) -> Finding:
    """Compare the loss of fresh networks with ln K, that of one which finds all classes equally probable."""
    x, t = (array[:1000] for array in dataset.train)
    loss, guessing = make_network(range(5)).forward(x, t).mean(), math.log(dataset.K)
    text = f"{loss:.3g}, where ln K is {guessing:.3g}"
    if not loss <= 1.5 * guessing + 1:  # NaN is wrong, too
        return False, f"{text}: the initial weights or the features are too large; draw smaller weights, standardise"
    return True, text


def one_batch(dataset: Dataset, make_network: MakeNetwork) -> Finding:
    """Learn 16 samples by heart, which any network that fits its data can do, whatever the given learning rate."""
    x, t = (array[:16] for array in dataset.train)
    network, optimizer = make_network([0] * len(BATCH_RATES)), Adam(BATCH_RATES)
    for step in range(BATCH_STEPS + 1):
        if step % 25 == 0 and (accuracy := np.max(evaluate(network, x, t)[1])) == 1:
            return True, f"{len(x)} samples are learned by heart in {step} steps"
        network.forward(x, t)
        network.backward()
        optimizer.step(network)
    remedy = "look at features and labels, take more hidden units, and check the gradients by `minnet check`"
    return False, f"of {len(x)} samples only {accuracy:.0%} are learned by heart in {step} steps; {remedy}"


def dead_units(dataset: Dataset, make_network: MakeNetwork, lr: float, momentum: float, batch_size: int) -> Finding:
    """Count units that do not answer to their input any more, after an epoch at the given learning rate."""
    network, shares = make_network(0), []
    before = idle_units(network, dataset.train.x)
    train(network, SGD(lr, momentum), dataset, 1, batch_size)
    for k, idle in idle_units(network, dataset.train.x).items():
        shares.append(f"{idle.sum()} of {idle.size}")
        if idle.mean() > 0.5:
            text = f"{shares[-1]} units of layer {k} are dead or saturated after an epoch at lr {lr:g}"
            remedy = "if these are many, mend initial weights and biases, else lower the learning rate"
            return False, f"{text}, {before[k].sum()} from the start; {remedy}"
    return True, f"{', '.join(shares) or 'none'} dead or saturated after an epoch at lr {lr:g}"


def learning_rate(dataset: Dataset, make_network: MakeNetwork, lr: float, momentum: float, batch_size: int) -> Finding:
    """Train a stack over neighbouring learning rates for a while and compare their lowest validation losses.

    A rate is wrong if its network diverges, or its loss is more than half as large again as the best one's and the
    difference is more than 0.35 ln K: less than that a few more epochs make up for, with sigmoids for instance, which
    are slow to leave their first plateau.
    """
    rates = [lr, lr / 30, lr / 10, lr / 3, 3 * lr, 10 * lr, 0.05]  # the last is a usual one, whatever the given
    network = make_network([0] * len(rates))
    N = len(dataset.train.x)
    steps = -(-N // batch_size)  # an epoch, which takes about six operations for each parameter and sample
    epochs = max(1, round(min(RATE_STEPS / steps, RATE_WORK / (6 * N * network.theta.size))))
    history = train(network, SGD(rates, momentum), dataset, epochs, batch_size)
    losses = np.min(history.validation_loss, axis=0)  # that of the weights which a run keeps
    losses = np.where(history.diverged(), np.inf, losses)
    loss, lowest, better = losses[0], losses.min(), rates[losses.argmin()]
    if np.isinf(lowest):
        return False, f"training diverges at lr {lr:g} and all others tried, down to {min(rates):.2g}; try lower ones"
    text = f"after {epochs} epochs the lowest validation loss is {loss:.2g} at lr {lr:g}"
    text += f"; the best of {len(rates)} rates is {better:.2g}, with {lowest:.2g}"
    if loss > 1.5 * lowest and loss - lowest > 0.35 * math.log(dataset.K):
        return False, f"{text}: lr is too {'low' if better > lr else 'high'}, use {better:.2g}"
    return True, text


def idle_units(network: Network, x: Array) -> dict[int, Array]:
    """Tell, of each activation layer by its place, which units are idle.

    A `ReLU` is dead if it is 0 for all samples; a `Tanh` or `Sigmoid` is saturated if it is within a hundredth of an
    end of its range for 95 of 100 samples.
    """
    idle = {}
    for k, layer in enumerate(network.layers):
        x = getattr(layer, "infer", layer.forward)(x)
        if isinstance(layer, ReLU):
            idle[k] = (x == 0).all(axis=0)
        elif isinstance(layer, Tanh | Sigmoid):
            low = -1 if isinstance(layer, Tanh) else 0
            idle[k] = ((x < low + 0.01) | (x > 0.99)).mean(axis=0) > 0.95
    return idle


def sample_of(dataset: Dataset) -> Dataset:
    """Return a data set with at most `SAMPLES` samples in each part, picked at random, and in random order."""
    rows = {name: np.random.default_rng(0).permutation(len(getattr(dataset, name).x))[:SAMPLES] for name in SPLITS}
    parts = {name: Part(*(np.asarray(array)[rows[name]] for array in getattr(dataset, name))) for name in SPLITS}
    weights = {name: np.asarray(each)[rows[name]] for name, each in dataset.sample_weight.items()}
    return dataclasses.replace(dataset, **parts, sample_weight=weights, rows={})  # type: ignore[arg-type]


def class_weighted(make_network: MakeNetwork) -> bool:
    """Tell whether classes have weights, which make up for differences in their sizes."""
    try:
        return getattr(make_network(0).output, "class_weight", None) is not None
    except Exception:  # the checks of the network will tell
        return False
