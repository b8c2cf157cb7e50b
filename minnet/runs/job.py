"""What happens between ``minnet train`` and a finished run folder? Training that nothing can lose, and its results."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minnet.runs.checkpoints import checkpoints, interruptible, restore_checkpoint, save_checkpoint
from minnet.data import Dataset
from minnet.runs.model import describe
from minnet.runs.report import class_numbers_of, figure, rank_rates, summarize, summarize_stack
from minnet.runs.folder import (
    CONFIG,
    check_out,
    check_unfinished,
    locked,
    new_run,
    read_config,
    remove_run,
    reopen_run,
    versions,
    write_run,
)
from minnet.runs.build import (
    NOT_SETTINGS,
    command_line,
    learning_rates,
    make_training,
    read_dataset,
    settings_of,
)
from minnet.support.files import write_json
from minnet.support.text import one_line, shortened
from minnet.training import History, Training

MAY_CHANGE = ("dataset", "test")  # when a run is resumed: the same data may have another name
LIVE_SECONDS = 3.0
PROGRESS_SECONDS = 10.0
CHECKPOINT_SHARE = 0.5  # of the time, at most, for checkpoints


def data_checksum(dataset: Dataset) -> str:
    """Return the SHA-256 of all samples and targets."""
    digest = hashlib.sha256(repr((dataset.class_names, dataset.feature_names)).encode())
    weights = [dataset.sample_weight[part] for part in sorted(dataset.sample_weight)]
    for array in (*dataset.train, *dataset.validation, *dataset.test, *weights):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def resumed(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return the settings of the run that is to go on, with what of the flags is about showing it.

    Raises
    ------
    FileNotFoundError
        If there is no run.
    ValueError
        If its configuration is none, or a flag would change it.
    """
    folder = Path(arguments.resume)
    for name in given_flags(arguments):
        if name not in (*MAY_CHANGE, *NOT_SETTINGS) or name in ("out", "force"):
            flag = f"--{name.replace('_', '-')}"
            arguments.parser.error(f"--resume takes the settings of the run: leave out {flag}, or begin a new run")
    config = read_config(folder)
    try:
        with arguments.parser.raising():
            settings: argparse.Namespace = arguments.parser.parse_args(command_line(config, arguments.parser))
        for name, value in settings_of(settings).items():
            if name in config and config[name] != value:
                raise ValueError(f"{name} is {config[name]!r}")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{folder / CONFIG}: not the configuration of a run that can go on: {one_line(error, 500)}"
        ) from None
    for name in NOT_SETTINGS:
        setattr(settings, name, getattr(arguments, name, None))
    for name in MAY_CHANGE:
        setattr(settings, name, getattr(arguments, name) or getattr(settings, name))
    return settings


def given_flags(arguments: argparse.Namespace) -> list[str]:
    """List the settings that were typed, even if what was typed is their default."""
    parser, not_given = arguments.parser, object()
    defaults = vars(parser.parse_args([]))
    parser.set_defaults(**dict.fromkeys(defaults, not_given))
    try:
        return [name for name, value in vars(parser.parse_args(arguments.argv)).items() if value is not not_given]
    finally:
        parser.set_defaults(**defaults)


def command_train(arguments: argparse.Namespace) -> int:
    """``minnet train``: train one network, or several at once, on a data set and write the run folder."""
    resuming = arguments.resume is not None
    if resuming:
        arguments = resumed(arguments)
    elif arguments.dataset is None:
        arguments.parser.error("which data set? Give the name of one, a file, or --resume RUN")
    check_flags(arguments)
    if arguments.tensorboard:
        require_tensorboard()
    if not resuming:
        check_out(arguments.out, arguments.force)
    try:
        dataset = read_dataset(arguments)
    except FileNotFoundError as error:
        if not resuming:
            raise
        moved = f"if it was moved: minnet train NEW_NAME --resume {shlex.quote(arguments.resume)} (and --test NEW_NAME)"
        raise FileNotFoundError(f"{error}; {moved}") from None
    training = make_training(arguments, dataset)
    network = training.network
    if not arguments.quiet:
        say(describe_data(dataset))
    config = settings_of(arguments)
    config |= {"layers": [describe(layer) for layer in network.layers], "output": describe(network.output)}
    config |= {"data_sha256": data_checksum(dataset), "versions": versions()}
    made: list[Path] = []
    if resuming:
        folder = Path(arguments.resume)
    else:
        folder, made = new_run(arguments.out, dataset.name, config, arguments.force)
    with locked(folder):
        if resuming:
            config = go_on(folder, training, config)
        try:
            run(folder, training, arguments, config)
            return finish(folder, training, arguments)
        except BaseException as error:
            if not (resuming or checkpoints(folder) or (folder / "results.json").exists()):
                remove_run(folder, made)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"stopped at once; {kept(folder)}") from None
            if isinstance(error, CannotSave):
                raise CannotSave(f"{error}; {kept(folder)}") from None
            raise


