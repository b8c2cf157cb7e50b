"""How does a training run survive whatever happens? Checkpoints to go on from, and signals that end it well."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from minnet.support.files import read_arrays, write_arrays
from minnet.support.text import one_line
from minnet.training import Training

FORMAT = 1
KEPT = 2


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a run folder, the newest first."""
    return sorted((folder / "checkpoints").glob("step-*.safetensors"), reverse=True)


def save_checkpoint(folder: Path, training: Training) -> Path:
    """Write all that it takes to go on, and remove the checkpoints before the one before it.

    Raises
    ------
    OSError
        If it cannot be written; the earlier ones are then as they were.
    """
    arrays, values = training.state()
    steps = sum(len(history.batch_loss) for history in [*training.finished, training.slice_history])
    path = folder / "checkpoints" / f"step-{steps:010}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, arrays, {"format": FORMAT, **values})
    for old in [each for each in checkpoints(folder) if each != path][KEPT - 1 :]:
        with contextlib.suppress(OSError):  # another time
            old.unlink()
    return path


def restore_checkpoint(folder: Path, training: Training) -> list[str]:
    """Go on from the newest checkpoint that is whole; from the beginning if there is none.

    Parameters
    ----------
    folder : Path
        The run folder.
    training : Training
        Made with the run's settings, not yet run.

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
    for path in checkpoints(folder):
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
    try:
        values, arrays = read_arrays(path)
        if values.get("format") != FORMAT:
            raise ValueError(f"format is {values.get('format')!r}, expected {FORMAT}")
        training.restore(arrays, values)
    except KeyError as error:
        raise ValueError(f"{path}: not a checkpoint of this run: field {one_line(error)} is missing") from None
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: not a checkpoint of this run: {one_line(error, 500)}") from None


def stopping_signals() -> list[signal.Signals]:
    """List the signals that ask a program to end, without those that it was told to ignore (by nohup, say)."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    there = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def interruptible(training: Training) -> Iterator[None]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP end training after the batch, and the second one end it at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if training.interrupted:
            raise KeyboardInterrupt
        training.interrupted = True
        # Not print(): the signal may come while something is being printed.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            message = "\nminnet: finishing the batch, then saving; Ctrl-C once more stops at once\n"
            os.write(sys.stderr.fileno(), message.encode())

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    before = {number: signal.signal(number, handle) for number in stopping_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
