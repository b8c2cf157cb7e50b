"""How did a run go, and how did several compare? What is read of a run, in the terminal and in one picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minnet.data.dataset import Dataset
from minnet.history import MONITORS, History
from minnet.network import Network
from minnet.runs.config import Config, with_rate
from minnet.runs.folder import read_config, read_metrics
from minnet.runs.model import load
from minnet.runs.sweep import VARIED, Setting, rank
from minnet.support import expect
from minnet.support.files import read_json
from minnet.support.text import one_line, shortened
from minnet.training import Ending, evaluate

Array = npt.NDArray[Any]


def class_report(t: Array, predicted: Array, class_names: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """Tell precision, recall and F1 of each class, as scikit-learn's report does: to read, and as data."""
    from sklearn.metrics import classification_report

    labels: dict[str, Any] = {"labels": np.arange(len(class_names)), "zero_division": 0}
    names = [f"{one_line(name)} " for name in class_names]  # never "accuracy", which is one of the report's own
    text = classification_report(t, predicted, target_names=names, digits=4, **labels)
    table = classification_report(t, predicted, output_dict=True, **labels)
    keys = {"precision": "precision", "recall": "recall", "f1": "f1-score", "samples": "support"}
    rows = [{key: float(table[str(k)][theirs]) for key, theirs in keys.items()} for k in range(len(class_names))]
    classes = [
        {"class": name, **row, "samples": int(row["samples"])} for name, row in zip(class_names, rows, strict=True)
    ]
    return text, classes


def describe_ending(ended: Ending, history: History, config: Config, steps: int) -> dict[str, Any]:
    """Say why a run ended: its reason, where, and a sentence; of a single run with patience also the epoch kept."""
    epoch, stack = ended.epoch, bool(history.lr) and np.ndim(history.lr[-1]) == 1
    found: dict[str, Any] = {"reason": ended.reason, "epoch": epoch}
    if ended.reason == "interrupted":
        text = f"interrupted in epoch {epoch}, after step {ended.step} of {steps}"
        return {**found, "step": ended.step, "text": text}
    if ended.reason == "diverged":
        text = f"all networks diverged, the last of them in epoch {epoch}; lower the learning rate"
        return {**found, "text": text}
    early = ended.reason == "early stopping"
    if stack:
        text = "every network stopped early" if early else f"all {epoch} epochs done"
        return {**found, "text": text + ("; each has the weights of its best epoch" if config.patience else "")}
    text = f"stopped early in epoch {epoch}" if early else f"all {epoch} epochs done"
    kept = int(history.kept[-1])
    if config.patience and kept:
        what = MONITORS[config.monitor]
        best = f"whose {what.replace('_', ' ')} is the best ({history.final(what):.4f})"
        return {**found, "best_epoch": kept, "text": f"{text}; the weights are those of epoch {kept}, {best}"}
    return {**found, "text": text}


def evaluate_test(network: Network, dataset: Dataset) -> tuple[Any, Any]:
    """Evaluate on the test split."""
    return evaluate(network, *dataset.test, dataset.sample_weight.get("test"))


def summarize(
    plan: Any, network: Network, history: History, ending: dict[str, Any]
) -> tuple[dict[str, Any], list[str], str]:
    """Tell how one network did: as an object, as lines to read, and by class."""
    dataset, config = plan.dataset, plan.config
    test_loss, test_accuracy = evaluate_test(network, dataset)
    labels = expect.targets(dataset.test.t, dataset.K).argmax(axis=1)
    report, classes = class_report(labels, network.predict(dataset.test.x), dataset.class_names)
    results: dict[str, Any] = {"dataset": dataset.name, "seed": config.seed, "epochs": len(history.epoch)}
    results["parameters"] = network.theta.size
    results |= {name: history.final(name) for name in ("train_loss", "validation_loss")}
    results |= {"test_loss": test_loss, "test_accuracy": test_accuracy, "seconds": math.fsum(history.seconds)}
    results |= {"ended": ending, "classes": classes}
    N, guessing = len(labels), f"guessing gives {math.log(dataset.K):.4f}"
    most = int(dataset.counts("train").argmax())
    always = (labels == most).mean()
    lines = [
        f"test accuracy  {test_accuracy:.4f}  ({round(test_accuracy * N)} of {N} samples right; "
        f"always {shortened(dataset.class_names[most], 30)!r} gives {always:.4f})",
        f"test loss      {figure(test_loss)}  ({describe_loss(network.output)}; {guessing})",
    ]
    return results, lines + ([f"ended          {ending['text']}"] if config.patience else []), report