def describe_data(dataset: Dataset) -> str:
    """Say in a line what was read, so that a wrong file or column is noticed."""
    counts = np.zeros(dataset.K, int)
    for part in (dataset.train, dataset.validation, dataset.test):
        counts += np.bincount(class_numbers_of(part.t), minlength=dataset.K)
    named = [f"{shortened(name, 30)!r} {count}" for name, count in zip(dataset.class_names, counts, strict=True)]
    few = ", ".join(named[:6]) + (", …" if dataset.K > 6 else "")
    sizes = " + ".join(str(len(part.x)) for part in (dataset.train, dataset.validation, dataset.test))
    text = f"{dataset.name}: {counts.sum()} samples ({sizes} to train, validate, test), {dataset.D} features, "
    text += f"{dataset.K} classes: {few}"
    alike = len({name.casefold() for name in dataset.class_names}) < dataset.K
    return text + ("; some classes differ in upper and lower case only: are they the same?" if alike else "")


class CannotSave(OSError):
    """A file of a run cannot be written."""


def check_flags(arguments: argparse.Namespace) -> None:
    """Leave with exit code 2 if a flag was given that would do nothing beside the others."""
    sgd, schedule = arguments.optimizer == "sgd", arguments.schedule
    goes_with = {
        "momentum": ("--optimizer sgd", sgd),
        "nesterov": ("--optimizer sgd and --momentum above 0", sgd and arguments.momentum > 0),
        "lr_every": ("--schedule step", schedule == "step"),
        "lr_gamma": ("--schedule step or plateau", schedule in ("step", "plateau")),
        "lr_patience": ("--schedule plateau", schedule == "plateau"),
        "warmup": ("--schedule cosine", schedule == "cosine"),
        "monitor": ("--patience", arguments.patience is not None),
    }
    for name, (what, there) in goes_with.items():
        if getattr(arguments, name) != arguments.parser.get_default(name) and not there:
            arguments.parser.error(f"--{name.replace('_', '-')} goes with {what}")


def go_on(folder: Path, training: Training, config: dict[str, Any]) -> dict[str, Any]:
    """Bring a training to where a run was left; return the run's configuration.

    Raises
    ------
    ValueError
        If the run is over, its data is not what it was, or its checkpoints cannot be used.
    """
    check_unfinished(folder)
    before = read_config(folder)
    if before.get("data_sha256") != config["data_sha256"]:
        raise ValueError(
            f"{folder} was trained on other data than {training.dataset.name!r} now holds: put the data back as it "
            "was, or begin a new run"
        )
    for problem in restore_checkpoint(folder, training):
        say(f"{problem}; going on from the checkpoint before it")
    reopen_run(folder)
    if before.get("versions") != config["versions"]:
        say("the run began with other versions; its numbers may differ in the last digits")
    return before


def say(message: str) -> None:
    """Print a line on stderr, if somebody reads it, and nothing of names in it that a terminal would obey."""
    with contextlib.suppress(OSError):
        print(f"minnet: {one_line(message, None)}", file=sys.stderr, flush=True)


def kept(folder: Path) -> str:
    """Say what of a run is on the disk, and how to go on from there."""
    saved = checkpoints(folder)
    if not (folder / CONFIG).exists():
        return "nothing was saved"
    try:
        check_unfinished(folder)
    except ValueError:
        return f"the run is over, and in {folder}"
    go_on = f"minnet train --resume {shlex.quote(str(folder))}"
    return (
        f"saved is {saved[0]}; go on with: {go_on}" if saved else f"nothing of it was saved; begin anew with: {go_on}"
    )


