"""How did a run go, and how did several compare? What is read of a run, in the terminal and in one picture."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.history import MONITORS, History
from minnet.network import Network
from minnet.runs.config import VARIED, Config, settings_of
from minnet.runs.folder import Summary, read_config, read_metrics
from minnet.runs.model import load
from minnet.runs.sweep import Setting, rank
from minnet.support import expect
from minnet.support.files import read_json
from minnet.support.stack import Array
from minnet.support.text import one_line, shortened, table
from minnet.training import Ending, evaluate


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


def summarize(plan: Any, network: Network, history: History, ending: dict[str, Any]) -> Summary:
    """Tell how a run did, on its test split; of a stack without those networks that diverged."""
    dataset, config = plan.dataset, plan.config
    test: Any = (*dataset.test, dataset.sample_weight.get("test"))
    test_loss, test_accuracy = evaluate(network, *test)
    figures = {name: history.final(name) for name in ("train_loss", "validation_loss")}
    figures |= {"test_loss": test_loss, "test_accuracy": test_accuracy}
    best = history.best() if plan.values else None
    chosen = network if best is None else network[best]
    labels = expect.targets(dataset.test.t, dataset.K).argmax(axis=1)
    report, classes = class_report(labels, chosen.predict(dataset.test.x), dataset.class_names)
    about = f"({describe_loss(network.output)}; guessing gives {math.log(dataset.K):.4f})"
    results: dict[str, Any] = {"dataset": dataset.name, "seed": config.seed, "epochs": len(history.epoch)}
    results["parameters"] = network.theta.shape[-1]
    at_the_end = {"seconds": math.fsum(history.seconds), "ended": ending, "classes": classes}
    ended = [f"ended          {ending['text']}"] if config.patience else []
    if best is not None:
        ranking = rank(plan.configs, history, [name for name in plan.values if name != "seed"])
        more, lines = compare_networks(plan, figures, history.diverged(), best, ranking, about)
        return Summary(results | more | at_the_end, [*lines, *ended], report, best, ranking)
    N, most = len(labels), int(dataset.counts("train").argmax())
    always = f"always {shortened(dataset.class_names[most], 30)!r} gives {(labels == most).mean():.4f}"
    lines = [f"test accuracy  {test_accuracy:.4f}  ({round(test_accuracy * N)} of {N} samples right; {always})"]
    return Summary(
        results | figures | at_the_end, [*lines, f"test loss      {figure(test_loss)}  {about}", *ended], report
    )


def compare_networks(
    plan: Any, figures: dict[str, Any], diverged: Any, best: int, ranking: Sequence[Setting], about: str
) -> tuple[dict[str, Any], list[str]]:
    """Tell how the networks of a stack did: mean ± standard deviation, a ranking, the best one."""
    config, test_accuracy = plan.configs[best], figures["test_accuracy"]
    own = {name: getattr(config, "learning_rate" if name == "lr" else name) for name in VARIED}
    results: dict[str, Any] = {"networks": len(plan.configs), "diverged": int(diverged.sum())}
    for name, values in figures.items():
        results |= {name: float(values[~diverged].mean()), f"{name}_deviation": float(values[~diverged].std())}
    results["best"] = {"network": best, **own, **{name: float(values[best]) for name, values in figures.items()}}
    results["ranking"], rows, varied = [], [], list(ranking[0].values)
    for setting in ranking:
        who = setting.networks[~diverged[setting.networks]]
        lost = f"{setting.diverged} of {len(setting.networks)} diverged" if setting.diverged else ""
        means = [mean_and_deviation(figures[name][who]) for name in ("validation_loss", "test_accuracy")]
        rows.append([*(f"{value:g}" for value in setting.values.values()), *means, lost])
        accuracy = float(test_accuracy[setting.networks].mean())
        known = {"validation_loss": setting.loss, "test_accuracy": accuracy}
        unknown: dict[str, Any] = dict.fromkeys(known)
        results["ranking"].append({**setting.values, "diverged": setting.diverged, **(unknown if lost else known)})
    if varied:
        headings = [*(name.replace("_", " ") for name in varied), "validation loss", "test accuracy", ""]
        lines = table([headings, *rows], ">" * (len(headings) - 1))
    else:
        alive = (~diverged).sum()
        lines = [f"test accuracy  {mean_and_deviation(test_accuracy[~diverged])}  ({alive} networks)"]
        lines.append(f"test loss      {mean_and_deviation(figures['test_loss'][~diverged])}  {about}")
        lines += [f"diverged       {diverged.sum()} networks, left out above"] if diverged.any() else []
    of = ", ".join([f"seed {own['seed']}", f"lr {own['lr']:g}", *(f"{n} {own[n]:g}" for n in varied if n != "lr")])
    chosen = f"validation loss {figure(figures['validation_loss'][best])}, test accuracy {test_accuracy[best]:.4f}"
    return results, [*lines, f"best network   {of}: {chosen}"]


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
        return {name: value for name, value in settings_of(self.config).items() if name not in DESCRIPTIONS}

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
    both = [*differing, *COMPARED, "ended"]
    blocks = [both] if max(map(len, laid_out(rows, both))) <= WIDTH else [differing, both[len(differing) :]]
    return rows, "\n\n".join("\n".join(laid_out(rows, names)).lstrip("\n") for names in blocks if names)


def laid_out(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Lay some columns of compared runs out as a table; figures have two lines of heading."""
    headings = [(name.rpartition("_") if name in COMPARED else ("", "", name)) for name in names]
    lines = [["", *(first.replace("_", " ") for first, _, _ in headings)], ["run", *(last for _, _, last in headings)]]
    lines += [[row["run"], *(form(row[name], name) for name in names)] for row in rows]
    return table(lines, "<" + "".join("<>"[name in COMPARED] for name in names))


def form(value: Any, name: str) -> str:
    """Format a setting or a figure of a run, or a dash where there is none."""
    if name == "ended":
        return str(value).split(";")[0].split(":")[0]
    if name not in COMPARED:
        return short(value)
    if not isinstance(value, int | float):
        return "-"
    return str(value) if name == "epochs_done" else f"{value:.1f}" if name == "seconds" else figure(value)


def histories(runs: Sequence[Run]) -> Mapping[str, History]:
    """Return the histories of runs by a name for each: that of its folder where that says enough."""
    names = [run.folder.name for run in runs]
    unique = len(set(names)) == len(names)
    return {(run.folder.name if unique else str(run.folder)): run.history for run in runs if run.history is not None}
