"""What stays behind after training? A run folder: configuration, checkpoints, metrics, results, weights and pictures.

A folder is there from the first epoch on, under a name that no other run takes, so that a run can go on in it whatever
happens; ``results.json`` is written last, and says why the run ended.
"""

import contextlib
import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.history import History
from minnet.network import Network, Seed
from minnet.runs.calibration import Calibration
from minnet.runs.checkpoints import INTEGERS, checkpoints
from minnet.runs.model import Model, save
from minnet.runs.sweep import Setting, by_name
from minnet.support.files import inner, read_json, refusing, write_json, write_text
from minnet.support.stack import Array, member
from minnet.support.text import say

CONFIG, RESULTS = "config.json", "results.json"
STACK_FILE = "stack.safetensors"  # what a run of several networks has as well
OUT_OF_FOLD = "out_of_fold.csv"  # what a run of folds has as well
RUN_FILES = (
    CONFIG, "metrics.csv", RESULTS, "report.txt", "model.safetensors", "loss.png", "confusion.png",
    "reliability.png",
)  # fmt: skip
OURS = (
    "checkpoints/**/step-*.safetensors", "checkpoints/**/.step-*.part", "tensorboard/events.out.tfevents.*",
    ".metrics.csv.*.part", STACK_FILE, OUT_OF_FOLD, *reversed(RUN_FILES),
)  # fmt: skip


@contextmanager
def new_run(out: Path | str | None, name: str, config: Mapping[str, Any], force: bool = False) -> Iterator[Path]:
    """Give a folder to a run, with its configuration in it, which no other run has as long as this one lasts.

    If the run ends before anything of it was saved, it leaves nothing.

    Parameters
    ----------
    out : path or None
        The folder; None takes the next free ``runs/<name>-<n>``.
    name : str
        What the run is about.
    config : mapping
        Every setting of the run.
    force : bool, default False
        Whether a run that is already in ``out`` is removed.

    Raises
    ------
    FileExistsError
        If ``out`` holds a run and ``force`` is off, or the files of something else.
    OSError
        If the folder cannot be made, or another process trains in it.
    """
    folder, made = make_folder(out, name)
    with locked(folder):
        found = files_of(folder)
        if found and not (folder / CONFIG).is_file():
            raise FileExistsError(f"{found[0]} is there, though no run (no {CONFIG}): choose another folder")
        if found and not force:
            raise FileExistsError(f"{folder} already holds a run: choose another folder, or use --force")
        try:
            if found:
                remove_files(folder)
            write_json(folder / CONFIG, config)
            yield folder
        finally:
            if not anything_saved(folder):
                with contextlib.suppress(OSError):  # something else is in it
                    remove_files(folder)
                    for each in made:
                        each.rmdir()


