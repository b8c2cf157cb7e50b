"""How did a run go, and how did several compare? What is read of a run, in the terminal and in one picture."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.history import MONITORS, History
from minnet.network import Network
from minnet.runs.config import FIELDS, VARIED, Config, settings_of
from minnet.runs.folder import CONFIG, Summary, read_config, read_metrics
from minnet.runs.model import load
from minnet.runs.sweep import Setting, rank
from minnet.support.files import inner, read_json
from minnet.support.stack import Array
from minnet.support.text import one_line, printable, shortened, table
from minnet.training import Ending, evaluate

FIGURES = ("test_accuracy", "test_loss", "train_loss", "validation_loss", "epochs_done", "seconds")


def figure(value: float) -> str:
    """Format a loss or an accuracy; a loss may be huge."""
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.1e}"


def form(name: str, value: Any) -> str:
    """Format a setting of a run, or what came out, for a table."""
    if name == "ended":
        return re.split("[:;]", value)[0]
    if isinstance(value, list):
        return ",".join(form(name, each) for each in value) or "none"
    if name in FIGURES and isinstance(value, float):
        return figure(value)
    return "-" if value is None else printable(str(value))


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
        kept, what = history.kept[-1], MONITORS[config.monitor]
        if config.patience and np.ndim(kept):
            text += "; each network has the weights of its best epoch"
        elif config.patience:
            found["best_epoch"] = int(kept)
            text += f"; the weights are those of epoch {kept}, "
            text += f"whose {what.replace('_', ' ')} is the best ({history.final(what):.4f})"
    return {**found, "text": text}


def summarize(plan: Any, network: Network, history: History, ending: dict[str, Any]) -> Summary:
    """Tell how a run did, on its test split; of a stack without those networks that diverged."""
    dataset, config = plan.dataset, plan.config
    x, t = dataset.test
    loss, accuracy = evaluate(network, x, t, dataset.sample_weight.get("test"))
    figures = {
        "train_loss": history.final("train_loss"),
        "validation_loss": history.final("validation_loss"),
        "test_loss": loss,
        "test_accuracy": accuracy,
    }
    labels = dataset.labels("test")
    best, ranking = None, []
    if plan.values:
        best = history.best()
        ranking = rank(plan.configs, history, [name for name in plan.values if name != "seed"])
        figures, lines = compare_networks(plan, figures, ~history.diverged(), best, ranking)
        lines.append(f"losses         {describe_loss(network)}")
        network = network[best]
    else:
        N, most = len(labels), dataset.counts("train").argmax()
        always = f"always {shortened(dataset.class_names[most], 30)!r} gives {(labels == most).mean():.4f}"
        lines = [
            f"test accuracy  {accuracy:.4f}  ({round(accuracy * N)} of {N} samples right; {always})",
            f"test loss      {figure(loss)}  ({describe_loss(network)})",
        ]
    if config.patience:
        lines.append(f"ended          {ending['text']}")
    report, classes = class_report(labels, network.predict(x), dataset.class_names)
    results = {
        "dataset": dataset.name,
        "seed": config.seed,
        "epochs": len(history.epoch),
        "parameters": network.theta.shape[-1],
        **figures,
        "seconds": math.fsum(history.seconds),
        "ended": ending,
        "classes": classes,
    }
    return Summary(results, lines, report, best, ranking)


def compare_networks(
    plan: Any, figures: Mapping[str, Array], alive: Array, best: int, ranking: Sequence[Setting]
) -> tuple[dict[str, Any], list[str]]:
    """Tell how the networks of a stack did: mean ± standard deviation, a ranking, the best one."""
    config = plan.configs[best]
    own = {name: config.learning_rate if name == "lr" else getattr(config, name) for name in VARIED if name != "fold"}
    own |= {name: values[best] for name, values in figures.items()}
    results: dict[str, Any] = {"networks": len(alive), "diverged": int((~alive).sum())}
    for name, values in figures.items():
        results |= {name: values[alive].mean(), f"{name}_deviation": values[alive].std()}
    results |= {"best": {"network": best, **own}, "ranking": []}
    shown = ("validation_loss", "test_loss", "test_accuracy")
    rows = [[name.replace("_", " ") for name in (*ranking[0].values, *shown, "diverged")]]
    for setting in ranking:
        who = setting.networks[alive[setting.networks]]
        means = {name: figures[name][who].mean() if who.size else None for name in shown}
        results["ranking"].append({**setting.values, "diverged": setting.diverged, **means})
        cells = [mean_and_deviation(figures[name][who]) for name in shown]
        cells.append(f"{setting.diverged} of {len(setting.networks)}")
        rows.append([*map(str, setting.values.values()), *cells])
    which = ", ".join(f"{name} {own[name]}" for name in plan.values)
    fared = f"validation loss {figure(own['validation_loss'])}, test accuracy {figure(own['test_accuracy'])}"
    return results, [*table(rows, ">" * len(rows[0])), f"best network   {which}: {fared}"]


class Run(NamedTuple):
    """What a run folder says.

    Attributes
    ----------
    folder : Path
        Where it is.
    settings : dict
        Its settings, with all values of those that several networks have.
    figures : dict
        What came out, of the best network if there are several, and why it ended, in words.
    history : History or None
        Of one network, or of the best network of a stack; None if there is none yet.
    """

    folder: Path
    settings: dict[str, Any]
    figures: dict[str, Any]
    history: History | None


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    FileNotFoundError
        If there is no run in it.
    ValueError
        If one of its files is not what it should be.
    """
    given, path = settings_of(read_config(folder)), folder / "results.json"
    results = read_json(path) if path.is_file() else {}
    best, history = inner(results, "best"), None
    if (folder / "metrics.csv").is_file():
        columns = {name: list(column) for name, column in read_metrics(folder).items()}
        network, networks = best.get("network", 0), range(np.size(columns["kept"][-1]))
        history = History(**columns).member(int(network) if network in networks else 0)
    going_on = f"not over, or killed; minnet train --resume {folder} goes on with it"
    ended = printable(str(inner(results, "ended").get("text", going_on)))
    figures = {
        **results,
        "epochs_done": results.get("epochs"),
        **best,
        "ended": ended,
    }
    return Run(folder, {name: given[name] for name in FIELDS if name in given}, figures, history)


