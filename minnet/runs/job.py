"""What happens between a configuration and a finished run folder? Training that nothing can lose, and its results."""

from __future__ import annotations

import functools
import hashlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minnet.data.dataset import Dataset
from minnet.history import History
from minnet.lab.trace import divergence
from minnet.network import Network
from minnet.runs.build import make_dataset, make_network
from minnet.runs.checkpoints import Interrupt, interruptible, restore_checkpoint, save_checkpoint
from minnet.runs.config import Config
from minnet.runs.folder import (
    CONFIG,
    Summary,
    check_out,
    check_unfinished,
    locked,
    new_run,
    read_config,
    remove_run,
    reopen_run,
    versions,
    write_run,
)  # fmt: skip
from minnet.runs.model import describe
from minnet.runs.report import describe_ending, summarize
from minnet.runs.sweep import Group, Result, grid, grid_of, groups, join, processes, result_of, stacks, worker_interrupt
from minnet.support.files import write_json
from minnet.support.machine import blas_threads, free_memory, threads_for
from minnet.support.text import one_line, say, shortened
from minnet.training import Ending, Training

LIVE_SECONDS = 3.0
CHECKPOINT_SHARE = 0.5  # of the time, at most, for checkpoints
Report = tuple[int, list[str], dict[str, Any]]  # exit code, lines, results
OnEpoch = Callable[[History], object]


def ignore(history: History) -> None:
    """Do nothing."""


class CannotSave(OSError):
    """A file of a run cannot be written."""


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


def data_checksum(dataset: Dataset) -> str:
    """Return the SHA-256 of all samples, targets and weights."""
    digest = hashlib.sha256(repr((dataset.class_names, dataset.feature_names)).encode())
    weights = [dataset.sample_weight[split] for split in sorted(dataset.sample_weight)]
    for array in (*dataset.train, *dataset.validation, *dataset.test, *weights):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def describe_data(dataset: Dataset) -> str:
    """Say in a line what was read, so that a wrong file or column is noticed."""
    counts = dataset.counts("train") + dataset.counts("validation") + dataset.counts("test")
    named = [f"{shortened(name, 30)!r} {count}" for name, count in zip(dataset.class_names, counts, strict=True)]
    few = ", ".join(named[:6]) + (", …" if dataset.K > 6 else "")
    sizes = " + ".join(str(len(split.x)) for split in (dataset.train, dataset.validation, dataset.test))
    text = (
        f"{one_line(dataset.name)}: {counts.sum()} samples ({sizes} to train, validate, test), {dataset.D} features, "
    )
    text += f"{dataset.K} classes: {few}"
    alike = len({name.casefold() for name in dataset.class_names}) < dataset.K
    return text + ("; some classes differ in upper and lower case only: are they the same?" if alike else "")


class Plan:
    """A run as it is to be: one configuration, or a stack of several in groups.

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
        self.config, self.values, self.dataset = config, dict(values), make_dataset(config)
        self.configs = grid(config, **values)
        if not values:
            self.groups = [Group(self.configs, self.dataset, stacked=False)]
            self.sizes = [1]
            return
        if sizes is None:
            limit = free_memory() / 4 if options.memory_limit is None else options.memory_limit
            sizes = stacks(self.configs, self.dataset, limit, options.jobs)
        self.sizes = list(sizes)
        self.groups = groups(self.configs, self.dataset, self.sizes)

    def name(self, group: Group) -> str:
        """Return the name of the folder of a group's checkpoints; none if there is only one group."""
        return f"stack-{group.number + 1}" if len(self.groups) > 1 else ""

    def network(self, theta: Any = None) -> Network:
        """Make the network of the run, or the stack of all its networks, with given weights."""
        seeds = [config.seed for config in self.configs] if self.values else None
        network = make_network(self.config, self.dataset, seeds)
        if theta is not None:
            network.theta[...] = theta
        return network

    def json(self) -> dict[str, Any]:
        """Describe the run as ``config.json`` does."""
        network = self.groups[0].training().network
        described = {"layers": [describe(layer) for layer in network.layers], "output": describe(network.output)}
        with threads_for(network, self.config.batch_size):
            threads = blas_threads()
        several = {"grid": {name: list(each) for name, each in self.values.items()}, "stacks": self.sizes}
        measured = {"data_sha256": data_checksum(self.dataset), "threads": threads, "versions": versions()}
        return {**vars(self.config), **(several if self.values else {}), **described, **measured}

    @classmethod
    def of_run(cls, folder: Path, options: Options, moved: Mapping[str, Any]) -> Plan:
        """Make the plan of a run folder; data sets may have been moved to another name.

        Raises
        ------
        FileNotFoundError
            If there is no run.
        ValueError
            If its configuration is none.
        """
        content = read_config(folder)
        try:
            config = Config.from_json(content | dict(moved))
            values, sizes = grid_of(content)
            config.check_together()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"not the configuration of a run that can go on: {one_line(error, 500)}"
            raise ValueError(f"{folder / CONFIG}: {problem}") from None
        return cls(config, values, options, sizes)


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
    if options.tensorboard:
        require_tensorboard()
    check_out(options.out, options.force)
    plan = Plan(config, values, options)
    content = plan.json()
    if not options.quiet:
        say(describe_data(plan.dataset))
    with ExitStack() as handlers:
        interrupt = handlers.enter_context(interruptible())  # before there is a folder that a signal could leave behind
        folder, made = new_run(options.out, plan.dataset.name, content, options.force)
        with locked(folder):
            return Job(folder, plan, options, content, made).run(interrupt, handlers)


