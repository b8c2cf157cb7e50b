"""How did a run go? Its figures and the reason why it ended, as data and in lines to read."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minnet.history import History
from minnet.network import Network
from minnet.runs.beside import balance_matters, commonest, compare_with_baseline, score_test
from minnet.runs.calibration import Calibration, temperature_of
from minnet.runs.config import VARIED, Config
from minnet.runs.folder import Summary
from minnet.runs.sweep import Result, Setting, rank
from minnet.support.stack import Array
from minnet.support.text import one_line, table
from minnet.training import Ending


def figure(value: float) -> str:
    """Format a loss or an accuracy; a loss may be huge."""
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.1e}"


def mean_and_deviation(values: Array) -> str:
    """Format the mean over networks and its standard deviation."""
    return f"{figure(values.mean())} ± {figure(values.std())}" if values.size else "-"


def class_report(t: Array, predicted: Array, class_names: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """Tell precision, recall and F1 of each class, as scikit-learn's report does: to read, and as data."""
    from sklearn.metrics import classification_report, precision_recall_fscore_support

    labels, names = np.arange(len(class_names)), [*map(one_line, class_names)]
    text = classification_report(t, predicted, labels=labels, target_names=names, digits=4, zero_division=0)
    scores = precision_recall_fscore_support(t, predicted, labels=labels, zero_division=0)
    rows = zip(class_names, *(column.tolist() for column in scores), strict=True)
    columns = ("class", "precision", "recall", "f1", "samples")
    return text, [dict(zip(columns, row, strict=True)) for row in rows]


def describe_scores(
    scores: Mapping[str, Any], counts: Array, network: Network, split: str = "", more: str = "", folds: str = ""
) -> list[str]:
    """Say how a network did on so many samples of each class; first with each class counting the same, if that matters.

    Where classes have weights, accuracy alone would look like failure: they buy balance with it. Of several folds a
    figure is an array, of which mean and deviation are told.
    """
    said = {name: mean_and_deviation(value) if np.ndim(value) else figure(value) for name, value in scores.items()}
    right = folds or f"{round(scores['accuracy'] * counts.sum())} of {counts.sum()} samples right"
    lines = [f"{split + 'accuracy':<14} {said['accuracy']}  ({right}{more})"]
    if balance_matters(network, counts):
        same = f"accuracy if each class counts the same; guessing gives {1 / len(counts):.4f}"
        lines.insert(0, f"balanced       {said['balanced_accuracy']}  ({same})")
    if "auc" in scores:
        lines.append(f"area under ROC {said['auc']}  (guessing gives 0.5000)")
    return [*lines, f"{split + 'loss':<14} {said['loss']}  ({describe_loss(network)})"]


def describe_loss(network: Network) -> str:
    """Say what the loss is, which label smoothing and class weights change, and what it is of who knows nothing."""
    output: Any = network.output
    smoothed = f", smoothed by {output.label_smoothing:g}" if output.label_smoothing else ""
    weighted = ", weighted by class" if output.class_weight else ""
    return f"cross-entropy{smoothed}{weighted} in nats; guessing gives {math.log(network.K):.4f}"


def describe_ending(ended: Ending, history: History, config: Config, steps: int) -> dict[str, Any]:
    """Say why a run ended: its reason, where, and a sentence; of a single run with patience also the epoch kept."""
    reason, epoch, step, *_ = ended
    found: dict[str, Any] = {"reason": reason, "epoch": epoch}
    if reason == "interrupted":
        text = f"interrupted in epoch {epoch}, after step {step} of {steps}"
        found["step"] = step
    elif reason == "diverged":
        text = f"all networks diverged, the last of them in epoch {epoch}; lower the learning rate"
    else:
        text = f"stopped early in epoch {epoch}" if reason == "early stopping" else f"all {epoch} epochs done"
        kept, what = history.kept[-1], f"validation_{config.monitor}"
        if config.patience and np.ndim(kept):
            text += "; each network has the weights of its best epoch"
        elif config.patience:
            found["best_epoch"] = int(kept)
            text += f"; the weights are those of epoch {kept}, "
            text += f"whose {what.replace('_', ' ')} is the best ({history.final(what):.4f})"
    return {**found, "text": text}