def summarize_stack(
    plan: Any, network: Network, history: History, ending: dict[str, Any]
) -> tuple[dict[str, Any], list[str], str, int, list[Setting]]:
    """Tell how a stack did, those that diverged left out: mean ± standard deviation, a ranking, the best by class."""
    dataset, configs, varied = plan.dataset, plan.configs, [name for name in plan.values if name != "seed"]
    ranking = rank(configs, history, varied)
    diverged, best = history.diverged(), history.best()
    test_loss, test_accuracy = evaluate_test(network, dataset)
    columns = {name: history.final(name) for name in ("train_loss", "validation_loss")}
    columns |= {"test_loss": test_loss, "test_accuracy": test_accuracy}
    labels = expect.targets(dataset.test.t, dataset.K).argmax(axis=1)
    report, classes = class_report(labels, network[best].predict(dataset.test.x), dataset.class_names)
    own = {name: configs[best].learning_rate if name == "lr" else getattr(configs[best], name) for name in VARIED}
    results: dict[str, Any] = {
        "dataset": dataset.name,
        "seed": plan.config.seed,
        "networks": len(configs),
        "diverged": int(diverged.sum()),
        "epochs": len(history.epoch),
        "parameters": network.theta.shape[-1],
        **{name: float(values[~diverged].mean()) for name, values in columns.items()},
        **{f"{name}_deviation": float(values[~diverged].std()) for name, values in columns.items()},
        "best": {"network": best, **own, **{name: float(values[best]) for name, values in columns.items()}},
        "ranking": [
            {
                **setting.values,
                "diverged": setting.diverged,
                "validation_loss": None if setting.diverged else setting.loss,
                "test_accuracy": None if setting.diverged else float(test_accuracy[setting.networks].mean()),
            }
            for setting in ranking
        ],
        "seconds": math.fsum(history.seconds),
        "ended": ending,
        "classes": classes,
    }
    lines = []
    if varied:
        rows = [[*(name.replace("_", " ") for name in varied), "validation loss", "test accuracy", ""]]
        for setting in ranking:
            who = setting.networks[~diverged[setting.networks]]
            lost = f"{setting.diverged} of {len(setting.networks)} diverged" if setting.diverged else ""
            figures = [mean_and_deviation(each[who]) for each in (columns["validation_loss"], test_accuracy)]
            rows.append([*(f"{value:g}" for value in setting.values.values()), *figures, lost])
        lines += aligned(rows)
    else:
        lines.append(f"test accuracy  {mean_and_deviation(test_accuracy[~diverged])}  ({(~diverged).sum()} networks)")
        guessing = f"({describe_loss(network.output)}; guessing gives {math.log(dataset.K):.4f})"
        lines.append(f"test loss      {mean_and_deviation(test_loss[~diverged])}  {guessing}")
        if diverged.any():
            lines.append(f"diverged       {diverged.sum()} networks, left out above")
    of = ", ".join([f"seed {own['seed']}", f"lr {own['lr']:g}", *(f"{n} {own[n]:g}" for n in varied if n != "lr")])
    losses = f"validation loss {figure(columns['validation_loss'][best])}, test accuracy {test_accuracy[best]:.4f}"
    lines.append(f"best network   {of}: {losses}")
    lines += [f"ended          {ending['text']}"] if plan.config.patience else []
    return results, lines, report, best, ranking


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Make lines of a table, its columns flush right but for the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for *cells, last in rows:
        right = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)]
        lines.append("  ".join([*right, last]).rstrip())
    return lines


def mean_and_deviation(values: Any) -> str:
    """Format the mean over networks and its standard deviation."""
    return f"{figure(values.mean())} ± {figure(values.std())}" if len(values) else "-"


def figure(value: float) -> str:
    """Format a loss or an accuracy; a loss may be huge."""
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.1e}"