def show(folder: Path) -> str:
    """Summarise a run: its settings, its layers, its curve and its results."""
    _, settings, figures, history = read_run(folder)
    shown = [f"{name}={form(name, value)}" for name, value in settings.items() if value and value != "none"]
    lines = [str(folder), *textwrap.wrap("  ".join(shown), 80, break_long_words=False, break_on_hyphens=False)]
    if (folder / "model.safetensors").is_file():
        lines += ["", load(folder).network.summary()]
    if history is not None:
        lines += ["", curve(history)]
    lines.append("")
    for name in ("networks", "diverged", "seed", "lr", *FIGURES):
        if figures.get(name) is not None:
            lines.append(f"{name.replace('_', ' '):<16} {form(name, figures[name])}")
    lines.append(f"{'ended':<16} {figures['ended']}")
    return "\n".join(lines)


def curve(history: History) -> str:
    """Draw training and validation loss against epochs, at least one, with characters, on a logarithmic scale."""
    width, height = 72, 14  # of the plot, in characters, without its labels
    losses = np.array([history.train_loss, history.validation_loss], float)
    possible = np.minimum(losses[np.isfinite(losses) & (losses > 0)], 1e308)  # the last power of ten
    if not possible.size:
        return "no loss is finite and above 0: there is no curve to draw"
    levels = np.geomspace(possible.min(), possible.max(), height)
    epochs = np.linspace(0, len(history.epoch) - 1, width).round().astype(int)
    rows = np.interp(losses[:, epochs], levels, np.arange(height)).round()  # NaN is in none of them
    training, validation = rows[:, np.newaxis] == np.arange(height)[:, np.newaxis]
    grid = np.array([*" ●○◉"])[training + 2 * validation]
    lines = [f"{'':>10}loss by epoch: ● training, ○ validation, ◉ both"]
    for level, row in zip(levels[::-1], grid[::-1], strict=True):
        lines.append(f"{level:>8.3g} ┤{''.join(row)}".rstrip())
    lines.append(f"{'':>8} └{'─' * width}")
    lines.append(f"{'':>10}1{len(history.epoch):>{width - 1}}")
    return "\n".join(lines)


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """List run folders: those given, and those inside the ones that are none themselves, digits-2 before digits-10.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = []
    for path in paths:
        runs = [path] if (path / CONFIG).is_file() else [file.parent for file in path.glob(f"*/{CONFIG}")]
        if not runs:
            raise FileNotFoundError(f"{path}: there is no run in this folder (no {CONFIG}), nor in those inside it")
        found += sorted(runs, key=lambda run: re.sub(r"\d+", lambda digits: digits[0].zfill(20), run.name))
    return found


def compare(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], str]:
    """Compare runs: what differs in their settings, and how they ended, as data and to read.

    Returns
    -------
    rows : list of dict
        One for each run, the settings that differ among them first.
    tables : str
        The same to read: a table of the settings, if any differ, and one of the results.
    """
    differing = [name for name in FIELDS if len({repr(run.settings.get(name)) for run in runs}) > 1]
    outcome = (*FIGURES, "ended")
    known = [{**run.figures, **run.settings, "run": str(run.folder)} for run in runs]
    rows = [{name: each.get(name) for name in ("run", *differing, *outcome)} for each in known]
    blocks = []
    for several in filter(None, (differing, outcome)):
        names = ["run", *several]
        headings = zip(*(name.rpartition("_")[::2] for name in names), strict=True)  # of two lines
        cells = [[form(name, row[name]) for name in names] for row in rows]
        lines = table([*filter(any, headings), *cells], "".join("<>"[name in FIGURES] for name in names))
        blocks.append("\n".join(lines))
    return rows, "\n\n".join(blocks)
