"""Is everything in order before a long run? A minute's check-up of a data set, a network and a learning rate.

Each check is a function of its own that measures one thing and says in a line what it found, and if that is wrong,
what to do about it. What a check takes for wrong lies far beyond what healthy data sets show, so that silence and
alarm both mean something. Nothing is drawn without a fixed seed and no clock is read: the same patient gets the same
diagnosis each time.
"""

import dataclasses
import functools
import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.layers import ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam
from minnet.support import expect
from minnet.support.stack import Array
from minnet.training import evaluate, train

MakeNetwork = Callable[[int | Sequence[int]], Network]
Finding = tuple[bool, str]

PARTS = {"train": "training", "validation": "validation", "test": "test"}
SAMPLES = 10_000  # of the training part, at most, for what has to be trained
BATCH_RATES = (0.003, 0.01, 0.03)  # Adam's, in `one_batch`
BATCH_STEPS = 1500  # at most
RATE_FACTORS = (1 / 30, 1 / 10, 1 / 3, 3, 10)  # of the given rate, tried beside it by `learning_rate`
USUAL_RATE = 0.05  # also tried there, whatever the given rate
RATE_STEPS = 2000  # of each network in `learning_rate`, at most
RATE_WORK = 1e11  # operations on numbers there, about, in all


class Diagnosis(NamedTuple):
    """What a check found.

    Attributes
    ----------
    check : str
        Its short name, such as "initial loss".
    right : bool
        Whether all is well.
    text : str
        One line: the measured figures; if something is wrong, what it is and what to do about it.
    """

    check: str
    right: bool
    text: str