def describe_loss(output: Any) -> str:
    """Say what the loss is, which label smoothing and class weights change."""
    smoothed = f", smoothed by {output.label_smoothing:g}" if getattr(output, "label_smoothing", 0) else ""
    weighted = ", weighted by class" if getattr(output, "class_weight", None) else ""
    return f"cross-entropy{smoothed}{weighted} in nats"


DESCRIPTIONS = ("layers", "output", "versions", "data_sha256", "threads", "stacks", "grid")  # beside the settings


class Run(NamedTuple):
    """What a run folder says.

    Attributes
    ----------
    folder : Path
        Where it is.
    config, results : dict
        Its settings; what came out, empty for a run that is not over.
    history : History or None
        Of one network, or of the best network of a stack; None if there is none yet.
    """

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    history: History | None

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings, with all values of those that several networks have."""
        grid = self.config.get("grid")
        several = grid if isinstance(grid, dict) else {}
        return {name: value for name, value in (with_rate(self.config) | several).items() if name not in DESCRIPTIONS}

    @property
    def figures(self) -> dict[str, Any]:
        """What came out, of the best network if there are several."""
        best = self.results.get("best")
        return self.results | (best if isinstance(best, dict) else {})

    @property
    def ended(self) -> str:
        """Why it ended, in words."""
        ended = self.results.get("ended")
        if isinstance(ended, dict):
            return str(ended.get("text", ended.get("reason")))
        return "done" if self.results else f"not over, or killed; minnet train --resume {self.folder} goes on with it"


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    FileNotFoundError
        If there is no run in it.
    ValueError
        If one of its files is not what it should be.
    """
    config = read_config(folder)
    results = read_json(folder / "results.json") if (folder / "results.json").is_file() else {}
    history = None
    if (folder / "metrics.csv").is_file():
        columns = read_metrics(folder)
        if columns["train_loss"].ndim == 2:
            last = columns["validation_loss"][-1]
            best = int(np.where(np.isfinite(last), last, np.inf).argmin())
            if isinstance(results.get("best"), dict) and results["best"].get("network") in range(len(last)):
                best = results["best"]["network"]
            columns = {name: column[:, best] for name, column in columns.items()}
        values = {name: column.tolist() for name, column in columns.items()}
        for name in ("epoch", "kept"):
            values[name] = [int(epoch) for epoch in values[name]]
        history = History(**values)
    return Run(folder, config, results, history)


def show(folder: Path) -> str:
    """Summarise a run: its settings, its layers, its curve and its results."""
    run = read_run(folder)
    shown = {name: value for name, value in run.settings.items() if value not in (None, False, "", "none", [])}
    settings = "  ".join(f"{name}={short(value)}" for name, value in shown.items())
    lines = [str(folder), *textwrap.wrap(settings, 80, break_long_words=False, break_on_hyphens=False), ""]
    if (folder / "model.safetensors").is_file():
        lines += [load(folder).network.summary(), ""]
    if run.history is not None:
        lines += [curve(run.history), ""]
    best = run.results.get("best")
    if isinstance(best, dict):
        which = f"seed {best.get('seed')}, lr {short(best.get('lr'))}"
        lost = f", {run.results['diverged']} diverged" if run.results.get("diverged") else ""
        lines.append(f"{'best of':<16} {run.results.get('networks')} networks{lost}: {which}")
    for name in ("test_accuracy", "test_loss", "train_loss", "validation_loss", "seconds"):
        value = run.figures.get(name)
        if isinstance(value, int | float):
            lines.append(f"{name.replace('_', ' '):<16} {figure(value)}")
    lines.append(f"{'ended':<16} {run.ended}")
    return "\n".join(lines)


def short(value: Any) -> str:
    """Format a setting."""
    if value is None:
        return "-"
    return ",".join(map(short, value)) or "none" if isinstance(value, list) else str(value)


