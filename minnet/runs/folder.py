"""What stays behind after training? A run folder: configuration, checkpoints, metrics, results, weights and pictures.

A folder is there from the first epoch on, under a name that no other run takes, so that a run can go on in it whatever
happens; ``results.json`` is written last, and says why the run ended.
"""

import contextlib
import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.history import History
from minnet.network import Network
from minnet.runs.model import Model, save
from minnet.runs.sweep import Setting
from minnet.support.files import read_json, write_json, write_text
from minnet.support.stack import Array
from minnet.support.text import one_line, say

CONFIG = "config.json"
STACK_FILE = "stack.safetensors"  # what a run of several networks has as well
CHECKPOINTS = ("checkpoints/**/step-*.safetensors", "checkpoints/**/.step-*.part")
EVENTS = "tensorboard/events.out.tfevents.*"
RUN_FILES = (
    CONFIG, "metrics.csv", "results.json", "report.txt", "model.safetensors", "loss.png", "confusion.png"
)  # fmt: skip


def check_out(out: str | os.PathLike[str] | None, force: bool = False) -> None:
    """Raise an OSError now, before any training, if a run cannot go where it should.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or holds a run and ``force`` is off.
    OSError
        If it is no name that the system takes.
    """
    if out is None:
        if os.path.lexists("runs") and not Path("runs").is_dir():
            raise NotADirectoryError("cannot write a run to runs: it is a file")
        return
    path = Path(out)
    if os.path.lexists(path) and not path.is_dir():
        what = "a file" if path.exists() else "a link to nothing"
        raise FileExistsError(f"{path} is {what}: expected a folder for the run")
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
    except OSError as error:
        raise type(error)(f"cannot write a run to {path}: {error.strerror}") from None
    ours = (*RUN_FILES, STACK_FILE)
    for name in ours:
        if (path / name).is_dir():
            raise FileExistsError(f"{path / name} is a folder: expected a file, or nothing")
    taken = [str(file.relative_to(path)) for name in (*ours, *CHECKPOINTS) for file in path.glob(name)]
    if taken and not (path / CONFIG).exists():
        raise FileExistsError(f"{path} holds {taken[0]}, though no run (no {CONFIG}): choose another folder")
    if taken and not force:
        raise FileExistsError(f"{path} already holds a run ({taken[0]}): choose another folder, or use --force")


def new_run(
    out: str | os.PathLike[str] | None, name: str, config: Mapping[str, Any], force: bool = False
) -> tuple[Path, list[Path]]:
    """Make the folder of a run, with its configuration in it; no two runs are ever given the same one.

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

    Returns
    -------
    folder : Path
        The folder.
    made : list of Path
        It and the folders above it that were made, innermost first, for `remove_run`.

    Raises
    ------
    FileExistsError
        If ``out`` holds a run and ``force`` is off.
    OSError
        If the folder cannot be made.
    """
    check_out(out, force)
    text = json.dumps(config, indent=2) + "\n"
    path = Path("runs") / re.sub(r"[^\w.-]+", "-", name) if out is None else Path(out)
    made = [folder for folder in (path.absolute().parent, *path.absolute().parents) if not folder.exists()]
    try:
        if out is not None and path.is_dir():
            if force:
                with locked(path):
                    remove_files(path)
            claim(path, text)
            return path, []
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.parent / f".minnet-{os.urandom(8).hex()}"
        try:
            staging.mkdir()
            (staging / CONFIG).write_text(text, encoding="utf-8")
            path = rename(staging, path, numbered=out is None)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        remove_run(None, made)
        if error.strerror is None:  # one of ours, which says it all
            raise
        raise type(error)(f"cannot write a run to {path if out else path.parent}: {error.strerror}") from None
    return path, [path.absolute(), *made]


def rename(staging: Path, path: Path, numbered: bool) -> Path:
    """Give a folder its name in one step, which fails if something else has it; try the numbers from 1 on."""
    n = 1
    while True:
        to = path.with_name(f"{path.name}-{n}") if numbered else path
        try:
            if not numbered or not to.exists():
                os.rename(staging, to)
                return to
        except OSError:
            if not numbered or not to.exists():
                raise
        n += 1