def resume(folder: Path, options: Options, moved: Mapping[str, Any]) -> Report:
    """Go on with a run that was interrupted or killed, as `begin` does.

    Raises
    ------
    ValueError
        If the run is over, its data is not what it was, or its checkpoints cannot be used.
    """
    if options.tensorboard:
        require_tensorboard()
    try:
        plan = Plan.of_run(folder, options, moved)
    except FileNotFoundError as error:
        if not (folder / CONFIG).is_file():
            raise
        moving = f"if it was moved: minnet train NEW_NAME --resume {shlex.quote(str(folder))} (and --test NEW_NAME)"
        raise FileNotFoundError(f"{error}; {moving}") from None
    if not options.quiet:
        say(describe_data(plan.dataset))
    with locked(folder):
        check_unfinished(folder)
        before, now = read_config(folder), plan.json()
        if before.get("data_sha256") != now["data_sha256"]:
            raise ValueError(
                f"{folder} was trained on other data than {plan.dataset.name!r} now holds: put the data back as it "
                "was, or begin a new run"
            )
        job = Job(folder, plan, options, before)
        job.check()
        reopen_run(folder)
        for name, what in (("versions", "other versions"), ("threads", "another number of BLAS threads")):
            if before.get(name) != now[name]:
                say(f"the run began with {what}; its numbers may differ in the last digits")
        with ExitStack() as handlers:
            return job.run(handlers.enter_context(interruptible()), handlers)


def checkpoints_of(folder: Path) -> list[Path]:
    """List all checkpoints of a run, of all its groups, the newest first."""
    return sorted((folder / "checkpoints").rglob("step-*.safetensors"), key=lambda path: path.name, reverse=True)


def kept(folder: Path) -> str:
    """Say what of a run is on the disk, and how to go on from there."""
    saved = checkpoints_of(folder)
    if not (folder / CONFIG).exists():
        return "nothing was saved"
    try:
        check_unfinished(folder)
    except ValueError:
        return f"the run is over, and in {folder}"
    go_on = f"minnet train --resume {shlex.quote(str(folder))}"
    return (f"saved is {saved[0]}; go on" if saved else "nothing of it was saved; begin anew") + f" with: {go_on}"