def curve(history: History, width: int = 72, height: int = 14) -> str:
    """Draw training and validation loss against epochs with characters, on a logarithmic scale.

    Parameters
    ----------
    history : History
        With at least one epoch.
    width, height : int
        Of the plot, in characters, without its labels.
    """
    columns = {"●": history.train_loss, "○": history.validation_loss}
    values = {mark: np.array(column, float) for mark, column in columns.items()}
    everything = np.concatenate(list(values.values()))
    drawn = everything[np.isfinite(everything) & (everything > 0)]
    if not drawn.size:
        return "no loss is finite and above 0: there is no curve to draw"
    low, high = (min(math.log10(loss), 308.2) for loss in (drawn.min(), drawn.max()))  # below what overflows
    high = high if high - low > 1e-3 else low + 1e-3
    grid = [[" "] * width for _ in range(height)]
    E = len(history.epoch)
    for mark, losses in values.items():
        for k in range(width):
            loss = losses[round(k * (E - 1) / (width - 1))]
            if np.isfinite(loss):
                place = (math.log10(max(loss, 10**low)) - low) / (high - low)
                row, shown = round((1 - min(place, 1)) * (height - 1)), grid
                shown[row][k] = "◉" if shown[row][k] not in (" ", mark) else mark
    labels = {0: f"{10**high:.3g}", height // 2: f"{10 ** ((low + high) / 2):.3g}", height - 1: f"{10**low:.3g}"}
    rows = [f"{labels.get(r, ''):>8} ┤{''.join(line)}".rstrip() for r, line in enumerate(grid)]
    axis = f"{'':>8} └{'─' * width}"
    ends = f"{'':>10}{1:<{width // 2}}{E:>{width - width // 2}}"
    return "\n".join([f"{'':>10}loss by epoch: ● training, ○ validation, ◉ both", *rows, axis, ends])


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """List run folders: those given, and those inside the ones that are none themselves.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = []
    for path in paths:
        if (path / "config.json").is_file():
            found.append(path)
            continue
        inside = sorted((file.parent for file in path.glob("*/config.json")), key=natural) if path.is_dir() else []
        if not inside:
            raise FileNotFoundError(f"{path}: there is no run in this folder (no config.json), nor in those inside it")
        found += inside
    return found


def natural(path: Path) -> list[Any]:
    """Give a key that sorts digits-2 before digits-10."""
    import re

    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


WIDTH = 100  # characters, beyond which a table is split
COMPARED = ("train_loss", "validation_loss", "test_loss", "test_accuracy", "epochs_done", "seconds")


def compare(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], str]:
    """Compare runs: what differs in their settings, and how they ended, as data and as a table.

    Returns
    -------
    rows : list of dict
        One for each run, the settings that differ among them first.
    table : str
        The same to read: one table, or where that is too wide one of the settings and one of the results.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    differing = [name for name in names if len({repr(run.settings.get(name)) for run in runs}) > 1]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"run": str(run.folder)}
        row |= {name: run.settings.get(name) for name in differing}
        row |= {name: run.figures.get(name.removesuffix("_done")) for name in COMPARED}
        rows.append({**row, "ended": run.ended})
    run_column = column(["run"], [row["run"] for row in rows])
    settings = [column([name], [short(row[name]) for row in rows]) for name in differing]
    results = [column(name.split("_"), [form(row[name], name) for row in rows], ">") for name in COMPARED]
    results.append(column(["ended"], [row["ended"].split(";")[0].split(":")[0] for row in rows]))
    blocks = [[*settings, *results]]
    if 2 * len(settings + results) + sum(len(each[0]) for each in [run_column, *settings, *results]) > WIDTH:
        blocks = [settings, results]
    tables = [zip(run_column, *block, strict=True) for block in blocks if block]
    return rows, "\n\n".join("\n".join("  ".join(line).rstrip() for line in lines).lstrip("\n") for lines in tables)


def column(heading: Sequence[str], cells: Sequence[str], align: str = "<") -> list[str]:
    """Pad a column to one width: two lines of heading, and its cells."""
    heading = [" ".join(heading[:-1]), heading[-1]]
    width = max(map(len, [*heading, *cells]))
    return [f"{cell:{align}{width}}" for cell in (*heading, *cells)]


def form(value: Any, name: str) -> str:
    """Format a figure of a run, or a dash where there is none."""
    if not isinstance(value, int | float):
        return "-"
    return str(value) if name == "epochs_done" else f"{value:.1f}" if name == "seconds" else figure(value)


def histories(runs: Sequence[Run]) -> Mapping[str, History]:
    """Return the histories of runs by a name for each: that of its folder where that says enough."""
    names = [run.folder.name for run in runs]
    unique = len(set(names)) == len(names)
    return {(run.folder.name if unique else str(run.folder)): run.history for run in runs if run.history is not None}
