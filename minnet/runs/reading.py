"""What does a run folder say, and how do several compare? Runs that are over, that go on, and that were killed."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.history import History
from minnet.runs.checkpoints import SHARED, read_history
from minnet.runs.config import FIELDS, settings_of
from minnet.runs.folder import CONFIG, read_config, read_metrics
from minnet.runs.model import load
from minnet.runs.report import figure
from minnet.support.files import inner, read_json
from minnet.support.stack import Array
from minnet.support.text import printable, table

FIGURES = ("test_accuracy", "test_loss", "train_loss", "validation_loss", "epochs_done", "seconds")
LOSSES = FIGURES[2:4]  # which a run has before it is over


def form(name: str, value: Any) -> str:
    """Format a setting of a run, or what came out, for a table."""
    if name == "ended":
        return re.split("[:;]", value)[0]
    if isinstance(value, list):
        first = value[0] if value else None
        if len(value) > 3 and isinstance(first, int) and value == [first + k for k in range(len(value))]:
            return f"{first}…{value[-1]}"
        return ",".join(form(name, each) for each in value) or "none"
    if name in FIGURES and isinstance(value, float):
        return figure(value)
    return "-" if value is None else printable(str(value))


def cell(name: str, known: Mapping[str, Any]) -> str:
    """Format what is known of a run by that name; of several networks with its deviation."""
    deviation = known.get(f"{name}_deviation")
    return form(name, known.get(name)) + (f" ± {form(name, deviation)}" if deviation is not None else "")


class Run(NamedTuple):
    """What a run folder says.

    Attributes
    ----------
    folder : Path
        Where it is.
    settings : dict
        Its settings, with all values of those that several networks have.
    figures : dict
        What came out, or as far as it got, and why it ended, in words. Of several networks their number, and means with
        their standard deviations.
    best : dict
        What came out of the best network, if there are several.
    history : History or None
        Of one network, or of a stack; None if there is none yet.
    """

    folder: Path
    settings: dict[str, Any]
    figures: dict[str, Any]
    best: dict[str, Any]
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
    content, path = read_config(folder), folder / "results.json"
    given, results = settings_of(content), read_json(path) if path.is_file() else {}
    history, reached = read_progress(folder, content)
    ended = inner(results, "ended")
    if ended.get("reason") == "interrupted" and history and results.get("epochs") != len(history.epoch):
        results = ended = {}  # it went on since
    figures = {**results, "epochs_done": results.get("epochs")}
    if not results:
        figures = so_far(history)
    going_on = f"{reached}not over, or killed; minnet train --resume {folder} goes on with it"
    figures["ended"] = printable(str(ended.get("text", going_on)))
    settings = {name: given[name] for name in FIELDS if name in given}
    return Run(folder, settings, figures, inner(results, "best"), history)


def read_progress(folder: Path, content: Mapping[str, Any]) -> tuple[History | None, str]:
    """Read how training went, or goes, and say which epoch it has reached.

    Where nothing is joined yet of several stacks, the history is that of the one furthest on.
    """
    epochs = content.get("epochs")
    if (folder / "metrics.csv").is_file():
        columns = read_metrics(folder)
        for name in SHARED:
            if columns[name].ndim > 1:
                columns[name] = columns[name][:, 0]
        history = History(**{name: list(column) for name, column in columns.items()})
        return history, f"epoch {len(history.epoch)} of {epochs}; "
    stacks, names = content.get("stacks"), [""]
    if isinstance(stacks, list) and len(stacks) > 1:
        names = [f"stack-{k}" for k in range(1, len(stacks) + 1)]
    histories = [read_history(folder, name) for name in names]
    counts = [len(history.epoch) if history else 0 for history in histories]
    if not any(counts):
        return None, ""
    reached = f"epoch {max(counts)} of {epochs}"
    if len(names) > 1:
        reached += f" in the stack furthest on; all are at {', '.join(map(str, counts))}"
    return histories[int(np.argmax(counts))], f"{reached}; "


def so_far(history: History | None) -> dict[str, Any]:
    """Tell how far a run got that is not over, and the losses of the weights kept so far."""
    if history is None:
        return {}
    figures: dict[str, Any] = {
        "epochs_done": len(history.epoch),
        "seconds": math.fsum(history.seconds),
    }
    alive = ~history.diverged()
    if np.ndim(alive):
        figures["networks"] = len(alive)
        figures["diverged"] = int((~alive).sum())
    for name in LOSSES:
        values = history.final(name)
        if not np.ndim(values):
            figures[name] = float(values)
        elif alive.any():
            figures[name] = float(values[alive].mean())
            figures[f"{name}_deviation"] = float(values[alive].std())
    return figures


def listing(names: Sequence[str], known: Mapping[str, Any]) -> list[str]:
    """List what is known by these names, a line each."""
    return [f"{name.replace('_', ' '):<16} {cell(name, known)}" for name in names if known.get(name) is not None]


def show(folder: Path) -> str:
    """Summarise a run: its settings, its layers, its curve and its results."""
    _, settings, figures, best, history = read_run(folder)
    shown = [f"{name}={form(name, value)}" for name, value in settings.items() if value and value != "none"]
    lines = [str(folder), *textwrap.wrap("  ".join(shown), 80, break_long_words=False, break_on_hyphens=False)]
    if (folder / "model.safetensors").is_file():
        model = load(folder)
        lines += ["", model.network.summary()]
        if not model.columns.is_plain:
            lines += ["", *model.columns.summary()]
        lines += ["", f"{'temperature':<16} {np.mean(model.temperature):.2f}"]
    if history is not None:
        lines += ["", curve(history)]
    lines.append("")
    names = ("networks", "diverged", "seed", "lr", *FIGURES)
    if figures.get("networks") is not None:
        lines.append(f"mean ± standard deviation over {'folds' if settings.get('folds') else 'networks'}")
    lines += listing(names, figures)
    if "test_loss" not in figures and history is not None:
        training, validation = (figure(mean_curve(history, name)[-1]) for name in LOSSES)
        lines.append(f"{'last losses':<16} training {training}, validation {validation}")
    lines.append(f"{'ended':<16} {figures['ended']}")
    if best:
        lines += ["", "the best network, which is the one in model.safetensors", *listing(names, best)]
    return "\n".join(lines)


def mean_curve(history: History, name: str) -> Array:
    """Give a column of a history; of a stack the mean over the networks that have not diverged."""
    values = np.array(getattr(history, name), float)
    if values.ndim == 1:
        return values
    alive = ~history.diverged()
    return values[:, alive].mean(axis=1) if alive.any() else np.full(len(values), np.nan)


def curve(history: History) -> str:
    """Draw training and validation loss against epochs, at least one, with characters, on a logarithmic scale."""
    width, height = 72, 14  # of the plot, in characters, without its labels
    losses = np.array([mean_curve(history, name) for name in LOSSES])
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
        One for each run, the settings that differ among them first; figures of several networks are means.
    tables : str
        The same to read: a table of the settings, if any differ, and one of the results.
    """
    differing = [name for name in FIELDS if len({repr(run.settings.get(name)) for run in runs}) > 1]
    known = [{**run.figures, **run.settings, "run": str(run.folder)} for run in runs]
    stacks = any(each.get("networks") is not None for each in known)
    outcome = (*["networks"] * stacks, *FIGURES, "ended")
    deviations = [f"{name}_deviation" for name in FIGURES[:4] if stacks]
    rows = [{name: each.get(name) for name in ("run", *differing, *outcome, *deviations)} for each in known]
    blocks = []
    for several in filter(None, (differing, outcome)):
        names = ["run", *several]
        headings = zip(*(name.rpartition("_")[::2] for name in names), strict=True)  # of two lines
        cells = [[cell(name, row) for name in names] for row in rows]
        lines = table([*filter(any, headings), *cells], "".join("<>"[name in FIGURES] for name in names))
        blocks.append("\n".join(lines))
    if stacks:
        blocks[-1] += "\nof several networks mean ± standard deviation, without those that diverged"
    return rows, "\n\n".join(blocks)
