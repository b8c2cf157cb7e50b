"""What does a result stand beside? Guessing, the commonest class, and a logistic regression on the same samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minnet.data.dataset import Dataset
from minnet.network import Network
from minnet.runs.build import make_network
from minnet.runs.config import Config
from minnet.runs.sweep import BASELINE, Group, Result, groups, stacks
from minnet.support.scores import named, uneven
from minnet.support.stack import Array
from minnet.support.text import counted, shortened
from minnet.training import logits, score

Beside = tuple[dict[str, Any], list[str]]  # what is said of it: as data, and to read
ALPHA = 0.05  # the probability of chance below which it is not what is said


def baseline(configs: Sequence[Config], datasets: Sequence[Dataset]) -> list[Group]:
    """Make the groups of what a run is compared with: its first network without hidden layers, of folds each's first.

    There are none if the run has no hidden layers itself, or is not to be compared.
    """
    if configs[0].no_baseline or not configs[0].hidden:
        return []
    first: dict[int, tuple[Config, Dataset]] = {}
    for config, dataset in zip(configs, datasets, strict=True):
        first.setdefault(id(dataset), (replace(config, hidden=()), dataset))
    alone, own = map(list, zip(*first.values(), strict=True))
    stacked = len(first) > 1
    sizes = stacks(alone, own, math.inf) if stacked else [1]
    made = groups(alone, own, sizes, stacked)
    return [group._replace(name=f"{BASELINE}-{group.name}".rstrip("-")) for group in made]


def score_test(network: Network, dataset: Dataset) -> tuple[dict[str, Any], Array]:
    """Score a network, or each of a stack, on the test split: figures by name, and the class numbers predicted."""
    x, t, sample_weight = network.check(*dataset.test, dataset.sample_weight.get("test"))
    z = logits(network, x)
    values = score(network.output, z, t, sample_weight, more=True)
    y = network.output.probabilities(z)
    return named(values, t.argmax(axis=-1), y), z.argmax(axis=-1)


def mcnemar(right: Array, other: Array) -> dict[str, Any]:
    """Test whether two classifiers differ on the same samples by more than chance, exactly (McNemar 1947).

    Were they equally good, a sample that only one of them has right would be either one's with probability 1/2.

    Parameters
    ----------
    right, other : bool arrays of shape (N,)
        Which samples the network has right, and the baseline.

    Returns
    -------
    dict
        "only_network", "only_baseline": how many samples only one has right; "p", two-sided.
    """
    from scipy.stats import binomtest

    ours = int((right & ~other).sum())
    theirs = int((other & ~right).sum())
    p = float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
    return {"only_network": ours, "only_baseline": theirs, "p": p}


def describe_difference(found: Mapping[str, Any]) -> str:
    """Say what `mcnemar` found."""
    ours, theirs, p = found["only_network"], found["only_baseline"], found["p"]
    if p >= ALPHA:
        what = "may be chance"
    elif ours > theirs:
        what = "more than chance"
    else:
        what = "more than chance, against this network"
    return f"{what}: {counted(ours, 'sample')} right here only, {theirs} there (exact McNemar p = {p:.2g})"


def balance_matters(network: Network, counts: Array) -> bool:
    """Tell whether accuracy alone says little: there are more samples of some classes, or these have weights."""
    return bool(getattr(network.output, "class_weight", None)) or uneven(counts)


def commonest(dataset: Dataset) -> tuple[dict[str, Any], str]:
    """Tell what always saying the training split's commonest class gives on the test split: as data, and to read."""
    most = int(dataset.counts("train").argmax())
    name = dataset.class_names[most]
    share = float((dataset.labels("test") == most).mean())
    text = f"always {shortened(name, 30)!r} gives {share:.4f}"
    return {"class": name, "test_accuracy": share}, text


def compare_with_baseline(result: Result | None, plan: Any, right: Array) -> Beside:
    """Compare a network with the logistic regression that was trained beside it, if one was: as data, and to read.

    Parameters
    ----------
    result : Result or None
        What came of the baseline of the plan.
    plan : Job
        What was trained on what.
    right : bool array of shape (N,)
        Which samples of the test split the network has right.
    """
    if result is None or result.ended.reason == "interrupted":
        return {}, []
    (group,) = plan.baseline
    if result.ended.reason == "diverged":
        return diverged(f"it diverged in epoch {result.ended.epoch}")
    dataset = group.datasets[0]
    network = make_network(group.configs[0], dataset)
    network.theta[...] = result.theta
    scores, predicted = score_test(network, dataset)
    figures = {f"test_{name}": value for name, value in scores.items()}
    accuracy = f"{scores['accuracy']:.4f}"
    if balance_matters(network, dataset.counts("test")):
        accuracy += f", balanced {scores['balanced_accuracy']:.4f}"
    return said(figures, accuracy, mcnemar(right, predicted == dataset.labels("test")))


def diverged(what: str) -> Beside:
    """Say that there is nothing to compare with, as data and to read."""
    text = f"beside it      logistic regression: {what}; nothing to compare with"
    return {"logistic_regression": {"diverged": what}}, [text]


def said(figures: dict[str, Any], accuracy: str, found: dict[str, Any]) -> Beside:
    """Say how the logistic regression did, and whether the difference may be chance, as data and to read."""
    lines = [f"beside it      logistic regression {accuracy}", f"difference     {describe_difference(found)}"]
    return {"logistic_regression": figures, "mcnemar": found}, lines
