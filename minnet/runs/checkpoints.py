"""What is in a checkpoint, and how does a run survive whatever happens? State saved and restored, signals taken."""

import contextlib
import copy
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

FORMAT = 3
KEPT = 2
COUNT = np.array(0)  # of the shape and dtype of an optimizer's count of steps
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
    proof = list((training.proof or {}).items())  # in their order, which a header does not keep
    return arrays, {"seconds": training.seconds, "random": random, "proof": proof}


def restore(training: Training, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Go on from what `state` gave, in a training made with the same settings.

    All is built first and assigned last, so that a training is as it was if something does not fit.

    Raises
    ------
    KeyError, ValueError
        If something is missing, or not what a training of these settings can have come to.
    """
    fresh, theta = state(training)[0], training.network.theta
    epoch, taken = arrays["history.epoch"], len(np.atleast_1d(arrays["history.batch_loss"]))
    epochs = epoch.size
    if epochs > training.epochs or not np.array_equal(epoch, np.arange(1, epochs + 1)):
        raise ValueError(f"history.epoch does not count from 1 to at most {training.epochs}")
    if not 0 <= taken - epochs * training.steps <= training.steps:
        expected = f"expected those of {epochs} epochs of {training.steps} steps, or of one more epoch begun"
        raise ValueError(f"history.batch_loss has {taken} entries, {expected}")
    for name in fresh | dict(arrays):
        array = arrays[name]
        like = fresh.get(name, theta if array.ndim else COUNT)  # an optimizer has nothing before its first step
        a_column = name.startswith("history.")
        shape = (taken if "batch" in name else epochs, *like.shape[1:]) if a_column else like.shape
        if (array.shape, array.dtype) != (shape, like.dtype):
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, expected {like.dtype} of shape {shape}")
        if theta.ndim == 1 and name.endswith("theta") and not np.isfinite(array).all():
            raise ValueError(f"{name} has entries that are not finite")
        most = epochs if a_column else taken
        if array.dtype == COUNT.dtype and ((array < 0) | (array > most)).any():
            raise ValueError(f"{name} counts beyond 0 to {most}")
    generators = copy.deepcopy(training.network.random.generators)
    for generator, random_state in zip(generators, values["random"], strict=True):
        generator.bit_generator.state = random_state
    seconds, proof = float(values["seconds"]), dict(values.get("proof", ()))  # which earlier versions did not write

    theta[...], training.kept_theta[...] = arrays["theta"], arrays["kept_theta"]
    own = {name: array for name, array in arrays.items() if name.startswith("optimizer.")}
    training.optimizer.state = {name.removeprefix("optimizer."): array for name, array in own.items()}
    for name in vars(training.history):
        column = arrays[f"history.{name}"]
        setattr(training.history, name, list(column) if column.ndim > 1 else column.tolist())
    training.seconds, training.network.random.generators = seconds, generators
    training.proof = proof or None


def checkpoints(folder: Path, group: str = "**") -> list[Path]:
    """List the checkpoints in a run folder, the newest first: of one group, "" where there is one only, or of all."""
    found = (folder / "checkpoints").glob(str(Path(group, "step-*.safetensors")))
    return sorted(found, key=lambda path: path.name, reverse=True)


def save_checkpoint(folder: Path, training: Training, group: str = "") -> Path:
    """Write all that it takes to go on, and remove the checkpoints before the one before it.

    Raises
    ------
    OSError
        If it cannot be written; the earlier ones are then as they were.
    """
    arrays, values = state(training)
    path = folder / "checkpoints" / group / f"step-{len(training.history.batch_loss):010}.safetensors"
    for each in (folder / "checkpoints", path.parent):  # not the run folder, if somebody has removed that
        each.mkdir(exist_ok=True)
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
    problems = list[str]()
    for path in checkpoints(folder, group):
        try:
            load_checkpoint(path, training)
            return problems
        except (ValueError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return problems


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


def read_history(folder: Path, group: str = "") -> History | None:
    """Read how training went until the newest checkpoint that is whole; None if there is none, or no epoch in it."""
    for path in checkpoints(folder, group):
        with contextlib.suppress(ValueError, OSError), refusing(path, "a checkpoint with a history"):
            values, arrays = read_arrays(path)
            columns = {name: arrays[f"history.{name}"] for name in vars(History())}
            epochs, stack = columns["epoch"].size, columns["kept"].shape[1:]
            if values.get("format") != FORMAT or not np.array_equal(columns["epoch"], np.arange(1, epochs + 1)):
                raise ValueError("its epochs do not count from 1")
            for name in History().by_epoch():
                if columns[name].shape != (epochs, *(() if name in SHARED else stack)):
                    raise ValueError(f"{name} has another shape")
            kept = columns["kept"]
            if kept.dtype != COUNT.dtype or ((kept < 0) | (kept > epochs)).any():
                raise ValueError("an epoch kept is none of them")
            return History(**{name: list(column) for name, column in columns.items()}) if epochs else None
    return None


def stopping_signals() -> list[signal.Signals]:
    """List the signals that ask a program to end, without those that it was told to ignore (by nohup, say).

    There are none in other threads than the main one, which alone may handle signals.
    """
    in_main = threading.current_thread() is threading.main_thread()
    asking = ("SIGINT", "SIGTERM", "SIGHUP") if in_main else ()  # Windows has no SIGHUP
    return [each for each in signal.Signals if each.name in asking and signal.getsignal(each) != signal.SIG_IGN]


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
        # Not print(): the signal may come while something is being printed.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            message = b"\nminnet: finishing the batch, then saving; Ctrl-C once more stops at once\n"
            os.write(sys.stderr.fileno(), message)

    def request(self, *_: object) -> None:
        """Ask to stop after the batch, however often, and ask the processes that train for this one."""
        self.requested = True
        if self.training is not None:
            self.training.interrupted = True
        for process in multiprocessing.active_children():
            process.terminate()

    def follow(self, training: Training) -> None:
        """Stop this training from now on."""
        self.training, training.interrupted = training, self.requested


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP end training after the batch, and the second one end it at once."""
    interrupt = Interrupt()
    before = {number: signal.signal(number, interrupt.handle) for number in stopping_signals()}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
