"""How does a training run survive whatever happens? Checkpoints to go on from, and signals that end it well."""

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minnet.history import History
from minnet.support.files import read_arrays, refusing, replacing, write_arrays
from minnet.support.stack import Array
from minnet.training import Training

FORMAT = 2
KEPT = 2
INTEGERS = ("epoch", "kept")  # columns of a history that hold them
SHARED = ("epoch", "seconds")  # columns that all networks of a stack have in common


def state(training: Training) -> tuple[dict[str, Array], dict[str, Any]]:
    """Give all that it takes to go on from where a training stands: arrays by name, and values that JSON can hold."""
    arrays = {"theta": training.network.theta, "kept_theta": training.kept_theta}
    arrays |= {f"optimizer.{name}": array for name, array in training.optimizer.state.items()}
    for name, column in vars(training.history).items():
        entry = () if name in SHARED else training.stack
        dtype = np.int64 if name in INTEGERS else np.float64
        arrays[f"history.{name}"] = np.array(column, dtype).reshape(len(column), *entry)
    random = [generator.bit_generator.state for generator in training.network.random.generators]
    return arrays, {"seconds": training.seconds, "random": random}


def restore(training: Training, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Go on from what `state` gave, in a training made with the same settings.

    All is built first and assigned last, so that a training is as it was if something does not fit.

    Raises
    ------
    KeyError, ValueError
        If something is missing, or its name, shape or dtype is not that of a fresh training's state.
    """
    fresh, theta = state(training)[0], training.network.theta
    for name, like in fresh.items():
        if not name.startswith("optimizer."):
            array = arrays[name]
            a_column = name.startswith("history.")
            shape = (len(array), *like.shape[1:]) if a_column and array.ndim else like.shape
            fits = array.shape == shape
            if not fits or array.dtype != like.dtype:
                got = f"{array.dtype} of shape {array.shape}"
                raise ValueError(f"{name} is {got}, expected {like.dtype} of shape {shape}")
    columns = {name: arrays[f"history.{name}"] for name in vars(training.history)}
    check_history(training, columns)
    for name in ("theta", "kept_theta"):
        if theta.ndim == 1 and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} has entries that are not finite")
    optimizer_state = {}
    for name, array in arrays.items():
        if name.startswith("optimizer."):
            count = array.ndim == 0
            if not count and (array.shape != theta.shape or array.dtype != theta.dtype):
                expected = f"expected {theta.dtype} of shape {theta.shape}"
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, {expected}")
            if count and not 0 <= array < math.inf:
                raise ValueError(f"{name} is {array}, expected a finite number of at least 0")
            optimizer_state[name.removeprefix("optimizer.")] = array
    generators = []
    for _, each in zip(training.network.random.generators, values["random"], strict=True):
        generators.append(np.random.PCG64())
        generators[-1].state = each
    seconds = float(values["seconds"])

    theta[...], training.kept_theta[...] = arrays["theta"], arrays["kept_theta"]
    training.optimizer.state = optimizer_state
    entries = {name: list(column) if column.ndim > 1 else column.tolist() for name, column in columns.items()}
    training.history = History(**entries)
    training.seconds = seconds
    for generator, new in zip(training.network.random.generators, generators, strict=True):
        generator.bit_generator.state = new.state


def check_history(training: Training, columns: Mapping[str, Array]) -> None:
    """Raise ValueError unless the columns of a history have as many entries as its epochs, and their steps."""
    epochs, steps = len(columns["epoch"]), len(columns["batch_loss"])
    if epochs > training.epochs or (columns["epoch"] != np.arange(1, epochs + 1)).any():
        raise ValueError(f"history.epoch does not count from 1 to at most {training.epochs}")
    begun = steps - epochs * training.steps
    if not 0 <= begun <= training.steps:
        expected = f"expected those of {epochs} epochs of {training.steps} steps, or of one more epoch begun"
        raise ValueError(f"history.batch_loss has {steps} entries, {expected}")
    for name, column in columns.items():
        entries = steps if name.startswith("batch_") else epochs
        if len(column) != entries:
            raise ValueError(f"history.{name} has {len(column)} entries, expected {entries}")
    if ((columns["kept"] < 0) | (columns["kept"] > epochs)).any():
        raise ValueError(f"history.kept names an epoch that is none of {epochs}")


def checkpoints(folder: Path, group: str = "") -> list[Path]:
    """List the checkpoints in a run folder, the newest first: of one group of a sweep, if there are several."""
    return sorted((folder / "checkpoints" / group).glob("step-*.safetensors"), reverse=True)


def save_checkpoint(folder: Path, training: Training, group: str = "") -> Path:
    """Write all that it takes to go on, and remove the checkpoints before the one before it.

    Raises
    ------
    OSError
        If it cannot be written; the earlier ones are then as they were.
    """
    arrays, values = state(training)
    path = folder / "checkpoints" / group / f"step-{len(training.history.batch_loss):010}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        write_arrays(beside, arrays, {"format": FORMAT, **values})
    for old in [each for each in checkpoints(folder, group) if each != path][KEPT - 1 :]:
        with contextlib.suppress(OSError):  # another time
            old.unlink()
    return path


def restore_checkpoint(folder: Path, training: Training, group: str = "") -> list[str]:
    """Go on from the newest checkpoint that is whole; from the beginning if there is none.

    Returns
    -------
    list of str
        What is wrong with newer ones.

    Raises
    ------
    ValueError
        If there are checkpoints, but none can be used; the message names file and field.
    """
    problems = []
    for path in checkpoints(folder, group):
        try:
            load_checkpoint(path, training)
        except (ValueError, OSError) as error:
            problems.append(str(error))
        else:
            return problems
    if problems:
        raise ValueError("; ".join(problems))
    return []


def load_checkpoint(path: Path, training: Training) -> None:
    """Bring a training to where a checkpoint was written.

    Raises
    ------
    ValueError
        If the file is not a checkpoint of such a training.
    """
    with refusing(path, "a checkpoint of this run"):
        values, arrays = read_arrays(path)
        if values.get("format") != FORMAT:
            raise ValueError(f"format is {values.get('format')!r}, expected {FORMAT}")
        restore(training, arrays, values)


def stopping_signals() -> list[signal.Signals]:
    """List the signals that ask a program to end, without those that it was told to ignore (by nohup, say)."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    there = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) != signal.SIG_IGN]


class Interrupt:
    """Whether somebody asked to stop, and the training that is to do so after its step."""

    def __init__(self) -> None:
        self.requested = False
        self.training: Training | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the first one ends training after the batch, the second one at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.request()
        self.pass_on()

    def request(self, *_: object) -> None:
        """Ask to stop after the batch, however often."""
        self.requested = True
        if self.training is not None:
            self.training.interrupted = True

    def pass_on(self) -> None:
        """Ask the processes that train for this one, if somebody asked it."""
        for process in multiprocessing.active_children() if self.requested else ():
            process.terminate()

    def follow(self, training: Training) -> None:
        """Stop this training from now on."""
        self.training, training.interrupted = training, self.requested


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP end training after the batch, and the second one end it at once."""
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt.handle(number, frame)
        # Not print(): the signal may come while something is being printed.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            message = "\nminnet: finishing the batch, then saving; Ctrl-C once more stops at once\n"
            os.write(sys.stderr.fileno(), message.encode())

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield interrupt
        return
    before = {number: signal.signal(number, handle) for number in stopping_signals()}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