def summarize(
    plan: Any, network: Network, history: History, ending: dict[str, Any], baseline: Result | None = None
) -> Summary:
    """Tell how a run did, on its test split; of a stack without those networks that diverged."""
    dataset, config = plan.dataset, plan.config
    scores, predicted = score_test(network, dataset)
    figures = {
        "train_loss": history.final("train_loss"),
        "validation_loss": history.final("validation_loss"),
        **{f"test_{name}": value for name, value in scores.items()},
    }
    labels, counts = dataset.labels("test"), dataset.counts("test")
    best, ranking = None, []
    most, always = commonest(dataset)
    if plan.values:
        best = history.best()
        ranking = rank(plan.configs, history, plan.varied)
        balanced = balance_matters(network, counts)
        figures, lines = compare_networks(plan, figures, ~history.diverged(), best, ranking, balanced)
        lines.append(f"losses         {describe_loss(network)}")
        lines.append(f"guessing       {always} of the test split right")
        predicted = predicted[best]
    else:
        lines = describe_scores(scores, counts, network, "test ", f"; {always}")
    compared, beside = compare_with_baseline(baseline, plan, predicted == labels)
    temperature = temperature_of(network, dataset)
    chosen, T = (network, temperature) if best is None else (network[best], float(temperature[best]))
    calibration = Calibration.of(chosen, dataset, T)
    lines += [*beside, calibration.line()]
    if config.patience:
        lines.append(f"ended          {ending['text']}")
    report, classes = class_report(labels, predicted, dataset.class_names)
    results = {
        "dataset": dataset.name,
        "seed": config.seed,
        "epochs": len(history.epoch),
        "parameters": network.theta.shape[-1],
        **figures,
        "baseline": {"commonest": most, **compared},
        "calibration": calibration.results(),
        "seconds": math.fsum(history.seconds),
        "ended": ending,
        "classes": classes,
    }
    text = "\n".join([report, *beside, "", *calibration.table(), ""])
    return Summary(results, lines, text, best, ranking, temperature, calibration)


def compare_networks(
    plan: Any, figures: Mapping[str, Array], alive: Array, best: int, ranking: Sequence[Setting], balanced: bool
) -> tuple[dict[str, Any], list[str]]:
    """Tell how the networks of a stack did: mean ± standard deviation, a ranking, the best one."""
    config = plan.configs[best]
    own = {name: config.learning_rate if name == "lr" else getattr(config, name) for name in VARIED if name != "fold"}
    own |= {name: values[best] for name, values in figures.items()}
    results: dict[str, Any] = {"networks": len(alive), "diverged": int((~alive).sum())}
    for name, values in figures.items():
        results |= {name: values[alive].mean(), f"{name}_deviation": values[alive].std()}
    results |= {"best": {"network": best, **own}, "ranking": []}
    shown = ["validation_loss", "test_loss", "test_accuracy"]
    if balanced:
        shown.append("test_balanced_accuracy")
    headings = [*ranking[0].values, *shown, "diverged"]
    rows = [[name.replace("test_balanced", "balanced").replace("_", " ") for name in headings]]
    for setting in ranking:
        who = setting.networks[alive[setting.networks]]
        means = {name: figures[name][who].mean() if who.size else None for name in shown}
        results["ranking"].append({**setting.values, "diverged": setting.diverged, **means})
        cells = [mean_and_deviation(figures[name][who]) for name in shown]
        cells.append(f"{setting.diverged} of {len(setting.networks)}")
        rows.append([*map(str, setting.values.values()), *cells])
    which = ", ".join(f"{name} {own[name]}" for name in plan.values)
    fared = f"validation loss {figure(own['validation_loss'])}, test accuracy {figure(own['test_accuracy'])}"
    if "test_auc" in own:
        fared += f", area under ROC {figure(own['test_auc'])}"
    note = "(± is between networks, all on one split; --folds 5 tells how much the split matters)"
    return results, [*table(rows, ">" * len(rows[0])), f"best network   {which}: {fared}", note]