def make_folder(out: Path | str | None, name: str) -> tuple[Path, list[Path]]:
    """Make a folder, if it is not there; return it and all folders that were made for it, the innermost first."""
    stem, numbers = re.sub(r"[^\w.-]+", "-", name), itertools.count(1)
    while True:
        folder = Path("runs", f"{stem}-{next(numbers)}") if out is None else Path(out)
        try:
            made = [each for each in (folder.absolute(), *folder.absolute().parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=out is not None)
            return folder, made
        except OSError as error:
            if out is not None or not os.path.lexists(folder):
                raise type(error)(f"cannot write a run to {folder}: {error.strerror}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run to this process. The system unlocks it when the process ends, in whatever way.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):  # Windows has no flock
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                said = f"{folder} is in use: another process is training there; let it end first"
                raise BlockingIOError(said) from None
            except OSError:  # a file system without locks
                pass
        yield


def anything_saved(folder: Path) -> bool:
    """Tell whether a run has got as far as to leave something."""
    return bool(checkpoints(folder)) or (folder / RESULTS).exists()


def files_of(folder: Path) -> list[Path]:
    """List what a run left in a folder; its configuration, without which it is no run's folder, is the last."""
    return [file for pattern in OURS for file in folder.glob(pattern)]


def remove_files(folder: Path) -> None:
    """Remove what a run left in a folder, and nothing else."""
    for file in files_of(folder):
        file.unlink(missing_ok=True)
    groups = sorted((folder / "checkpoints").glob("**/"), reverse=True)  # those inside others first
    for each in [*groups, folder / "tensorboard"]:
        with contextlib.suppress(OSError):  # something else is in it
            each.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove what a run that was killed left half."""
    for leftover in [*folder.glob(".*.part"), *(folder / "checkpoints").rglob(".*.part")]:
        leftover.unlink(missing_ok=True)


def check_unfinished(folder: Path) -> None:
    """Raise a ValueError if a run is over, or what it says of that cannot be read."""
    if (folder / RESULTS).is_file():
        ended = inner(read_json(folder / RESULTS), "ended")
        if ended.get("reason") != "interrupted":
            why, *_ = re.split("[:;]", str(ended.get("text", "it has results")))
            raise ValueError(f"{folder} is over ({why}): there is nothing to resume")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises
    ------
    FileNotFoundError
        If there is no run in the folder.
    ValueError
        If it cannot be read.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{folder}: there is no run in this folder (no {CONFIG})")
    return read_json(folder / CONFIG)


class Summary(NamedTuple):
    """What came out of a run.

    Attributes
    ----------
    results, lines, report : dict, sequence of str, str
        As data, to read in the terminal, and to read by class.
    best, ranking : int or None, sequence of Setting
        Of several networks, the best one, and how their settings fared.
    temperature, calibration : float or array of shape (S,), Calibration or None
        What logits are divided by, and what that changes.
    """

    results: dict[str, Any]
    lines: Sequence[str] = ()
    report: str = ""
    best: int | None = None
    ranking: Sequence[Setting] = ()
    temperature: Any = 1.0
    calibration: Calibration | None = None


def write_run(folder: Path, history: History, summary: Summary, network: Network, dataset: Dataset) -> None:
    """Write all files of a run that has ended into its folder, ``results.json`` last.

    Parameters
    ----------
    folder : Path
        The run folder.
    history, summary : History, Summary
        What happened, by epoch and at the end. Without a single epoch there are no metrics and no pictures.
    network, dataset : Network, Dataset
        The trained network, and the data set whose test split it is tried on; of a stack the best network becomes
        ``model.safetensors``, all of it ``stack.safetensors``.
    """
    (folder / RESULTS).unlink(missing_ok=True)  # an interrupted run's: where it is, it goes with all the rest
    stack = network.theta.ndim == 2
    chosen = network if not stack else None if summary.best is None else network[summary.best]
    if chosen is not None:
        T = summary.temperature[summary.best] if np.ndim(summary.temperature) else summary.temperature
        save(folder / "model.safetensors", Model.of(chosen, dataset, T))
    if stack:
        save(folder / STACK_FILE, Model.of(network, dataset, summary.temperature))
    if summary.report:
        write_text(folder / "report.txt", summary.report)
    if history.epoch:
        write_metrics(folder, history, network.seed)
        with pictures(folder):
            draw(folder, history, summary, chosen, dataset)
    write_json(folder / RESULTS, summary.results)


@contextmanager
def pictures(folder: Path) -> Iterator[None]:
    """Draw here, so that what goes wrong is said, but does not cost the results."""
    try:
        yield
    except OSError:  # the disk is full, say: the run can go on from its checkpoint
        raise
    except Exception as error:  # whatever it is
        say(f"a picture of {folder} cannot be drawn ({type(error).__name__}: {error}); all else is there")


def draw(folder: Path, history: History, summary: Summary, chosen: Network | None, dataset: Dataset) -> None:
    """Draw the curves of a run, and if there is a chosen network, what it confuses."""
    from minnet import plots

    kept, of_best = history.kept[-1], ""
    if np.ndim(kept):
        of_best = ", best network"
        picture = plots.plot_stack(history, by_name(summary.ranking), title=f"{dataset.name}, {len(kept)} networks")
    else:
        best, title = summary.results["ended"].get("best_epoch"), f"{dataset.name}, seed {summary.results['seed']}"
        picture = plots.plot_history(history, title=title, kept=best)
    plots.save_picture(picture, folder / "loss.png")
    if chosen is not None:
        predicted, title = chosen.predict(dataset.test.x), f"{dataset.name}, test split{of_best}"
        confusion = plots.plot_confusion(dataset.test.t, predicted, dataset.class_names, title=title)
        plots.save_picture(confusion, folder / "confusion.png")
    if summary.calibration is not None:
        draw_reliability(folder, f"{dataset.name}, test split{of_best}", summary.calibration)


def draw_reliability(folder: Path, name: str, calibration: Calibration) -> None:
    """Draw how reliable probabilities are, without the temperature and with it."""
    from minnet import plots

    picture = plots.plot_reliability(calibration.reliabilities(), title=name)
    plots.save_picture(picture, folder / "reliability.png")


def write_metrics(folder: Path, history: History, seed: Seed, folds: Sequence[int] = ()) -> None:
    """Write the metrics of a run, as far as it got."""
    write_text(folder / "metrics.csv", metrics(history, seed, folds))


def metrics(history: History, seed: Seed, folds: Sequence[int] = ()) -> str:
    """Format a row an epoch, and for a stack one for each network, with its seed and fold, in each epoch, as CSV."""
    seeds, epochs = () if isinstance(seed, int) else seed, len(history.epoch)
    tables = [
        {"network": [s] * epochs, "seed": [each] * epochs}
        | ({"fold": [folds[s]] * epochs} if folds else {})
        | member(history.by_epoch(), s)
        for s, each in enumerate(seeds)
    ] or [history.by_epoch()]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(tables[0])
    for epoch in range(epochs):
        rows.writerows([column[epoch] for column in table.values()] for table in tables)
    return text.getvalue()


def read_metrics(folder: Path) -> dict[str, Array]:
    """Read the metrics of a run: columns of shape (epochs,), or (epochs, S) for a stack.

    Raises
    ------
    FileNotFoundError
        If the run has none.
    ValueError
        If they cannot be read.
    """
    path = folder / "metrics.csv"
    with refusing(path, "metrics as minnet writes them"), path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
        epochs = int(rows[-1]["epoch"])
        shape = (epochs, -1) if "network" in rows[0] else (epochs,)
        columns = {name: np.array([float(row[name]) for row in rows]).reshape(shape) for name in History().by_epoch()}
        if epochs < 1 or (np.arange(1, epochs + 1) != columns["epoch"].T).any():
            raise ValueError("the epochs do not count from 1")
        if not ((columns["kept"] >= 0) & (columns["kept"] <= epochs)).all():
            raise ValueError("an epoch kept is none of them")
        return columns | {name: columns[name].astype(int) for name in INTEGERS}


def versions() -> dict[str, str]:
    """Say what the run ran on."""
    import platform
    from importlib.metadata import version

    packages = ("minnet", "numpy", "scikit-learn", "matplotlib", "safetensors")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