def run(folder: Path, training: Training, arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Train, with a checkpoint every so many epochs, and one at the end.

    Raises
    ------
    CannotSave
        If a checkpoint cannot be written.
    """
    began = since = time.monotonic()
    saving = 0.0  # seconds

    def save() -> None:
        nonlocal saving
        started = time.monotonic()
        try:
            for last_try in (False, True):
                try:
                    if not (folder / CONFIG).exists():
                        say(f"{folder} is gone; what there is of the run is written there again")
                        folder.mkdir(parents=True, exist_ok=True)
                        write_json(folder / CONFIG, config)
                    save_checkpoint(folder, training)
                    break
                except FileNotFoundError:  # the folder went away meanwhile
                    if last_try:
                        raise
        except OSError as error:
            raise CannotSave(f"cannot write a checkpoint into {folder}: {error.strerror}") from None
        saving += time.monotonic() - started

    def due(epochs: int) -> bool:
        if arguments.checkpoint_every is not None:
            return bool(epochs % arguments.checkpoint_every == 0)
        return saving <= CHECKPOINT_SHARE * (time.monotonic() - began)

    def on_epoch(history: History) -> None:
        nonlocal since
        if due(sum(len(each.epoch) for each in [*training.finished, history])):
            save()
        if arguments.live and time.monotonic() - since > LIVE_SECONDS:
            draw_live(folder, history, training)
            since = time.monotonic()
        show(history)
        log(history)

    with ExitStack() as stack:
        show = stack.enter_context(progress(arguments.epochs, arguments.quiet))
        log = stack.enter_context(event_log(folder)) if arguments.tensorboard else ignore
        stack.enter_context(interruptible(training))
        training.run(on_epoch)
        if training.ended["reason"] != "diverged":
            save()


def ignore(history: History) -> None:
    """Do nothing."""


def draw_live(folder: Path, history: History, training: Training) -> None:
    """Draw how training goes."""
    from minnet import plots

    title = f"{training.dataset.name}, training"
    draw = plots.plot_stack if training.network.theta.ndim == 2 else plots.plot_history
    plots.save_picture(draw(history, title=title), folder / "loss.png")


def finish(folder: Path, training: Training, arguments: argparse.Namespace) -> int:
    """Write and print what came out; return the exit code."""
    network, reason = training.network, training.ended["reason"]
    # A stack in slices that was interrupted lacks networks whose turn has not come.
    whole = reason != "interrupted" or training.slice_size == len(training.seeds)
    history = training.history if whole else History()
    seed, dataset = arguments.seed, training.dataset
    lost = network.theta.ndim == 2 and history.epoch and history.diverged().all()
    if lost or (reason == "interrupted" and not history.epoch):
        results: dict[str, Any] = {"dataset": dataset.name, "seed": seed, "ended": training.ended}
        lines, report, groups, best = list[str](), "", {}, None
    elif network.theta.ndim == 2:
        rates = learning_rates(arguments)
        ranking = rank_rates(training, rates, arguments.momentum, arguments.seeds)
        results, lines, report, best = summarize_stack(training, ranking, rates, seed, arguments.seeds)
        groups = {f"lr {setting.lr:g}": setting.networks for setting in sorted(ranking)}
    else:
        results, lines, report = summarize(training, seed)
        groups, best = {}, None
    try:
        write_run(folder, history, results, network, dataset, report, groups if len(groups) > 1 else None, best)
    except OSError as error:
        raise CannotSave(f"cannot write the results into {folder}: {error.strerror}") from None
    if reason == "interrupted":
        say(f"{training.ended['text']}; {kept(folder)}")
        return 130
    if reason == "diverged":
        raise FloatingPointError(f"{training.ended['text']}; what there is of the run is in {folder}")
    results["run"] = str(folder)
    if arguments.json:
        print(json.dumps(results))
        return 0
    print("\n".join([*lines, f"saved in       {folder}"]))
    return 0


@contextmanager
def progress(epochs: int, quiet: bool) -> Iterator[Callable[[History], None]]:
    """Show how training goes, on stderr: a live bar on a terminal, else a line every few epochs."""

    def line(history: History) -> str:
        columns = (history.train_loss, history.validation_loss, history.validation_accuracy)
        lost = np.atleast_1d(history.diverged())
        loss, validation_loss, accuracy = (
            float(np.median(np.atleast_1d(column[-1])[~lost])) if not lost.all() else math.nan for column in columns
        )
        several = f" (median of {len(lost)}{f', {lost.sum()} diverged' if lost.any() else ''})" if len(lost) > 1 else ""
        return f"loss {figure(loss)}  validation {figure(validation_loss)}, {accuracy:.1%} right{several}"

    if quiet:
        yield ignore
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("epoch", MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[line]}"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("training", total=epochs, line="")
            yield lambda history: bar.update(task, completed=history.epoch[-1], line=line(history))
    else:
        every = max(1, epochs // 10)

        printed = time.monotonic()

        def print_line(history: History) -> None:
            nonlocal printed
            epoch = history.epoch[-1]
            if epoch % every == 0 or epoch in (1, epochs) or time.monotonic() - printed > PROGRESS_SECONDS:
                printed = time.monotonic()
                with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop training
                    print(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {line(history)}", file=sys.stderr, flush=True)

        yield print_line


def require_tensorboard() -> None:
    """Raise a ValueError if the tensorboard package is not there."""
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError:
        raise ValueError("--tensorboard needs the tensorboard package: pip install tensorboard") from None


@contextmanager
def event_log(folder: Path) -> Iterator[Callable[[History], None]]:
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