class Job:
    """A run in its folder; of a new one also which folders were ``made`` for it."""

    def __init__(
        self, folder: Path, plan: Plan, options: Options, content: dict[str, Any], made: list[Path] | None = None
    ) -> None:
        self.folder, self.plan, self.options, self.content, self.made = folder, plan, options, content, made
        self.found: dict[str, Any] | None = None  # where a single network diverged

    def check(self) -> None:
        """Raise ValueError now, before anything is removed, if memory is short or no checkpoint of a group is whole."""
        largest, most = max(self.plan.sizes), stacks(self.plan.configs, self.plan.dataset, free_memory())[0]
        if largest > most:
            raise ValueError(f"{self.folder} trains {largest} networks at a time, but there is memory free for {most}")
        for group in self.plan.groups:
            for problem in restore_checkpoint(self.folder, group.training(), self.plan.name(group)):
                say(f"{problem}; going on from the checkpoint before it")

    def run(self, interrupt: Interrupt, handlers: ExitStack) -> Report:
        """Train all groups and write the results; what was kept is said if that cannot be done.

        A new run of which nothing was kept leaves nothing. The handlers of signals are there until training is over.
        """
        try:
            with handlers:
                show = self.options.show
                log = handlers.enter_context(event_log(self.folder)) if self.options.tensorboard else ignore
                results = self.train(interrupt, lambda history: (show(history), log(history)))
            return self.finish(results)
        except BaseException as error:
            saved = any(checkpoints_of(self.folder)) or (self.folder / "results.json").exists()
            if self.made is not None and not saved:
                remove_run(self.folder, self.made)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"stopped at once; {kept(self.folder)}") from None
            if isinstance(error, BrokenExecutor):
                raise RuntimeError(f"a process that trained for this one was killed; {kept(self.folder)}") from None
            if isinstance(error, CannotSave):
                raise CannotSave(f"{error}; {kept(self.folder)}") from None
            raise

    def train(self, interrupt: Interrupt, on_epoch: OnEpoch) -> list[Result | None]:
        """Train all groups, as many at a time as there are jobs."""
        with processes(min(self.options.jobs, len(self.plan.groups))) as map_:
            if map_ is map:
                one = functools.partial(self.train_group, interrupt=interrupt, on_epoch=on_epoch)
                return list(map(one, self.plan.groups))
            quiet = Job(self.folder, self.plan, replace(self.options, show=ignore), self.content)  # can be sent
            results = map_(quiet.train_group, self.plan.groups)
            interrupt.pass_on()  # somebody may have asked before there was a process to hear it
            return list(results)

    def train_group(
        self, group: Group, interrupt: Interrupt = worker_interrupt, on_epoch: OnEpoch | None = None
    ) -> Result | None:
        """Train a group from where it was left; None if somebody asked to stop before it began."""
        if interrupt.requested:
            return None
        training = group.training()
        restore_checkpoint(self.folder, training, self.plan.name(group))
        interrupt.follow(training)
        keeper = Keeper(self, training, self.plan.name(group))
        with threads_for(training.network, training.batch_size):
            training.run(lambda history: [each(history) for each in (keeper.note, on_epoch or ignore)])
        if training.ended is not None and training.ended.reason == "diverged" and not training.stack:
            self.found = divergence(training)
        else:
            keeper.save()
        return result_of(training)

    def finish(self, results: Sequence[Result | None]) -> Report:
        """Write and return what came out."""
        done = [result for result in results if result is not None]
        plan = self.plan
        if all(result and (result.history.epoch or len(results) == 1) for result in results):
            together = join(done)
        else:  # interrupted before each group had an epoch: there is nothing of all networks yet
            interrupted = [result.ended for result in done if result.ended.reason == "interrupted"]
            together = Result(plan.network().theta, History(), [*interrupted, Ending("interrupted", 1, 0)][0])
        network, history, ended = plan.network(together.theta), together.history, together.ended
        steps = plan.groups[0].training().steps
        ending = self.found or describe_ending(ended, history, plan.config, steps)
        nothing = not history.epoch or (plan.values and history.diverged().all())
        summary = Summary({"dataset": plan.dataset.name, "seed": plan.config.seed, "ended": ending})
        if not nothing:
            summary = summarize(plan, network, history, ending)
        try:
            write_run(self.folder, history, summary, network, plan.dataset)
        except OSError as error:
            raise CannotSave(f"cannot write the results into {self.folder}: {error.strerror}") from None
        if ended.reason == "interrupted":
            say(f"{ending['text']}; {kept(self.folder)}")
            return 130, [], summary.results
        if ended.reason == "diverged":
            raise FloatingPointError(f"{ending['text']}; what there is of the run is in {self.folder}")
        return 0, [*summary.lines, f"saved in       {self.folder}"], {**summary.results, "run": str(self.folder)}


class Keeper:
    """Writes checkpoints of a training, and its picture while it lasts."""

    def __init__(self, job: Job, training: Training, name: str) -> None:
        self.job, self.training, self.name = job, training, name
        self.began = self.drawn = time.monotonic()
        self.saving = 0.0  # seconds

    def note(self, history: History) -> None:
        """Save and draw, if it is time."""
        every, now = self.job.options.checkpoint_every, time.monotonic()
        due = self.saving <= CHECKPOINT_SHARE * (now - self.began) if every is None else len(history.epoch) % every == 0
        if due:
            self.save()
        if self.job.options.live and now - self.drawn > LIVE_SECONDS:
            from minnet import plots

            draw = plots.plot_stack if self.training.stack else plots.plot_history
            picture = draw(history, title=f"{self.training.dataset.name}, training")
            plots.save_picture(picture, self.job.folder / "loss.png")
            self.drawn = time.monotonic()

    def save(self) -> None:
        """Write a checkpoint, into the folder anew if that is gone.

        Raises
        ------
        CannotSave
            If it cannot be written.
        """
        folder, started = self.job.folder, time.monotonic()
        try:
            for last_try in (False, True):
                try:
                    if not (folder / CONFIG).exists():
                        say(f"{folder} is gone; what there is of the run is written there again")
                        folder.mkdir(parents=True, exist_ok=True)
                        write_json(folder / CONFIG, self.job.content)
                    save_checkpoint(folder, self.training, self.name)
                    break
                except FileNotFoundError:  # the folder went away meanwhile
                    if last_try:
                        raise
        except OSError as error:
            raise CannotSave(f"cannot write a checkpoint into {folder}: {error.strerror}") from None
        self.saving += time.monotonic() - started


def require_tensorboard() -> None:
    """Raise a ValueError if the tensorboard package is not there."""
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError:
        raise ValueError("--tensorboard needs the tensorboard package: pip install tensorboard") from None


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