def claim(folder: Path, text: str) -> None:
    """Write the configuration into a folder that was there before, unless another run has written its own."""
    beside = folder / f".{CONFIG}.{os.urandom(4).hex()}.part"
    try:
        beside.write_text(text, encoding="utf-8")
        os.link(beside, folder / CONFIG)  # unlike a rename, it fails if the name is taken
    except FileExistsError:
        raise FileExistsError(f"{folder} already holds a run: another one has just begun there") from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run to this process. The system unlocks it when the process ends, in whatever way.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, FileNotFoundError):  # Windows has no flock, a folder to be no run yet
            import fcntl

            file = stack.enter_context((folder / CONFIG).open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(
                    f"{folder} is in use: another process is training there; let it end first"
                ) from None
            except OSError:  # a file system without locks
                pass
        yield


def remove_files(folder: Path) -> None:
    """Remove what a run left in a folder, and nothing else."""
    for name in (*CHECKPOINTS, EVENTS, *RUN_FILES[1:], STACK_FILE):
        for file in folder.glob(name):
            file.unlink(missing_ok=True)
    for each in [*folder.glob("checkpoints/stack-*"), folder / "checkpoints", folder / "tensorboard"]:
        with contextlib.suppress(OSError):  # something else is in it
            each.rmdir()
    (folder / CONFIG).unlink(missing_ok=True)  # last: until then it is a run's folder


def remove_run(folder: Path | None, made: list[Path]) -> None:
    """Remove a run that never began, and the folders made for it, as far as nothing else uses them."""
    if folder is not None:
        with contextlib.suppress(OSError):
            remove_files(folder)
    for each in made:
        with contextlib.suppress(OSError):
            each.rmdir()


def reopen_run(folder: Path) -> None:
    """Make a run ready to go on: remove what only a run that is over has, and what a killed one left half."""
    (folder / "results.json").unlink(missing_ok=True)
    for leftover in [*folder.glob(".*.part"), *(folder / "checkpoints").rglob(".*.part")]:  # of a run that was killed
        leftover.unlink(missing_ok=True)


def check_unfinished(folder: Path) -> None:
    """Raise a ValueError if a run is over, or what it says of that cannot be read."""
    results = folder / "results.json"
    if results.is_file():
        ended = read_json(results).get("ended")
        ended = ended if isinstance(ended, dict) else {}
        if ended.get("reason") != "interrupted":
            raise ValueError(f"{folder} is over ({ended.get('text', 'it has results')}): there is nothing to resume")


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
    """What came out of a run: as data, as lines to read, by class to read, the best network, the ranking."""

    results: dict[str, Any]
    lines: Sequence[str] = ()
    report: str = ""
    best: int | None = None
    ranking: Sequence[Setting] = ()


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
    stack = network.theta.ndim == 2
    chosen = network if not stack else None if summary.best is None else network[summary.best]
    if chosen is not None:
        save(folder / "model.safetensors", Model.of(chosen, dataset))
    if stack:
        save(folder / STACK_FILE, Model.of(network, dataset))
    if summary.report:
        write_text(folder / "report.txt", summary.report)
    if history.epoch:
        write_text(folder / "metrics.csv", metrics(history, network))
        try:
            draw(folder, history, summary, chosen, dataset)
        except OSError:  # the disk is full, say: the run can go on from its checkpoint
            raise
        except Exception as error:  # whatever it is, it shall not cost the results
            say(f"a picture of {folder} cannot be drawn ({type(error).__name__}: {error}); all else is there")
    write_json(folder / "results.json", summary.results)


def draw(folder: Path, history: History, summary: Summary, chosen: Network | None, dataset: Dataset) -> None:
    """Draw the curves of a run, and if there is a chosen network, what it confuses."""
    from minnet import plots

    networks, of_best = np.size(history.kept[-1]), ""
    if np.ndim(history.kept[-1]):
        of_best = ", best network"
        several = sorted(summary.ranking, key=lambda setting: [*setting.values.values()])
        groups = {setting.name: setting.networks for setting in several} if len(several) > 1 else None
        picture = plots.plot_stack(history, groups, title=f"{dataset.name}, {networks} networks")
    else:
        kept = summary.results["ended"].get("best_epoch")
        picture = plots.plot_history(history, title=f"{dataset.name}, seed {summary.results['seed']}", kept=kept)
    plots.save_picture(picture, folder / "loss.png")
    if chosen is not None:
        predicted, title = chosen.predict(dataset.test.x), f"{dataset.name}, test split{of_best}"
        confusion = plots.plot_confusion(dataset.test.t, predicted, dataset.class_names, title=title)
        plots.save_picture(confusion, folder / "confusion.png")


def metrics(history: History, network: Network) -> str:
    """Format a row an epoch, and for a stack one for each network, with its seed, in each epoch, as CSV."""
    seeds = () if isinstance(network.seed, int) else network.seed
    members = [history.member(s).by_epoch() for s in range(len(seeds))] or [history.by_epoch()]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*(["network", "seed"] if seeds else []), *members[0]])
    for epoch in range(len(history.epoch)):
        for s, columns in enumerate(members):
            rows.writerow([*([s, seeds[s]] if seeds else []), *(column[epoch] for column in columns.values())])
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
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the run has no metrics")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        epochs = int(rows[-1]["epoch"])
        columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
        S = int(columns["network"].max()) + 1 if "network" in columns else 0
        shaped = {name: column.reshape(epochs, *([S] if S else [])) for name, column in columns.items()}
        epoch = shaped["epoch"].T
        if epochs < 1 or (epoch != np.arange(1, epochs + 1)).any():
            raise ValueError("the epochs do not count from 1")
        return {name: shaped[name] for name in History().by_epoch()}
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, csv.Error) as error:
        problem = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{path}: not metrics as minnet writes them ({problem})") from None


def versions() -> dict[str, str]:
    """Say what the run ran on."""
    import platform
    from importlib.metadata import version

    packages = ("minnet", "numpy", "scikit-learn", "matplotlib", "safetensors")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
