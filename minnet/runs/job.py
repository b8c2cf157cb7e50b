"""What happens between a configuration and a finished run folder? Training that nothing can lose, and its results."""

from __future__ import annotations

import functools
import hashlib
import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.tables import is_file_name
from minnet.history import History
from minnet.lab.trace import divergence
from minnet.runs.beside import baseline
from minnet.runs.build import make_datasets, make_network, make_stack, read
from minnet.runs.checkpoints import Interrupt, checkpoints, interruptible, restore_checkpoint, save_checkpoint
from minnet.runs.config import COUNT, Config, several
from minnet.runs.cross_validation import CrossValidation, compare, refit_group, refitted, write_folds
from minnet.runs.data_check import data_findings
from minnet.runs.folder import (
    CONFIG,
    RESULTS,
    Summary,
    anything_saved,
    check_unfinished,
    locked,
    new_run,
    read_config,
    remove_leftovers,
    versions,
    write_metrics,
    write_run,
)  # fmt: skip
from minnet.runs.folds import FoldTraining, distinct
from minnet.runs.model import describe
from minnet.runs.report import describe_ending, summarize
from minnet.runs.sweep import (
    BASELINE,
    Group,
    OnEpoch,
    Result,
    folds_of,
    grid,
    groups,
    in_processes,
    join,
    rank,
    run,
    stacks,
    worker_interrupt,
)  # fmt: skip
from minnet.support.files import refusing, write_json
from minnet.support.machine import blas_threads, free_memory, threads_for
from minnet.support.text import one_line, say, shortened
from minnet.training import Ending

LIVE_SECONDS = 3.0
Report = tuple[int, list[str], dict[str, Any]]  # exit code, lines, results


def ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is shown and kept, which changes nothing of what it computes.

    Attributes
    ----------
    out, force : path or None, bool
        The run folder, and whether a run that it holds is removed.
    memory_limit : float or None
        In bytes; None is a quarter of what is free.
    jobs : int
        How many stacks are trained at a time.
    checkpoint_every : int or None
        Epochs; None is as often as is worth it.
    live, tensorboard, quiet : bool
        Whether loss.png is redrawn, event files are written, nothing is said of what is read.
    show : callable
        Called with the history after each epoch, where there is one job.
    done : callable
        Called with how many groups are trained, and of how many, where there are several jobs.
    """

    out: str | None = None
    force: bool = False
    memory_limit: float | None = None
    jobs: int = 1
    checkpoint_every: int | None = None
    live: bool = False
    tensorboard: bool = False
    quiet: bool = False
    show: OnEpoch = ignore
    done: Callable[[int, int], object] = ignore

    def __post_init__(self) -> None:
        if self.tensorboard:
            try:
                import tensorboard.summary.writer.event_file_writer  # noqa: F401
            except ImportError:
                raise ValueError("--tensorboard needs the tensorboard package: pip install tensorboard") from None


def data_checksum(datasets: Sequence[Dataset]) -> str:
    """Return the SHA-256 of all samples, targets and weights."""
    digest = hashlib.sha256()
    for dataset in distinct(datasets)[0]:
        digest.update(repr((dataset.class_names, dataset.feature_names)).encode())
        weights = [dataset.sample_weight[split] for split in sorted(dataset.sample_weight)]
        for array in (*dataset.train, *dataset.validation, *dataset.test, *weights):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def describe_data(dataset: Dataset, where: str = "") -> str:
    """Say in a line what was read, so that a wrong file or column is noticed, and where parts are of these sizes."""
    splits = [dataset.counts(split) for split in ("train", "validation", "test")]
    counts, sizes = np.sum(splits, axis=0), " + ".join(str(split.sum()) for split in splits)
    named = [f"{shortened(name, 30)!r} {count}" for name, count in zip(dataset.class_names, counts, strict=True)]
    few = ", ".join(named[:6]) + (", …" if dataset.K > 6 else "")
    if len({name.casefold() for name in dataset.class_names}) < dataset.K:
        few += "; some classes differ in upper and lower case only: are they the same?"
    samples = f"{counts.sum()} samples ({sizes} to train, validate, test{' ' * bool(where)}{where})"
    about = one_line(dataset.about or f"{dataset.D} features", None)
    return f"{one_line(dataset.name)}: {samples}, {about}; {dataset.K} classes: {few}"


class Job:
    """A run: one configuration, or a stack of several in groups, from its settings to its results.

    Parameters
    ----------
    config : Config
        The settings.
    values : mapping of str to sequence
        Several values of settings, for a stack of all their combinations; empty for a single network.
    sizes : sequence of int, optional
        How many networks each group has, if that was decided before.
    """

    def __init__(
        self, config: Config, values: Mapping[str, Sequence[Any]], options: Options, sizes: Sequence[int] | None = None
    ) -> None:
        values = {**folds_of(config), **values}  # the folds come first, so that seeds of the same one stand together
        self.config, self.values, self.options = config, dict(values), options
        self.folds = "fold" in values
        self.configs = grid(config, **values)
        table = read(config)
        self.datasets = make_datasets(self.configs, table)
        checked = is_file_name(config.dataset) and not options.quiet
        self.findings = data_findings(table, self.datasets[-1]) if checked else []
        self.dataset = max(self.datasets, key=lambda dataset: dataset.D)
        if sizes is None:
            limit = options.memory_limit if values else math.inf
            sizes = stacks(self.configs, self.datasets, limit, options.jobs)
        self.sizes = sizes
        self.groups = groups(self.configs, self.datasets, self.sizes, bool(values))
        self.table: Any = table if config.refit else None  # which nothing else reads again
        self.baseline: list[Group] = []

    @classmethod
    def of_run(cls, folder: Path, options: Options, moved: Mapping[str, Any]) -> Job:
        """Make the job of a run folder; data sets may have been moved to another name.

        Raises
        ------
        FileNotFoundError
            If there is no run, or no data.
        ValueError
            If its configuration is none.
        """
        content = read_config(folder)
        with refusing(folder / CONFIG, "the configuration of a run that can go on"):
            config, values = Config.from_json(content | dict(moved)), content.get("grid", {})
            sizes = several(COUNT).check("stacks", content.get("stacks")) if values else [1]
            job = cls(config.check_together(), values, options, sizes)
            if sum(sizes) != (S := len(job.configs)):
                raise ValueError(f"stacks: expected as many networks as the grid has, {S}, got {sum(sizes)}")
            return job

    def json(self) -> dict[str, Any]:
        """Describe the run as ``config.json`` does."""
        network = make_network(self.config, self.dataset)
        content = {**vars(self.config), "lr": self.config.learning_rate}  # even if the usual one becomes another
        if self.values:
            content |= {"grid": {name: list(each) for name, each in self.values.items()}, "stacks": self.sizes}
        content |= {"layers": [describe(layer) for layer in network.layers], "output": describe(network.output)}
        with threads_for(network, self.config.batch_size):
            content |= {"data_sha256": data_checksum(self.datasets), "threads": blas_threads()}
        return content | {"versions": versions()}

    def run(self, folder: Path, interrupt: Interrupt) -> Report:
        """Train all groups and write the results; what was kept is said if that cannot be done."""
        if not self.options.quiet:
            say(describe_data(self.datasets[-1], "in the last of the folds" if self.folds else ""))
        for found in self.findings:
            say(f"{found.check}: {found.text}")
        try:
            with event_log(folder) if self.options.tensorboard else nullcontext(ignore) as log:

                def on_epoch(history: History) -> None:
                    self.options.show(history)
                    log(history)

                results = self.train(folder, interrupt, on_epoch)
                several = len(self.groups)
                result = join(results[:several])
                beside = join(results[several:]) if results[several:] else None
                finish = self.finish_folds if self.folds else self.finish
                return finish(folder, result, beside, interrupt, on_epoch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped at once; {kept(folder)}") from None
        except BrokenExecutor:
            raise RuntimeError(f"a process that trained for this one was killed; {kept(folder)}") from None
        except OSError as error:
            raise OSError(f"the run in {folder} cannot go on: {error.strerror or error}; {kept(folder)}") from None

    def train(self, folder: Path, interrupt: Interrupt, on_epoch: OnEpoch) -> list[Result]:
        """Train all groups, as many at a time as there are jobs, and then the baseline."""
        jobs, every, live = min(self.options.jobs, len(self.groups)), self.options.checkpoint_every, self.options.live
        one = functools.partial(train_group, folder=folder, every=every, live=live)
        if jobs > 1:
            results = in_processes(one, self.groups, jobs, interrupt, self.options.done)
        else:
            results = [one(group, interrupt=interrupt, on_epoch=on_epoch) for group in self.groups]
        joined = join(results)
        if joined.history.epoch and joined.ended.reason != "diverged":
            best = rank(self.configs, joined.history, self.varied)[0].networks if self.values else [0]
            self.baseline = baseline([self.configs[s] for s in best], [self.datasets[s] for s in best])
        return results + [one(group, interrupt=interrupt) for group in self.baseline]

    @property
    def varied(self) -> list[str]:
        """List the settings that networks vary beside their fold and seed."""
        return [name for name in self.values if name not in ("fold", "seed")]

    def finish(self, folder: Path, result: Result, beside: Result | None, *_: object) -> Report:
        """Write and return what came out."""
        history = result.history
        network = make_stack(self.configs, self.datasets, bool(self.values))
        network.theta[...] = result.theta
        if self.values and history.epoch:
            network.theta[history.diverged()] = np.nan  # whatever was kept of them, they have no say in an ensemble
        ended, ending = self.why(result, beside)
        if history.epoch and not (self.values and history.diverged().all()):
            summary = summarize(self, network, history, ending, beside)
        else:
            summary = Summary({"dataset": self.dataset.name, "seed": self.config.seed, "ended": ending})
        summary.results["proof"] = result.proof
        write_run(folder, history, summary, network, self.dataset)
        return report(folder, ended, ending, summary)

    def why(self, result: Result, beside: Result | None) -> tuple[Ending, dict[str, Any]]:
        """Tell why the run ended: because its networks did, unless the baseline was interrupted."""
        if result.ended.reason in ("epochs", "early stopping") and beside and beside.ended.reason == "interrupted":
            ending = reason(beside, self.config, self.dataset)
            ending["text"] += " of the logistic regression beside it"
            return beside.ended, ending
        return result.ended, reason(result, self.config, self.dataset)

    def finish_folds(
        self, folder: Path, result: Result, beside: Result | None, interrupt: Interrupt, on_epoch: OnEpoch
    ) -> Report:
        """Write and return what came out of folds; before, train a network on all rows if there is to be one."""
        (ended, ending), found, refit = self.why(result, beside), None, None
        if ended.reason not in ("interrupted", "diverged"):
            found = CrossValidation(self.configs, self.datasets, result)
        if found and self.config.refit:
            group = refit_group(found, self.table)
            every, live = self.options.checkpoint_every, self.options.live
            last = train_group(group, folder, every, live, interrupt, on_epoch)
            if last.ended.reason == "interrupted":
                ended, found = last.ended, None
                ending = reason(last, group.configs[0], group.datasets[0])
                ending["text"] += ", training on all rows"
            elif last.ended.reason == "diverged":
                say(f"training on all rows diverged in epoch {last.ended.epoch}: the folds are kept instead")
            else:
                refit = refitted(group, last, found.calibration.temperature)
        summary = Summary({"dataset": self.dataset.name, "seed": self.config.seed, "ended": ending})
        if not found:
            epochs = len(result.history.epoch)
            write_json(folder / RESULTS, {**summary.results, "epochs": epochs})
            return report(folder, ended, ending, summary)
        compared: tuple[dict[str, Any], list[str]] = {}, []
        if beside:
            configs = [config for group in self.baseline for config in group.configs]
            datasets = [dataset for group in self.baseline for dataset in group.datasets]
            compared = compare(found, configs, datasets, beside)
        return report(folder, ended, ending, write_folds(folder, found, ending, refit, compared))


def reason(result: Result, config: Config, dataset: Dataset) -> dict[str, Any]:
    """Say why a training ended."""
    steps = -(-len(dataset.train.x) // config.batch_size)
    return result.found or describe_ending(result.ended, result.history, config, steps)


def report(folder: Path, ended: Ending, ending: Mapping[str, Any], summary: Summary) -> Report:
    """Return what came out, or say why there is no more of it."""
    if ended.reason == "interrupted":
        say(f"{ending['text']}; {kept(folder)}")
        return 130, [], summary.results
    if ended.reason == "diverged":
        raise FloatingPointError(f"{ending['text']}; what there is of the run is in {folder}")
    return 0, [*summary.lines, f"saved in       {folder}"], {**summary.results, "run": str(folder)}


def train_group(
    group: Group,
    folder: Path,
    every: int | None,
    live: bool,
    interrupt: Interrupt = worker_interrupt,
    on_epoch: OnEpoch = ignore,
) -> Result:
    """Train a group from where it was left, with checkpoints; not a step if somebody asked to stop before it began."""
    training = group.training()
    for problem in restore_checkpoint(folder, training, group.name):
        say(f"{problem}; going on from the checkpoint before it")
    interrupt.follow(training)
    next_save, drawn = 0.0, time.monotonic()

    def save() -> None:
        nonlocal next_save
        started = time.monotonic()
        save_checkpoint(folder, training, group.name)
        if training.history.epoch and not group.name:  # of several groups, the checkpoints say it
            stacked = isinstance(training, FoldTraining)
            folds = [config.fold for config in group.configs if config.fold and stacked]
            write_metrics(folder, training.history, training.network.seed, folds)
        next_save = 4 * time.monotonic() - 3 * started  # training gets at least three times as much of the time

    def after_epoch(history: History) -> None:
        nonlocal drawn
        if time.monotonic() >= next_save if every is None else len(history.epoch) % every == 0:
            save()
        if live and not group.name.startswith(BASELINE) and time.monotonic() - drawn > LIVE_SECONDS:
            from minnet import plots

            draw = plots.plot_stack if training.stack else plots.plot_history
            plots.save_picture(draw(history, title=f"{group.datasets[0].name}, training"), folder / "loss.png")
            drawn = time.monotonic()
        on_epoch(history)

    if interrupt.requested and not training.over():
        training.end("interrupted")
        return group.widened(Result(training.kept_theta, training.history, training.ended))
    result = group.widened(run(training, after_epoch))
    if result.ended.reason == "diverged" and not training.stack:
        return result._replace(found=divergence(training))
    save()
    return result


def begin(config: Config, values: Mapping[str, Sequence[Any]], options: Options) -> Report:
    """Train, in a new run folder.

    Returns
    -------
    code : int
        0, or 130 if it was interrupted.
    lines : list of str
        What came out, to read.
    results : dict
        The same as data.
    """
    job = Job(config, values, options)
    content = job.json()
    # Signals are taken before there is a folder that one could leave behind.
    with interruptible() as interrupt, new_run(options.out, job.dataset.name, content, options.force) as folder:
        return job.run(folder, interrupt)


def resume(folder: Path, options: Options, moved: Mapping[str, Any]) -> Report:
    """Go on with a run that was interrupted or killed, as `begin` does.

    Raises
    ------
    ValueError
        If the run is over, its data is not what it was, or its checkpoints cannot be used.
    """
    with locked(folder):
        check_unfinished(folder)
        try:
            job = Job.of_run(folder, options, moved)
        except FileNotFoundError as error:
            moving = f"if it was moved: minnet train NEW_NAME --resume {shlex.quote(str(folder))} (and --test NEW_NAME)"
            raise FileNotFoundError(f"{error}; {moving}") from None
        before, now = read_config(folder), job.json()
        if before.get("data_sha256") != now["data_sha256"]:
            raise ValueError(
                f"{folder} was trained on other data than {job.dataset.name!r} now holds: put the data back as it "
                "was, or begin a new run"
            )
        largest, most = max(job.sizes), max(stacks(job.configs, job.datasets, free_memory()))
        if largest > most:
            raise ValueError(f"{folder} trains {largest} networks at a time, but there is memory free for {most}")
        remove_leftovers(folder)
        for name, what in (("versions", "other versions"), ("threads", "another number of BLAS threads")):
            if before.get(name) != now[name]:
                say(f"the run began with {what}; its numbers may differ in the last digits")
        with interruptible() as interrupt:
            return job.run(folder, interrupt)


def kept(folder: Path) -> str:
    """Say what of a run is on the disk, and how to go on from there."""
    if not anything_saved(folder):
        return "nothing was saved"
    saved, go_on = checkpoints(folder), f"minnet train --resume {shlex.quote(str(folder))}"
    return (f"saved is {saved[0]}; go on" if saved else "nothing of it was saved; begin anew") + f" with: {go_on}"


@contextmanager
def event_log(folder: Path) -> Iterator[OnEpoch]:
    """Write each epoch's metrics for TensorBoard into the run folder."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder / "tensorboard"))

    def log(history: History) -> None:
        values = []
        for name, column in history.by_epoch().items():
            for s, value in enumerate(np.atleast_1d(column[-1])):
                tag = f"{name}/{s}" if np.ndim(column[-1]) else name
                if name != "epoch":
                    values.append(Summary.Value(tag=tag, simple_value=float(value)))
        writer.add_event(Event(wall_time=time.time(), step=history.epoch[-1], summary=Summary(value=values)))

    try:
        yield log
    finally:
        writer.close()
