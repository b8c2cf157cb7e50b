"""What does a result stand beside? Guessing, the commonest class, and a logistic regression on the same samples."""

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
from minnet.support.text import shortened
from minnet.training import logits, score

ALPHA = 0.05  # the probability of chance below which it is not what is said


def baseline(configs: Sequence[Config], datasets: Sequence[Dataset], folds: bool = False) -> list[Group]:
    """Make the group of what a run is compared with: its first network without hidden layers, if it has any.

    Of folds, the first network of each; where these cannot be one stack, there are several groups.
    """
    first, dataset = configs[0], datasets[0]
    if first.no_baseline or not first.hidden:
        return []
    if folds:
        once = {config.fold: s for s, config in reversed([*enumerate(configs)])}
        who = sorted(once.values())
        linear, own = [replace(configs[s], hidden=()) for s in who], [datasets[s] for s in who]
        made = groups(linear, own, stacks(linear, own))
        return [group._replace(name=f"{BASELINE}-{k}") for k, group in enumerate(made, 1)]
    return [Group([replace(first, hidden=())], [dataset], stacked=False, name=BASELINE, D=dataset.D)]


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
    return f"{what}: {ours} samples right here only, {theirs} there (exact McNemar p = {p:.2g})"


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


def compare_with_baseline(results: Sequence[Result], plan: Any, right: Array) -> tuple[dict[str, Any], list[str]]:
    """Compare a network with the logistic regression that was trained beside it, if one was: as data, and to read.

    Parameters
    ----------
    results : sequence of Result
        What came of the baseline of the plan, or nothing.
    plan : Job
        What was trained on what.
    right : bool array of shape (N,)
        Which samples of the test split the network has right.
    """
    if not results:
        return {}, []
    (group,), (result,) = plan.baseline, results
    if result.ended.reason == "diverged":
        said = f"it diverged in epoch {result.ended.epoch}"
        text = f"logistic regression: {said}; nothing to compare with"
        return {"logistic_regression": {"diverged": said}}, [f"beside it      {text}"]
    dataset = group.datasets[0]
    network = make_network(group.configs[0], dataset)
    network.theta[...] = result.theta
    scores, predicted = score_test(network, dataset)
    found = mcnemar(right, predicted == dataset.labels("test"))
    figures = {f"test_{name}": scores[name] for name in ("accuracy", "balanced_accuracy", "loss")}
    accuracy = f"{scores['accuracy']:.4f}"
    if balance_matters(network, dataset.counts("test")):
        accuracy += f", balanced {scores['balanced_accuracy']:.4f}"
    lines = [f"beside it      logistic regression {accuracy}", f"difference     {describe_difference(found)}"]
    return {"logistic_regression": figures, "mcnemar": found}, lines