def examine(
    dataset: Dataset, make_network: MakeNetwork, lr: float = 0.05, momentum: float = 0.9, batch_size: int = 32
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

    Returns
    -------
    list of Diagnosis
        One for each check, those of the data first. A check that cannot be made at all counts as wrong.
    """
    fewer = sample_of(dataset)
    return [
        diagnosis(feature_scales, dataset),
        diagnosis(constant_features, dataset),
        diagnosis(duplicate_features, dataset),
        diagnosis(duplicate_rows, dataset),
        diagnosis(class_balance, dataset, make_network),
        diagnosis(label_leak, dataset),
        diagnosis(initial_loss, fewer, make_network),
        diagnosis(one_batch, fewer, make_network),
        diagnosis(dead_units, fewer, make_network, lr, momentum, batch_size),
        diagnosis(learning_rate, fewer, make_network, lr, momentum, batch_size),
    ]


def diagnosis(check: Callable[..., Finding], *patient: Any) -> Diagnosis:
    """Make a check. Whatever keeps it from being made is a finding, too: the other checks may tell the cause."""
    name = check.__name__.replace("_", " ")
    try:
        with np.errstate(all="ignore"):  # what is not finite shows in the figures
            return Diagnosis(name, *check(*patient))
    except Exception as error:
        return Diagnosis(name, False, f"could not be checked: {type(error).__name__}: {error}".replace("\n", " "))


def feature_scales(dataset: Dataset) -> Finding:
    """Look for entries that squeeze all others of their feature together, and for features lost beside their mean.

    An entry is far off if it is more than 100 times as far from the median as half of the entries that differ from it
    (all but one in a continuous feature, the lit ones of a pixel that mostly is dark), and matters if the standard
    deviation is less than a fifth without such entries. If fewer than ten differ, perhaps because float32 could not
    tell the others apart any more, the feature is held against the scales of the other features.
    """
    far_off, lost, largest = [], [], 0.0
    for name, feature, mean, scale in features(dataset):
        distance, deviation = np.abs(feature - np.median(feature)), feature.std()
        differing = distance[distance > 0]
        if not differing.size:
            continue
        n, largest = int(distance.argmax()), max(largest, np.abs(feature).max())
        far = distance > 100 * np.median(differing)
        squeezed = far.any() and 5 * feature[~far].std() < deviation
        if squeezed if differing.size >= 10 else distance[n] * scale > 1e6 * np.median(dataset.standardization.scale):
            far_off.append(f"{name!r} is {feature[n] * scale + mean:.4g} in {place(dataset, n)}")
        if deviation * scale < 1e-6 * abs(mean):
            lost.append(f"{name!r} is {mean:.10g} ± {deviation * scale:.2g}")
    if far_off:
        return False, f"far off: {listed(far_off)}; mend such entries, clip them, or take the feature's logarithm"
    if lost:
        return False, f"lost beside its mean: {listed(lost)}; subtract an offset before the data are stored"
    return True, f"no entry is far off; the largest is {largest:.3g} standard deviations from its mean"


def constant_features(dataset: Dataset) -> Finding:
    """Look for features that never change, except in pictures, whose borders may be dark everywhere.

    It is a picture, or something of its kind, if half of the features that change have the same minimum.
    """
    x, names, standardization = dataset.train.x, dataset.feature_names, dataset.standardization
    constant, minimum = np.ptp(x, axis=0) == 0, x.min(axis=0) * standardization.scale + standardization.mean
    if constant.all():
        return False, "all features are constant in the training part: there is nothing to learn from"
    scales = np.sort(standardization.scale[~constant])
    common, tolerance = np.median(minimum[~constant]), 1e-4 * scales[(len(scales) - 1) // 2]  # of float32
    at_common = np.abs(minimum - common) <= tolerance
    picture = at_common[~constant].mean() >= 0.5
    wrong = constant & ~(at_common & picture)
    if wrong.any():
        return False, f"constant in the training part: {named(names, wrong)}; leave out what tells nothing"
    if constant.any():
        value = 0 if abs(common) <= tolerance else common
        return True, f"{constant.sum()} of {dataset.D}, all at the minimum {value:.3g} of most others, as in pictures"
    return True, f"none of {dataset.D}"


def duplicate_features(dataset: Dataset) -> Finding:
    """Look for pairs of features with a correlation beyond ±0.9999999 in the training part.

    A feature counts if at least five entries differ from its median: pixels lit in a single picture are all alike.
    """
    x = dataset.train.x[some_rows(len(dataset.train.x), max(1000, 20_000_000 // dataset.D))]
    x = x.astype(np.float64)  # float32 could not tell such a correlation from 1
    counts = (x != np.median(x, axis=0)).sum(axis=0) >= 5
    names = [repr(name) for name in itertools.compress(dataset.feature_names, counts)]
    x = x[:, counts] - x[:, counts].mean(axis=0)
    x /= np.sqrt((x * x).sum(axis=0))
    same = []
    for start in range(0, len(names), 1000):
        correlation = np.triu(x[:, start : start + 1000].T @ x, start + 1)
        same += [(names[start + i], names[j]) for i, j in np.argwhere(np.abs(correlation) > 0.9999999)]
    if same:
        return False, f"the same up to scale and shift: {pairs(same)}; leave one of each out"
    return True, f"none of {dataset.D}"


def duplicate_rows(dataset: Dataset) -> Finding:
    """Look for rows of the training part that stand in the other parts, too, or contradict each other."""
    seen, texts, leaking = groups(dataset.train.x), [], False
    for name in ("validation", "test"):
        x = getattr(dataset, name).x
        shared = sum(len(same) for row, same in groups(x).items() if row in seen)
        texts.append(f"{shared} of {len(x)} {name} rows stand in the training part")
        leaking |= shared > max(1, 0.05 * len(x))
    text = ", ".join(texts)
    if leaking:
        return False, (
            f"{text}: accuracies there will be too good; leave duplicates out before splitting, unless the features "
            "take so few values that they are natural"
        )
    N, twins = len(dataset.train.x), contradictions(seen, dataset.labels("train"))
    count = sum(map(len, twins))
    if len(twins) > 1 and count > 0.01 * N:
        return False, (
            f"{count} of {N} training rows have a twin of another class, such as samples {pairs(twins)} "
            "of the training part; find out which labels are right"
        )
    return True, f"{text}, and {count} rows there have a twin of another class" if count else text


def class_balance(dataset: Dataset, make_network: MakeNetwork) -> Finding:
    """Compare the classes' numbers of samples; weights given to classes make up for their differences."""
    weighted = getattr(make_network(0).output, "class_weight", None) is not None
    for name in PARTS:
        count = dataset.counts(name)
        if not count.all():
            missing = named(dataset.class_names, count == 0)
            return False, f"the {PARTS[name]} part has no sample of {missing}; split so that each part has some"
    count = dataset.counts("train")
    few, many = count.min(), count.max()
    if many <= 10 * few or weighted:
        made_up = ", for which class weights make up" if many > 10 * few else ""
        return True, f"{few} to {many} training samples a class{made_up}"
    rare, common = dataset.class_names[count.argmin()], dataset.class_names[count.argmax()]
    return False, f"{many} training samples of {common!r}, only {few} of {rare!r}; try --class-weight balanced"


def label_leak(dataset: Dataset) -> Finding:
    """Look for features that are the class by another name: they change between classes, but never within one.

    A row number is another: integers one apart, each of which occurs once, up to an offset.
    """
    x, labels = dataset.train.x, dataset.labels("train")
    within = functools.reduce(np.maximum, (np.ptp(x[labels == k], axis=0) for k in set(labels.tolist())))
    leaks = (within <= 1e-3) & (np.ptp(x, axis=0) > 0.1) & (len(x) >= 10 * dataset.K)
    names = dataset.feature_names
    if leaks.any():
        told = f"the class can be read off {named(names, leaks)}, constant within each class"
        return False, f"{told}; leave out what will not be known"
    counting = []
    for _, feature, _, scale in features(dataset):
        gaps = np.diff(np.sort(feature * scale))  # all 1 if it is a row number, up to what float32 can tell
        counting.append(len(feature) >= 20 and np.abs(gaps - 1).max() < max(1e-6 * len(feature), 0.01))
    if any(counting):
        return (
            False,
            f"{named(names, counting)} numbers the rows: leave it out, since new samples get numbers never seen",
        )
    return True, "no feature is constant within each class"


def initial_loss(dataset: Dataset, make_network: MakeNetwork) -> Finding:
    """Compare the loss of fresh networks with ln K, that of one which finds all classes equally probable."""
    rows = some_rows(len(dataset.train.x), 1000)
    x, t = (array[rows] for array in dataset.train)
    loss = float(np.mean(make_network(range(5)).forward(x, t), dtype=np.float64))
    guessing = math.log(dataset.K)
    text = f"{loss:.3g}, where ln K is {guessing:.3g}"
    if not loss <= 1.5 * guessing + 1:  # NaN is wrong, too
        return False, f"{text}: the initial weights or the features are too large; draw smaller weights, standardise"
    return True, text


def one_batch(dataset: Dataset, make_network: MakeNetwork) -> Finding:
    """Learn 16 samples by heart, which any network that fits its data can do, whatever the given learning rate."""
    rows = some_rows(len(dataset.train.x), 16)
    x, t = (array[rows] for array in dataset.train)
    network = make_network([0] * len(BATCH_RATES))
    optimizer = Adam(BATCH_RATES)
    floor = least_loss(network, t)
    for step in range(0, BATCH_STEPS + 1, 25):
        losses, _ = evaluate(network, x, t)
        loss = np.where(np.isfinite(losses), losses, np.inf).min() - floor
        if loss < 0.1:
            return True, f"{len(rows)} samples are learned by heart, to a loss of {loss:.2g}, in {step} steps"
        for _ in range(25):
            network.forward(x, t)
            network.backward()
            optimizer.step(network)
    text = f"{len(rows)} samples are not learned by heart: their loss is still {loss:.2g} after {step} steps"
    twins = contradictions(groups(x), dataset.labels("train")[rows])
    if twins:
        return False, (
            f"{text}; samples {pairs(rows[same] for same in twins)} of the training part are the same, "
            "their classes are not: mend them"
        )
    return False, f"{text}; take more hidden units, look at the features, and check the gradients by `minnet check`"


def dead_units(dataset: Dataset, make_network: MakeNetwork, lr: float, momentum: float, batch_size: int) -> Finding:
    """Count units that do not answer to their input any more, after an epoch at the given learning rate."""
    network, shares = make_network(0), []
    before = list(idle_units(network, dataset.train.x))
    train(network, SGD(lr, momentum), dataset, 1, batch_size)
    for (k, kind, idle), (_, _, earlier) in zip(idle_units(network, dataset.train.x), before, strict=True):
        shares.append(f"{idle.sum()} of {idle.size}")
        if idle.mean() > 0.5:
            cause = "; lower the learning rate"
            if earlier.mean() > 0.5:
                cause = f", {earlier.sum()} from the start; mend initial weights and biases"
            return False, f"{shares[-1]} units of layer {k} are {kind} after an epoch at lr {lr:g}{cause}"
    return True, f"{', '.join(shares) or 'none'} dead or saturated after an epoch at lr {lr:g}"


def learning_rate(dataset: Dataset, make_network: MakeNetwork, lr: float, momentum: float, batch_size: int) -> Finding:
    """Train a stack over neighbouring learning rates for a while and compare the training losses at the end.

    A rate is wrong if its network diverges, or its loss is more than half as large again as the best one's and the
    difference is more than 0.35 ln K: less than that a few more epochs make up for, with sigmoids for instance, which
    are slow to leave their first plateau.
    """
    rates = [lr, *(lr * factor for factor in RATE_FACTORS), USUAL_RATE]
    network = make_network([0] * len(rates))
    N = len(dataset.train.x)
    steps = -(-N // batch_size)  # an epoch, whose work is gradients, evaluation and updates
    work = network.theta.size * (4 * N + len(dataset.validation.x) + 30 * steps)
    epochs = max(1, round(min(RATE_STEPS / steps, RATE_WORK / work)))
    history = train(network, SGD(rates, momentum), dataset, epochs, batch_size)
    losses = np.mean(history.train_loss[-max(1, epochs // 10) :], axis=0)  # of several epochs: less left to chance
    losses = np.where(history.diverged(), np.inf, losses)
    best = losses.argmin()
    loss, lowest, better = losses[0], losses[best], rates[best]
    if np.isinf(lowest):
        return False, f"training diverges at lr {lr:g} and all others tried, down to {min(rates):.2g}; try lower ones"
    if np.isinf(loss):
        return False, f"training diverges at lr {lr:g}; at lr {better:.2g} the loss is {lowest:.2g}: use that"
    text = f"after {len(history.epoch)} epochs the training loss is {loss:.2g} at lr {lr:g}"
    if best == 0:
        return True, f"{text}, the lowest of {len(rates)} rates"
    text += f", {lowest:.2g} at lr {better:.2g}"
    if loss > 1.5 * lowest and loss - lowest > 0.35 * math.log(dataset.K):
        return False, f"{text}: lr is too {'low' if better > lr else 'high'}, use {better:.2g}"
    return True, text


def idle_units(network: Network, x: Array) -> Iterator[tuple[int, str, Array]]:
    """Give, for each activation layer, its place, what its idle units are, and which units are idle.

    A `ReLU` is dead if it is 0 for all samples; a `Tanh` or `Sigmoid` is saturated if it is within a hundredth of an
    end of its range for 95 of 100 samples.
    """
    x = network.check_features(x)
    for k, layer in enumerate(network.layers):
        x = getattr(layer, "infer", layer.forward)(x)
        if isinstance(layer, ReLU):
            yield k, "dead", (x == 0).all(axis=0)
        elif isinstance(layer, Tanh | Sigmoid):
            low = -1 if isinstance(layer, Tanh) else 0
            yield k, "saturated", ((x < low + 0.01) | (x > 0.99)).mean(axis=0) > 0.95


def sample_of(dataset: Dataset) -> Dataset:
    """Return a data set with at most `SAMPLES` samples in each part, picked at random."""
    parts, weights = dict[str, Any](), dict[str, Array]()
    for name in PARTS:
        x, t = getattr(dataset, name)
        rows = some_rows(len(x), SAMPLES)
        parts[name] = Part(x[rows], np.asarray(t)[rows])
        if name in dataset.sample_weight:
            weights[name] = np.asarray(dataset.sample_weight[name])[rows]
    return dataclasses.replace(dataset, **parts, sample_weight=weights, rows={})


def some_rows(N: int, most: int) -> Array:
    """Return all row numbers of N, or ``most`` of them, picked at random, in their order."""
    return np.sort(np.random.default_rng(0).permutation(N)[:most])


def least_loss(network: Network, t: Array) -> float:
    """Return the lowest possible mean loss for targets: the entropy of soft or smoothed ones, else 0."""
    smoothing = getattr(network.output, "label_smoothing", 0.0)
    rows = (1 - smoothing) * expect.targets(t, network.K) + smoothing / network.K
    return float(-(rows * np.log(np.where(rows > 0, rows, 1))).sum(axis=1).mean())


def groups(x: Array) -> dict[bytes, list[int]]:
    """Give the numbers of the rows that are the same, by a digest of them."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for n, row in enumerate(np.ascontiguousarray(x) + 0.0):  # −0.0 becomes 0.0, which has other bytes
        same[hashlib.blake2b(row, digest_size=16).digest()].append(n)
    return same


def contradictions(same: dict[bytes, list[int]], labels: Array) -> list[list[int]]:
    """Give those groups of equal rows that have several classes, two rows of different ones first."""
    mixed = [rows for rows in same.values() if np.ptp(labels[rows])]
    return [sorted(rows, key=lambda n: (n != rows[0], labels[n] == labels[rows[0]])) for rows in mixed]


def features(dataset: Dataset) -> Iterator[tuple[str, Array, Any, Any]]:
    """Give the name, the samples of the three parts one after another, the mean and the scale of each feature."""
    x, standardization = np.concatenate([getattr(dataset, name).x for name in PARTS]), dataset.standardization
    for d, name in enumerate(dataset.feature_names):
        yield name, x[:, d].astype(np.float64), standardization.mean[d], standardization.scale[d]


def place(dataset: Dataset, n: int) -> str:
    """Tell where row n of all samples stands."""
    for name in PARTS:
        N = len(getattr(dataset, name).x)
        if n < N:
            break
        n -= N
    origin = dataset.rows.get(name, ())
    of_data = f" (row {origin[n] + 1} of the data)" if len(origin) == N else ""
    return f"sample {n} of the {PARTS[name]} part{of_data}"


def pairs(groups: Iterable[Iterable[object]]) -> str:
    """List the first two of each group."""
    return listed([f"{first} and {second}" for first, second, *_ in groups])


def named(names: Iterable[str], chosen: Iterable[bool]) -> str:
    """List those of the names that are chosen."""
    return listed([repr(name) for name in itertools.compress(names, chosen)])


def listed(items: Sequence[str], most: int = 3) -> str:
    """List a few things, and tell how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
