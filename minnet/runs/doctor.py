"""Is everything in order before a long run? A minute's check-up of a data set, a network and a learning rate.

Each check is a function of its own that measures one thing and says in a line what it found, and if that is wrong,
what to do about it. What a check takes for wrong lies far beyond what healthy data sets show, so that silence and
alarm both mean something. Nothing is drawn without a fixed seed and no clock is read: the same patient gets the same
diagnosis each time.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.data.preprocessing import Number
from minnet.data.splits import SPLITS
from minnet.data.table import Table
from minnet.layers import ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam
from minnet.runs.data_check import Diagnosis, Finding, check_columns, diagnosis, duplicate_rows, some
from minnet.support.stack import Array
from minnet.support.text import listed
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


def check_features(dataset: Dataset, fewer: Dataset, class_weighted: bool = False) -> list[Diagnosis]:
    """Make the checks of what a network gets; of fewer samples, given as a data set, those that take long."""
    return [
        diagnosis(feature_scales, dataset),
        diagnosis(constant_features, dataset),
        diagnosis(duplicate_features, fewer),
        diagnosis(duplicate_rows, dataset),
        diagnosis(class_balance, dataset, class_weighted),
        diagnosis(label_leak, dataset),
    ]


def feature_scales(dataset: Dataset) -> Finding:
    """Look for entries that squeeze all others of their feature together, and for features lost beside their mean.

    An entry is far off if it is more than 100 times as far from the median as half of the entries that differ from it
    (all but one in a continuous feature, the lit ones of a pixel that mostly is dark), and matters if the standard
    deviation is less than a fifth without such entries. If fewer than ten differ, perhaps because float32 could not
    tell the others apart any more, the feature is held against the scales of the other features.
    """
    far_off, lost = [], []
    for name, feature in features(dataset):
        distance, deviation = np.abs(feature - np.median(feature)), feature.std()
        differing = distance[distance > 0]
        if not differing.size:
            continue
        n, far = int(distance.argmax()), distance > 100 * np.median(differing)
        squeezed = far.any() and 5 * feature[~far].std() < deviation
        if squeezed if differing.size >= 10 else distance[n] > 1e6 * np.median(dataset.standardization.scale):
            far_off.append(f"{name!r} is {feature[n]:.4g} in {place(dataset, n)}")
        if deviation < 1e-6 * abs(feature.mean()):
            lost.append(f"{name!r} is {feature.mean():.10g} ± {deviation:.2g}")
    if far_off:
        return False, f"far off: {some(far_off)}; mend such entries, clip them, or take the feature's logarithm"
    if lost:
        return False, f"lost beside its mean: {some(lost)}; subtract an offset before the data are stored"
    return True, f"no entry of {dataset.D} features is far off"


def constant_features(dataset: Dataset) -> Finding:
    """Look for features that never change, except in pictures, whose borders may be dark everywhere.

    It is a picture, or something of its kind, if half of the features that change have the same minimum.
    """
    x, standardization = dataset.train.x, dataset.standardization
    constant, minimum = np.ptp(x, axis=0) == 0, x.min(axis=0) * standardization.scale + standardization.mean
    if constant.all():
        return False, "all features are constant in the train part: there is nothing to learn from"
    changing = ~constant & measured(dataset)
    common = np.median(minimum[changing]) if changing.any() else np.nan
    tolerance = 1e-4 * np.quantile(standardization.scale[~constant], 0.5, method="lower")  # of float32
    at_common = np.abs(minimum - common) <= tolerance
    picture = changing.any() and at_common[changing].mean() >= 0.5
    wrong = constant & ~(at_common & picture)
    if wrong.any():
        return False, f"never change in the train part: {chosen(dataset.feature_names, wrong)}; leave them out"
    borders = ", as at the borders of pictures" if constant.any() else ""
    return True, f"{constant.sum()} of {dataset.D}{borders}"


def duplicate_features(dataset: Dataset) -> Finding:
    """Look for pairs of columns of numbers with a correlation beyond ±0.9999999 in the training part.

    A feature counts if at least five entries differ from its median: pixels lit in a single picture are all alike.
    """
    x = dataset.train.x[: max(1000, 20_000_000 // dataset.D)]
    x = x.astype(np.float64)  # float32 could not tell such a correlation from 1
    counts = (x != np.median(x, axis=0)).sum(axis=0) >= 5
    counts &= measured(dataset)
    names = np.array(dataset.feature_names)[counts].tolist()
    x = x[:, counts] - x[:, counts].mean(axis=0)
    x /= np.linalg.norm(x, axis=0)
    same = []
    for start in range(0, len(names), 1000):
        correlation = np.triu(x[:, start : start + 1000].T @ x, start + 1)
        pairs = np.argwhere(np.abs(correlation) > 0.9999999)
        same += [f"{names[start + i]!r} and {names[j]!r}" for i, j in pairs]
    if same:
        return False, f"the same up to scale and shift: {some(same)}; leave one of each out"
    return True, f"none of {dataset.D}"


def class_balance(dataset: Dataset, class_weighted: bool) -> Finding:
    """Compare the classes' numbers of samples; weights given to classes make up for their differences."""
    for name in SPLITS:
        missing = dataset.counts(name) == 0
        if missing.any():
            classes = chosen(dataset.class_names, missing)
            return False, f"the {name} part has no sample of {classes}; split so that each part has some"
    count = dataset.counts("train")
    text = f"{count.min()} to {count.max()} training samples a class"
    if count.max() > 10 * count.min() and not class_weighted:
        return False, f"{text}, fewest of {dataset.class_names[count.argmin()]!r}; try --class-weight balanced"
    return True, text


def label_leak(dataset: Dataset) -> Finding:
    """Look for features that are the class by another name: they change between classes, but never within one."""
    x, labels = dataset.train.x, dataset.labels("train")
    within = np.max([np.ptp(x[labels == k], axis=0) for k in np.unique(labels)], axis=0)
    leaks = (within <= 1e-3) & (np.ptp(x, axis=0) > 0.1) & (len(x) >= 10 * dataset.K)
    if leaks.any():
        return False, f"the class can be read off {chosen(dataset.feature_names, leaks)}; leave out what gives it away"
    return True, "no feature is constant within each class"


def measured(dataset: Dataset) -> Array:
    """Tell which features are columns of numbers themselves, not a category or a mark of missing cells."""
    columns = dataset.preprocessing.columns
    names = [isinstance(each, Number) and name == each.name for each in columns for name in each.features]
    return np.array(names)


def features(dataset: Dataset) -> Iterator[tuple[str, Array]]:
    """Give the name of each feature, and its values as they were before they were standardised, in all parts."""
    x, standardization = np.concatenate([getattr(dataset, name).x for name in SPLITS]), dataset.standardization
    for d, name in enumerate(dataset.feature_names):
        yield name, x[:, d].astype(np.float64) * standardization.scale[d] + standardization.mean[d]


def place(dataset: Dataset, n: int) -> str:
    """Tell where row n of all parts stands."""
    for name in SPLITS:
        N = len(getattr(dataset, name).x)
        if n < N:
            break
        n -= N
    of_data = f" (row {dataset.rows[name][n] + 1} of the data)" if name in dataset.rows else ""
    return f"sample {n} of the {name} part{of_data}"


def chosen(names: Sequence[str], which: Array) -> str:
    """List those of the names that are chosen."""
    return listed(np.array(names)[which].tolist())
